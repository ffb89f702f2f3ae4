"""Reopen: a stored run as the selection that it was, without a search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.runs.run import StoredRun, check_identity, load_run, resume_task
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.selection.select import select_for
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.strategies.tsds.problem import Task


@dataclass(frozen=True)
class ReopenedRun:
    """A stored run with its selection solved again from what it stored.

    Attributes:
        run: settings, sizes, sources of the task examples, and what was drawn.
        task: lists and neighbourhoods as the run left them.
        selection: the same probabilities and samples as the run's last selection.
    """

    run: StoredRun
    task: Task
    selection: Selection


def reopen(
    state: RunState | str | Path, collection: Collection, *, progress: Progress = silent
) -> ReopenedRun:
    """Load the run in ``state`` over its open ``collection``; nothing is stored or repaired.

    What has changed in the collection since is not looked at: points that left are still part of
    the selection, and fetching their payloads finds nothing.

    Raises:
        StateError: the state cannot be used.
        CollectionMismatchError: ``collection`` is not that of the run.
    """
    state = state if isinstance(state, RunState) else RunState(state)
    run, arrays, facts = load_run(state)
    check_identity(collection.info(), run.collection)
    task = resume_task(collection, run, arrays, facts, progress)
    selection = select_for(
        task, run.sizes, known_accuracy=run.drawn.accuracy, known_traits=run.drawn.traits
    )
    return ReopenedRun(run, task, selection)
