"""Measures of a selection against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import pairwise_distances
from pool_oracle import METRICS, clustered_rows, near_queries

from tsds_qdrant.collections.values import Metric
from tsds_qdrant.neighbors.geometry import distance_blocks, near_duplicate_share, nearest
from tsds_qdrant.neighbors.yardstick import Yardstick
from tsds_qdrant.planning.quality import measure

ROWS = clustered_rows(600, 6, 20)
ROWS[300:340] = ROWS[:40]  # exact copies, so that there are ties
QUERIES = near_queries(ROWS, 9)


@pytest.mark.parametrize("metric", [*METRICS, "Dot"])
def test_measures_equal_brute_force(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.neighbors.geometry.BLOCK_ENTRIES", 100)
    rows, queries = ROWS[290:345].astype(np.float32), QUERIES.astype(np.float32)
    if metric == "Dot":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    plain = "Cosine" if metric == "Dot" else metric
    between = pairwise_distances(queries, rows, plain)
    inside = pairwise_distances(rows, rows, plain)
    np.fill_diagonal(inside, np.inf)
    weights = np.arange(1.0, 10.0) / 45
    typical, radius = float(np.median(between.min(axis=1))) + 1e-3, float(np.median(inside.min(1)))
    yardstick = Yardstick(float(np.median(between.min(axis=0))) + 1e-3, len(queries))
    found, distances = measure(
        *(rows, queries, weights, metric),
        typical=typical,
        bandwidth=radius + 1e-3,
        yardstick=yardstick,
    )
    assert distances == pytest.approx(between.min(axis=0), abs=1e-6)
    assert found.nearer == np.mean(between.min(axis=0) <= yardstick.distance)
    assert found.coverage == pytest.approx(weights @ between.min(axis=1), abs=1e-6)
    assert found.covered == pytest.approx(weights @ (between.min(axis=1) <= typical))
    assert found.distance == pytest.approx(between.min(axis=0).mean(), abs=1e-6)
    assert found.near_duplicates == np.mean(inside.min(axis=1) <= radius + 1e-3)
    assert near_duplicate_share(rows, 0.0, metric) == 0.0
    which, distance = nearest(rows, queries, metric)
    assert which.tolist() == between.argmin(axis=0).tolist()
    assert distance == pytest.approx(between.min(axis=0), abs=1e-6)
    blocks = [block for _, block in distance_blocks(queries, rows, metric)]
    assert len(blocks) > 1
    assert np.concatenate(blocks) == pytest.approx(between, abs=1e-5)
