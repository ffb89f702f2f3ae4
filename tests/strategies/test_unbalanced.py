"""Unbalanced transport as a ranking: over whole matrices, and over lists that are cut."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from oracles import pairwise_distances
from pool_oracle import edge_pool

from tsds_qdrant import SelectionSettings, explain, new_run, select
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import DepthError, SettingsError, SupportError
from tsds_qdrant.neighbors import neighborhoods
from tsds_qdrant.selection.results import manifest
from tsds_qdrant.solver.relaxed import Pairs, relaxed_plan

RNG = np.random.default_rng(4)
ROWS = RNG.normal(size=(400, 6)).astype(np.float32)
ROWS[50:60] = ROWS[:10]
QUERIES = (ROWS[::80] + 0.3 * RNG.normal(size=(5, 6))).astype(np.float32)


def uot(**more: Any) -> SelectionSettings:
    return SelectionSettings.of("uot", **{"sizes": (30,), **more})


def vectors_of(similarities: Any) -> tuple[Any, Any]:
    """Two task examples and candidates whose cosines with them are these."""
    queries = np.eye(2, 8)
    rows = np.zeros((similarities.shape[1], 8))
    rows[:, :2] = similarities.T
    left = 1 - np.square(rows).sum(axis=1)
    assert (left >= 0).all()
    rows[np.arange(len(rows)), 2 + np.arange(len(rows))] = np.sqrt(left)
    return rows, queries


def test_worked_numbers_on_a_collection() -> None:
    """Those of the published selector, cosines scaled by half, eps and relax by as much."""
    similarity = np.array([[0.9, 0.8, 0.7, 0.1, 0.0], [0.95, 0.1, 0.2, 0.8, 0.3]])
    rows, queries = vectors_of(similarity / 2)
    with edge_pool(rows, "Cosine") as pool:
        run = new_run(pool, queries, uot(sizes=(5,), epsilon=0.005, relax=5e-5))
        assert run.selection.selected_ids == [0, 1, 3, 2, 4]
        told = {one.id: one.reasons.plain()["log_mass"] for one in explain(run, range(5)).points}
        masses = [round(float(np.exp(told[k])), 4) for k in range(5)]
        assert masses == [0.9961, 0.0035, 0.0, 0.0003, 0.0]
        even = new_run(pool, queries, uot(sizes=(5,), epsilon=0.005, relax=5e3))
        found = explain(even, range(5)).points
        assert [round(float(np.exp(one.reasons.plain()["log_mass"])), 4) for one in found] == [
            0.2
        ] * 5


def test_the_order_is_that_of_the_whole_matrix() -> None:
    cost = np.square(pairwise_distances(QUERIES, ROWS, "Cosine")) / 4
    masses = relaxed_plan(Pairs.dense(cost), np.full(5, 0.2)).log_masses
    with edge_pool(ROWS, "Cosine") as pool:
        found = select(pool, QUERIES, uot(sizes=(10, 400)))
        order = [int(one) for one in found.selected_ids]
        assert (np.diff(masses[order]) < 1e-4).all()
        assert select(pool, QUERIES, uot(sizes=(10,))).selected_ids == order[:10]
        told = manifest(found, queries={})["transport"]
        assert (told["pairs"], told["converged"]) == (2_000, True)
        weights = np.array([1.0, 1, 1, 1, 50])
        heavy = select(pool, QUERIES, uot(sizes=(5,)), query_weights=weights)
        assert (
            pairwise_distances(QUERIES, ROWS, "Cosine").argmin(axis=1)[4] == heavy.selected_ids[0]
        )


def test_short_lists_take_nearly_the_same() -> None:
    """What a depth costs: measured where each task example sends to an eighth of the pool."""
    with edge_pool(ROWS, "Cosine") as pool:
        whole = select(pool, QUERIES, uot())
        cut = select(pool, QUERIES, uot(depth=50))
        again = select(pool, QUERIES, uot(depth=50, sizes=(10, 30)))
        assert cut.counts.hits < whole.counts.hits / 4
        assert len({*cut.selected_ids} & {*whole.selected_ids}) >= 29
        assert again.selected_ids == cut.selected_ids
        with pytest.raises(SupportError, match=r"among the 2 nearest .* raise --depth"):
            select(pool, QUERIES, uot(depth=2))
        with pytest.raises(SupportError, match="401 candidates are wanted but the pool has 400"):
            select(pool, QUERIES, uot(depth=2, sizes=(401,)))
        assert len(select(pool, QUERIES, uot(depth=60)).selected_ids) == 30
        run = new_run(pool, QUERIES, uot(depth=50))
        verdicts = {one.verdict for one in explain(run, range(400)).points}
        assert verdicts == {"drawn", "not drawn", "not preferred"}


@pytest.mark.parametrize("metric", ["Euclid", "Manhattan"])
def test_the_unit_of_distance_makes_no_difference(metric: Metric) -> None:
    found = []
    for scale in (1.0, 1024.0):
        with edge_pool(scale * ROWS, metric) as pool:
            found.append(select(pool, scale * QUERIES, uot(sizes=(50,))).selected_ids)
    assert found[0] == found[1]
    reach = pairwise_distances(QUERIES, ROWS, metric).min(axis=0)
    assert reach[found[0]].mean() < np.median(reach)


def test_what_cannot_be_is_said_with_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with edge_pool(ROWS, "Cosine") as pool:
        monkeypatch.setattr(neighborhoods, "ENTRIES_LIMIT", 1_000)
        told = "needs 400 distances from each of 5 task examples .* give --depth 1000, say"
        with pytest.raises(DepthError, match=told):
            select(pool, QUERIES, uot())
        assert select(pool, QUERIES, uot(depth=60)).selected_ids
        with pytest.raises(DepthError, match=r"needs 300 distances .* lower --depth"):
            select(pool, QUERIES, uot(depth=300))
    for given, told in (
        ({"epsilon": 0.0}, "epsilon is 0; choose"),
        ({"relax": float("inf")}, "relax is inf; choose"),
        ({"depth": 0}, "depth is 0; choose 1 or more"),
    ):
        with pytest.raises(SettingsError, match=re.escape(told)):
            uot(**given)


def test_a_plan_that_has_not_converged_says_so() -> None:
    found = relaxed_plan(Pairs.dense(np.random.default_rng(0).random((4, 9))), np.full(4, 0.25),
                         relax=3.0, sweeps=1)  # fmt: skip
    assert not found.converged
    assert found.sweeps == 1
