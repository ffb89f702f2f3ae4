"""Fields that are to be left out, and whether there are any of their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

from tsds_qdrant.errors import BadRecordError, InputError
from tsds_qdrant.records.entries import Findings
from tsds_qdrant.records.fields import listed_fields
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.memory import Source
from tsds_qdrant.records.reading import is_read_once, read_entries


class _Lenient(Findings):
    """Looks for names, and leaves bad records to others."""

    def bad(self, error: BadRecordError) -> None:
        self.rejected += 1


def check_dropped(
    files: Sequence[Source],
    form: FileForm,
    dropped: Collection[str],
    example: Mapping[str, Any],
    *,
    unread: bool,
) -> None:
    """Check that every field that is to be left out is there; those not found yet are looked for.

    Args:
        files: of the records.
        form: what is to be left out.
        dropped: names that were found so far.
        example: a record without what was left out.
        unread: whether there are records behind those read so far; they are read for this alone.

    Raises:
        InputError: no record has such a field.
    """
    missing = set(form.drop_columns) - set(dropped)
    if missing and unread:
        findings = _Lenient()
        again = [file for file in files if not is_read_once(file)]
        for _ in chain.from_iterable(read_entries(file, findings, form) for file in again):
            if missing <= findings.dropped:
                return
        missing -= findings.dropped
    if missing:
        known = listed_fields(example).replace("its fields", "the others")
        raise InputError(
            f"no record has the field '{min(missing)}' that is to be dropped ({known}); "
            "correct --drop-columns"
        )
