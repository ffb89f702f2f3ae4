"""Begin: a selection that may be kept as a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.stored import check_guard, guard_arrays, guard_facts, stored_guard
from tsds_qdrant.pool.members import having_vector
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.represented.marks import described
from tsds_qdrant.runs.address import identity_of
from tsds_qdrant.runs.changes import first_mark
from tsds_qdrant.runs.history import selection_figures
from tsds_qdrant.runs.kept import KeptSearches
from tsds_qdrant.runs.membership import without
from tsds_qdrant.runs.permitted import check_write_back
from tsds_qdrant.runs.resuming import (
    CHANGED,
    WITHOUT_STATE,
    Attempt,
    carried_out,
    digest_of,
    looking,
    note_of,
)
from tsds_qdrant.runs.run import Run, check_settings, keep_run, load_run
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.tagging import Tagging, agreed_tagging
from tsds_qdrant.selection.pacing import announce_reads
from tsds_qdrant.selection.select import begin, select_for
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.selection.tasks import Tasks
from tsds_qdrant.selection.traits import CountTokens
from tsds_qdrant.task.examples import TaskExamples


@dataclass(frozen=True)
class Keeping:
    """What is done with a new run beside selecting.

    Attributes:
        query_facts: where the task examples came from, to be stored.
        since_field: find changes by this payload field, which only grows.
        detect_updates: keep a hash of every vector, to find changes in place (reads them all).
        tagging: what :func:`~tsds_qdrant.runs.write_back.write_back` is to do, which
            :func:`reselect` repeats from then on; not done here.
        count_tokens: counts the tokens of texts; the collection's own model by default.
        deliver: called with the selection before it is stored; where it fails, nothing is stored.
    """

    query_facts: Mapping[str, Any] = field(default_factory=dict)
    since_field: str | None = None
    detect_updates: bool = False
    tagging: Tagging | None = None
    count_tokens: CountTokens | None = None
    deliver: Callable[[Selection], object] | None = None


def begin_run(
    path: str | Path,
    collection: Collection,
    queries: npt.ArrayLike | TaskExamples,
    settings: SelectionSettings,
    *,
    query_weights: npt.ArrayLike | None = None,
    guard: Guard | None = None,
    keeping: Keeping | None = None,
    progress: Progress = silent,
) -> tuple[RunState, Selection]:
    """Select as :func:`~tsds_qdrant.selection.select.select` does, and keep the run in ``path``.

    Args:
        path: the state file; it is made, or must hold a run with the same settings.
        collection: an open collection; it is only read.
        queries: (M, D) vectors of the task examples, or the examples with texts and weights.
        settings: how many, and how; what the strategy derives from the surroundings of the task
            is settled now and stays as it is.
        query_weights: (M,) positive weights.
        guard: keeps copies of test items out, now and in every reselection.
        keeping: how changes are found, and what else is done with the run.
        progress: called as the searches go on.

    Raises:
        StateError: the file cannot be used, or holds a run with other settings.
    """
    keeping = keeping or Keeping()
    run = new_run(
        collection,
        queries,
        settings,
        query_weights=query_weights,
        guard=guard,
        keeping=keeping,
        state=path,
        progress=progress,
    )
    return RunState(path), run.selection


def examples_of(
    queries: npt.ArrayLike | TaskExamples, query_weights: npt.ArrayLike | None
) -> tuple[Any, ...]:
    """All that a selection depends on of its task examples, for :func:`.resuming.digest_of`."""
    weights = None if query_weights is None else np.asarray(query_weights, dtype=np.float64)
    if not isinstance(queries, TaskExamples):
        return np.asarray(queries, dtype=np.float32), weights
    if weights is None and queries.weights is not None:
        weights = np.asarray(queries.weights, dtype=np.float64)
    texts, way = list(queries.texts), queries.template.to_dict()
    more = [one for one in (queries.groups, queries.tasks, queries.in_pool) if one]
    return np.asarray(queries.vectors, dtype=np.float32), weights, texts, way, *more


def source_of(queries: npt.ArrayLike | TaskExamples, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of where task examples came from: what is ``given``, and what they know."""
    if not isinstance(queries, TaskExamples):
        return dict(given)
    source = {"source": queries.source} if queries.source else {}
    return {"texts": list(queries.texts), **source, **given}


def new_run(
    collection: Collection,
    queries: npt.ArrayLike | TaskExamples,
    settings: SelectionSettings,
    *,
    query_weights: npt.ArrayLike | None = None,
    guard: Guard | None = None,
    keeping: Keeping | None = None,
    state: str | Path | None = None,
    progress: Progress = silent,
) -> Run:
    """Select, and keep the run in ``state`` if one is given; see :func:`begin_run`."""
    keeping = keeping or Keeping()
    kept, tagging, mark, attempt = None, keeping.tagging, None, None
    if state is not None:
        kept = RunState(state) if Path(state).exists() else None
        if kept is not None and kept.facts():
            before, arrays, facts = load_run(kept)
            check_settings(kept.path, before.settings, settings)
            check_guard(kept.path, stored_guard(facts, arrays), guard)
            tagging = agreed_tagging(kept.path, before.tagging, tagging)
    check_write_back(collection, tagging)
    announce_reads(collection, queries, settings)
    if state is not None:
        with looking(Path(state)):
            candidates = having_vector(collection, collection.info(), settings.search.where).where
            mark = first_mark(
                collection,
                candidates,
                since_field=keeping.since_field,
                detect_updates=keeping.detect_updates,
            )
        examples, info = examples_of(queries, query_weights), described(collection)
        place = (identity_of(info), *filter(None, [info.mirror]))
        task = digest_of(
            *("select", *place, settings.stored(), *examples),
            *(guard_facts(guard), *guard_arrays(guard).values()),
        )
        attempt = Attempt(Path(state), task, collection, candidates, mark)
    if guard is not None:
        guard.check_texts(collection)

    def do(memory: KeptSearches | None) -> Run:
        if guard is not None and note_of(memory) == CHANGED:
            guard.forget(list(guard.looked))
        known = begin(
            collection,
            queries,
            settings,
            query_weights=query_weights,
            progress=progress,
            memory=memory,
        )
        sizes = settings.wanted_sizes(known.searcher.candidates)
        selection = select_for(
            known,
            settings,
            sizes,
            guard=guard,
            count_tokens=keeping.count_tokens,
            tasks=Tasks.of(queries, known),
        )
        facts = source_of(queries, keeping.query_facts)
        looked = None if mark is None else without(mark, known.searcher.members.outside)
        run = Run(selection, known, facts, looked, guard, tagging, note=note_of(memory))
        if keeping.deliver is not None:
            keeping.deliver(selection)
        if state is None:
            return run
        there = kept or RunState.create(state)
        keep_run(there, run, selection_figures(selection))
        return replace(run, history=tuple(there.runs()))

    return carried_out(attempt, do, WITHOUT_STATE)
