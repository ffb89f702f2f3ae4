"""Reselect: repair a run after its collection, or its task, has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections import open_collection
from tsds_qdrant.collections.distance import checked_vectors
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import CollectionMismatchError
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.stored import check_guard, stored_guard
from tsds_qdrant.neighbors.repair import RepairReport, repair
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.runs.changes import Changes, find_changes, first_mark
from tsds_qdrant.runs.difference import Difference, difference_of
from tsds_qdrant.runs.history import reselection_figures, selection_figures
from tsds_qdrant.runs.run import (
    StoredRun,
    check_identity,
    check_settings,
    load_run,
    resume_task,
    save_run,
)
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.write_back import Tagging, agreed_tagging, write_back
from tsds_qdrant.selection.select import begin_task, select_for
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.selection.traits import CountTokens
from tsds_qdrant.solver.tradeoff import scaled_weights
from tsds_qdrant.strategies.tsds.problem import Task

OTHER_SHARE = 0.5
"""From this share of places with another vector on, the collection counts as another one."""


@dataclass(frozen=True)
class Reselection:
    """What :func:`reselect` did.

    Attributes:
        selection: the selection as it is now.
        changes: what was found to have changed.
        repaired: what the repair touched.
        difference: how the sample changed.
        number: of this run in the state's history.
        run: its facts, and what was written back where that was asked for.
    """

    selection: Selection
    changes: Changes
    repaired: RepairReport
    difference: Difference
    number: int
    run: dict[str, Any]


def begin_run(
    path: str | Path,
    collection: Collection,
    queries: npt.ArrayLike,
    settings: SelectionSettings,
    *,
    query_weights: npt.ArrayLike | None = None,
    query_facts: Mapping[str, Any] | None = None,
    since_field: str | None = None,
    detect_updates: bool = False,
    tagging: Tagging | None = None,
    guard: Guard | None = None,
    count_tokens: CountTokens | None = None,
    deliver: Callable[[Selection], object] | None = None,
    progress: Progress = silent,
) -> tuple[RunState, Selection]:
    """Select as :func:`~tsds_qdrant.selection.select.select` does, and keep the state in ``path``.

    Args:
        path: the state file; it is made, or must hold a run with the same settings.
        collection: an open collection; it is only read.
        queries: (M, D) vectors of the query examples.
        settings: how many, and how; C and h are settled now and stay as they are.
        query_weights: (M,) positive weights.
        query_facts: where the query examples came from, to be stored.
        since_field: find changes by this payload field, which only grows.
        detect_updates: keep a hash of every vector, to find changes in place (reads them all).
        tagging: what :func:`~tsds_qdrant.runs.write_back.write_back` is to do, which
            :func:`reselect` repeats from then on; not done here.
        guard: keeps copies of test items out, now and in every reselection.
        count_tokens: counts the tokens of texts; the collection's own model by default.
        deliver: called with the selection before it is stored; where it fails, nothing is stored.
        progress: called as the searches go on.

    Raises:
        StateError: the file cannot be used, or holds a run with other settings.
    """
    state = RunState.create(path)
    if state.facts():
        before, arrays, facts = load_run(state)
        check_settings(state.path, before.settings, settings)
        check_guard(state.path, stored_guard(facts, arrays), guard)
        tagging = agreed_tagging(state.path, before.tagging, tagging)
    mark = first_mark(
        collection, settings.where, since_field=since_field, detect_updates=detect_updates
    )
    task = begin_task(collection, queries, settings, query_weights, guard, progress)
    sizes = settings.wanted_sizes(task.neighborhoods.searcher.candidates)
    selection = select_for(task, sizes, guard=guard, count_tokens=count_tokens)
    if deliver is not None:
        deliver(selection)
    save_run(
        state,
        task,
        selection,
        mark,
        queries=query_facts or {},
        run=selection_figures(selection),
        tagging=tagging,
        guard=guard,
    )
    return state, selection


def reselect(
    state: RunState | str | Path,
    *,
    collection: Collection | None = None,
    queries: npt.ArrayLike | None = None,
    query_weights: npt.ArrayLike | None = None,
    query_facts: Mapping[str, Any] | None = None,
    named: Sequence[PointId] | None = None,
    api_key: str | None = None,
    count_tokens: CountTokens | None = None,
    deliver: Callable[[Reselection], object] | None = None,
    progress: Progress = silent,
) -> Reselection:
    """Bring the run in ``state`` up to date: compute, deliver, store, and then write back.

    Args:
        state: a run state, made by ``select --state`` or :func:`begin_run`.
        collection: the run's collection if it is open already.
        queries: (M, D) new query examples; those that the run knows keep their lists.
        query_weights: (M,) weights of the new query examples.
        query_facts: where they came from, to be stored.
        named: look at these ids only, instead of looking for changes.
        api_key: for a server.
        count_tokens: counts the tokens of texts; the collection's own model by default.
        deliver: called with what is found, to write files, before the state is stored. Where it
            fails, the state is as it was, and the next reselection finds the same changes again.
        progress: called as searches go on.

    Raises:
        StateError: the state cannot be used.
        CollectionMismatchError: the collection is another one than in the run.
        CollectionNotFoundError: it is gone.
        SupportError: see :func:`~tsds_qdrant.selection.select.select`.
    """
    state = state if isinstance(state, RunState) else RunState(state)
    run, arrays, facts = load_run(state)
    opened = collection
    if opened is None:
        place = run.collection
        opened = open_collection(
            place["location"], place["name"], vector=place["vector"], api_key=api_key
        )
    try:
        started = time.perf_counter()
        check_identity(opened.info(), run.collection)
        task = resume_task(opened, run, arrays, facts, progress)
        changes = _changes(opened, run, task, named)
        looked = time.perf_counter()
        repaired = repair(task.neighborhoods, changes.came, changes.gone)
        if queries is not None:
            task = _with_queries(task, queries, query_weights)
        untouched = not (changes.came or changes.gone or queries is not None)
        guard = stored_guard(facts, arrays)
        if guard is not None:
            guard.forget([*changes.came, *changes.gone])
        selection = select_for(
            task,
            run.sizes,
            known_accuracy=None if repaired.anew else run.drawn.accuracy,
            known_traits=run.drawn.traits if untouched else None,
            guard=guard,
            count_tokens=count_tokens,
        )
        difference = difference_of(run.drawn, selection)
        figures = reselection_figures(
            selection,
            changes,
            repaired,
            difference,
            look_s=looked - started,
            repair_s=time.perf_counter() - looked - selection.seconds["measure"],
        )
        next_number = len(state.runs()) + 1
        done = Reselection(selection, changes, repaired, difference, next_number, figures)
        if deliver is not None:
            deliver(done)
        number = save_run(
            state,
            task,
            selection,
            changes.mark,
            queries=run.queries if query_facts is None else query_facts,
            run=figures,
            tagging=run.tagging,
            guard=guard,
        )
        if run.tagging:
            written = write_back(opened, selection, run.tagging, progress=progress)
            figures = {**figures, "write_back": vars(written)}
    finally:
        if collection is None:
            opened.close()
    return replace(done, number=number, run=figures)


def _changes(
    collection: Collection, run: StoredRun, task: Task, named: Sequence[PointId] | None
) -> Changes:
    """What changed; places whose vector is another one now came anew."""
    neighborhoods = task.neighborhoods
    used = neighborhoods.index.ids(range(len(neighborhoods.index)))
    changes = find_changes(collection, run.settings.where, run.mark, used, named=named)
    seen = {*changes.came, *changes.gone}
    moved, checked = neighborhoods.moved()
    silently = [point_id for point_id in moved if point_id not in seen]
    if checked and len(silently) >= max(2, OTHER_SHARE * checked):
        raise CollectionMismatchError(
            f"{len(silently)} of {checked} vectors of collection '{run.collection['name']}' are "
            f"not those of the run: it was made anew; select anew with --state"
        )
    return Changes([*changes.came, *silently], changes.gone, changes.mark)


def _with_queries(task: Task, queries: npt.ArrayLike, query_weights: npt.ArrayLike | None) -> Task:
    info = task.neighborhoods.searcher.info
    vectors = checked_vectors(
        np.atleast_2d(np.asarray(queries)), info.dimension, info.metric, what="query example"
    )
    weights = np.asarray([] if query_weights is None else query_weights, dtype=np.float64)
    task.neighborhoods.replace_queries(vectors)
    return Task(
        task.settings, task.neighborhoods, task.cost_scale, scaled_weights(weights, len(vectors))
    )
