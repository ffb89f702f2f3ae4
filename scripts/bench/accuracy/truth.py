"""How far approximate selections are from the exact one over the same points."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge
from bench.pools import Float32Array

from tsds_qdrant import SelectionSettings, select
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.neighbors import costs, search
from tsds_qdrant.selection.selection import Selection

FloatArray = npt.NDArray[np.float64]
TIE = 1e-6
"""Squared distances so near to each other are the same in float32."""
ANY_RECALL = 1e-9


@dataclass(frozen=True)
class Walk:
    """How a collection is searched.

    Attributes:
        ef: fixed (at least the limit of the search is used); None for the product's choice.
        per_limit: ef of the searches for neighbour lists is this many times their limit; the
            product chooses that of the searches for densities.
        rescore: quantised scores are replaced by exact ones; None leaves that to the product.
        oversampling: this many times the limit is rescored; None leaves that to the product.
        whole: everything that the walk kept is rescored instead (oversampling ef / limit).
        exact: everything is scanned; otherwise nothing is, if ef is not the product's choice.
        derived: alpha, C and h follow from the searches instead of being those of the truth.
    """

    name: str
    ef: int | None = None
    per_limit: int | None = None
    rescore: bool | None = None
    oversampling: float | None = None
    whole: bool = False
    exact: bool = False
    derived: bool = False

    @property
    def fixed(self) -> bool:
        """Whether ef is not the product's choice, nor when to scan instead."""
        return self.ef is not None or self.per_limit is not None

    def ef_of(self, limit: int, listed: bool, chosen: int | None) -> int | None:
        """ef of a search for a list or a density, where the product has ``chosen`` one."""
        if self.per_limit is not None and listed:
            return self.per_limit * limit
        return self.ef or chosen

    @contextmanager
    def quantized_searches(self, limit: int, ef: int | None) -> Iterator[None]:
        """Requests that are made meanwhile are rescored and oversampled as this walk says."""
        make = edge.QuantizationSearchParams
        factor = max(1.0, (ef or limit) / limit) if self.whole else self.oversampling
        said = {"rescore": self.rescore, "oversampling": factor}
        said = {name: value for name, value in said.items() if value is not None}

        def made(**given: Any) -> edge.QuantizationSearchParams:
            return make(**{**given, **said})

        with patch.object(edge, "QuantizationSearchParams", made):
            yield


class WalkedCollection(EdgeCollection):
    """An embedded collection that is searched by a certain walk."""

    walk = Walk("as the product does")

    def search(
        self,
        vectors: Float32Array,
        *,
        limit: int,
        max_distance: float | None = None,
        exact: bool = False,
        ef: int | None = None,
        **rest: Any,
    ) -> Hits:
        ef = None if exact else self.walk.ef_of(limit, max_distance is None, ef)
        with self.walk.quantized_searches(limit, ef):
            return super().search(
                vectors, limit=limit, max_distance=max_distance, exact=exact, ef=ef, **rest
            )


@dataclass
class Judge:
    """Knows the exact selection of one task over one set of points, and measures others.

    Attributes:
        pool: (N, D) unit vectors; point k is row k.
        alive: (N,) which of them are stored.
        queries: (M, D) task examples.
        settings: size and seed; alpha, C and h follow from the exact selection.
    """

    pool: Float32Array
    alive: npt.NDArray[np.bool_]
    queries: Float32Array
    settings: SelectionSettings
    exact: Selection | None = None
    _squared: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    _densities: FloatArray = field(default_factory=lambda: np.empty(0))

    def learn(self, collection: EdgeCollection) -> None:
        """Take the exact selection from ``collection``, unless it is known."""
        if self.exact is None:
            self.exact = select(collection, self.queries, self.settings.altered(exact=True))
            self._squared = self._squared_distances(self.queries)
            self._densities = np.full(len(self.pool), np.nan)

    def measure(self, collection: WalkedCollection, walk: Walk) -> dict[str, Any]:
        """Select by ``walk`` and compare."""
        assert self.exact is not None
        settings = self.settings
        if not walk.derived:
            scale, width = self.exact.transport.cost_scale, self.exact.transport.bandwidth
            settings = settings.altered(
                alpha=self.exact.transport.alpha, cost_scale=scale, bandwidth=width
            )
        recall = ANY_RECALL if walk.fixed else settings.search.recall
        accuracy = 1.0 if walk.fixed else settings.flat()["accuracy"]
        settings = settings.altered(exact=walk.exact, recall=recall, accuracy=accuracy)
        collection.walk = walk
        share = 1.0 if walk.fixed else search.SCAN_SHARE
        started = time.process_time()
        product, engine = (1.0, 1.0) if walk.fixed else (costs.PRODUCT_S, costs.ENGINE_S)
        scans = patch.multiple(costs, PRODUCT_S=product, ENGINE_S=engine)
        with scans, patch.object(search, "SCAN_SHARE", share):
            found = select(collection, self.queries, settings)
        seconds = time.process_time() - started
        error = self._density_error(found)
        kept = len(set(found.selected_ids) & set(self.exact.selected_ids))
        return {
            "ef": "scan" if found.scan_reason else "" if walk.fixed else str(found.ef),
            "cpu_seconds": seconds,
            "recall": self._recall(found),
            "density_error": error,
            "variation": float(np.abs(self._spread(found) - self._spread(self.exact)).sum() / 2),
            "bound": found.transport.accuracy.variation_limit,
            "measured_recall": found.transport.accuracy.recall,
            "sample_differs": 1.0 - kept / len(self.exact.selected_ids),
        }

    def _recall(self, found: Selection) -> float:
        """Share of the true neighbours in use that the lists hold, over all lists."""
        lists, plan = found.transport.solution.problem.lists, found.transport.solution.plan
        ids = np.array(found.ids)
        good = used = 0
        for row in range(lists.queries):
            entries = slice(lists.offsets[row], lists.offsets[row + 1])
            count = int(np.flatnonzero(plan[entries])[-1]) + 1
            near = self._squared[row, ids[lists.candidates[entries][:count]]]
            farthest = np.partition(self._squared[row], count - 1)[count - 1]
            good += int((near <= farthest + TIE).sum())
            used += count
        return good / used

    def _density_error(self, found: Selection) -> float:
        """Mean relative error of the densities, averaged over p."""
        support = np.flatnonzero(found.probabilities)
        points = np.array(found.ids)[support]
        if found.transport.bandwidth == 0:
            return 0.0
        assert self.exact is not None
        reuse = found.transport.bandwidth == self.exact.transport.bandwidth
        densities = self._densities if reuse else np.full(len(self.pool), np.nan)
        unknown = points[np.isnan(densities[points])]
        for chunk in np.array_split(unknown, len(unknown) // 500 + 1):
            kernel = 1.0 - self._squared_distances(self.pool[chunk]) / found.transport.bandwidth**2
            kernel[np.arange(len(chunk)), chunk] = 1.0
            densities[chunk] = kernel.clip(0.0).sum(axis=1)
        errors = np.abs(densities[points] / found.transport.densities[support] - 1.0)
        return float(found.probabilities[support] @ errors)

    def _squared_distances(self, vectors: Float32Array) -> FloatArray:
        """(n, N) squared chords; infinite where a point is deleted."""
        products = vectors.astype(np.float64) @ self.pool.T.astype(np.float64)
        return np.where(self.alive, np.maximum(0.0, 2.0 - 2.0 * products), np.inf)

    def _spread(self, selection: Selection) -> FloatArray:
        """(N,) p by row of the pool."""
        p = np.zeros(len(self.pool))
        p[np.array(selection.ids, dtype=np.int64)] = selection.probabilities
        return p
