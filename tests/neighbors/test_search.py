"""Searches: exact or HNSW and why, the probe that chooses ef, poison, counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pool_oracle import (
    Lazy,
    LimitedCollection,
    OtherCollection,
    UnscannableCollection,
    brute_force_by_id,
    clustered_rows,
    edge_pool,
    near_queries,
    probabilities_of,
    variation,
)

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.hits import Hits, recall_of
from tsds_qdrant.collections.limits import Limits
from tsds_qdrant.errors import DepthError, InputError, PoisonedCollectionError, SettingsError
from tsds_qdrant.neighbors import allowed, costs
from tsds_qdrant.neighbors.allowed import EF_LADDER
from tsds_qdrant.neighbors.search import SCAN_SHARE, Searcher
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.neighbors.usable import unusable
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.settings import SelectionSettings

GROUP: dict[str, Any] = {"must": [{"key": "group", "match": {"value": 1}}]}
COUNT = 12_000


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    # Wide and in many clusters: large enough for a graph, hard enough for a walk to err.
    return clustered_rows(COUNT, 224, 2_000)


@pytest.fixture(scope="module")
def graph(rows: np.ndarray) -> Iterator[EdgeCollection]:
    groups = [{"group": number % 3} for number in range(COUNT)]
    with edge_pool(rows, payloads=groups, optimized=True) as collection:
        assert collection.info().indexed == COUNT
        yield collection


@pytest.fixture(scope="module")
def poisoned() -> Iterator[tuple[EdgeCollection, np.ndarray]]:
    # No clusters, so that every walk meets the NaN: it attracts links wherever it is seen.
    clean = clustered_rows(10_500, 256, 10_500)
    with edge_pool(clean, poisoned=[4321], optimized=True) as collection:
        yield collection, clean


@pytest.fixture
def dear_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    """No scan pays, so that searches are walks where a scan was not needed."""
    monkeypatch.setattr(costs, "ENGINE_S", 1.0)
    monkeypatch.setattr(costs, "PRODUCT_S", 1.0)


def unit_hits(*answers: list[tuple[int, float]]) -> Hits:
    pairs = [pair for answer in answers for pair in answer]
    return Hits(
        [number for number, _ in pairs],
        np.array([distance for _, distance in pairs]),
        np.array([len(answer) for answer in answers]),
    )


def test_small_collections_are_scanned() -> None:
    with edge_pool(clustered_rows(300, 4, 5)) as collection:
        assert Searcher(collection).scan_reason == "only 300 points"
        assert Searcher(collection).is_exact(1)


def test_without_a_graph_everything_is_scanned() -> None:
    with edge_pool(clustered_rows(10_001, 4, 5)) as collection:
        assert Searcher(collection).scan_reason == "no HNSW graph"


@pytest.mark.slow
def test_exact_when_asked_for(graph: EdgeCollection) -> None:
    searcher = Searcher(graph, SearchSettings(exact=True))
    assert searcher.scan_reason == "asked for"
    assert searcher.is_exact(1)


@pytest.mark.slow
def test_large_limits_are_scanned(graph: EdgeCollection) -> None:
    searcher = Searcher(graph)
    assert searcher.scan_reason == ""
    assert not searcher.is_exact(int(SCAN_SHARE * COUNT))
    assert searcher.is_exact(int(SCAN_SHARE * COUNT) + 1)


@pytest.mark.slow
def test_a_filter_needs_a_payload_index(graph: EdgeCollection, rows: np.ndarray) -> None:
    searcher = Searcher(graph, SearchSettings(where=GROUP))
    assert searcher.scan_reason == "a filter without a payload index"
    assert searcher.candidates == COUNT // 3
    hits, exact = searcher.nearest(rows[:4].astype(np.float32), 10)
    assert exact
    assert all(int(point_id) % 3 == 1 for point_id in hits.ids)
    payloads = [{"group": 1} if k in (1, 2, 3) else {} for k in range(10_500)]
    rows = clustered_rows(10_500, 256, 60)
    with edge_pool(rows, payloads=payloads, optimized=True) as indexed:
        indexed.index_payload("group")
        searcher = Searcher(indexed, SearchSettings(where=GROUP))
        assert (searcher.scan_reason, searcher.candidates) == ("", 3)


def test_a_deployment_without_scans_is_walked(graph: EdgeCollection, rows: np.ndarray) -> None:
    with pytest.raises(SettingsError, match=r"refuses exact searches .*leave --exact out"):
        Searcher(UnscannableCollection(graph), SearchSettings(exact=True))
    searcher = Searcher(UnscannableCollection(graph))
    assert (searcher.scan_reason, searcher.is_exact(COUNT)) == ("", False)
    _, exact = searcher.nearest(rows[:4].astype(np.float32), 10)
    assert (exact, searcher.ef, searcher.counts.probe_searches) == (False, EF_LADDER[1], 0)


def test_no_candidate() -> None:
    with edge_pool(np.empty((0, 4))) as collection, pytest.raises(InputError, match="no point;"):
        Searcher(collection)
    with (
        edge_pool(np.ones((3, 4))) as collection,
        pytest.raises(InputError, match=r"no point matches the filter.*--filter"),
    ):
        Searcher(collection, SearchSettings(where=GROUP))


@pytest.mark.parametrize("wanted", [0.5, 0.98])
def test_the_probe_chooses_the_smallest_ef_that_does(
    graph: EdgeCollection, rows: np.ndarray, wanted: float
) -> None:
    queries = near_queries(rows, 10).astype(np.float32)
    searcher = Searcher(graph, SearchSettings(recall=wanted))
    searcher.nearest(queries, 32)
    truth = graph.search(queries, limit=32, exact=True)
    recalls = {ef: recall_of(graph.search(queries, limit=32, ef=ef), truth) for ef in EF_LADDER}
    assert searcher.ef == min(ef for ef in EF_LADDER if recalls[ef] >= wanted)
    steps = EF_LADDER.index(searcher.ef) + 1
    assert searcher.counts.probe_searches == 10 * (1 + steps)
    assert searcher.counts.neighbor_searches == 10
    assert searcher.counts.hits == 10 * (32 * (1 + steps) + int(SCAN_SHARE * COUNT))


def test_two_recalls_need_two_efs(graph: EdgeCollection, rows: np.ndarray) -> None:
    efs = []
    for wanted in (0.5, 0.98):
        searcher = Searcher(graph, SearchSettings(recall=wanted))
        searcher.nearest(near_queries(rows, 40).astype(np.float32), 32)
        efs.append(searcher.ef or 0)
    assert efs[0] < efs[1]


def test_everything_is_scanned_if_no_ef_does(
    graph: EdgeCollection, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowed, "EF_LADDER", (1, 2))
    searcher = Searcher(graph, SearchSettings(recall=1.0))
    queries = near_queries(rows, 40).astype(np.float32)
    hits, exact = searcher.nearest(queries, 32)
    assert (exact, searcher.ef) == (True, None)
    assert searcher.scan_reason == "no ef up to 2 reaches recall 1.0"
    assert hits.ids == graph.search(queries, limit=32, exact=True).ids


@pytest.mark.parametrize(
    ("most", "reason"),
    [
        (1, "no ef up to 1, all that is allowed, reaches recall 1.0"),
        (100, "no ef up to 100, all that is allowed, reaches recall 1.0"),
        (0, "no walk that is allowed reaches recall 1.0"),
    ],
)
def test_a_bound_of_ef_below_the_ladder_is_tried(
    graph: EdgeCollection, rows: np.ndarray, most: int, reason: str
) -> None:
    searcher = Searcher(LimitedCollection(graph, Limits(ef=most)), SearchSettings(recall=1.0))
    _, exact = searcher.nearest(near_queries(rows, 40).astype(np.float32), 32)
    assert (exact, searcher.scan_reason) == (True, reason)
    easy = Searcher(LimitedCollection(graph, Limits(ef=most)), SearchSettings(recall=0.01))
    easy.nearest(near_queries(rows, 40).astype(np.float32), 32)
    assert (easy.ef, easy.scan_reason) == (most, "")


class Shortsighted(OtherCollection):
    """Walks deeper than ``depth`` find two of three, unless ef is ``enough`` times the limit."""

    def __init__(self, collection: EdgeCollection, depth: int, enough: float) -> None:
        super().__init__(collection)
        self.depth, self.enough = depth, enough

    def search(self, vectors: Any, *, limit: int, **asked: Any) -> Hits:
        hits: Hits = self.collection.search(vectors, limit=limit, **{**asked, "exact": True})
        if asked["exact"] or limit <= self.depth or asked["ef"] >= self.enough * limit:
            return hits
        return hits.only(np.arange(len(hits.ids)) % 3 > 0)


@pytest.mark.usefixtures("dear_scans")
@pytest.mark.parametrize("strategy", ["tsds", "round-robin", "similarity-max"])
@pytest.mark.parametrize(("enough", "scanned"), [(4, False), (8, False), (16, False), (99, True)])
def test_walks_are_probed_where_lists_grow_deeper(
    graph: EdgeCollection, rows: np.ndarray, strategy: str, enough: float, scanned: bool
) -> None:
    queries, settings = near_queries(rows, 6), SelectionSettings.of(strategy, sizes=(500,))
    if strategy == "tsds":
        settings = settings.altered(bandwidth=0.0)
    found = select(Shortsighted(graph, 40, enough), queries, settings)
    wanted = select(graph, queries, settings.altered(exact=True))
    assert found.scan_reason == ""
    assert found.selected_ids == wanted.selected_ids
    if strategy == "tsds":
        assert found.transport.accuracy.recall == 1.0
        assert (found.transport.scanned_from is not None) == scanned
        words = " ".join(found.evidence.in_words())
        assert ("lists deeper than 256 by scans" in words) == scanned


@pytest.mark.usefixtures("dear_scans")
def test_a_probe_of_deeper_lists_needs_no_other_scan(
    graph: EdgeCollection, rows: np.ndarray
) -> None:
    queries = near_queries(rows, 10).astype(np.float32)
    searcher = Searcher(graph)
    for limit in (32, 64, 64, 128):
        before = searcher.counts.probe_searches
        searcher.nearest(queries, limit)
    assert before > 0
    walked = [ef for ef in EF_LADDER if ef <= (searcher.ef or 0)]
    assert searcher.counts.probe_searches == 10 * (1 + len(walked) + 2)


@pytest.mark.slow
def test_poison_is_named(poisoned: tuple[EdgeCollection, np.ndarray]) -> None:
    collection, clean = poisoned
    settings = SelectionSettings.of(sizes=(10,), alpha=0.5)
    with pytest.raises(PoisonedCollectionError, match=r"point 4321 .*delete .*--exact"):
        select(collection, near_queries(clean, 5), settings)


@pytest.mark.slow
def test_poison_that_only_a_density_search_meets(
    poisoned: tuple[EdgeCollection, np.ndarray],
) -> None:
    collection, clean = poisoned
    stored = clean[:5].astype(np.float32)
    assert collection.search(stored, limit=9, max_distance=1.0).ids == []
    searcher = Searcher(collection)
    with pytest.raises(PoisonedCollectionError, match="point 4321 "):
        searcher.around(stored, 9, 1.0)
    assert searcher.around(stored, 9, 1.0, exact=True).ids == [0, 1, 2, 3, 4]


def test_poison_does_not_reach_scans(poisoned: tuple[EdgeCollection, np.ndarray]) -> None:
    collection, clean = poisoned
    queries = near_queries(clean, 5)
    settings = SelectionSettings.of(
        sizes=(10,), alpha=0.85, cost_scale=8.0, bandwidth=24.0, exact=True, seed=3
    )
    found = probabilities_of(select(collection, queries, settings))
    rest = np.delete(np.arange(len(clean)), 4321)
    with edge_pool(clean[rest], ids=rest.tolist()) as healthy:
        wanted = probabilities_of(select(healthy, queries, settings))
    assert 4321 not in found
    assert variation(found, wanted) <= 1e-12


def test_a_small_poisoned_pool_gives_what_the_rest_gives() -> None:
    clean = clustered_rows(200, 6, 8)
    queries = near_queries(clean, 6)
    rest = np.delete(np.arange(200), [7, 8])
    with edge_pool(clean, poisoned=[7, 8]) as collection:
        lazy = Lazy.over(collection, queries, 1.0, 1.0)
        found = lazy.by_id(lazy.solve(0.05))
    wanted = brute_force_by_id(clean[rest], queries, 0.05, 1.0, 1.0, "Euclid", ids=rest.tolist())
    assert variation(found, wanted) <= 1e-6


def test_broken_hits_are_dropped_from_scans_only() -> None:
    with edge_pool(np.ones((3, 2))) as collection:
        info = collection.info()
    hits = unit_hits([(4, np.nan), (5, 0.1)], [(6, 0.2)], [(4, np.nan)], [(7, 0.3), (8, np.inf)])
    kept = hits.only(~unusable(hits, info, (), exact=True))
    assert kept.ids == [5, 6, 7]
    assert kept.distances.tolist() == [0.1, 0.2, 0.3]
    assert kept.counts.tolist() == [1, 1, 0, 1]
    with pytest.raises(PoisonedCollectionError, match="point 4 "):
        unusable(hits, info, (), exact=False)


def test_recall_of() -> None:
    truth = unit_hits([(1, 0.1), (2, 0.2), (3, 0.3)], [(4, 0.5)])
    assert recall_of(truth, truth) == 1.0
    assert recall_of(unit_hits([(1, 0.1), (3, 0.3), (9, 0.4)], [(4, 0.5)]), truth) == 3 / 4
    assert recall_of(unit_hits([], []), truth) == 0.0
    assert recall_of(unit_hits([], []), unit_hits([], [])) == 1.0
    # A tied copy is as good as the hit itself, but no search makes up for another.
    assert recall_of(unit_hits([(1, 0.1), (2, 0.2), (8, 0.3)], []), truth) == 3 / 4


def test_counts() -> None:
    clean = clustered_rows(300, 4, 5).astype(np.float32)
    with edge_pool(clean) as collection:
        told: list[tuple[str, int, int]] = []
        searcher = Searcher(collection, progress=lambda *step: told.append(step))
        searcher.nearest(clean[:7], 5)
        near = searcher.around(clean[:150], 300, 0.5)
        searcher.repeat_exactly(clean[:2], 4)
    counts = searcher.counts
    assert (counts.neighbor_searches, counts.density_searches, counts.probe_searches) == (7, 150, 2)
    assert counts.hits == 7 * 5 + int(near.counts.sum()) + 2 * 4
    assert told == [("neighbours", 7, 7), ("densities", 150, 150)]


def test_limits_are_cut_to_the_pool_and_to_what_is_allowed() -> None:
    with edge_pool(clustered_rows(300, 4, 5)) as collection:
        searcher = Searcher(collection)
        assert searcher.checked_limit(1_000) == 301
        assert searcher.checked_limit(64, spare=1) == 65
        object.__setattr__(searcher.info.limits, "limit", 64)
        assert searcher.checked_limit(64, spare=1) == 65  # in pieces
        object.__setattr__(searcher.info.limits, "conditions", 0)
        assert searcher.checked_limit(64, spare=1) == 64
        with pytest.raises(
            DepthError, match=r"needs 65 hits .* give 64 .*filter_max_conditions raised to 1"
        ):
            searcher.checked_limit(65)
