"""Export: a selection as training files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.ids import point_keys
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import OutputError, SettingsError
from tsds_qdrant.files.outputs import atomic_write, write_json
from tsds_qdrant.files.streams import fitting, is_stream
from tsds_qdrant.paths import is_same_file, remembered_source
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.runs.address import open_of_run
from tsds_qdrant.runs.reopen import reopen
from tsds_qdrant.runs.run import Run
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.texts import said_of_run
from tsds_qdrant.selection.results import manifest_path
from tsds_qdrant.strategies.evidence import TransportEvidence
from tsds_qdrant.training.export_report import ExportReport, Long, SplitReport
from tsds_qdrant.training.files import TrainingFiles, check_training_path, validation_path
from tsds_qdrant.training.forms import DATAFLEX, PLAIN
from tsds_qdrant.training.frameworks import (
    DATASET_INFO,
    axolotl_lines,
    dataset_entry,
    merged_datasets,
)
from tsds_qdrant.training.gathering import Gathered
from tsds_qdrant.training.pool_order import probabilities_by_row
from tsds_qdrant.training.rows import written_order
from tsds_qdrant.training.selected import is_state, rows_of_file, rows_of_run
from tsds_qdrant.training.settings import ExportSettings
from tsds_qdrant.training.split import near_groups, usual_radius, validation_rows
from tsds_qdrant.training.spool import Spool


def export(
    source: RunState | str | Path,
    out: str | Path,
    settings: ExportSettings | None = None,
    *,
    collection: Collection | None = None,
    pool: Sequence[str] = (),
    id_field: str | None = None,
    connection: Connection | None = None,
    progress: Progress = silent,
) -> ExportReport:
    """Write the selection of ``source`` to ``out`` as a training file.

    A validation file lies beside it (``train.jsonl``, ``train-validation.jsonl``), and both are
    there whole or not at all; the dataset_info.json of LLaMA-Factory follows them, and a manifest,
    ``train.jsonl.manifest.json``, which says what was written and what was left out.

    Args:
        source: a run's state (``select --state``), or the file of a selection (``select --out``),
            which serves where no vectors are needed.
        out: ``.jsonl`` (also .gz, .zst) or ``.parquet``; ``.npy`` for ``dataflex``.
        settings: the form, and how.
        collection: the run's collection if it is open already.
        pool: for ``dataflex``, the files that were ingested.
        id_field: for ``dataflex``, the field of their records that holds the ids.
        connection: how a server is reached; as the run did by default.
        progress: stages ``read``, ``groups``, ``pool``.

    Raises:
        SettingsError: settings that do not suit each other, or the source.
        InputError: points are gone, records do not fit, or the order of the pool is not known.
        OutputError: a file cannot be written.
        StateError, CollectionError: the run cannot be opened.
    """
    settings = settings or ExportSettings()
    target = Path(out)
    if settings.validation is not None and is_stream(target):
        raise SettingsError(
            f"a validation file lies beside the training file, and '{target}' is none; name a file"
        )
    paths = [target, validation_path(target)][: 1 if settings.validation is None else 2]
    for path in paths:
        check_training_path(path, settings.form)
        if is_stream(path):
            continue
        if any(is_same_file(path, read) for read in (_path_of(source), *map(Path, pool))):
            raise OutputError(f"'{path}' is what is exported; write to another file")
    if (pool or id_field) and settings.form != DATAFLEX:
        raise SettingsError("a pool is given, which only the dataflex format needs; leave it out")
    report = _exported(source, paths, settings, progress, collection, pool, id_field, connection)
    if not is_stream(target):
        told = {"source": remembered_source(str(_path_of(source))), "settings": asdict(settings)}
        write_json(manifest_path(target), {**told, **report.facts()})
    return report


def _exported(
    source: RunState | str | Path,
    paths: Sequence[Path],
    settings: ExportSettings,
    progress: Progress,
    collection: Collection | None,
    pool: Sequence[str],
    id_field: str | None,
    connection: Connection | None,
) -> ExportReport:
    target = paths[0]
    if not isinstance(source, RunState) and Path(source).is_file() and not is_state(source):
        return _export_file(source, paths, settings, progress)
    state = source if isinstance(source, RunState) else RunState(source)
    opened = nullcontext(collection) if collection else open_of_run(state, connection=connection)
    with opened as stored:
        run = reopen(state, stored, progress=progress)
        if settings.form == DATAFLEX:
            return _export_probabilities(run, stored, target, pool, id_field, progress)
        wanted = settings.validation is not None
        rows = rows_of_run(stored, run.selection, settings.size, vectors=wanted)
        with Spool(_spool_folder(target)) as spool:
            way = None if settings.form == PLAIN else said_of_run(run)
            gathered = Gathered(settings, spool, way)
            gathered.take(rows, settings.size or max(run.selection.samples, default=0), progress)
            return _write(gathered, paths, settings, run, progress)


def _spool_folder(target: Path) -> Path | None:
    """Where there is room for as much as ``target`` takes; None for the system's own place."""
    return None if is_stream(target) else target.resolve().parent


def _path_of(source: RunState | str | Path) -> Path:
    return source.path if isinstance(source, RunState) else Path(source)


def _export_file(
    source: str | Path, paths: Sequence[Path], settings: ExportSettings, progress: Progress
) -> ExportReport:
    if settings.validation is not None or settings.form == DATAFLEX:
        wanted = "the dataflex format" if settings.validation is None else "a validation file"
        raise SettingsError(
            f"{wanted} needs what the run knows, and '{source}' is only its selection; give the "
            "state file of 'select --state'"
        )
    with Spool(_spool_folder(paths[0])) as spool:
        gathered = Gathered(settings, spool)
        gathered.take(rows_of_file(source, settings.size), settings.size or 0, progress)
        return _write(gathered, paths, settings, None, progress)


def _write(
    gathered: Gathered,
    paths: Sequence[Path],
    settings: ExportSettings,
    run: Run | None,
    progress: Progress,
) -> ExportReport:
    files = TrainingFiles(gathered, settings)
    parts, split = [np.arange(len(gathered.kept))], None
    if settings.validation is not None and run is not None:
        parts, split = _split(gathered, settings, settings.validation, run, progress)
    repeats = gathered.weights if settings.repeats else np.ones_like(gathered.weights)
    orders = {
        path: written_order(gathered.kept[part], repeats[part], shuffle=settings.shuffle)
        for path, part in zip(paths, parts, strict=True)
    }
    listed, entries = paths[0].with_name(DATASET_INFO), {}
    if settings.form == "llamafactory" and files.layout:
        entries = {path.stem: dataset_entry(path, files.layout) for path in paths}
        merged_datasets(listed, entries)  # what cannot be merged is refused before rows are written
    written = files.write(orders)
    if entries:
        write_json(listed, merged_datasets(listed, entries))
    config = ""
    if settings.form == "axolotl" and files.layout:
        config = axolotl_lines(paths[0], paths[1] if split else None, files.layout)
    left = validation_path(paths[0])
    return ExportReport(
        settings.form,
        files.layout.name if files.layout else "mapped" if settings.fields else "payload",
        written,
        shapes=dict(gathered.survey.shapes.most_common()),
        left_out=dict(gathered.left_out.most_common()),
        unfit=gathered.unfit,
        long=Long.of(settings.form, map(gathered.lengths.__getitem__, gathered.kept.tolist())),
        renamed=files.renamed,
        as_text=files.as_text,
        split=split,
        config=config,
        datasets=list(entries),
        stale=str(left) if split is None and left.exists() else "",
    )


def _split(
    gathered: Gathered,
    settings: ExportSettings,
    share: float,
    run: Run,
    progress: Progress,
) -> tuple[list[IntArray], SplitReport]:
    """Positions among the rows for training and for validation.

    Raises:
        SettingsError: there is no radius, and the strategy of the run has none to go by.
    """
    radius, evidence = settings.radius, run.selection.evidence
    if radius is None and isinstance(evidence, TransportEvidence):
        radius = evidence.bandwidth
    if radius is None:
        raise SettingsError(
            f"the strategy '{run.selection.strategy}' does not know near-duplicates, which the "
            f"validation split keeps together; say how near they are with --radius, "
            f"{usual_radius(gathered.vectors, run.selection.collection.metric):.2g} say (a tenth "
            f"of the rows have another one that near), or 0 for copies alone"
        )
    groups = near_groups(gathered.vectors, radius, run.selection.collection.metric, progress)
    weights = gathered.weights
    chosen = validation_rows(groups, weights, point_keys(gathered.ids), share, settings.seed)
    sizes = np.unique(groups, return_counts=True)[1]
    reached = float(weights[chosen].sum() / weights.sum())
    report = SplitReport(radius, len(sizes), int(sizes.max()), reached)
    return [np.flatnonzero(~chosen), np.flatnonzero(chosen)], report


def _export_probabilities(
    run: Run,
    collection: Collection,
    out: Path,
    pool: Sequence[str],
    id_field: str | None,
    progress: Progress,
) -> ExportReport:
    selection = run.selection
    support = np.flatnonzero(selection.probabilities).tolist()
    by_id = {selection.ids[row]: float(selection.probabilities[row]) for row in support}
    by_row = probabilities_by_row(collection, by_id, pool, id_field=id_field, progress=progress)
    with atomic_write(out) as stream, fitting(stream, out) as file:
        np.save(file, by_row, allow_pickle=False)
    positive = int(np.count_nonzero(by_row))
    return ExportReport(DATAFLEX, "probabilities", {str(out): len(by_row)}, positive=positive)
