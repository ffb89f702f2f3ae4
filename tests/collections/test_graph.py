"""How much of a vector is in a graph, against what was indexed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from pool_oracle import edge_pool

from tsds_qdrant import check
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.graph import in_graph, no_graph
from tsds_qdrant.neighbors.search import Searcher

COUNT = 300
DENSE = edge.EdgeVectorParams(300, edge.Distance.Cosine)
LITTLE = edge.EdgeOptimizersConfig(indexing_threshold=1)
"""A graph is built from one kilobyte on."""
ROWS = np.random.default_rng(1).normal(size=(COUNT, 300)).astype(np.float32)


@contextmanager
def held(path: Path, vectors: Any, optimized: bool, **more: Any) -> Iterator[EdgeCollection]:
    """Every point has the vector '' or 'a', every second one 'b' and 'words' where there are."""
    config = edge.EdgeConfig(vectors=vectors, optimizers=LITTLE, **more)
    edge.EdgeShard.create(str(path / "pool"), config).close()
    searched = "a" if isinstance(vectors, dict) else ""
    pool = EdgeCollection.open(str(path), "pool", vector=searched)
    points = []
    for k, row in enumerate(ROWS.tolist()):
        vector: dict[str, Any] = {searched: row}
        if k % 2 and "b" in pool.spaces:
            vector["b"] = row
        if "words" in pool.spaces:
            vector["words"] = edge.SparseVector([k % 7], [1.0])
        points.append(edge.Point(k, vector, {}))
    pool._write(edge.UpdateOperation.upsert_points(points))
    if optimized:
        pool.optimize()
    yield pool
    pool.close()


FORMS: dict[str, dict[str, Any]] = {
    "unnamed": {"vectors": DENSE},
    "with sparse": {"vectors": DENSE, "sparse_vectors": {"words": edge.EdgeSparseVectorParams()}},
    "two": {"vectors": {"a": DENSE, "b": DENSE}},
    "three": {
        "vectors": {"a": DENSE, "b": DENSE},
        "sparse_vectors": {"words": edge.EdgeSparseVectorParams()},
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_only_vectors_in_a_graph_are_counted(form: str, tmp_path: Path) -> None:
    with held(tmp_path, **FORMS[form], optimized=False) as pool:
        assert in_graph(pool, pool.info()) == 0
        assert no_graph(pool, pool.info()) == "no HNSW graph"
        pool.optimize()
        assert in_graph(pool, pool.info()) == COUNT
        assert no_graph(pool, pool.info()) == ""
        if "b" in pool.spaces:
            other = pool.at("b")
            assert in_graph(other, other.info()) == COUNT // 2


def test_m_of_0_is_no_graph(tmp_path: Path) -> None:
    none = edge.HnswIndexConfig(0, 100, 10, payload_m=16)
    vectors = {"a": edge.EdgeVectorParams(300, edge.Distance.Cosine, hnsw_config=none), "b": DENSE}
    with held(tmp_path, vectors, optimized=True) as pool:
        space = pool.spaces["a"]
        assert (space.m, space.payload_m) == (0, 16)
        assert in_graph(pool, pool.info()) == 0
        assert "as m is 0" in no_graph(pool, pool.info())
        other = pool.at("b")
        assert in_graph(other, other.info()) == COUNT // 2


def test_searches_scan_where_there_is_no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.neighbors.search.SCAN_COUNT", 100)
    monkeypatch.setattr("tsds_qdrant.planning.findings.SCAN_COUNT", 100)
    none = edge.HnswIndexConfig(0, 100, 10, payload_m=16)
    for hnsw, optimized in ((None, False), (none, True)):
        with edge_pool(
            ROWS, "Cosine", hnsw=hnsw, optimized=optimized, optimizers=LITTLE, device="engine"
        ) as pool:
            searcher, report = Searcher(pool), check(pool)
        assert searcher.scan_reason
        assert report.in_graph == 0
        assert (report.verdict, report.warnings) == ("works", ())
        assert any("m is 0" in note for note in report.notes) == optimized
        assert any("payload_m 16" in note for note in report.notes) == optimized
    with edge_pool(ROWS, "Cosine", optimized=True, optimizers=LITTLE) as pool:
        report = check(pool)
    assert (report.in_graph, report.verdict) == (COUNT, "works")


@pytest.mark.parametrize(("graphed", "walks"), [(240, True), (150, False), (80, False)])
def test_a_graph_of_too_few_vectors_is_left_alone(
    graphed: int, walks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsds_qdrant.neighbors.search.SCAN_COUNT", 50)
    with edge_pool(ROWS[:graphed], "Cosine", optimized=True, optimizers=LITTLE) as pool:
        pool.upsert(range(graphed, COUNT), ROWS[graphed:])
        assert pool.info().scanner == "numpy"
        assert in_graph(pool, pool.info()) == graphed
        searcher = Searcher(pool)
        assert (searcher.scan_reason == "") == walks
        assert searcher.is_exact(1) != walks
        if not walks:
            assert searcher.scan_reason == f"only {graphed} of 300 vectors are in an HNSW graph"
        pool.optimize()
        assert Searcher(pool).scan_reason == ""
