"""The result of a selection: probabilities, a sample, and how both came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.guards.contamination import Contamination
from tsds_qdrant.neighbors.search import SearchCounts
from tsds_qdrant.selection.quotas import Traits
from tsds_qdrant.selection.sampling import Sample
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.transport import TransportSolution
from tsds_qdrant.strategies.tsds.accuracy import Accuracy


@dataclass(frozen=True)
class Selection:
    """What :func:`tsds_qdrant.select` returns. Arrays run over the n candidates seen.

    Attributes:
        settings: as given.
        collection: the collection at the time.
        candidates: size of the pool (after the filter).
        bandwidth: h, given or derived.
        ids: (n,) point ids.
        keys: (n, 3) their sort keys.
        nearest_query: (n,) the nearest query example, -1 where p is zero.
        nearest_distance: (n,) its distance.
        solution: problem (with alpha and C), plan, probabilities, certificate.
        path: what other alphas would give, as far as the lists reach; None for ``tv``.
        samples: size -> sample.
        accuracy: measured recall and its bound on p.
        counts: searches done.
        ef: of approximate searches; None if there were none.
        scan_reason: why everything was scanned, or "".
        densities_needed: how many densities the solution depends on.
        densities_capped: how many of the densities met the limit and are lower bounds.
        seconds: time by stage.
        contamination: what was kept out as a copy of a test item; None without test items.
        traits: id -> what quotas, budgets and groups looked at, for candidates with p > 0.
    """

    settings: SelectionSettings
    collection: CollectionInfo
    candidates: int
    bandwidth: float
    ids: list[PointId]
    keys: KeyArray
    nearest_query: IntArray
    nearest_distance: FloatArray
    solution: TransportSolution
    path: RegularizationPath | None
    samples: dict[int, Sample]
    accuracy: Accuracy
    counts: SearchCounts
    ef: int | None
    scan_reason: str
    densities_needed: int
    densities_capped: int
    seconds: dict[str, float]
    contamination: Contamination | None = None
    traits: Mapping[PointId, Traits] = field(default_factory=dict)

    @property
    def alpha(self) -> float:
        """The alpha that was given, or followed from the size."""
        return self.solution.problem.alpha

    @property
    def cost_scale(self) -> float:
        """C, given or derived."""
        return self.solution.problem.cost_scale

    @property
    def densities(self) -> FloatArray:
        """(n,) densities; 1 where the solution did not need one."""
        return self.solution.problem.densities

    @property
    def probabilities(self) -> FloatArray:
        """(n,) p, sum 1."""
        return self.solution.probabilities

    @property
    def selected_ids(self) -> list[PointId]:
        """Ids of the largest sample, best rank first."""
        return [self.ids[row] for row in self.samples[max(self.samples)].candidates.tolist()]

    def sample_rows(self, size: int) -> Iterator[dict[str, Any]]:
        """Rows of the sample of ``size``: id, probability, weight, nearest query, distance."""
        sample = self.samples[size]
        pairs = zip(sample.candidates.tolist(), sample.weights.tolist(), strict=True)
        for rank, (candidate, weight) in enumerate(pairs):
            yield {
                "id": self.ids[candidate],
                "rank": rank,
                "probability": float(self.probabilities[candidate]),
                "weight": weight,
                "query": int(self.nearest_query[candidate]),
                "distance": float(self.nearest_distance[candidate]),
            }

    def probability_rows(self) -> Iterator[dict[str, Any]]:
        """Every candidate with p > 0, most probable first."""
        p = self.probabilities
        support = np.flatnonzero(p)
        keys = self.keys[support]
        order = np.lexsort((keys[:, 2], keys[:, 1], keys[:, 0], -p[support]))
        for candidate in support[order].tolist():
            yield {
                "id": self.ids[candidate],
                "probability": float(p[candidate]),
                "density": float(self.densities[candidate]),
                "query": int(self.nearest_query[candidate]),
                "distance": float(self.nearest_distance[candidate]),
            }


PROBABILITY_COLUMNS = ("id", "probability", "density", "query", "distance")
SAMPLE_COLUMNS = ("id", "payload", "rank", "probability", "weight", "query", "distance")
