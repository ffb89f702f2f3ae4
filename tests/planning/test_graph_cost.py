"""When a graph pays: what is measured, what is estimated, and where it is no question."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as edge
from door import open_door
from hypothesis import given
from hypothesis import strategies as st
from pool_oracle import edge_pool

from tsds_qdrant import check
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.trial import try_graph
from tsds_qdrant.collections.graph import GRAPH, build_graph
from tsds_qdrant.planning.cost import SearchCost
from tsds_qdrant.planning.findings import index_command
from tsds_qdrant.planning.graph_cost import GraphCost, graph_cost

COUNT = 600
ROWS = np.random.default_rng(5).normal(size=(COUNT, 24)).astype(np.float32)
LITTLE = edge.EdgeOptimizersConfig(indexing_threshold=1)
SCANS = SearchCost(2.0, None)
SEARCHES = 1000


@pytest.fixture(autouse=True)
def _small_pools_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("neighbors.search", "planning.findings", "planning.graph_cost"):
        monkeypatch.setattr(f"tsds_qdrant.{module}.SCAN_COUNT", 100)
    monkeypatch.setattr("tsds_qdrant.planning.graph_cost.TRIED_POINTS", 200)


def cost_of(pool: EdgeCollection, cost: SearchCost = SCANS) -> GraphCost | None:
    return graph_cost(pool, pool.info(), cost, SEARCHES)


positive = st.floats(1e-3, 1e5)


@given(build=positive, scan=positive, walk=positive)
def test_it_has_paid_when_what_it_saves_exceeds_what_it_took(
    build: float, scan: float, walk: float
) -> None:
    pays = GraphCost(build, scan, walk, built=True, measured=True).pays_after
    if pays is None:
        assert walk >= scan
    else:
        assert pays * (scan - walk) >= build * (1 - 1e-9)
        assert pays == 1 or (pays - 1) * (scan - walk) < build * (1 + 1e-9)


def test_without_a_graph_one_of_a_few_vectors_is_tried() -> None:
    with edge_pool(ROWS, "Cosine", optimizers=LITTLE) as pool:
        found = cost_of(pool)
        assert pool.info().indexed == 0
    assert found is not None
    assert (found.built, found.measured, found.scan) == (False, False, 2.0)
    assert found.build > 0
    assert found.walk > 0


@pytest.mark.parametrize("metric", ["Cosine", "Euclid", "Manhattan", "Dot"])
def test_it_is_tried_under_each_metric(metric: str) -> None:
    rows = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    with edge_pool(rows, metric, optimizers=LITTLE) as pool:
        assert cost_of(pool) is not None


def test_of_a_graph_that_was_asked_for_what_it_took_is_known() -> None:
    with edge_pool(ROWS, "Cosine", optimizers=LITTLE) as pool:
        build_graph(pool)
        pool.update_metadata({GRAPH: {"seconds": 57.0}})
        found = cost_of(pool, SearchCost(2.0, 0.5))
        assert found == GraphCost(57.0, 2.0, 0.5 + 64 * 2e-3, built=True, measured=True)
        assert found.pays_after == 42  # 57 / 1.372
        # Walks that find too little save nothing.
        assert cost_of(pool) == GraphCost(57.0, 2.0, 2.0 + 64 * 2e-3, built=True, measured=True)


def test_of_another_graph_it_is_estimated() -> None:
    with edge_pool(ROWS, "Cosine", optimized=True, optimizers=LITTLE) as pool:
        found = cost_of(pool, SearchCost(2.0, 0.5))
    assert found is not None
    assert (found.built, found.measured, found.walk) == (True, False, 0.5 + 64 * 2e-3)
    assert found.build > 0


def test_points_that_cannot_be_compared_are_not_tried() -> None:
    with edge_pool(ROWS, "Cosine", poisoned=range(0, COUNT, 2), optimizers=LITTLE) as pool:
        assert cost_of(pool) is not None
    with edge_pool(ROWS[:101], "Cosine", poisoned=range(101), optimizers=LITTLE) as pool:
        assert cost_of(pool) is None


def test_where_it_is_no_question_nothing_is_said() -> None:
    none = edge.HnswIndexConfig(0, 100, 10)
    with edge_pool(ROWS, "Cosine", hnsw=none, optimizers=LITTLE) as pool:
        assert cost_of(pool) is None
        assert check(pool).verdict == "works"
    with edge_pool(ROWS[:100], "Cosine", optimizers=LITTLE) as pool:
        assert cost_of(pool) is None
        assert check(pool).as_dict()["graph_cost"] is None


def test_a_server_is_not_asked_for_a_graph() -> None:
    from tsds_qdrant import open_collection
    from tsds_qdrant.ingestion.destination import Destination
    from tsds_qdrant.ingestion.ingest import ingest_vectors

    with open_door() as door:
        ingest_vectors(Destination(door.url, "pool"), ROWS[:200])
        with open_collection(door.url, "pool") as pool:
            assert graph_cost(pool, pool.info(), SCANS, SEARCHES) is None


def test_a_place_that_takes_no_trial_only_costs_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with edge_pool(ROWS, "Cosine", optimizers=LITTLE) as pool:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
        report = check(pool)
        monkeypatch.undo()
    assert (report.graph_cost, report.verdict) == (None, "works")


def test_a_trial_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tried = try_graph(ROWS, "Cosine", m=8, limit=10, ef=32, searches=20)
    assert (tried.build > 0, tried.walk > 0) == (True, True)
    assert not [*tmp_path.iterdir()]


def test_check_does_not_warn_of_a_graph_that_nobody_asked_for() -> None:
    with edge_pool(ROWS, "Cosine", optimizers=LITTLE) as pool:
        report = check(pool)
        assert (report.verdict, report.warnings) == ("works", ())
        assert report.scan_reason == "no HNSW graph"
        told = report.as_dict()["graph_cost"]
        assert told["selection_seconds"]["scan"] == pytest.approx(
            report.as_dict()["expected"]["seconds"]
        )
        assert not told["built"]


def test_check_names_the_command_for_vectors_outside_the_graph() -> None:
    with edge_pool(ROWS[:500], "Cosine", optimized=True, optimizers=LITTLE) as pool:
        pool.upsert(range(500, 600), ROWS[500:])
        report = check(pool, recall=0.5)
        assert f"'{index_command(pool.info())}' puts them into it" in report.warnings[0]
        build_graph(pool)
        assert check(pool, recall=0.5).verdict == "works"
