"""Pools with copies, ties and clusters, and what a lazy search makes of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from oracles import Array, brute_force_probabilities

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.limits import Limits
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.scanning import Scanning
from tsds_qdrant.collections.values import CollectionInfo, Metric, PointId
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.progress import silent
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.solver.tradeoff import scaled_weights
from tsds_qdrant.solver.transport import (
    Regularizer,
    TransportProblem,
    TransportSolution,
    solve_transport,
)
from tsds_qdrant.strategies.tsds.expansion import Expansion, Target, alpha_target, expand

METRICS: tuple[Metric, ...] = ("Cosine", "Euclid", "Manhattan")


class OtherCollection:
    """Does what ``collection`` does, except for what a subclass does itself."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collection, name)


class LimitedCollection(OtherCollection):
    """A collection that, like some servers, has ``limits``; whoever searches has to keep them."""

    def __init__(self, collection: Collection, limits: Limits) -> None:
        super().__init__(collection)
        self.limits = limits

    def info(self) -> CollectionInfo:
        return replace(self.collection.info(), limits=self.limits)


class UnscannableCollection(LimitedCollection):
    """A collection that, like some servers, allows no exact search."""

    def __init__(self, collection: Collection) -> None:
        super().__init__(collection, Limits(exact=False))


@contextmanager
def edge_pool(
    rows: Any,
    metric: Metric = "Euclid",
    *,
    ids: Sequence[PointId] | None = None,
    payloads: Sequence[dict[str, Any]] | None = None,
    poisoned: Sequence[int] = (),
    optimized: bool = False,
    hnsw: edge.HnswIndexConfig | None = None,
    datatype: str = "float32",
    unchecked: bool = False,
    device: str = "auto",
    **configured: Any,
) -> Iterator[EdgeCollection]:
    """An embedded collection of ``rows``; those numbered ``poisoned`` get a NaN.

    ``unchecked`` rows are written as they are, zero ones under Cosine too. Exact searches are
    computed by ``device``.
    """
    kept_as = getattr(edge.VectorStorageDatatype, datatype.capitalize())
    vectors = np.asarray(rows, dtype=np.float32)
    with tempfile.TemporaryDirectory() as directory:
        distance = getattr(edge.Distance, metric)
        params = edge.EdgeVectorParams(vectors.shape[1], distance, datatype=kept_as)
        config = edge.EdgeConfig(vectors=params, hnsw_config=hnsw, **configured)
        edge.EdgeShard.create(f"{directory}/pool", config).close()
        pool = EdgeCollection.open(directory, "pool", scanning=Scanning(device))
        if unchecked:
            contents = payloads or [None] * len(vectors)
            points = [
                edge.Point(k, row, content)
                for k, (row, content) in enumerate(zip(vectors.tolist(), contents, strict=True))
            ]
            pool._write(edge.UpdateOperation.upsert_points(points))
        else:
            pool.upsert(range(len(vectors)) if ids is None else ids, vectors, payloads)
        if poisoned:  # which the adapter would refuse to write
            pool.close()
            shard = edge.EdgeShard.load(f"{directory}/pool")
            for number in poisoned:
                broken = [float("nan"), *vectors[number, 1:].tolist()]
                point = edge.Point(number, broken, None)
                shard.update(edge.UpdateOperation.upsert_points([point]))
            shard.close()
            pool = EdgeCollection.open(directory, "pool", scanning=Scanning(device))
        if optimized:
            pool.optimize()
        yield pool
        pool.close()


def ask_the_engine(pool: EdgeCollection) -> None:
    """Let the engine itself do the exact searches of ``pool`` from now on."""
    pool._known.scanning = Scanning("engine")


def engine_distances(pool: EdgeCollection, queries: Any) -> Array:
    """(M, N) what the engine's own exact search says of points 0, 1, .. as chords or distances."""
    count = pool.count()
    requests = [
        edge.QueryRequest(
            limit=count,
            query=edge.Query.Nearest(row, using=pool.info().vector or None),
            params=edge.SearchParams(exact=True),
            with_payload=False,
            with_vector=False,
        )
        for row in np.asarray(queries, dtype=np.float32).tolist()
    ]
    found = np.full((len(requests), count), np.nan)
    for row, hits in zip(
        found, pool._shard.query_batch(edge.QueryBatchRequest(requests)), strict=True
    ):
        row[[hit.id for hit in hits]] = [hit.score for hit in hits]
    if pool.info().metric in ("Cosine", "Dot"):
        return np.sqrt(np.maximum(2.0 - 2.0 * found, 0.0))
    return found


def clustered_rows(
    count: int, dimension: int, clusters: int, seed: int = 0, spread: float = 0.5
) -> Array:
    """(count, dimension) points around random centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dimension))
    noise = spread * rng.normal(size=(count, dimension))
    rows: Array = centres[rng.integers(clusters, size=count)] + noise
    return rows.astype(np.float32).astype(np.float64)


def random_rows(rng: np.random.Generator, shape: tuple[int, int], grid: bool) -> Float32Array:
    """Normal rows of ``shape``; on a grid many are exact copies or tied, and none is zero."""
    if not grid:
        return rng.normal(size=shape).astype(np.float32)
    rows = rng.integers(-2, 3, size=shape).astype(np.float32)
    rows[(rows == 0).all(axis=1)] = 1.0
    return rows


def near_queries(rows: Array, count: int, seed: int = 1, noise: float = 0.3) -> Array:
    """(count, dimension) query examples near some of ``rows``."""
    rng = np.random.default_rng(seed)
    chosen = rows[rng.integers(len(rows), size=count)]
    queries: Array = chosen + noise * rng.normal(size=chosen.shape)
    return queries.astype(np.float32).astype(np.float64)


@dataclass
class Lazy:
    """What a lazy search in exact mode found, and all that it knows."""

    neighborhoods: Neighborhoods
    weights: Array
    cost_scale: float

    @classmethod
    def over(
        cls,
        collection: Collection,
        queries: Any,
        cost_scale: float,
        bandwidth: float,
        weights: Sequence[float] = (),
        **searching: Any,
    ) -> Lazy:
        progress = searching.pop("progress", silent)
        given = SearchSettings(**{"exact": True, **searching})
        searcher = Searcher(collection, given, progress=progress)
        vectors = np.asarray(queries, dtype=np.float32)
        return cls(
            Neighborhoods(searcher, vectors, bandwidth=bandwidth),
            scaled_weights(np.asarray(weights, dtype=np.float64), len(vectors)),
            cost_scale,
        )

    def expand(self, target: Target) -> Expansion:
        return expand(self.neighborhoods, self.weights, self.cost_scale, target)

    def solve(self, alpha: float, regularizer: Regularizer = "kde") -> TransportSolution:
        expansion = self.expand(alpha_target(alpha, self.cost_scale))
        return solve_transport(
            TransportProblem(
                expansion.lists,
                expansion.densities,
                alpha,
                self.cost_scale,
                regularizer,
                self.weights,
                total_weight=expansion.total_weight,
            )
        )

    def by_id(self, solution: TransportSolution) -> dict[PointId, float]:
        ids = self.neighborhoods.index.ids(range(len(solution.probabilities)))
        return dict(zip(ids, solution.probabilities.tolist(), strict=True))

    @property
    def densities_known(self) -> int:
        return int(np.count_nonzero(~np.isnan(self.neighborhoods.densities)))

    @property
    def searches(self) -> tuple[int, int]:
        counts = self.neighborhoods.searcher.counts
        return counts.neighbor_searches, counts.density_searches


def probabilities_of(selection: Selection) -> dict[PointId, float]:
    """Id -> p of the candidates that ``selection`` has seen."""
    return dict(zip(selection.ids, selection.probabilities.tolist(), strict=True))


def same(found: Selection, wanted: Selection) -> None:
    """Assert that two selections have the same probabilities, samples and scales."""
    mine, theirs = probabilities_of(found), probabilities_of(wanted)
    for point_id in {**mine, **theirs}:
        assert mine.get(point_id, 0.0) == pytest.approx(theirs.get(point_id, 0.0), abs=1e-9)
    assert found.selected_ids == wanted.selected_ids
    assert (found.transport.cost_scale, found.transport.bandwidth) == pytest.approx(
        (wanted.transport.cost_scale, wanted.transport.bandwidth)
    )


def brute_force_by_id(
    rows: Any,
    queries: Any,
    alpha: float,
    cost_scale: float,
    bandwidth: float,
    metric: Metric,
    *,
    ids: Sequence[PointId] | None = None,
    weights: Sequence[int] = (),
) -> dict[PointId, float]:
    """Id -> p over the whole pool; a query example of weight n counts as n of them.

    Vectors are rounded to float32 first, as the engines store them.
    """
    points = np.asarray(rows, dtype=np.float32).astype(np.float64)
    examples = np.asarray(queries, dtype=np.float32).astype(np.float64)
    if len(weights):
        examples = np.repeat(examples, weights, axis=0)
    p = brute_force_probabilities(points, examples, alpha, cost_scale, bandwidth, metric)
    return dict(zip(range(len(points)) if ids is None else ids, p.tolist(), strict=True))


def variation(p: dict[PointId, float], q: dict[PointId, float]) -> float:
    """Total variation distance; an id that is missing has probability 0."""
    return sum(abs(p.get(i, 0.0) - q.get(i, 0.0)) for i in {*p, *q}) / 2
