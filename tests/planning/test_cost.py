"""What check foretells, against what a selection then takes."""

from __future__ import annotations

import numpy as np
import pytest
from pool_oracle import UnscannableCollection, clustered_rows, edge_pool, near_queries

from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.planning.check import check
from tsds_qdrant.planning.cost import SearchCost, measure_cost
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.settings import SelectionSettings


@pytest.mark.slow
@pytest.mark.parametrize(("examples", "size"), [(10, 300), (50, 1_000), (200, 500)])
def test_searches_are_foretold(examples: int, size: int) -> None:
    rows = clustered_rows(4_000, 12, 400)
    with edge_pool(rows) as pool:
        queries = near_queries(rows, examples)
        counts = select(pool, queries, SelectionSettings.of(sizes=(size,))).counts
    foretold, _ = SearchCost(scan=1.0, walk=None).expected(examples, size)
    assert counts.neighbor_searches + counts.density_searches == pytest.approx(foretold, rel=0.35)


def test_seconds_add_up() -> None:
    assert SearchCost(scan=2.0, walk=None).expected(100, 1_000) == (2_050, pytest.approx(4.1))
    searches, seconds = SearchCost(scan=10.0, walk=0.5).expected(100, 1_000)
    assert (searches, seconds) == (2_114, pytest.approx(0.64 + 1.025))
    assert SearchCost(scan=None, walk=0.5).expected(100, 1_000) == (2_050, pytest.approx(1.025))


@pytest.mark.slow
def test_what_can_be_timed_is_timed() -> None:
    rows = clustered_rows(10_500, 256, 10_500)
    vectors = rows[:20].astype(np.float32)
    with edge_pool(rows, optimized=True) as pool:
        cost = measure_cost(Searcher(pool, SearchSettings(recall=0.5)), vectors)
        assert cost.scan
        assert cost.walk
        unscannable = UnscannableCollection(pool)
        cost = measure_cost(Searcher(unscannable), vectors)
        assert cost.scan is None
        assert cost.walk
    with edge_pool(rows[:100]) as pool:
        cost = measure_cost(Searcher(pool), vectors)
        assert cost.scan
        assert cost.walk is None
        expected = check(pool).as_dict()["expected"]
        assert (expected["task_examples"], expected["size"]) == (200, 100)
        assert expected["searches"] == SearchCost(1.0, None).expected(200, 100)[0]
