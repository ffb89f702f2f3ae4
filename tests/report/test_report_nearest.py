"""Figures of every strategy's report against brute force: distances, coverage, the order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from marked import marks
from oracles import Array
from plain_strategies import PLAIN
from pool_oracle import clustered_rows, edge_pool, near_queries
from scipy.spatial.distance import cdist

from tsds_qdrant import Keeping, Quota, Run, SelectionSettings, TaskExamples, new_run
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.report.distances import histogram
from tsds_qdrant.report.figures import ReportFigures, figures_of
from tsds_qdrant.report.nearest import NearestFigures
from tsds_qdrant.strategies.catalog import strategy_class

POOL, QUERIES, SIZE = 500, 25, 40
SOURCES = ("wiki", "news", "code")
METRICS = {name: strategy_class(name).card.metrics for name in PLAIN}
ABLE = [name for name in PLAIN if "Euclid" in (METRICS[name] or ("Euclid",))]
"""Strategies that take the metric of this pool."""
SIMPLER = [name for name in ABLE if name != "tsds"]


class Made(NamedTuple):
    run: Run
    figures: ReportFigures
    distances: Array
    """(queries, pool)"""

    @property
    def ids(self) -> list[int]:
        return [int(point_id) for point_id in self.run.selection.selected_ids]

    @property
    def near(self) -> NearestFigures:
        assert self.figures.transport is None
        assert self.figures.nearest is not None
        return self.figures.nearest

    def id_of(self, candidate: int) -> int:
        return int(self.run.selection.ids[candidate])


def source_of(number: int) -> str:
    return SOURCES[number % 3]


def made(collection: Collection, rows: Array, strategy: str, **settings: Any) -> Made:
    queries = near_queries(rows, QUERIES)
    texts = [f"text of example {k}" for k in range(QUERIES)]
    if strategy == "window":
        settings["width"] = 0.2
    run = new_run(
        collection,
        TaskExamples(queries.astype(np.float32), texts, np.ones(QUERIES)),
        SelectionSettings.of(strategy, **{"sizes": (10, SIZE), **settings}),
        keeping=Keeping(query_facts={"texts": texts}),
    )
    figures = figures_of(collection, run, manifest={}, by="source")
    return Made(run, figures, cdist(queries, rows))


@pytest.fixture(scope="module")
def rows() -> Array:
    drawn = clustered_rows(POOL, 6, 20)
    drawn[50:60] = drawn[40:50]  # exact copies
    return drawn


@pytest.fixture(scope="module")
def pool(rows: Array) -> Iterator[Collection]:
    payloads = [{"text": f"text {k}", "source": source_of(k), **marks(k)} for k in range(POOL)]
    with edge_pool(rows, payloads=payloads) as collection:
        yield collection


@pytest.mark.parametrize("strategy", ABLE)
def test_distances_and_shares_are_those_of_brute_force(
    strategy: str, pool: Collection, rows: Array
) -> None:
    one = made(pool, rows, strategy)
    figures, ids, nearest = one.figures, one.ids, one.distances.min(axis=0)
    assert [one.id_of(row) for row in figures.chosen.rows] == ids
    assert len(ids) == SIZE
    assert figures.pool.whole
    assert figures.distances.measured == SIZE
    assert figures.distances.pool_median == pytest.approx(np.median(nearest), abs=1e-3)
    assert figures.distances.selected_median == pytest.approx(
        np.sort(nearest[ids])[(SIZE - 1) // 2], abs=1e-3
    )
    assert figures.example_texts[3] == "text of example 3"
    assert len(figures.map.selected.labels) == SIZE
    assert (figures.transport is None) == (strategy != "tsds") == (figures.nearest is not None)
    shares = figures.shares
    assert shares is not None
    assert shares.counted
    p = one.run.selection.preference.probabilities
    assert (p is None) == (not strategy_class(strategy).has_chances)
    for row in shares.rows:
        mine = [number for number in range(POOL) if source_of(number) == row.value]
        assert row.pool == pytest.approx(len(mine) / POOL)
        assert row.selected == pytest.approx(sum(source_of(k) == row.value for k in ids) / SIZE)
        if p is None:
            assert row.probability is None
        else:
            numbers = [k for k in range(len(p)) if one.id_of(k) in mine]
            assert row.probability == pytest.approx(p[numbers].sum())
        assert strategy != "random" or row.probability == pytest.approx(row.pool)


@pytest.mark.parametrize("strategy", SIMPLER)
def test_coverage_is_how_near_the_selection_comes(
    strategy: str, pool: Collection, rows: Array
) -> None:
    one = made(pool, rows, strategy)
    near, ids, distances = one.near, one.ids, one.distances
    reach = distances[:, ids].min(axis=1)
    assert near.stored == SIZE
    assert near.distance == pytest.approx(reach, abs=1e-3)
    assert near.in_pool == pytest.approx(distances.min(axis=1), abs=1e-3)
    assert near.outdone == np.count_nonzero(reach > distances.min(axis=1) + 1e-4)
    nearest_example = distances[:, ids].argmin(axis=0)
    assert near.counts.tolist() == np.bincount(nearest_example, minlength=QUERIES).tolist()
    assert (np.diff(near.distance[near.worst_first]) <= 0).all()
    assert list(near.worst) == near.worst_first[:20].tolist()
    for example, found in near.worst.items():
        truth = np.sort(distances[example, ids])[:3]
        assert [one.distance for one in found] == pytest.approx(truth, abs=1e-3)
        assert {one.id_of(each.candidate) for each in found} <= {*ids}
    places = np.linspace(0, QUERIES - 1, 20).round().astype(int)
    assert list(near.served) == near.worst_first[places].tolist()
    for example, found in near.served.items():
        mine = [k for k, query in zip(ids, nearest_example, strict=True) if query == example]
        truth = np.sort(distances[example, mine])[:5]
        assert [one.distance for one in found] == pytest.approx(truth, abs=1e-3)
        assert {one.id_of(each.candidate) for each in found} <= {*mine}
        assert all(one.figures.texts[each.candidate].startswith("text ") for each in found)
    # What layers or plans have looked at goes on behind the sample.
    assert (near.passed is None) == (strategy not in ("tarot", "uot"))


@pytest.mark.parametrize("strategy", SIMPLER)
def test_what_bounds_kept_out_comes_next_in_the_order(
    strategy: str, pool: Collection, rows: Array
) -> None:
    """Quotas take from the plain order: what they pass over is its candidates of a full source."""
    quotas = (Quota("source", 0.1, "wiki"),)
    one = made(pool, rows, strategy, sizes=(SIZE,), quotas=quotas)
    passed, ids = one.near.passed, one.ids
    assert passed is not None
    plain = made(pool, rows, strategy, sizes=(SIZE + passed.before + passed.behind,)).ids
    left = [point_id for point_id in plain if point_id not in ids]
    last = max(map(plain.index, ids))
    before = [point_id for point_id in left if plain.index(point_id) < last]
    assert len(before) == passed.before > 0
    assert len(left) - len(before) == passed.behind
    assert {source_of(point_id) for point_id in before} == {"wiki"}
    assert [one.id_of(each.candidate) for each in passed.kept_out] == before[:10]
    behind = left[len(before) :][:10]
    assert [one.id_of(each.candidate) for each in passed.following] == behind
    for each in (*passed.kept_out, *passed.following):
        point_id = one.id_of(each.candidate)
        assert each.place == plain.index(point_id)
        assert each.example == one.distances[:, point_id].argmin()
        assert each.distance == pytest.approx(one.distances[:, point_id].min(), abs=1e-3)
        assert one.figures.texts[each.candidate] == f"text {point_id}"


@pytest.mark.parametrize("strategy", SIMPLER)
def test_what_left_is_not_counted(strategy: str, rows: Array) -> None:
    payloads = [{"text": f"text {k}", "source": source_of(k), **marks(k)} for k in range(POOL)]
    with edge_pool(rows, payloads=payloads) as collection:
        one = made(collection, rows, strategy)
        collection.delete(one.ids[:10])
        figures = figures_of(collection, one.run, manifest={})
        collection.delete(one.ids)
        nothing = figures_of(collection, one.run, manifest={})
    left = one.ids[10:]
    assert figures.nearest is not None
    assert figures.nearest.stored == SIZE - 10
    reach = one.distances[:, left].min(axis=1)
    assert figures.nearest.distance == pytest.approx(reach, abs=1e-3)
    assert len(figures.map.selected.labels) == SIZE - 10
    assert nothing.nearest is not None
    assert nothing.nearest.stored == 0
    assert not nothing.nearest.worst


def test_a_large_pool_is_sampled() -> None:
    rows = clustered_rows(4_100, 4, 20)
    with edge_pool(rows, payloads=[{"source": "all"}] * len(rows)) as collection:
        one = made(collection, rows, "random")
    assert not one.figures.pool.whole
    sampled = [int(record.id) for record in one.figures.pool.records]
    assert len(sampled) == 2_000
    assert one.near.in_pool == pytest.approx(one.distances[:, sampled].min(axis=1), abs=1e-3)


def test_unknown_distances_are_left_out_of_the_histogram() -> None:
    nan = float("nan")
    pool, weights = np.array([1.0, 2.0, 3.0]), np.array([1.0, 5.0, 2.0])
    some = histogram(pool, np.array([2.0, nan, 4.0]), weights)
    assert (some.measured, some.selected_median) == (2, 4.0)
    assert some.selected.sum() == pytest.approx(1)
    assert some.edges[-1] == 4.0
    none = histogram(pool, np.full(3, nan), weights)
    assert (none.measured, none.selected_median, none.selected.sum()) == (0, None, 0.0)
