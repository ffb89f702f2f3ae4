"""What is known for a datamodel: the ids of the pool, a frozen kernel, and the best candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import BoolArray, FloatArray, IntArray
from tsds_qdrant.collections.values import FLOAT32, PointId
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.strategies.dsdm.best import Best
from tsds_qdrant.strategies.dsdm.kernel import Kernel
from tsds_qdrant.strategies.dsdm.margins import blocks_of, mean_gradient, output_of, shortfalls
from tsds_qdrant.strategies.dsdm.settings import DatamodelSettings
from tsds_qdrant.strategies.margin_knowledge import MarginKnowledge
from tsds_qdrant.strategies.pool_rows import by_chance, check_lengths_kept, row_blocks
from tsds_qdrant.task.task import Task

SPARE = 32
"""Candidates that are asked for beyond those that are wanted, so that ties are settled."""


class DatamodelKnowledge(MarginKnowledge):
    """A pool, and a datamodel of it for a task.

    The kernel is a sum over the pool. It is frozen: what comes, changes and leaves is not added or
    taken out, until more than the share ``refit`` has; then it is summed again. Only what a guard
    keeps out is taken out at once.

    Attributes:
        settings: of the strategy.
    """

    settings: DatamodelSettings
    kernel: Kernel | None = None
    _summed: BoolArray = np.empty(0, dtype=np.bool_)
    """(n,) which candidates are in the kernel with the vector that they have now."""
    _changed: int = 0
    """How many came, changed or left since it was summed."""
    _best: Best | None = None
    _without: frozenset[int] = frozenset()
    _query: tuple[FloatArray, Kernel] | None = None

    @classmethod
    def begun(cls, searcher: Searcher, task: Task, settings: DatamodelSettings) -> Any:
        """Read the ids of the pool.

        Raises:
            UnsupportedCollectionError: the vectors are no gradients.
        """
        check_lengths_kept(searcher.info, "dsdm")
        output_of(searcher.info, settings.output, settings.margin_field)
        known: DatamodelKnowledge = cls.begin(searcher, task)
        known._summed = np.zeros(len(known.index), dtype=np.bool_)
        known.settings = settings
        return known

    @classmethod
    def resumed(
        cls,
        searcher: Searcher,
        facts: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        settings: DatamodelSettings,
    ) -> Any:
        """What :meth:`stored` gave.

        Raises:
            KeyError: a part is missing.
        """
        known: DatamodelKnowledge = cls.resume(searcher, facts, arrays)
        known.settings = settings
        known.kernel = Kernel.resumed(arrays)
        known._summed, known._changed = arrays["summed"].astype(np.bool_), facts["changed"]
        known._without = known.excluded_now
        numbers, products, factors = (
            arrays[name] for name in ("best", "best_products", "best_factors")
        )
        known._best = Best(numbers, products, factors, known.output == "margin", facts["whole"])
        return known

    @property
    def output(self) -> str:
        """``loss`` or ``margin``: what the vectors are gradients of."""
        given = self.settings
        return output_of(self.searcher.info, given.output, given.margin_field)

    @property
    def objective(self) -> str:
        """What scores add up to: less ``loss`` of the task, or more ``margin``."""
        return "margin" if self.output == "margin" and self.margins is None else "loss"

    def best(self, size: int) -> tuple[IntArray, FloatArray]:
        """At least ``size`` candidates, or all there are, best first, and their scores."""
        if self._best is not None and self.excluded_now != self._without:
            self._best = self._query = None
        self._without = self.excluded_now
        while True:
            if self._best is not None:
                places = self._best.settled(self.index.keys)
                if len(places) >= size or self._best.whole:
                    return self._best.numbers[places], self._best.scores[places]
            listed = 0 if self._best is None else len(self._best.numbers)
            self._best = self._looked_for(max(size + SPARE, 2 * listed))

    def scores_of(self, rows: FloatArray, ids: Sequence[PointId]) -> FloatArray:
        """(n,) tau of the points ``ids`` with the vectors ``rows`` (n, D)."""
        products: FloatArray = rows.astype(np.float64) @ self.query[0]
        return products * self._factors(ids)

    @property
    def query(self) -> tuple[FloatArray, Kernel]:
        """(D,) what candidates are multiplied with, and the kernel that made it.

        Raises:
            InputError: the task examples cancel each other out.
        """
        if self._query is None:
            kernel = self._fitted()
            left_out = np.flatnonzero(self.index.excluded[: len(self._summed)] & self._summed)
            if len(left_out):
                for _, rows in row_blocks(self.searcher, self, left_out, "kernel"):
                    kernel = kernel.without(rows)
            margins = self.margins if self.output == "margin" else None
            task = Task(self.queries, self.query_weights, groups=self.groups, margins=margins)
            mean = mean_gradient(task)
            self._query = kernel.query(mean, self.settings.ridge), kernel
        return self._query

    @property
    def changed_share(self) -> float:
        """Share of the kernel's candidates that came, changed or left since it was summed."""
        return 0.0 if self.kernel is None else self._changed / max(1, self.kernel.points)

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Take points out and in; the kernel stays, unless too much has changed."""
        known = len(self.index)
        report = super().update(came, gone)
        if not (came or gone):
            return report
        numbers = self.index.lookup([*came, *gone])
        self._summed = np.concatenate([self._summed, np.zeros(len(self.index) - known, np.bool_)])
        self._summed[numbers] = False
        self._changed += len(np.unique(numbers))
        if self.changed_share > self.settings.refit:
            self.kernel = None
        self._best = self._query = None
        return replace(report, from_scratch=self.kernel is None)

    def retarget(self, task: Task) -> None:
        """Take other task examples; the kernel stays."""
        super().retarget(task)
        self._best = self._query = None

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Keys of the pool, the kernel, and the best candidates."""
        self.best(1)
        facts, arrays = super().stored()
        kernel, best, there = self.kernel, self._best, self.present
        assert kernel is not None
        assert best is not None
        place = np.cumsum(there) - 1
        own = {
            **kernel.stored(),
            "summed": self._summed[there],
            "best": place[best.numbers],
            "best_products": best.products,
            "best_factors": best.factors,
        }
        more = {"changed": self._changed, "whole": best.whole}
        return {**facts, **more}, {**arrays, **own}

    def _fitted(self) -> Kernel:
        """The kernel; summed now, in the order of ids, where there is none."""
        if self.kernel is not None:
            return self.kernel
        info, given = self.searcher.info, self.settings
        there = np.flatnonzero(self.present)
        chosen = by_chance(self, there, given.kernel_rows or len(there), given.kernel_seed)
        kernel = Kernel.empty(info.dimension, blocks_of(info), len(there), len(chosen))
        self._summed = np.zeros(len(self.index), dtype=np.bool_)
        for numbers, rows in row_blocks(self.searcher, self, chosen, "kernel"):
            kernel.add(rows)
            self._summed[numbers] = True
        self.kernel, self._changed = kernel, 0
        return kernel

    def _looked_for(self, limit: int) -> Best:
        """The ``limit`` largest products, by a search; or all, where rows must be read."""
        query, _ = self.query
        scale = float(np.float32(np.abs(query).max()))  # so that rounding of the sums is not seen
        searcher, info = self.searcher, self.searcher.info
        limit = min(limit, searcher.candidates + 1)
        deep = searcher.depth is not None and limit > searcher.depth
        searchable = info.datatype == FLOAT32 or not info.recomputable
        if deep or not (searchable and info.limits.exact):
            return self._read()
        searcher.scan_everything("gradients are scanned")
        hits, _ = searcher.nearest((query / scale)[None, :].astype(np.float32), limit)
        numbers, products = self.index.lookup(hits.ids), hits.scores * scale
        kept = (numbers >= 0) & ~self.index.excluded[numbers]
        return self._made(numbers[kept], products[kept], whole=len(hits.ids) < limit)

    def _read(self) -> Best:
        query, _ = self.query
        found, products = [np.empty(0, np.int64)], [np.empty(0)]
        for numbers, rows in row_blocks(self.searcher, self, self.candidates, "scores"):
            found.append(numbers)
            products.append(np.einsum("ij,j->i", rows.astype(np.float64), query))
        return self._made(np.concatenate(found), np.concatenate(products), whole=True)

    def _made(self, numbers: IntArray, products: FloatArray, *, whole: bool) -> Best:
        factors = self._factors(self.index.ids(numbers.tolist()))
        return Best(numbers, products, factors, self.output == "margin", whole)

    def _factors(self, ids: Sequence[PointId]) -> FloatArray:
        """(n,) Q of the points ``ids``; 1 where the vectors are gradients of the loss."""
        if self.output == "loss":
            return np.ones(len(ids))
        return shortfalls(self.searcher, ids, self.settings.margin_field)
