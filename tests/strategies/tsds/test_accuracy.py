"""The measured accuracy: what a sample of scans says, against the probabilities of scans only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from oracles import pairwise_distances
from pool_oracle import (
    OtherCollection,
    UnscannableCollection,
    clustered_rows,
    edge_pool,
    near_queries,
    probabilities_of,
    variation,
)

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.hits import Hits, first_hits, search_numbers
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors import allowed, costs
from tsds_qdrant.runs.begin import begin_run
from tsds_qdrant.runs.reselect import reselect
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.strategies.tsds import accuracy
from tsds_qdrant.strategies.tsds.accuracy import EXACT, SAMPLED_DENSITIES, SAMPLED_LISTS, UNKNOWN

COUNT = 12_000
CASES = [
    SelectionSettings.of(sizes=(1,), alpha=alpha, cost_scale=cost_scale, bandwidth=bandwidth)
    for alpha, cost_scale, bandwidth in [
        (0.7, 1.0, 0.0),
        (0.4, 3.0, 15.0),
        (0.2, 8.0, 16.0),
        (0.7, 8.0, 16.0),
    ]
]
Run = Callable[[SelectionSettings, int, bool], Selection]


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    # No clusters: of all shapes the one where a walk of the graph errs most.
    return clustered_rows(COUNT, 224, COUNT)


@pytest.fixture(scope="module")
def graph(rows: np.ndarray) -> Iterator[EdgeCollection]:
    # Few edges and little care: such a graph errs, whichever way its threads build it.
    poor = edge.HnswIndexConfig(m=8, ef_construct=12, full_scan_threshold=10)
    with edge_pool(rows, optimized=True, hnsw=poor) as collection:
        assert collection.info().indexed == COUNT
        yield collection


@pytest.fixture(autouse=True)
def dear_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    """No scan pays, so that searches are walks where a scan was not needed."""
    monkeypatch.setattr(costs, "ENGINE_S", 1.0)
    monkeypatch.setattr(costs, "PRODUCT_S", 1.0)


@pytest.fixture
def run(
    graph: EdgeCollection, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> Callable[[SelectionSettings, int, bool], Selection]:
    """Select for this many queries, with scans or with the worst walk there is."""
    monkeypatch.setattr(allowed, "EF_LADDER", (1,))

    def select_for(settings: SelectionSettings, queries: int, exact: bool) -> Selection:
        settings = settings.altered(exact=exact, recall=0.01, accuracy=1.0)
        return select(graph, near_queries(rows, queries, seed=queries), settings)

    return select_for


@pytest.mark.slow
@pytest.mark.parametrize("settings", CASES)
def test_the_bound_covers_what_went_wrong(run: Run, settings: SelectionSettings) -> None:
    """With every list in the sample the bound covers the true total variation.

    Only the densities are still sampled (drawn by p), which moves the bound by some hundredths
    at most here, and always less than the triangle inequality gives away.
    """
    found, exact = run(settings, 10, False), run(settings, 10, True)
    assert found.transport.accuracy.lists == 10 <= SAMPLED_LISTS
    assert found.transport.accuracy.variation_bound is not None
    assert found.transport.accuracy.recall is not None
    true = variation(probabilities_of(found), probabilities_of(exact))
    assert 0.01 < true <= found.transport.accuracy.variation_bound + 1e-9
    assert 0.0 < found.transport.accuracy.recall < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("settings", CASES[1::2])
def test_the_bound_holds_on_average_where_lists_are_sampled(
    run: Run, settings: SelectionSettings
) -> None:
    """Of 48 lists 16 are repeated: one sample may miss what is wrong, their mean may not."""
    exact = probabilities_of(run(settings, 48, True))
    found = [run(settings.altered(seed=seed), 48, False) for seed in range(6)]
    bounds = [one.transport.accuracy.variation_bound or 0.0 for one in found]
    true = [variation(probabilities_of(one), exact) for one in found]
    assert {one.transport.accuracy.lists for one in found} == {SAMPLED_LISTS}
    assert all(0 < one.transport.accuracy.densities <= SAMPLED_DENSITIES for one in found)
    assert 0.01 < np.mean(true) <= np.mean(bounds)


@pytest.mark.slow
@pytest.mark.parametrize("settings", CASES[1:])
def test_limits_cover_what_no_sample_has_met(run: Run, settings: SelectionSettings) -> None:
    exact = probabilities_of(run(settings, 48, True))
    for seed in range(5):
        found = run(settings.altered(seed=seed), 48, False)
        accuracy = found.transport.accuracy
        assert accuracy.variation_limit is not None
        assert variation(probabilities_of(found), exact) <= accuracy.variation_limit
        assert accuracy.recall_limit < accuracy.recall < 1
        assert accuracy.lists_missed / accuracy.lists <= accuracy.lists_limit <= 1


class RarelyWrong(OtherCollection):
    """Its walks find all, but for the nearest point of one query."""

    def __init__(self, collection: EdgeCollection, wrong: np.ndarray) -> None:
        super().__init__(collection)
        self.wrong = wrong.astype(np.float32)

    def search(self, vectors: np.ndarray, *, limit: int, **asked: Any) -> Hits:
        more = 0 if asked["exact"] else 1
        asked["exact"] = True
        hits: Hits = self.collection.search(vectors, limit=limit + more, **asked)
        row = search_numbers(hits)
        spoiled = (vectors == self.wrong).all(axis=1)[row] & bool(more)
        first = np.r_[True, np.diff(row) > 0]
        return first_hits(hits.only(~(spoiled & first)), limit)


@pytest.mark.slow
def test_no_miss_is_no_proof(graph: EdgeCollection, rows: np.ndarray) -> None:
    queries, settings = near_queries(rows, 48), CASES[0].altered(accuracy=1.0)
    exact = probabilities_of(select(graph, queries, settings.altered(exact=True)))
    said = set()
    for seed in range(8):
        collection = RarelyWrong(graph, queries[5])
        found = select(collection, queries, settings.altered(seed=seed))
        accuracy = found.transport.accuracy
        assert 0 < variation(probabilities_of(found), exact) <= accuracy.variation_limit
        assert accuracy.lists_limit >= 1 / 48
        met = accuracy.lists_missed > 0
        assert (accuracy.variation_bound is None) == (accuracy.recall == 1.0) == (not met)
        (line,) = [line for line in found.evidence.in_words() if "HNSW" in line]
        if not met:
            assert accuracy.lists_limit == pytest.approx(1 - 0.05 ** (1 / SAMPLED_LISTS))
            assert line.endswith(
                "no miss in 16 repeated searches, so at 95 % at most 17 % of the lists are off)"
            )
        said.add("0.0000" in line or "1.000" in line)
    assert said == {False}


def test_recall_is_that_of_the_neighbors_in_use(run: Run, rows: np.ndarray) -> None:
    settings = CASES[2]
    found = run(settings, 10, False)
    distances = np.linalg.norm(near_queries(rows, 10, seed=10)[:, None] - rows[None], axis=2)
    order = np.argsort(distances, axis=1)
    lists, plan = found.transport.solution.problem.lists, found.transport.solution.plan
    hits = used = 0
    for row in range(10):
        entries = slice(lists.offsets[row], lists.offsets[row + 1])
        listed = lists.candidates[entries][plan[entries] > 0]
        ids = {found.ids[number] for number in listed.tolist()}
        hits += len(ids & set(order[row, : len(ids)].tolist()))
        used += len(ids)
    assert found.transport.accuracy.recall == pytest.approx(hits / used, abs=0.01)  # some are tied


def test_density_errors_are_averaged_over_p(
    run: Run, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At bandwidth 0 a density is 1 and cannot be wrong.
    uniform = run(CASES[0], 10, False).transport.accuracy
    assert (uniform.density_error, uniform.densities) == (0.0, 0)
    monkeypatch.setattr(accuracy, "SAMPLED_DENSITIES", 20_000)
    found = run(CASES[1], 10, False)
    support = np.flatnonzero(found.probabilities)
    chosen = rows[[int(found.ids[number]) for number in support]]
    kernel = 1 - (pairwise_distances(chosen, rows, "Euclid") / found.transport.bandwidth) ** 2
    errors = np.abs(kernel.clip(0).sum(axis=1) / found.transport.densities[support] - 1)
    wanted = float(found.probabilities[support] @ errors)
    assert wanted > 0.005
    assert found.transport.accuracy.density_error == pytest.approx(wanted, rel=0.1)
    assert found.transport.accuracy.densities <= len(support)


@pytest.mark.slow
def test_a_better_walk_errs_less(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: dict[int, float] = {}
    bounds: dict[int, float] = {}
    exact = [probabilities_of(run(settings, 40, True)) for settings in CASES[1:]]
    for ef in (1, 1024):
        monkeypatch.setattr(allowed, "EF_LADDER", (ef,))
        found = [run(settings, 40, False) for settings in CASES[1:]]
        pairs = zip(found, exact, strict=True)
        errors[ef] = sum(variation(probabilities_of(one), right) for one, right in pairs)
        bounds[ef] = sum(one.transport.accuracy.variation_bound or 0.0 for one in found)
    assert errors[1024] < errors[1]
    assert bounds[1024] < bounds[1]


def test_scans_are_exact(run: Run) -> None:
    assert run(CASES[1], 10, True).transport.accuracy == replace(EXACT, asked=1.0)
    small = clustered_rows(200, 4, 5)
    with edge_pool(small) as collection:
        found = select(collection, near_queries(small, 3), SelectionSettings.of(sizes=(5,)))
    assert found.transport.accuracy == replace(EXACT, asked=0.02)
    assert found.scan_reason == "only 200 points"


def test_unknown_where_scans_are_not_allowed(graph: EdgeCollection, rows: np.ndarray) -> None:
    collection = UnscannableCollection(graph)
    found = select(collection, near_queries(rows, 10), CASES[0])
    said = (
        "whether p is within 0.02 of the exact one is not known: collection 'pool' refuses exact "
        "searches (strict mode, search_allow_exact); have them allowed to have it measured"
    )
    assert found.transport.accuracy == replace(UNKNOWN, asked=0.02, shortfall=said)
    assert f"recall not measurable; {said})" in " ".join(found.evidence.in_words())
    assert select(collection, near_queries(rows, 10), CASES[1]).transport.accuracy.recall is None
    allowed_now = select(graph, near_queries(rows, 10), CASES[0]).transport.accuracy
    assert (allowed_now.recall, allowed_now.shortfall) != (None, said)
    assert found.counts.probe_searches == 1  # the look for poison


@pytest.mark.slow
def test_the_sample_is_seeded(run: Run) -> None:
    bounds = {
        run(CASES[2].altered(seed=3), 48, False).transport.accuracy.variation_bound
        for _ in range(2)
    }
    assert len(bounds) == 1


def test_a_repair_keeps_what_was_measured_until_a_tenth_is_new(
    graph: EdgeCollection, rows: np.ndarray, tmp_path: Path
) -> None:
    queries = near_queries(rows, 30)
    settings = SelectionSettings.of(
        sizes=(5,), alpha=0.7, cost_scale=8.0, bandwidth=14.0, recall=0.01, accuracy=1.0
    )
    state, first = begin_run(tmp_path / "task.run", graph, queries, settings)
    asked = first.counts.neighbor_searches + first.counts.density_searches
    added = 0
    for step in range(30):
        graph.upsert([COUNT + step], queries[step : step + 1].astype(np.float32))
        done = reselect(state, collection=graph)
        added += done.run["searches"]
        now = done.selection.transport.accuracy
        if now.searches_since == 0 and done.run["searches"]:
            break
        assert replace(now, searches_since=0) == first.transport.accuracy
        assert now.searches_since == added
        assert done.selection.counts.probe_searches == 0
    assert 0.5 * 0.1 * asked <= added <= 2.0 * 0.1 * asked
    graph.delete(range(COUNT, COUNT + 30))


def test_without_scans_nothing_is_measured(graph: EdgeCollection, rows: np.ndarray) -> None:
    settings = SelectionSettings.of(sizes=(1,), alpha=0.7, cost_scale=8.0, bandwidth=0.0)
    found = select(graph, near_queries(rows, 12), settings.altered(scans=False))
    said = (
        "whether p is within 0.02 of the exact one is not known: --no-scans rules scans out; leave "
        "it out to have it measured"
    )
    assert found.transport.accuracy == replace(UNKNOWN, asked=0.02, shortfall=said)
    assert select(graph, near_queries(rows, 12), settings).transport.accuracy.shortfall == ""
    assert found.counts.probe_searches == 1  # the preflight
    assert found.ef == 256
    with pytest.raises(SettingsError, match="exact searches are scans"):
        settings.altered(scans=False, exact=True)
