"""Distances between rows in memory, and the groups that near rows form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import pairwise_distances
from pool_oracle import METRICS, clustered_rows
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from tsds_qdrant.collections.values import Metric
from tsds_qdrant.neighbors.geometry import distance_blocks, join_groups, nearest


@given(st.data())
def test_groups_are_the_components_of_a_graph_library(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    node = st.integers(0, count - 1)
    edges = np.array(data.draw(st.lists(st.tuples(node, node), max_size=60))).reshape(-1, 2)
    a, b = edges.T.astype(np.int64)
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count))
    _, truth = connected_components(graph, directed=False)
    first = {label: int(np.argmax(truth == label)) for label in truth}
    groups = np.arange(count)
    cut = data.draw(st.integers(0, len(a)))
    for part in (slice(0, cut), slice(cut, None)):
        join_groups(groups, a[part], b[part])
    assert groups.tolist() == [first[label] for label in truth]


def test_distances_far_from_the_origin_keep_their_digits() -> None:
    rows = (clustered_rows(20, 6, 4) + 1e4).astype(np.float32)
    found = np.concatenate([block for _, block in distance_blocks(rows, rows, "Euclid")])
    assert found == pytest.approx(pairwise_distances(rows, rows, "Euclid"), abs=1e-6)


@pytest.mark.parametrize("metric", [*METRICS, "Dot"])
def test_the_nearest_does_not_depend_on_other_rows(metric: Metric) -> None:
    """Equal ones are distinguished by their place, and a copy is no distance away."""
    rows = np.random.default_rng(0).normal(size=(53, 7)).astype(np.float32)
    rows[40:] = rows[:13]
    others = np.concatenate([rows[5:30:3], rows[5:30:3]])
    which, distance = nearest(rows, others, metric)
    truth = pairwise_distances(rows, others, "Cosine" if metric == "Dot" else metric)
    assert distance == pytest.approx(truth.min(axis=1), abs=1e-6)
    assert max(which) < 9
    assert (distance[5:30:3] == 0).all()
    for start, stop in ((0, 1), (3, 20), (20, 53)):
        alone = nearest(rows[start:stop], others, metric)
        assert alone[0].tolist() == which[start:stop].tolist()
        assert alone[1].tolist() == distance[start:stop].tolist()
