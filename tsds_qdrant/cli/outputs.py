"""What is written, and that it can be: checked before long work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.paths import is_same_file

if TYPE_CHECKING:
    from tsds_qdrant.guards.contamination import Contamination


FORMATS = "jsonl|csv|tsv|ids|parquet"
FORMAT_HELP = "Format of outputs whose name has no suffix, '-' say; jsonl by default."


def check_stdout(outputs: Mapping[str, Path | None], *, as_json: bool) -> None:
    """Check that at most one thing is to be written to standard output.

    Args:
        outputs: flag -> what it names.
        as_json: figures are printed there too.

    Raises:
        SettingsError: two are.
    """
    from tsds_qdrant.files.streams import is_stdout

    flags = [f"{flag} {path}" for flag, path in outputs.items() if path and is_stdout(path)]
    flags += ["--json"] if as_json else []
    if len(flags) > 1:
        raise SettingsError(
            f"{flags[0]} and {flags[1]} both write to standard output; leave one out"
        )


def check_sizes(out: Path | None, sizes: Sequence[int]) -> None:
    """Check that samples of several sizes go into files.

    Raises:
        SettingsError: ``out`` is a stream, which would take them one after the other.
    """
    from tsds_qdrant.files.streams import NOWHERE, is_stream

    if out is not None and len(sizes) > 1 and is_stream(out) and str(out) != NOWHERE:
        raise SettingsError(
            f"--out {out} takes one sample and {len(sizes)} sizes are wanted; name a file, and "
            f"each gets its size in its name"
        )


def check_outputs(
    tables: Sequence[Path],
    others: Sequence[Path],
    queries: Sequence[str],
    test_items: Sequence[str],
    form: str | None = None,
) -> None:
    """Check, before long work, that every output can be written, and none over another file.

    Args:
        tables: outputs whose suffix names their format.
        others: other outputs.
        queries: where task examples come from.
        test_items: where test items come from.
        form: the format of tables whose name does not say it.

    Raises:
        OutputError, SettingsError: one cannot.
    """
    from tsds_qdrant.files.outputs import check_rows_path, check_writable

    for place in tables:
        check_rows_path(place, form)
    for place in others:
        check_writable(place)
    outputs = [*tables, *others]
    for source in queries or ("",):
        check_distinct(outputs, source)
    for source in test_items:
        check_distinct(outputs, source, "test items")


def check_distinct(
    outputs: Sequence[Path], source: str, content: str = "the task examples"
) -> None:
    """Check that no output takes the place of another, or of ``source``, which holds ``content``.

    Raises:
        SettingsError: one does.
    """
    from tsds_qdrant.files.streams import NOWHERE, is_stream

    named = [output for output in outputs if str(output) != NOWHERE]
    places = [output if is_stream(output) else output.resolve() for output in named]
    for output, place in zip(named, places, strict=True):
        if is_same_file(place, source):
            raise SettingsError(f"'{output}' holds {content}; write to another file")
        if places.count(place) > 1:
            raise SettingsError(f"'{output}' is named for two outputs; rename one of them")


def spread(as_text: Sequence[str]) -> str:
    """Say which columns of a table hold JSON text; "" where none does."""
    if not as_text:
        return ""
    named = ", ".join(dict.fromkeys(as_text))
    return f"lists and objects of payloads are JSON text, in columns of their own: {named}"


def write_kept_out(
    found: Contamination | None, report: Path | None, form: str | None = None
) -> list[Path]:
    """Write what was kept out, if that is wanted, and return where.

    Raises:
        OutputError: the file cannot be written.
    """
    if report is None or found is None:
        return []
    from tsds_qdrant.files.outputs import write_rows
    from tsds_qdrant.guards.contamination import REPORT_COLUMNS

    write_rows(report, found.rows(), columns=REPORT_COLUMNS, form=form)
    return [report]
