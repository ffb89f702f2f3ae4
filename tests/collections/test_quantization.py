"""Quantised collections: rescoring and the probe make good what their codes lose."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import qdrant_edge as edge
from oracles import pairwise_distances
from pool_oracle import clustered_rows, edge_pool, near_queries, probabilities_of, variation

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.planning.check import check
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.settings import SelectionSettings

COUNT = 10_500
"""Just enough for search to be approximate."""
SMALL_GRAPHS = edge.EdgeOptimizersConfig(indexing_threshold=100)
QUANTIZATIONS = {
    "scalar": edge.ScalarQuantizationConfig(edge.ScalarType.Int8),
    "binary": edge.BinaryQuantizationConfig(),
}
SETTINGS = SelectionSettings.of(sizes=(100,), alpha=0.5, cost_scale=1.0, bandwidth=0.6)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return clustered_rows(COUNT, 64, COUNT // 20)


@pytest.fixture(scope="module", params=QUANTIZATIONS)
def quantized(request: pytest.FixtureRequest, rows: np.ndarray) -> Iterator[EdgeCollection]:
    codes = QUANTIZATIONS[request.param]
    config = {"quantization_config": codes, "optimizers": SMALL_GRAPHS}
    with edge_pool(rows, "Cosine", optimized=True, **config) as collection:
        info = collection.info()
        assert (info.quantization, info.indexed) == (request.param, COUNT)
        yield collection


@pytest.fixture(scope="module")
def exact(rows: np.ndarray) -> dict[PointId, float]:
    """p by scans of the same points without codes."""
    with edge_pool(rows, "Cosine") as collection:
        found = select(collection, near_queries(rows, 20), SETTINGS.altered(exact=True))
    return probabilities_of(found)


@pytest.mark.slow
def test_distances_are_rescored(quantized: EdgeCollection, rows: np.ndarray) -> None:
    queries = near_queries(rows, 5)
    true = pairwise_distances(queries, rows, "Cosine")
    hits = quantized.search(queries.astype(np.float32), limit=20, ef=64)
    owner = np.repeat(np.arange(5), hits.counts)
    np.testing.assert_allclose(hits.distances, true[owner, hits.ids], atol=1e-5)
    # The codes alone would have told others.
    by_codes = edge.QueryRequest(
        limit=20,
        query=edge.Query.Nearest(queries[0].tolist()),
        params=edge.SearchParams(quantization=edge.QuantizationSearchParams(rescore=False)),
    )
    found = quantized._shard.query(by_codes)
    cosines = 1 - true[0, [int(hit.id) for hit in found]] ** 2 / 2
    assert np.abs([hit.score for hit in found] - cosines).max() > 1e-4


def test_a_selection_is_close_to_the_exact_one(
    quantized: EdgeCollection, rows: np.ndarray, exact: dict[PointId, float]
) -> None:
    found = select(quantized, near_queries(rows, 20), SETTINGS)
    assert variation(probabilities_of(found), exact) < 0.02
    assert found.transport.accuracy.recall is not None
    assert found.transport.accuracy.recall > 0.95


def test_scans_pass_the_codes_by(
    quantized: EdgeCollection, rows: np.ndarray, exact: dict[PointId, float]
) -> None:
    found = select(quantized, near_queries(rows, 20), SETTINGS.altered(exact=True))
    assert variation(probabilities_of(found), exact) < 1e-6


@pytest.mark.slow
def test_check_tells(quantized: EdgeCollection) -> None:
    kind = quantized.info().quantization
    report = check(quantized)
    assert report.as_dict()["quantization"] == kind
    assert any(f"quantised ({kind})" in note for note in report.notes)
