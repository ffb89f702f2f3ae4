"""Reopen: a stored run as the selection that it was, without a search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.guards.stored import stored_guard
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.represented.marks import described
from tsds_qdrant.runs.address import check_read
from tsds_qdrant.runs.run import Run, load_run, resume_knowledge
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.selection.select import Earlier, select_for
from tsds_qdrant.selection.tasks import Tasks


def reopen(
    state: RunState | str | Path, collection: Collection, *, progress: Progress = silent
) -> Run:
    """Load the run in ``state`` over its open ``collection``; nothing is stored or repaired.

    What has changed in the collection since is not looked at: points that left are still part of
    the selection, and fetching their payloads finds nothing.

    Raises:
        StateError: the state cannot be used.
        CollectionMismatchError: ``collection`` is neither that of the run nor a mirror of it.
    """
    state = state if isinstance(state, RunState) else RunState(state)
    run, arrays, facts = load_run(state)
    check_read(described(collection), run.collection)
    known = resume_knowledge(collection, run, arrays, facts, progress)
    known.searcher.candidates = run.candidates or known.searcher.candidates
    selection = select_for(
        known,
        run.settings,
        run.sizes,
        earlier=Earlier(run.drawn.evidence, run.drawn.traits, run.drawn.copies, reopened=True),
        tasks=Tasks.restored(run.queries),
    )
    guard = stored_guard(facts, arrays)
    if guard is not None:
        selection = replace(selection, contamination=guard.found(known))
    return Run(
        selection,
        known,
        run.queries,
        run.mark,
        guard,
        run.tagging,
        tuple(state.runs()),
    )
