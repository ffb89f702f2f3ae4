"""What is written, and that it can be: checked before long work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tsds_qdrant.errors import SettingsError

if TYPE_CHECKING:
    from tsds_qdrant.guards.contamination import Contamination


def check_outputs(
    tables: Sequence[Path], others: Sequence[Path], queries: str, test_items: Sequence[str]
) -> None:
    """Check, before long work, that every output can be written, and none over another file.

    Args:
        tables: outputs whose suffix names their format.
        others: other outputs.
        queries: where the task examples come from.
        test_items: where test items come from.

    Raises:
        OutputError, SettingsError: one cannot.
    """
    from tsds_qdrant.files.outputs import check_rows_path, check_writable

    for place in tables:
        check_rows_path(place)
    for place in others:
        check_writable(place)
    outputs = [*tables, *others]
    check_distinct(outputs, queries)
    for source in test_items:
        check_distinct(outputs, source, "test items")


def check_distinct(
    outputs: Sequence[Path], source: str, content: str = "the task examples"
) -> None:
    """Check that no output takes the place of another, or of ``source``, which holds ``content``.

    Raises:
        SettingsError: one does.
    """
    places = [output.resolve() for output in outputs]
    for output, place in zip(outputs, places, strict=True):
        if place == Path(source).resolve():
            raise SettingsError(f"'{output}' holds {content}; write to another file")
        if places.count(place) > 1:
            raise SettingsError(f"'{output}' is named for two outputs; rename one of them")


def write_kept_out(found: Contamination | None, report: Path | None) -> list[Path]:
    """Write what was kept out, if that is wanted, and return where.

    Raises:
        OutputError: the file cannot be written.
    """
    if report is None or found is None:
        return []
    from tsds_qdrant.files.outputs import write_rows
    from tsds_qdrant.guards.contamination import REPORT_COLUMNS

    write_rows(report, found.rows(), columns=REPORT_COLUMNS)
    return [report]
