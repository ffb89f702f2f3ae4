"""Rankings that neighbour lists give, which are fetched as deep as they need."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array, IntArray
from tsds_qdrant.collections.checked import HIGHEST_BYTE, held
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import DepthError
from tsds_qdrant.neighbors.deepening import FIRST_DEPTH, start, whole_list
from tsds_qdrant.neighbors.knowledge import NeighborKnowledge
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.strategies.base import Arrays, Ask, Preference, Strategy
from tsds_qdrant.strategies.rankings import Ranked
from tsds_qdrant.task.task import Task


class ByLists(Strategy):
    """A ranking that neighbour lists give, once they are deep enough."""

    def begin(self, searcher: Searcher, task: Task) -> NeighborKnowledge:
        """No list is fetched yet."""
        searcher.preflight(task.vectors[0])
        return NeighborKnowledge(Neighborhoods(searcher, task.vectors), task.weights)

    def resume(
        self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays
    ) -> NeighborKnowledge:
        """Lists as they were stored."""
        return NeighborKnowledge(*NeighborKnowledge.resumed(searcher, facts, arrays))

    @abstractmethod
    def ranked(self, known: NeighborKnowledge, size: int) -> Ranked:
        """The first ``size`` candidates, as far as the lists give them."""

    def everything(self, known: NeighborKnowledge) -> IntArray:
        """Those of one list, fetched to its end."""
        return whole_list(known.neighborhoods)

    def more(self, known: NeighborKnowledge, preference: Preference) -> str:
        """Nothing once all that have a vector are there to choose from."""
        near = known.neighborhoods
        whole = near.complete[0] and len(preference.candidates) >= len(whole_list(near))
        return "" if whole else super().more(known, preference)

    def first_depth(self, size: int, lists: int) -> int:
        """How deep that many ``lists`` are fetched at first."""
        return FIRST_DEPTH

    def prefer(self, known: NeighborKnowledge, ask: Ask) -> Preference:
        """The ranking; lists are deepened until it is final.

        Every round makes some list longer, and none grows beyond the pool.
        """
        near = known.neighborhoods
        size = known.pool if ask.whole else min(ask.reach or ask.size, known.pool)
        start(near, self.first_depth(size, len(near.queries)))
        while len((found := self.ranked(known, size)).short):
            try:
                near.deepen(found.short, 2 * near.depths[found.short])
            except DepthError as error:  # noqa: PERF203
                raise DepthError(
                    f"the strategy '{self.name}' needs deeper neighbour lists for {size} "
                    f"candidates than can be fetched ({error}); lower the size, or give fewer "
                    f"task examples"
                ) from None
        return Preference(found.candidates, None, ordered=True)


def searched(mean: Float32Array, info: CollectionInfo) -> Float32Array:
    """``mean`` (1, D) in the nearest form that the collection of ``info`` can be searched for.

    In uint8 under Cosine it is made as long as fits, where rounding to whole numbers turns it
    least.
    """
    if info.datatype == "uint8":
        if info.metric == "Cosine":
            mean = mean * np.float32(HIGHEST_BYTE / mean.max())
        mean = np.rint(mean)
    return held(mean, info.metric, info.datatype)
