"""Training files on disk: rows in their form, as JSON lines or Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.errors import OutputError
from tsds_qdrant.files.compression import compressed, split_suffix
from tsds_qdrant.files.outputs import atomic_write, check_writable
from tsds_qdrant.files.row_formats import ROW_WRITERS
from tsds_qdrant.files.streams import check_stream, fitting, is_stream
from tsds_qdrant.training.columns import ValueKinds, irregular, write_parquet
from tsds_qdrant.training.forms import DATAFLEX, PLAIN, Layout, layout_of
from tsds_qdrant.training.gathering import Gathered
from tsds_qdrant.training.rows import TRACE, free_names, trace_of
from tsds_qdrant.training.settings import ExportSettings

LINES = (".jsonl", ".ndjson")
PARQUET = ".parquet"
NUMPY = ".npy"
FRAMEWORKS = ("axolotl", "llamafactory")
"""Forms whose trainers know the kind of a file by its last suffix."""


def check_training_path(path: Path, form: str) -> None:
    """Check, before long work, that a file of ``form`` can be written to ``path``.

    Raises:
        OutputError: a suffix that does not suit the form, or no place to write.
    """
    kind, compression = _kind_of(path, form)
    if is_stream(path) and form in FRAMEWORKS:
        raise OutputError(f"'{path}' is no file that the format '{form}' could name; give a file")
    if form == DATAFLEX:
        fitting, wanted = kind == NUMPY and not compression, NUMPY
    elif form in FRAMEWORKS:
        fitting, wanted = kind in (LINES[0], PARQUET) and not compression, ".jsonl or .parquet"
    else:
        fitting = kind in LINES or (kind == PARQUET and not compression)
        wanted = ".jsonl (also .gz, .zst) or .parquet"
    if not fitting:
        raise OutputError(f"'{path}' cannot hold the format '{form}'; name it {wanted}")
    check_writable(path)
    if is_stream(path):
        check_stream(path, binary=kind not in LINES or bool(compression))


def _kind_of(path: Path, form: str) -> tuple[str, str]:
    """The last suffixes of a training file; a stream without one has those that suit the form."""
    _, kind, compression = (part.lower() for part in split_suffix(path))
    if not kind and is_stream(path):
        kind = NUMPY if form == DATAFLEX else LINES[0]
    return kind, compression


def validation_path(path: Path) -> Path:
    """The validation file beside ``path``: ``train.jsonl`` -> ``train-validation.jsonl``."""
    stem, kind, compression = split_suffix(path)
    return path.with_name(f"{stem}-validation{kind}{compression}")


class TrainingFiles:
    """Writes gathered rows.

    Attributes:
        layout: of the form; None for plain payloads.
        renamed: fields of plain payloads whose names were taken -> their columns.
        as_text: columns that a Parquet file holds as JSON text.
    """

    def __init__(self, gathered: Gathered, settings: ExportSettings) -> None:
        self._gathered = gathered
        self._settings = settings
        self.layout: Layout | None = None
        self._columns_of: dict[str, str] = {}
        if settings.form == PLAIN:
            self._columns_of = free_names(settings.fields or gathered.fields)
        else:
            self.layout = layout_of(gathered.survey)
        self.renamed = {name: column for name, column in self._columns_of.items() if name != column}
        self.as_text: list[str] = []
        self._kinds: dict[str, ValueKinds] = {}

    @property
    def columns(self) -> Sequence[str]:
        """Names of all columns, in order."""
        own = self.layout.columns if self.layout else self._columns_of.values()
        return (*own, *TRACE)

    def write(self, orders: Mapping[Path, IntArray]) -> dict[str, int]:
        """Write the rows ``orders[path]`` (m,), numbers in the spool, to every path.

        All files take their places together, when all are written.

        Returns:
            path -> how many rows are in it.

        Raises:
            OutputError: a file cannot be written, or Parquet cannot hold a column that trainers
                must be able to read.
        """
        with ExitStack() as stack:
            streams = {path: stack.enter_context(atomic_write(path)) for path in orders}
            return {
                str(path): self._write(streams[path], path, order) for path, order in orders.items()
            }

    def _write(self, stream: BinaryIO, path: Path, order: IntArray) -> int:
        kind, compression = _kind_of(path, self._settings.form)
        if kind == PARQUET:
            self._kinds = self._kinds or self._seen_kinds()
            with fitting(stream, path) as file:
                return write_parquet(file, self._rows(order), self._kinds)
        with compressed(stream, compression) as plain:
            return ROW_WRITERS[kind](plain, self._rows(order), self.columns, [])

    def _seen_kinds(self) -> dict[str, ValueKinds]:
        """The kinds of the values of every column, in whichever file they come to lie."""
        kinds = {column: ValueKinds() for column in self.columns}
        for row in self._rows(self._gathered.kept):
            for column, seen in kinds.items():
                seen.see(row.get(column))
        self.as_text = irregular(kinds)
        if self.layout and self.as_text:
            raise OutputError(
                f"the values in '{self.as_text[0]}' have no one type that Parquet could hold; "
                "write JSON lines, to a .jsonl file"
            )
        return kinds

    def _rows(self, order: IntArray) -> Iterator[dict[str, Any]]:
        gathered, settings = self._gathered, self._settings
        as_text = gathered.ids_as_text
        for number in order.tolist():
            row = gathered.spool[number]
            traced = trace_of(row, repeated=settings.repeats, id_as_text=as_text)
            yield {**self._content(row["payload"]), **traced}

    def _content(self, payload: dict[str, Any]) -> dict[str, Any]:
        if self.layout:
            return self.layout.row(self._gathered.example(payload))
        if self._settings.fields:
            return self._gathered.mapped(payload)
        return {self._columns_of[name]: value for name, value in payload.items()}
