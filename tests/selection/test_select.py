"""Select, trace and check as a library user calls them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from conftest import MakeCollection
from oracles import pairwise_distances
from pool_oracle import (
    METRICS,
    brute_force_by_id,
    clustered_rows,
    edge_pool,
    near_queries,
    probabilities_of,
    variation,
)

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import InputError, SettingsError, SupportError
from tsds_qdrant.planning.check import check
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.strategies.tsds.problem import BANDWIDTH_SHARE
from tsds_qdrant.strategies.tsds.strategy import Tsds
from tsds_qdrant.strategies.tsds.trace import trace_path

ROWS = clustered_rows(1_200, 6, 30)
QUERIES = near_queries(ROWS, 12)
GIVEN = SelectionSettings.of(sizes=(40,), alpha=0.4, cost_scale=1.0, bandwidth=0.8)
RED = {"must": [{"key": "colour", "match": {"value": "red"}}]}


@pytest.fixture(scope="module")
def pool() -> Iterator[EdgeCollection]:
    colours = [{"colour": "red" if number % 4 == 0 else "blue"} for number in range(len(ROWS))]
    with edge_pool(ROWS, payloads=colours) as collection:
        yield collection


@pytest.mark.parametrize("size", [10, 100, 500])
def test_alpha_follows_from_the_size(pool: EdgeCollection, size: int) -> None:
    found = select(pool, QUERIES, SelectionSettings.of(sizes=(size,)))
    assert found.transport.solution.effective_size >= size * (1 - 1e-9)
    assert found.transport.solution.converged
    assert len(found.selected_ids) == len(set(found.selected_ids)) == size
    typical = np.median(np.sort(pairwise_distances(QUERIES, ROWS, "Euclid"))[:, 31])
    assert found.transport.cost_scale == pytest.approx(typical, rel=1e-6)
    assert found.transport.bandwidth == pytest.approx(BANDWIDTH_SHARE * typical, rel=1e-6)
    again = select(pool, QUERIES, SelectionSettings.of(sizes=(size,), alpha=found.transport.alpha))
    assert variation(probabilities_of(found), probabilities_of(again)) <= 1e-12


def test_the_derived_scales_follow_the_unit(pool: EdgeCollection) -> None:
    settings = SelectionSettings.of(sizes=(60,))
    small = select(pool, QUERIES, settings)
    with edge_pool(10 * ROWS) as collection:
        large = select(collection, 10 * QUERIES, settings)
    assert large.transport.cost_scale == pytest.approx(10 * small.transport.cost_scale, rel=1e-5)
    assert large.transport.bandwidth == pytest.approx(10 * small.transport.bandwidth, rel=1e-5)
    assert large.transport.alpha == pytest.approx(small.transport.alpha, rel=1e-4)
    assert variation(probabilities_of(small), probabilities_of(large)) <= 1e-5
    assert large.selected_ids == small.selected_ids


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_every_backend_selects_the_same(make_collection: MakeCollection, metric: Metric) -> None:
    ids = [*range(7, 600), *(f"00000000-0000-4000-8000-{number:012x}" for number in range(7))]
    rows, settings = ROWS[:600], GIVEN.altered(alpha=0.2, exact=True)
    found = select(make_collection(6, metric, vectors=rows, ids=ids), QUERIES, settings)
    with edge_pool(rows, metric, ids=ids) as collection:
        embedded = select(collection, QUERIES, settings)
    wanted = brute_force_by_id(rows, QUERIES, 0.2, 1.0, 0.8, metric, ids=ids)
    assert found.selected_ids == embedded.selected_ids
    assert variation(probabilities_of(found), wanted) <= 1e-6


def test_sizes_are_nested(pool: EdgeCollection) -> None:
    found = select(pool, QUERIES, SelectionSettings.of(sizes=(80, 20, 50)))
    assert sorted(found.samples) == [20, 50, 80]
    for size, sample in found.samples.items():
        assert [row["id"] for row in found.sample_rows(size)] == found.selected_ids[:size]
        assert (sample.weights == 1).all()


def test_ratio(pool: EdgeCollection) -> None:
    assert list(select(pool, QUERIES, SelectionSettings.of(ratio=0.05)).samples) == [60]
    filtered = select(pool, QUERIES, SelectionSettings.of(ratio=0.05, where=RED))
    assert (list(filtered.samples), filtered.candidates) == ([15], 300)


@pytest.mark.parametrize("support", [50, 300])
def test_support(pool: EdgeCollection, support: int) -> None:
    found = select(pool, QUERIES, SelectionSettings.of(sizes=(20,), support=support))
    assert support <= found.transport.solution.support <= support + 2 * len(QUERIES)


def test_seeds_and_samplers(pool: EdgeCollection) -> None:
    first, again, other = (
        select(pool, QUERIES, GIVEN.altered(seed=seed, sampler="stable")).selected_ids
        for seed in (1, 1, 2)
    )
    assert first == again
    assert set(first) != set(other)
    top = select(pool, QUERIES, GIVEN.altered(sampler="top"))
    p = probabilities_of(top)
    assert min(p[i] for i in top.selected_ids) >= sorted(p.values(), reverse=True)[39]
    drawn = select(pool, QUERIES, GIVEN.altered(sampler="multinomial", sizes=(5_000,)))
    rows = list(drawn.sample_rows(5_000))
    assert sum(row["weight"] for row in rows) == 5_000
    assert max(abs(row["weight"] / 5_000 - p[row["id"]]) for row in rows) < 0.02


@pytest.mark.parametrize("settings", [GIVEN, SelectionSettings.of(sizes=(30,))])
def test_a_filter_is_a_smaller_collection(
    pool: EdgeCollection, settings: SelectionSettings
) -> None:
    found = select(pool, QUERIES, settings.altered(where=RED))
    red = list(range(0, len(ROWS), 4))
    with edge_pool(ROWS[red], ids=red) as collection:
        alone = select(collection, QUERIES, settings)
    assert found.selected_ids == alone.selected_ids
    assert (found.transport.alpha, found.transport.cost_scale) == (
        alone.transport.alpha,
        alone.transport.cost_scale,
    )
    assert variation(probabilities_of(found), probabilities_of(alone)) <= 1e-12


def test_nearest_query_and_distance(pool: EdgeCollection) -> None:
    found = select(pool, QUERIES, GIVEN)
    distances = pairwise_distances(QUERIES, ROWS, "Euclid")
    rows = [*found.sample_rows(40), *found.probability_rows()]
    assert len(rows) == 40 + found.transport.solution.support
    for row in rows:
        assert row["query"] == int(np.argmin(distances[:, row["id"]]))
        assert row["distance"] == pytest.approx(distances[:, row["id"]].min(), rel=1e-5)
    assert set(found.nearest_query[found.probabilities == 0].tolist()) == {-1}
    p = [row["probability"] for row in rows[40:]]
    assert p == sorted(p, reverse=True)
    assert sum(p) == pytest.approx(1.0)


@pytest.mark.parametrize("bandwidth", [0.0, 0.8])
@pytest.mark.parametrize("size", [100, 400])
def test_a_size_beyond_the_support_names_an_alpha_that_works(
    pool: EdgeCollection, size: int, bandwidth: float
) -> None:
    settings = GIVEN.altered(sizes=(size,), alpha=0.9, bandwidth=bandwidth)
    with pytest.raises(SupportError) as caught:
        select(pool, QUERIES, settings)
    advice = re.search(r"at most (\d+), or set alpha to ([\d.e-]+) or less", str(caught.value))
    assert advice is not None
    most, alpha = int(advice[1]), float(advice[2])
    assert len(select(pool, QUERIES, settings.altered(alpha=alpha)).selected_ids) == size
    assert len(select(pool, QUERIES, settings.altered(sizes=(most,))).selected_ids) == most


def test_tv_takes_what_lies_within_the_radius(pool: EdgeCollection) -> None:
    alpha, cost_scale = 0.5, 0.7
    settings = GIVEN.altered(regularizer="tv", alpha=alpha, cost_scale=cost_scale)
    distances = pairwise_distances(QUERIES, ROWS, "Euclid")
    within = distances <= distances.min(axis=1, keepdims=True) + cost_scale * (1 - alpha) / alpha
    plan = within / len(ROWS)
    plan[np.arange(12), np.argmin(distances, axis=1)] += 1 - plan.sum(axis=1)
    wanted = dict(enumerate((plan.sum(axis=0) / 12).tolist()))
    found = select(pool, QUERIES, settings)
    assert found.transport.solution.converged
    assert 0 < within.mean() < 1
    assert variation(probabilities_of(found), wanted) <= 1e-6


def test_weights_of_query_examples(pool: EdgeCollection) -> None:
    weights = [3, *[1] * 10, 2]
    found = select(pool, QUERIES, GIVEN, query_weights=weights)
    wanted = brute_force_by_id(ROWS, QUERIES, 0.4, 1.0, 0.8, "Euclid", weights=weights)
    assert variation(probabilities_of(found), wanted) <= 1e-6
    plain = select(pool, QUERIES, GIVEN, query_weights=[5.0] * 12)
    assert variation(probabilities_of(plain), probabilities_of(select(pool, QUERIES, GIVEN))) == 0
    one = select(pool, QUERIES[0], GIVEN.altered(sizes=(5,)), query_weights=[7])
    wanted = brute_force_by_id(ROWS, QUERIES[:1], 0.4, 1.0, 0.8, "Euclid")
    assert variation(probabilities_of(one), wanted) <= 1e-6
    with pytest.raises(SettingsError, match="11 query weights for 12 query examples"):
        select(pool, QUERIES, GIVEN, query_weights=weights[:11])
    with pytest.raises(SettingsError, match="query example 0 "):
        select(pool, QUERIES, GIVEN, query_weights=[0, *weights[1:]])


def test_what_does_not_fit(pool: EdgeCollection) -> None:
    broken = QUERIES.copy()
    broken[3, 2] = np.nan
    with pytest.raises(InputError, match="query example 3 holds NaN"):
        select(pool, broken, GIVEN)
    with pytest.raises(InputError, match="12 x 5 do not fit a collection of dimension 6"):
        select(pool, QUERIES[:, :5], GIVEN)
    with pytest.raises(InputError, match="no query example"):
        select(pool, np.empty((0, 6)), GIVEN)
    with pytest.raises(SupportError, match="the pool has 1200"):
        select(pool, QUERIES, SelectionSettings.of(sizes=(1_201,)))
    nothing = {"must": [{"key": "colour", "match": {"value": "green"}}]}
    with pytest.raises(InputError, match="no point matches the filter"):
        select(pool, QUERIES, GIVEN.altered(where=nothing))
    with edge_pool(np.empty((0, 6))) as empty, pytest.raises(InputError, match="holds no point"):
        select(empty, QUERIES, GIVEN)


def test_a_traced_path_is_what_select_gives(pool: EdgeCollection) -> None:
    alphas = (0.9, 0.3, 0.6, 0.001)
    traced = trace_path(pool, QUERIES, Tsds(cost_scale=1.0, bandwidth=0.8), alphas=alphas)
    assert [point.alpha for point in traced.points] == [0.9, 0.3, 0.6]
    assert (traced.pool_alphas, traced.candidates) == ((0.001,), 1_200)
    for point in traced.points:
        solution = select(
            pool, QUERIES, GIVEN.altered(sizes=(1,), alpha=point.alpha)
        ).transport.solution
        assert point.threshold == pytest.approx(solution.threshold, rel=1e-9)
        assert point.support == solution.support
        assert point.effective_size == pytest.approx(solution.effective_size, rel=1e-9)
        assert point.transport_cost == pytest.approx(solution.transport_cost, rel=1e-9)
    whole = select(pool, QUERIES, GIVEN.altered(alpha=0.001)).transport.solution
    assert whole.support == 1_200
    with pytest.raises(SettingsError, match="tv"):
        trace_path(pool, QUERIES, Tsds(alpha=0.5, regularizer="tv"))


def test_check_of_small_and_empty_collections(pool: EdgeCollection) -> None:
    report = check(pool)
    assert (report.problems, report.ef, report.scan_reason) == ((), None, "only 1200 points")
    assert report.as_dict()["ok"]
    assert any("which model" in note for note in report.notes)
    with edge_pool(np.empty((0, 6))) as empty:
        assert "holds no point" in check(empty).problems[0]
    with edge_pool(ROWS[:5], poisoned=range(5)) as broken:
        assert "none of 5 points tried has a usable vector" in check(broken).problems[0]


@pytest.mark.slow
def test_check_of_large_collections() -> None:
    rows = clustered_rows(10_500, 256, 10_500)
    with edge_pool(rows) as collection:
        report = check(collection)
        assert report.scan_reason == "no HNSW graph"
        assert not report.warnings
        collection.optimize()
        report = check(collection, recall=0.5)
        assert (report.problems, report.scan_reason) == ((), "")
        assert report.ef == 128
        assert not any("HNSW" in one for one in (*report.warnings, *report.notes))
    with edge_pool(rows, poisoned=[4321], optimized=True) as collection:
        report = check(collection)
        assert "point 4321 " in report.problems[0]
        assert not report.as_dict()["ok"]


def test_sizes_are_a_sequence() -> None:
    assert SelectionSettings.of(sizes=[5, 3]).wanted.sizes == (5, 3)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"sizes is 50; give a tuple like"):
        SelectionSettings.of(sizes=50)  # type: ignore[arg-type]
