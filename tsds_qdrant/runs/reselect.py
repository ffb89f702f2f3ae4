"""Reselect: repair a run after its collection, or its task, has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tsds_qdrant.collections.ids import point_ids
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import CollectionMismatchError
from tsds_qdrant.guards.stored import stored_guard
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.pool.fields import check_fields
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.represented.marks import described
from tsds_qdrant.runs.address import check_identity, open_of_run
from tsds_qdrant.runs.begin import examples_of, source_of
from tsds_qdrant.runs.difference import Difference, difference_of
from tsds_qdrant.runs.history import reselection_figures
from tsds_qdrant.runs.kept import KeptSearches
from tsds_qdrant.runs.marks import Changes
from tsds_qdrant.runs.membership import changes_among
from tsds_qdrant.runs.owed import Ledger
from tsds_qdrant.runs.permitted import announce_tags, check_write_back
from tsds_qdrant.runs.pruning import prune
from tsds_qdrant.runs.resuming import Attempt, carried_out, digest_of, looking, note_of
from tsds_qdrant.runs.run import Run, StoredRun, keep_run, load_run, resume_knowledge
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.texts import counter_of
from tsds_qdrant.runs.write_back import write_back
from tsds_qdrant.selection.select import Earlier, select_for
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.tasks import Tasks, task_of
from tsds_qdrant.selection.traits import CountTokens
from tsds_qdrant.strategies.known import Knowledge
from tsds_qdrant.task.examples import TaskExamples

OTHER_SHARE = 0.5
"""From this share of places with another vector on, the collection counts as another one."""
LOOKED_UP = 10_000
"""Ids at most, beside those in use, by which a collection is known again."""
FEW = 10
"""Of fewer points, all can have left a collection that is still the same."""


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
        note: what became of searches that an interrupted attempt had kept; "" for nothing.
    """

    selection: Selection
    changes: Changes
    repaired: RepairReport
    difference: Difference
    number: int
    run: dict[str, Any]
    note: str = ""


def reselect(
    state: RunState | str | Path,
    *,
    collection: Collection | None = None,
    queries: npt.ArrayLike | TaskExamples | None = None,
    named: Sequence[PointId] | None = None,
    sizes: Sequence[int] = (),
    count_tokens: CountTokens | None = None,
    deliver: Callable[[Reselection], object] | None = None,
    progress: Progress = silent,
) -> Reselection:
    """Bring the run in ``state`` up to date: compute, deliver, store, and then write back.

    Where nothing has changed nothing is stored, and the history lists no further run.

    Args:
        state: a run state, made by ``select --state`` or :func:`begin_run`.
        collection: the run's collection if it is open already.
        queries: (M, D) vectors of new task examples, or the examples with texts and weights;
            those that the run knows keep their lists.
        named: look at these ids only, instead of looking for changes.
        sizes: how many to select from now on; as before by default.
        count_tokens: counts the tokens of texts; by default the model that was named when the run
            was begun, or the collection's own.
        deliver: called with what is found, to write files, before the state is stored. Where it
            fails, the state is as it was, and the next reselection finds the same changes again
            (and goes on from what was searched, where no more has changed).
        progress: called as searches go on.

    Raises:
        StateError: the state cannot be used.
        CollectionMismatchError: the collection is another one than in the run.
        CollectionNotFoundError: it is gone.
        AccessDeniedError: the run writes back, and the API key may only read.
        SupportError: see :func:`~tsds_qdrant.selection.select.select`.
    """
    state = state if isinstance(state, RunState) else RunState(state)
    run, arrays, facts = load_run(state)
    if sizes:
        resized = run.settings.altered(sizes=tuple(sizes), ratio=None)
        run = replace(run, settings=resized, sizes=tuple(sorted({*sizes})))
    with nullcontext(collection) if collection else open_of_run(state) as opened:
        check_identity(described(opened), run.collection)
        check_write_back(opened, run.tagging)
        cluster, history = opened.cluster(), state.runs()

        def look() -> tuple[Knowledge, Changes, float]:
            started = time.perf_counter()
            known = resume_knowledge(opened, run, arrays, facts, progress)
            return known, _changes(run, known, named), time.perf_counter() - started

        with looking(state.path):
            looked = [look()]
        attempt = None
        if named is None:
            examples = () if queries is None else examples_of(queries, None)
            mirror = filter(None, [opened.info().mirror])
            task = digest_of("reselect", history, *examples, *sizes, *mirror)
            known, changes, _ = looked[0]
            where = known.searcher.members.where
            attempt = Attempt(state.path, task, opened, where, changes.mark)

        def do(memory: KeptSearches | None) -> Reselection:
            # A second time what was known has been repaired in part.
            known, changes, look_s = looked.pop() if looked else look()
            known.searcher.remember(memory)
            started = time.perf_counter()
            untouched = not (changes.came or changes.gone or queries is not None or sizes)
            check_fields(opened, {} if untouched else run.settings.bounds.fields)
            repaired = known.update(changes.came, changes.gone)
            if queries is None:
                tasks = Tasks.restored(run.queries).after(known, changes.came, changes.gone)
            else:
                known.retarget(task_of(queries, known.searcher))
                tasks = Tasks.of(queries, known)
            guard = stored_guard(facts, arrays)
            if guard is not None:
                guard.forget([*changes.came, *changes.gone])
            selection = select_for(
                known,
                run.settings,
                run.sizes,
                guard=guard,
                count_tokens=count_tokens or counter_of(run.queries),
                earlier=Earlier(
                    evidence=None if repaired.from_scratch else run.drawn.evidence,
                    traits=run.drawn.traits if untouched else None,
                    copies=run.drawn.copies if untouched else None,
                    unchanged=untouched,
                ),
                tasks=tasks,
            )
            difference = difference_of(run.drawn, selection)
            figures = reselection_figures(
                selection,
                changes,
                repaired,
                difference,
                look_s=look_s,
                repair_s=time.perf_counter() - started - selection.seconds["measure"],
            )
            if cluster and (troubles := cluster.troubles()):
                figures["warnings"] = list(troubles)
            changed = not untouched or bool(difference.added or difference.removed)
            number, note = len(history) + changed, note_of(memory)
            done = Reselection(selection, changes, repaired, difference, number, figures, note)
            if deliver is not None:
                deliver(done)
            source = run.queries if queries is None else source_of(queries, {})
            now = Run(selection, known, source, changes.mark, guard, run.tagging)
            return replace(done, number=keep_run(state, now, figures if changed else None))

        done = carried_out(attempt, do)
        figures = done.run
        if run.tagging:
            announce_tags(opened, done.selection)
            ledger = Ledger(state)
            written = write_back(
                opened, done.selection, run.tagging, ledger=ledger, progress=progress
            )
            figures = {**figures, "write_back": vars(written)}
        marked = prune(opened, done.selection, ledger=Ledger(state), progress=progress)
        figures = figures if marked is None else {**figures, "prune": vars(marked)}
    return replace(done, run=figures)


def _changes(run: StoredRun, known: Knowledge, named: Sequence[PointId] | None) -> Changes:
    """What changed; places whose vector is another one now came again.

    Vectors are not looked at where nothing changed at all.
    """
    changes = changes_among(known.searcher.members, run.mark, used := known.used(), named)
    if changes.none:
        return changes
    if len(changes.gone) == len(used):
        _check_some_left(run, known.searcher.members.collection, used)
    seen = {*changes.came, *changes.gone}
    moved, checked = known.moved()
    silently = [point_id for point_id in moved if point_id not in seen]
    if checked and len(silently) >= max(2, OTHER_SHARE * checked):
        raise CollectionMismatchError(
            f"{len(silently)} of {checked} vectors of collection '{run.collection['name']}' are "
            f"not those of the run: it was made again; select again with --state"
        )
    return replace(changes, came=[*changes.came, *silently])


def _check_some_left(run: StoredRun, collection: Collection, used: Sequence[PointId]) -> None:
    """Check that some point that the run remembers is stored, where nothing else identifies it.

    Of the points that it has merely seen a sample is looked up, evenly spread over the ids. A run
    that remembers only a few points goes on: they can all have been deleted one by one.

    Raises:
        CollectionMismatchError: none is, and others are.
    """
    if run.collection.get("identity") or not collection.count():
        return
    keys = run.mark.keys
    seen = point_ids(keys[:: max(1, -(-len(keys) // LOOKED_UP))])
    remembered = list(dict.fromkeys([*used, *seen]))
    if len(remembered) >= FEW and not collection.existing(remembered):
        raise CollectionMismatchError(
            f"none of {len(remembered)} points of collection '{run.collection['name']}' that the "
            f"run remembers is stored any more: it was made again; select again with --state"
        )
