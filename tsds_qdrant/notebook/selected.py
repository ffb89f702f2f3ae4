"""What was selected from data in memory, as the caller had it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.notebook.frames import taken
from tsds_qdrant.notebook.given import Given
from tsds_qdrant.notebook.place import Kept
from tsds_qdrant.notebook.returned import as_dataset, as_pandas, as_polars
from tsds_qdrant.notebook.shown import headline, page_of
from tsds_qdrant.notebook.words import arguments_named
from tsds_qdrant.paths import Location
from tsds_qdrant.report.write import check_report, report_run
from tsds_qdrant.runs.history import selection_figures
from tsds_qdrant.runs.run import Run, keep_run
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.selection.results import write_results
from tsds_qdrant.selection.selection import Selection


@dataclass(frozen=True, repr=False, eq=False)
class Selected:
    """What :func:`tsds_qdrant.select_from` returns: rows of the pool, best rank first.

    Attributes:
        pool: as it was given.
        kept: where its vectors are; a temporary directory is removed with this object.
        run: the selection and what it rests on.
        manifest: settings, versions, counts and figures.
        samples: size -> its rows, as a file of the command line has them.
        known: point id -> row of the pool, counted from 0; None of a pool that is a collection.
        notes: what a user should know: rows left out, texts cut, values changed; a sentence each.
        size: which of the samples this is; the largest by default, None where nothing was drawn.
    """

    pool: Given
    kept: Kept
    run: Run
    manifest: Mapping[str, Any]
    samples: Mapping[int, Sequence[Mapping[str, Any]]]
    known: Mapping[PointId, int] | None
    notes: tuple[str, ...] = ()
    size: int | None = None

    def __post_init__(self) -> None:
        if self.size is None and self.samples:
            object.__setattr__(self, "size", max(self.samples))

    @property
    def selection(self) -> Selection:
        """The selection, with what it rests on."""
        return self.run.selection

    @property
    def ids(self) -> list[PointId]:
        """Ids of the selected points in the collection."""
        return [row["id"] for row in self._rows]

    @property
    def indices(self) -> IntArray:
        """(n,) rows of the pool, counted from 0: ``frame.iloc[indices]``, ``array[indices]``.

        Raises:
            SettingsError: the pool is a collection, whose points are known by their ids.
        """
        if self.known is None:
            raise SettingsError(
                f"the pool is {self.pool.kind}, whose points have no numbers of rows; take ids"
            )
        return np.array([self.known[point_id] for point_id in self.ids], dtype=np.int64)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What was selected: ``index``, the caller's own (the row's number where there is none;
        the id of a pool that is a collection),
        ``id``, ``rank``, ``probability``, ``weight``, ``query`` and ``distance`` of the nearest
        task example, ``payload``, and ``score`` where the strategy gives one.
        """
        labels = zip(self._labels, self._rows, strict=True)
        return [{"index": label, **row} for label, row in labels]

    def of_size(self, size: int) -> Selected:
        """The sample of another size that was asked for.

        Raises:
            SettingsError: that size was not.
        """
        if size not in self.samples:
            sizes = ", ".join(map(str, self.samples)) or "none"
            raise SettingsError(f"there is no sample of size {size}; those drawn are {sizes}")
        return replace(self, size=size)

    def to_pandas(self) -> Any:
        """The selected rows of the pool as a DataFrame of pandas, with columns of the selection.

        A pool that is a DataFrame of pandas keeps its index; others have the number of the row. A
        column that the pool has too is ``tsds_rank`` instead of ``rank``, say.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return as_pandas(self._given, self._labels, self._columns)

    def to_polars(self) -> Any:
        """The same as a DataFrame of polars, with ``index`` as a column.

        Raises:
            MissingPackageError: polars is not installed.
        """
        return as_polars(self._given, self._indexed)

    def to_dataset(self) -> Any:
        """The same as a ``datasets.Dataset``, with ``index`` as a column.

        Raises:
            MissingPackageError: the package datasets is not installed.
        """
        return as_dataset(self._given, self._indexed)

    def report(self, path: Location, *, by: str | None = None) -> None:
        """Write the page of the command ``report``.

        Args:
            path: an HTML file.
            by: also compare the shares of the values of this field.

        Raises:
            TsdsError: see :func:`tsds_qdrant.write_report`.
        """
        with arguments_named(), tempfile.TemporaryDirectory() as folder:
            check_report(path)
            state = RunState.create(Path(folder) / "run")
            keep_run(state, self.run, selection_figures(self.selection))
            with self.kept.open(self.selection.settings.strategy) as opened:
                report_run(path, state, opened, facts=self.manifest, by=by)

    def write(self, out: Location, probabilities: Location | None = None) -> list[Path]:
        """Write the files of the command ``select``, a manifest beside them; say where they are.

        Args:
            out: .jsonl, .csv, .parquet, ..; with several samples their sizes go into the names.
            probabilities: where every candidate with p > 0 goes.

        Raises:
            OutputError: a file cannot be written.
        """
        with arguments_named(), self.kept.open(self.selection.settings.strategy) as opened:
            paths = (Path(out), None if probabilities is None else Path(probabilities))
            queries = self.manifest["queries"]
            return [*write_results(opened, self.selection, *paths, queries=queries)]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Selected({headline(self.selection, self.size)})"

    def _repr_html_(self) -> str:
        return page_of(self.selection, self.size, self.rows, self.notes)

    @property
    def _rows(self) -> Sequence[Mapping[str, Any]]:
        return () if self.size is None else self.samples[self.size]

    @property
    def _labels(self) -> list[Any]:
        """The caller's own index of the selected rows."""
        return self.ids if self.known is None else self.pool.labels(self.indices)

    @property
    def _given(self) -> Any:
        """The selected rows: a table of the package that the pool is of, or a list of records."""
        if self.known is None:
            return [row["payload"] or {} for row in self._rows]
        found = taken(self.pool.original, self.indices)
        if found is not None:
            return found
        if isinstance(self.pool.original, (list, tuple)) and not self.pool.of_texts:
            return [dict(self.pool.original[row]) for row in self.indices.tolist()]
        return [row["payload"] or {} for row in self._rows]

    @property
    def _columns(self) -> dict[str, list[Any]]:
        """Columns of the selection, by name."""
        names = [name for name in self.selection.columns if name != "payload"]
        columns = {name: [row[name] for row in self._rows] for name in names}
        if len({type(point_id) for point_id in columns["id"]}) > 1:
            columns["id"] = [str(point_id) for point_id in columns["id"]]
        return columns

    @property
    def _indexed(self) -> dict[str, list[Any]]:
        return {"index": self._labels, **self._columns}
