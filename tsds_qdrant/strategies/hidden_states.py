"""RDS+: hidden states of the language model, whose nearest the task examples take in turns.

Ivison et al. 2025, arXiv 2503.01807. Each task example in turn takes its nearest candidate that is
left ("next unused"), as in arXiv 2602.14696; in the code of RDS+ one whose nearest is taken loses
its turn. Of several sub-tasks, each in turn takes the candidate that is nearest to any of its
task examples. Ties go by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.collections.ids import KeyArray, sorted_by_distance
from tsds_qdrant.neighbors.knowledge import NeighborKnowledge
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.strategies.base import Arrays, Preference
from tsds_qdrant.strategies.by_lists import ByLists
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.rankings import Ranked, round_robin
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.turn_taking import ByTurns, by_turns
from tsds_qdrant.task.task import Task, members_of


@dataclass
class GroupedKnowledge(NeighborKnowledge):
    """Lists of task examples, and their sub-tasks.

    Attributes:
        groups: M sub-tasks; empty where there is one.
    """

    groups: tuple[str, ...] = field(kw_only=True)

    def retarget(self, task: Task) -> None:
        """Take other task examples and their sub-tasks."""
        super().retarget(task)
        self.groups = task.groups

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """As of neighbourhoods, and the sub-tasks."""
        facts, arrays = super().stored()
        return {**facts, "groups": list(self.groups)}, arrays


@dataclass(frozen=True)
class Rds(ByLists):
    """Strategy rds"""

    name: ClassVar[str] = "rds"
    card: ClassVar[Card] = Card(
        idea="each task example in turn takes the candidate whose hidden state is nearest",
        paper="Ivison et al. 2025, arXiv 2503.01807",
        cost="one search for each task example, made deeper until every turn is settled",
        features="hidden states of a language model",
        criterion="external: similarity, an equal share for every task example or sub-task",
        task_aware=True,
        trained_models=0,
        passes="forward",
        steps=3,
        model_free=False,
        dataset_free=True,
        kinds=("hidden",),
        needs="hidden",
    )

    reasons: ClassVar[type[Reasons]] = ByTurns

    def begin(self, searcher: Searcher, task: Task) -> GroupedKnowledge:
        """No list is fetched yet."""
        searcher.preflight(task.vectors[0])
        near = Neighborhoods(searcher, task.vectors)
        return GroupedKnowledge(near, task.weights, groups=task.groups)

    def resume(
        self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays
    ) -> GroupedKnowledge:
        """Lists as they were stored."""
        near, weights = NeighborKnowledge.resumed(searcher, facts, arrays)
        return GroupedKnowledge(near, weights, groups=tuple(facts["groups"]))

    def ranked(self, known: NeighborKnowledge, size: int) -> Ranked:
        """In turns, of the task examples or of the sub-tasks that there are."""
        assert isinstance(known, GroupedKnowledge)
        lists = known.neighborhoods.lists
        members = [*members_of(known.groups, lists.queries).values()]
        if len(members) < 2:
            return round_robin(lists, size)
        joined, nearest = joined_lists(lists, known.index.keys, members)
        found = round_robin(joined, size)
        short = np.concatenate([np.empty(0, np.int64), *(members[row] for row in found.short)])
        takers = [
            nearest[row][candidate]
            for row, candidate in zip(found.takers.tolist(), found.candidates.tolist(), strict=True)
        ]
        return Ranked(
            found.candidates,
            short[~lists.complete[short]],
            np.array(takers, dtype=np.int64),
        )

    def explain(
        self, known: NeighborKnowledge, preference: Preference, question: Question
    ) -> list[ByTurns]:
        """Which task example took each point, and when, or how near their turns came to it."""
        near = known.neighborhoods
        return by_turns(near, self.ranked(known, len(preference.candidates)), question)


def joined_lists(
    lists: NeighborLists, keys: KeyArray, members: Sequence[IntArray]
) -> tuple[NeighborLists, list[dict[int, int]]]:
    """One list for each sub-task, by the distance to the nearest of its task examples.

    A joined list ends where the first of its lists does: behind that another candidate may be
    nearer to that task example.

    Args:
        lists: of M task examples.
        keys: (N, 3) id keys of the candidates.
        members: numbers of the task examples of each sub-task.

    Returns:
        The lists, and for each the number of the nearest task example of each of its candidates.
    """
    ends = np.where(lists.complete, np.inf, lists.distances[lists.offsets[1:] - 1])
    candidates, distances, complete, nearest = [], [], [], []
    for rows in members:
        parts = [np.arange(lists.offsets[row], lists.offsets[row + 1]) for row in rows.tolist()]
        entries, owner = np.concatenate(parts), np.repeat(rows, [len(part) for part in parts])
        entries_kept = lists.distances[entries] <= ends[rows].min()
        entries, owner = entries[entries_kept], owner[entries_kept]
        found, far = lists.candidates[entries], lists.distances[entries]
        order = sorted_by_distance(np.zeros_like(found), far, keys[found])
        first = np.sort(np.unique(found[order], return_index=True)[1])
        chosen = order[first]
        candidates.append(found[chosen])
        distances.append(far[chosen])
        complete.append(bool(lists.complete[rows].all()))
        nearest.append(dict(zip(found[chosen].tolist(), owner[chosen].tolist(), strict=True)))
    return NeighborLists.from_rows(candidates, distances, complete), nearest
