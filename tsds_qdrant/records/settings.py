"""How the records of files are read, and what becomes of those that cannot be used."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.settings.fields import setting

OnBadRecord = Literal["error", "skip"]
ON_BAD_RECORD: tuple[OnBadRecord, ...] = ("error", "skip")


def on_bad_record_of(text: str, flag: str) -> OnBadRecord:
    """What to do with bad records, of a command line.

    Raises:
        SettingsError: neither ``error`` nor ``skip``.
    """
    for known in ON_BAD_RECORD:
        if text == known:
            return known
    raise SettingsError(f"{flag} is '{text}'; choose error or skip")


@dataclass(frozen=True)
class Part:
    """One of several parts of all records, as jobs of an array take them.

    Attributes:
        number: which one, from 1.
        of: how many there are.
    """

    number: int = 1
    of: int = 1

    def has(self, row: int) -> bool:
        """Whether the record ``row``, from 0, belongs to this part."""
        return row % self.of == self.number - 1

    def rows(self, total: int) -> range:
        """Those of ``total`` rows that belong to this part."""
        return range(self.number - 1, total, self.of)


def part_of(text: str, flag: str) -> Part:
    """The part ``I/N`` of a command line.

    Raises:
        SettingsError: it is no such part.
    """
    if found := re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text):
        number, of = map(int, found.groups())
        if 1 <= number <= of:
            return Part(number, of)
    raise SettingsError(f"{flag} is '{text}'; write the second of four parts as 2/4")


@dataclass(frozen=True)
class RecordSettings:
    """Records

    Attributes:
        id_field: where ids come from; by default they follow from the content.
        on_bad_record: ``error`` ends the run at a record that cannot be used, ``skip`` leaves it
            out and counts it.
        rejects: where the records left out are listed: file, line (of Parquet the row) and reason,
            as JSON lines.
        part: every N-th record alone, for N ingests side by side.
        form: what the files are like.
    """

    id_field: str | None = setting(
        None, "Take ids from here, not from the content.", metavar="FIELD"
    )
    on_bad_record: OnBadRecord = setting(
        "error",
        "A record that cannot be used: end the run, or leave it out and count it.",
        metavar="error|skip",
        parse=on_bad_record_of,
    )
    rejects: Path | None = setting(
        None, "List the records left out: file, line, reason.", metavar="FILE.jsonl"
    )
    part: Part = setting(
        Part(),
        "Take part I of N: every N-th record or row; run all N side by side.",
        metavar="I/N",
        parse=part_of,
        hidden=True,
    )
    form: FileForm = field(default_factory=FileForm)

    def __post_init__(self) -> None:
        if self.rejects is not None and self.on_bad_record != "skip":
            raise SettingsError(
                f"--rejects {self.rejects} lists records that are left out; "
                "give --on-bad-record skip too"
            )
        if self.rejects is not None and self.rejects.suffix.lower() not in (".jsonl", ".ndjson"):
            raise SettingsError(f"--rejects {self.rejects} holds JSON lines; name a .jsonl file")
