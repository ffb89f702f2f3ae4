"""The figures of a report against second ways to get them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import MakeCollection
from oracles import Array
from pool_oracle import OtherCollection, clustered_rows, edge_pool, near_queries
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from tsds_qdrant import Keeping, Run, SelectionSettings, new_run
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.errors import InputError, RequestRejectedError
from tsds_qdrant.pool.members import Members, members
from tsds_qdrant.pool.texts import shortened, text_of
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.report.chosen import Chosen
from tsds_qdrant.report.coverage import coverage_of
from tsds_qdrant.report.figures import ReportFigures, figures_of
from tsds_qdrant.report.groups import groups_of
from tsds_qdrant.report.misses import BEYOND, NOT_DRAWN
from tsds_qdrant.report.pool_sample import draw_pool
from tsds_qdrant.report.projection import project
from tsds_qdrant.report.texts import label
from tsds_qdrant.report.transport import TransportFigures
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.solver.transport import TransportSolution

POOL, QUERIES, SIZE, BANDWIDTH = 600, 25, 30, 1.2
SOURCES = ("wiki", "news", "code")


class Solved(NamedTuple):
    collection: Collection
    rows: Array
    queries: Array
    run: Run
    figures: ReportFigures

    @property
    def selection(self) -> Selection:
        return self.run.selection

    @property
    def solution(self) -> TransportSolution:
        return self.selection.transport.solution

    @property
    def transport(self) -> TransportFigures:
        assert self.figures.transport is not None
        return self.figures.transport


def payload_of(number: int) -> dict[str, Any]:
    payload: dict[str, Any] = {"text": f"text {number}", "tags": ["all", f"t{number % 2}"]}
    if number % 4:
        payload["source"] = SOURCES[number % 3]
    return payload


def solved(collection: Collection, rows: Array, queries: Array, **settings: Any) -> Solved:
    wanted = SelectionSettings.of(**{"sizes": (SIZE,), "bandwidth": BANDWIDTH, **settings})
    texts = [f"example {k}" for k in range(len(queries))]
    run = new_run(collection, queries, wanted, keeping=Keeping(query_facts={"texts": texts}))
    made = figures_of(collection, run, manifest={}, by="source")
    return Solved(collection, rows, queries, run, made)


@pytest.fixture(scope="module")
def pool() -> Iterator[tuple[EdgeCollection, Array, Array]]:
    rows = clustered_rows(POOL, 6, 20)
    rows[50:60] = rows[40:50]  # exact copies
    queries = near_queries(rows, QUERIES)
    with edge_pool(rows, payloads=[payload_of(number) for number in range(POOL)]) as collection:
        yield collection, rows, queries


@pytest.fixture(scope="module")
def one(pool: tuple[EdgeCollection, Array, Array]) -> Solved:
    return solved(*pool)


def p_of(selection: Selection) -> Array:
    """(POOL,) p by id."""
    p = np.zeros(POOL)
    p[selection.ids] = selection.probabilities
    return p


def test_coverage_is_that_of_the_plan(one: Solved) -> None:
    coverage, solution = one.transport.coverage, one.solution
    lists, selected = solution.problem.lists, set(one.selection.selected_ids)
    distances = cdist(one.queries, one.rows)
    for query in range(QUERIES):
        row = slice(*lists.offsets[query : query + 2])
        ids = [one.selection.ids[k] for k in lists.candidates[row]]
        mass = solution.plan[row]
        used = [(i, m) for i, m in zip(ids, mass, strict=True) if m > 0]
        assert coverage.mass[query] == pytest.approx(1 / QUERIES)
        assert coverage.used[query] == len(used)
        assert coverage.selected[query] == sum(i in selected for i, _ in used)
        assert coverage.nearest[query] == pytest.approx(distances[query].min(), abs=1e-3)
        mean = sum(m * distances[query, i] for i, m in used) * QUERIES
        assert coverage.mean[query] == pytest.approx(mean, abs=1e-3)
        reach = max(distances[query, i] for i, _ in used)
        assert coverage.reach[query] == pytest.approx(reach, abs=1e-3)
    assert (np.diff(coverage.mean[coverage.worst_first]) <= 0).all()
    assert list(one.transport.worst) == coverage.worst_first[:20].tolist()
    for query, nearest in one.transport.worst.items():
        order = np.sort(distances[query])[: len(nearest)]
        assert [served.distance for served in nearest] == pytest.approx(order, abs=1e-3)
    for query, served in one.transport.served.items():
        assert len(served) == min(5, coverage.selected[query])
        assert all(found.selected and found.mass > 0 for found in served)


def test_groups_are_the_components_within_the_bandwidth(one: Solved) -> None:
    groups, p = one.transport.groups, p_of(one.selection)
    assert groups is not None
    support = np.flatnonzero(p)
    near = cdist(one.rows, one.rows) <= BANDWIDTH
    _, labels = connected_components(near[np.ix_(support, support)])
    parts = [support[labels == label] for label in range(labels.max() + 1)]
    several = sorted((part for part in parts if len(part) > 1), key=len, reverse=True)
    assert groups.count == len(several) > 3
    assert groups.candidates == sum(map(len, several))
    densities = np.maximum(0, 1 - (cdist(one.rows, one.rows) / BANDWIDTH) ** 2).sum(axis=1)
    undivided = p * densities / (p * densities).sum()
    assert groups.probability == pytest.approx(sum(p[part].sum() for part in several))
    assert groups.undivided == pytest.approx(sum(undivided[part].sum() for part in several), 1e-4)
    by_members = {frozenset(part.tolist()): part for part in several}
    sizes = [len(group.members) for group in groups.rows]
    assert sizes == [len(part) for part in several[:20]]
    selected = set(one.selection.selected_ids)
    for group in groups.rows:
        part = by_members[frozenset(one.selection.ids[k] for k in group.members)]
        assert group.pool == near[part].any(axis=0).sum()
        assert group.density == pytest.approx(densities[part].mean(), 1e-4)
        assert group.probability == pytest.approx(p[part].sum())
        assert group.undivided == pytest.approx(undivided[part].sum(), 1e-4)
        assert group.selected == len(selected & {*part.tolist()})


def test_without_densities_there_are_no_groups(pool: Any) -> None:
    assert solved(*pool, bandwidth=0.0).transport.groups is None
    assert solved(*pool, regularizer="uniform").transport.groups is None


def test_near_misses_say_why(one: Solved) -> None:
    misses, p = one.transport.misses, p_of(one.selection)
    selected, ids = set(one.selection.selected_ids), one.selection.ids
    undrawn = [row for row in misses.rows if row.why == NOT_DRAWN]
    left = sorted((p[i] for i in np.flatnonzero(p) if i not in selected), reverse=True)
    assert misses.not_drawn == len(left) == one.solution.support - SIZE > 0
    assert [row.probability for row in undrawn] == pytest.approx(left[:10])
    distances = cdist(one.queries, one.rows)
    for row in misses.rows:
        assert ids[row.candidate] not in selected
        assert row.distance == pytest.approx(distances[row.example, ids[row.candidate]], abs=1e-3)
        assert (row.probability == 0) == (row.why == BEYOND)
    reach = one.transport.coverage.reach
    margins = (distances - reach[:, None]).min(axis=0)[p == 0]
    beyond = [row.beyond_reach for row in misses.rows if row.why == BEYOND]
    assert beyond == pytest.approx(np.sort(margins)[:10], abs=1e-3)


def test_distances_are_those_to_the_nearest_example(one: Solved) -> None:
    made = one.figures.distances
    nearest = cdist(one.queries, one.rows).min(axis=0)
    mine = nearest[one.selection.selected_ids]
    assert one.figures.pool.whole
    assert made.pool_median == pytest.approx(np.median(nearest), abs=1e-3)
    assert made.selected_median == pytest.approx(np.sort(mine)[(SIZE - 1) // 2], abs=1e-3)
    middles = (made.edges[1:] + made.edges[:-1]) / 2
    width = float(np.diff(made.edges).max())
    for shares, values in ((made.pool, nearest), (made.selected, mine)):
        assert shares.sum() == pytest.approx(1)
        assert shares @ middles == pytest.approx(values.mean(), abs=width)


def test_the_curve_is_the_path(one: Solved) -> None:
    curve, path = one.transport.curve, one.selection.transport.path
    assert curve is not None
    assert path is not None
    assert curve.reached
    assert curve.chosen in curve.points
    assert 20 < len(curve.points) <= 41
    alphas = [point.alpha for point in curve.points]
    assert alphas == sorted(alphas, reverse=True)
    for point in curve.points:
        again = path.at(point.alpha)
        assert again.support == point.support
        assert again.transport_cost == pytest.approx(point.transport_cost)
    assert curve.chosen.support == one.solution.support


@pytest.mark.parametrize("shape", [(300, 12), (5, 30), (1, 4), (3, 1)])
def test_the_map_shows_as_much_variance_as_there_is(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1)
    made = project(rows.astype(np.float32), "Euclid", 0)
    values = np.linalg.eigvalsh(np.cov(rows.T, bias=True).reshape(shape[1], shape[1]))[::-1]
    truth = values[:2].sum() / values.sum() if shape[0] > 1 else 1.0
    assert made.variance == pytest.approx(truth, abs=1e-4)
    assert made.fitted == shape[0]
    assert made.places.shape == (shape[0], 2)
    assert (made.places == project(rows.astype(np.float32), "Euclid", 0).places).all()


def test_shares_are_counted(one: Solved) -> None:
    made, p = one.figures.shares, p_of(one.selection)
    assert made is not None
    assert made.counted
    assert one.figures.pool.whole
    found = {row.value: row for row in made.rows}
    assert set(found) == {*SOURCES, "(no value)"}
    sources = [payload_of(number).get("source", "(no value)") for number in range(POOL)]
    drawn = [sources[i] for i in one.selection.selected_ids]
    for value, row in found.items():
        having = np.array([source == value for source in sources])
        assert row.pool == pytest.approx(having.mean())
        assert row.probability == pytest.approx(p[having].sum())
        assert row.selected == pytest.approx(drawn.count(value) / SIZE)


def by(one: Solved, field: str) -> ReportFigures:
    return figures_of(one.collection, one.run, manifest={}, by=field)


def test_every_item_of_a_list_has_its_share(one: Solved) -> None:
    made = by(one, "tags").shares
    assert made is not None
    shares = {row.value: row.pool for row in made.rows}
    assert shares == {"all": 1.0, "t0": 0.5, "t1": 0.5}


def test_a_field_that_nobody_has_is_refused(one: Solved) -> None:
    with pytest.raises(InputError, match=r"'sorce' \(their fields: source, tags, text\)"):
        by(one, "sorce")


def test_texts_must_be_one_for_each_example(one: Solved) -> None:
    run = replace(one.run, queries={"texts": ["alone"]})
    with pytest.raises(InputError, match=f"1 texts for {QUERIES} task examples"):
        figures_of(one.collection, run, manifest={})


def test_what_is_seen_without_a_sample(pool: Any) -> None:
    made = solved(*pool, sizes=(), alpha=0.5)
    p = made.selection.probabilities
    assert not made.figures.chosen.drawn
    assert made.figures.chosen.shares == pytest.approx(np.sort(p[p > 0])[::-1])
    assert made.transport.misses.not_drawn == 0


def test_draws_with_replacement_weigh(pool: Any) -> None:
    made = solved(*pool, sampler="multinomial", sizes=(500,))
    weights = made.selection.samples[500].weights
    assert weights.max() > 1
    shares = made.figures.shares
    assert shares is not None
    truth = sum(
        weight
        for row, weight in zip(made.selection.sample_rows(500), weights, strict=True)
        if payload_of(row["id"]).get("source") == "wiki"
    )
    found = {row.value: row.selected for row in shares.rows}
    assert found["wiki"] == pytest.approx(truth / 500)


def candidates(collection: Collection, where: Filter | None = None) -> Members:
    return members(collection, collection.info(), where)


def test_the_pool_is_sampled_evenly_and_by_seed(make_collection: MakeCollection) -> None:
    rows = np.random.default_rng(0).normal(size=(800, 4))
    payloads = [{"half": number % 2} for number in range(800)]
    collection = make_collection(vectors=rows, payloads=payloads)
    found = [
        [r.id for r in draw_pool(candidates(collection), k, size=60).records] for k in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) == len(found[0]) == 60
    assert 200 < np.mean([i for ids in found for i in ids if isinstance(i, int)]) < 600
    half: Filter = {"must": [{"key": "half", "match": {"value": 1}}]}
    sample = draw_pool(candidates(collection, half), 0, size=40)
    assert len(sample.records) == 40
    assert {record.payload["half"] for record in sample.records} == {1}
    everything = draw_pool(candidates(collection, half), 0, size=500)
    assert everything.whole
    assert len(everything.records) == 400


class OldCollection(OtherCollection):
    """A collection that, like servers before 1.19, knows no slices."""

    def scroll_ids(self, where: Filter | None = None) -> Iterator[list[PointId]]:
        if "slice" in str(where):
            raise RequestRejectedError("unknown condition")
        return self.collection.scroll_ids(where)


def test_an_old_server_gives_its_first_ids(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.report.pool_sample.FIRST_IDS", 100)
    old = OldCollection(pool[0])
    sample = draw_pool(candidates(old), 0, size=30)
    assert sample.first == 100
    assert len(sample.records) == 30
    assert all(int(record.id) < 100 for record in sample.records)


def test_points_that_are_gone_are_left_out(tmp_path: Path) -> None:
    rows = clustered_rows(POOL, 6, 20)
    queries = near_queries(rows, QUERIES)
    with edge_pool(rows, payloads=[payload_of(number) for number in range(POOL)]) as collection:
        made = solved(collection, rows, queries)
        gone = made.selection.selected_ids[:10]
        collection.delete(gone)
        again = by(made, "source")
    numbers = {made.selection.ids.index(point_id) for point_id in gone}
    assert len(again.map.selected.labels) == SIZE - 10
    assert again.map.selected.total == SIZE
    assert not numbers & again.texts.keys()
    assert again.transport is not None
    assert again.transport.groups is not None


def test_coverage_and_groups_by_hand() -> None:
    rows = [[0.0, 0.0], [0.1, 0.0], [1.0, 0.0], [9.0, 0.0]]
    with edge_pool(rows) as collection:
        settings = SelectionSettings.of(sizes=(1,), alpha=0.5, cost_scale=1.0, bandwidth=0.5)
        run = new_run(collection, [[0.0, 0.0]], settings)
        selection, evidence = run.selection, run.selection.transport
        chosen = Chosen.of(selection)
        coverage = coverage_of(evidence.solution, chosen)
        groups = groups_of(evidence, run.known.neighborhoods, chosen)
    assert evidence.solution.support == 3
    assert coverage.nearest.tolist() == [0.0]
    assert coverage.reach.tolist() == [1.0]
    assert groups is not None
    (pair,) = groups.rows
    assert {selection.ids[k] for k in pair.members} == {0, 1}
    assert pair.density == pytest.approx(1.96)
    assert pair.pool == 2


def test_texts_of_payloads() -> None:
    assert text_of({"a": 1, "text": "x"}, TextTemplate()) == "x"
    assert text_of({"a": 1, "b": " ", "c": "first"}, TextTemplate()) == "first"
    assert text_of({"a": 1, "b": "y"}, TextTemplate(template="{a}: {b}")) == "1: y"
    assert text_of({"a": 1}, TextTemplate(text_field="gone")) == '{"a": 1}'
    assert text_of({}, TextTemplate()) == ""
    long = shortened("word " * 100)
    assert len(long) <= 202
    assert long.endswith("word …")
    assert shortened("a\n\tb\x00c\u202ed") == "a b c d"
    assert label("<b>x</b>\ny\x00z", "p < 1").split("\n") == ["p < 1", "<b>x</b> y z"]
    assert label("", "p < 1") == "p < 1"
