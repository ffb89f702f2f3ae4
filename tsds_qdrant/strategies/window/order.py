"""An order by difficulty, within classes, and its windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray, id_order
from tsds_qdrant.strategies.window.ridge import first_ranks, parts, window_starts


@dataclass(frozen=True)
class Ordered:
    """Candidates by difficulty, the hardest first, class by class.

    Attributes:
        candidates: (c,) numbers, those of one class together.
        classes: (c,) of which class each is.
        ranks: (c,) rank of each within its class.
        counts: (K,) candidates of each class.
        names: (K,) of the classes.
    """

    candidates: IntArray
    classes: IntArray
    ranks: IntArray
    counts: IntArray
    names: tuple[str, ...]

    @classmethod
    def of(cls, candidates: IntArray, scores: FloatArray, labels: Any, keys: KeyArray) -> Ordered:
        """``candidates`` (c,) by ``scores`` (c,) within ``labels`` (c,); of equal ones by id."""
        names, classes = np.unique(labels, return_inverse=True)
        classes = classes.reshape(-1)
        order = id_order(keys, classes, -scores)
        counts = np.bincount(classes, minlength=len(names))
        begin = np.cumsum(counts) - counts
        classes = classes[order]
        ranks = np.arange(len(order)) - begin[classes]
        return cls(candidates[order], classes, ranks, counts, tuple(names.tolist()))

    @property
    def count(self) -> int:
        """How many candidates there are."""
        return len(self.candidates)

    def starts(self, width: int, step: float) -> list[float]:
        """Where windows of ``width`` candidates start, as shares of the order."""
        return window_starts(width / self.count, step)

    def window(self, start: float, width: int) -> IntArray:
        """(width,) places of the candidates in the window that starts there."""
        widths = parts(width, self.counts)
        begin = first_ranks(start, widths, self.counts)[self.classes]
        inside = (self.ranks >= begin) & (self.ranks < begin + widths[self.classes])
        found: IntArray = np.flatnonzero(inside)
        return found

    def ends(self, start: float, width: int) -> FloatArray:
        """(2, K) where the window that starts there does so, and ends, in each class, as shares."""
        widths = parts(width, self.counts)
        begin = first_ranks(start, widths, self.counts)
        found: FloatArray = np.stack([begin, begin + widths]) / self.counts
        return found

    def from_middle(self, start: float, width: int) -> IntArray:
        """(c,) places of all candidates, from the middle of a window outwards, its own first.

        As far from the middle of its class as the class is large; of equally far ones the harder,
        then that of the first class.
        """
        widths = parts(width, self.counts)
        begin = first_ranks(start, widths, self.counts)
        middle = (begin + (widths - 1) / 2)[self.classes]
        off = np.abs(self.ranks - middle)
        inside = np.zeros(self.count, dtype=np.bool_)
        inside[self.window(start, width)] = True
        scaled = np.round(off / self.counts[self.classes], 12)
        order: IntArray = np.lexsort((self.classes, self.ranks, scaled, ~inside))
        return order


@dataclass(frozen=True)
class Curve:
    """What a ridge regression on each window makes of the task.

    Attributes:
        width: candidates in a window.
        starts: where each starts, as a share of the order from the hardest.
        scores: of each; the larger the better.
        by_class: scores are accuracies, and not shares of the task that are given back.
    """

    width: int
    starts: tuple[float, ...]
    scores: tuple[float, ...]
    by_class: bool

    @property
    def best(self) -> int:
        """The number of the best window; of equally good ones the hardest."""
        return int(np.argmax(np.round(self.scores, 9)))

    @property
    def start(self) -> float:
        """Where the best one starts."""
        return self.starts[self.best]

    def stored(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "starts": list(self.starts), "scores": list(self.scores)}

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Curve:
        """What :meth:`stored` gave."""
        pairs: dict[str, Sequence[float]] = {k: tuple(stored[k]) for k in ("starts", "scores")}
        return cls(width=stored["width"], by_class=stored["by_class"], **pairs)  # type: ignore[arg-type]
