"""TAROT against brute force: layers by whole distance matrices, folds by plain loops."""

from __future__ import annotations

import json
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract_pool import Counted
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import Array, pairwise_distances, transport_program
from pool_oracle import edge_pool
from profiles import examples

from tsds_qdrant import SelectionSettings, explain, new_run, select
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import SettingsError, SupportError
from tsds_qdrant.selection.results import manifest
from tsds_qdrant.solver.entropic import Marginals
from tsds_qdrant.strategies.tarot.evidence import TarotEvidence
from tsds_qdrant.strategies.tarot.exact import exact_plan
from tsds_qdrant.strategies.tarot.folds import folds_of
from tsds_qdrant.strategies.tarot.repeats import repeated

CIRCLE = [2, 12, 40, 183, 270, 100]
TARGETS = [0, 10, 180, 190]


def at(degrees: list[int]) -> Any:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def seed_of(wanted: list[set[int]], queries: int) -> int:
    """A seed that parts the task examples so."""
    for seed in count():
        found = [set(fold.tolist()) for fold in folds_of(queries, len(wanted), seed)]
        if found == wanted:
            return seed
    raise AssertionError


def own(**more: Any) -> SelectionSettings:
    return SelectionSettings.of("tarot", **more)


def evidence_of(selection: Any) -> TarotEvidence:
    assert isinstance(selection.evidence, TarotEvidence)
    return selection.evidence


def unit(rng: np.random.Generator, count: int, dimension: int) -> Array:
    rows = rng.normal(size=(count, dimension))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float64)


def naive_layers(distances: Array) -> list[list[int]]:
    """New members of each layer of ``distances`` (M, N)."""
    order = np.argsort(distances, axis=1, kind="stable")
    seen: set[int] = set()
    layers = []
    for column in order.T.tolist():
        layers.append(sorted({one for one in column if one not in seen}))
        seen |= {*column}
    return layers


def test_folds_of_the_worked_circle() -> None:
    seed = seed_of([{0, 2}, {1, 3}], 4)
    with edge_pool(at(CIRCLE), "Cosine") as pool:
        found = select(pool, at(TARGETS), own(folds=2, fold_seed=seed))
        told = manifest(found, queries={})["transport"]
    chosen = {CIRCLE[int(one)] for one in found.selected_ids}
    assert chosen == {2, 12, 183}
    assert told["ratio"] == 3 / 6
    assert told["distance"] == pytest.approx(0.3736, abs=5e-5)
    assert told["exact"] is True
    curves = [[(s["nearest"], s["size"], s["distance"]) for s in fold["curve"]]
              for fold in told["folds"]]  # fmt: skip
    wanted = [[(1, 2, 0.1308), (2, 4, 0.4277)], [(1, 2, 0.1307), (2, 4, 0.4276)]]
    for mine, theirs in zip(curves, wanted, strict=True):
        assert [step[:2] for step in mine] == [step[:2] for step in theirs]
        assert [s[2] for s in mine] == pytest.approx([s[2] for s in theirs], abs=5e-5)
    assert [fold["chosen"]["nearest"] for fold in told["folds"]] == [1, 1]
    (curve,) = evidence_of(found).curves()
    assert [len(line) for line in curve.lines.values()] == [2, 2]
    assert [x for x, _ in curve.chosen.values()] == [1, 1]


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 2**32))
def test_sizes_are_unions_of_layers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, queries = unit(rng, 40, 3), unit(rng, int(rng.integers(1, 7)), 3)
    layers = naive_layers(pairwise_distances(queries, rows, "Cosine"))
    ends = np.cumsum([len(layer) for layer in layers])
    size = int(rng.integers(1, 41))
    with edge_pool(rows, "Cosine") as pool:
        found = [int(one) for one in select(pool, queries, own(sizes=(size,))).selected_ids]
    full = int(np.searchsorted(ends, size, side="right"))
    inside = [*chain.from_iterable(layers[:full])]
    assert set(found[: len(inside)]) == set(inside)
    rest = found[len(inside) :]
    assert len(found) == size
    assert set(rest) <= set(layers[full] if rest else [])
    for end in ends[:full].tolist():  # layer by layer
        assert set(found[:end]) == set(inside[:end])


@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 2**32))
def test_the_last_layer_is_cut_by_potential_smallest_first(seed: int) -> None:
    """Where the program leaves potentials no freedom, its own say the order."""
    rng = np.random.default_rng(seed)
    queries, rows = unit(rng, 7, 3), unit(rng, 60, 3)
    layer = naive_layers(pairwise_distances(queries, rows, "Cosine"))[0]
    assume(len(layer) in range(2, 7))  # no part of them has the mass of a part of 7
    cost = np.sqrt(np.maximum(0, 2 - 2 * rows[layer] @ queries.T))
    potential = dict(
        zip(layer, exact_plan(Marginals.uniform(cost)).row_potentials.tolist(), strict=True)
    )
    with edge_pool(rows, "Cosine") as pool:
        for size in (1, len(layer) - 1, len(layer)):
            order = [int(one) for one in select(pool, queries, own(sizes=(size,))).selected_ids]
            left = [one for one in layer if one not in order]
            told = [potential[one] for one in (*order, *left)]
            assert max(told[:size]) <= min(told[size:], default=np.inf) + 0.05
            assert (np.diff(told[:size]) > -0.05).all()


def naive_folds(distances: Array, guides: list[Array]) -> tuple[set[int], list[int]]:
    """What folds choose, and their k, by plain loops and programs; over ``distances`` (M, N)."""
    union: set[int] = set()
    chosen = []
    for guide in guides:
        judge = np.setdiff1d(np.arange(len(distances)), guide)
        best, least, last, k = set[int](), np.inf, set[int](), 0
        for nearest in range(1, distances.shape[1] + 1):
            members = set()
            for row in guide.tolist():
                order = np.argsort(distances[row], kind="stable")[:nearest]
                members |= {int(one) for one in order if distances[row, one] < np.sqrt(2) - 1e-6}
            if members == last or not members:
                continue
            last = members
            cost = distances[judge][:, sorted(members)].T
            even = np.full(len(cost), 1 / len(cost)), np.full(len(judge), 1 / len(judge))
            value = transport_program(cost, *even)
            if value >= least - 1e-9:
                break
            best, least, k = members, value, nearest
        union |= best
        chosen.append(k)
    return union, chosen


@pytest.mark.slow
@settings(max_examples=examples(12), deadline=None)
@given(st.integers(0, 2**32))
def test_folds_choose_what_plain_loops_choose(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = unit(rng, int(rng.integers(2, 9)), 3)
    rows = np.concatenate([unit(rng, 20, 3), queries[rng.integers(len(queries), size=12)]])
    rows[20:] += 0.2 * unit(rng, 12, 3)
    folds, shuffle = int(rng.integers(2, len(queries) + 1)), int(rng.integers(100))
    guides = folds_of(len(queries), folds, shuffle)
    distances = pairwise_distances(queries.astype(np.float32), rows.astype(np.float32), "Cosine")
    union, chosen = naive_folds(distances, guides)
    with edge_pool(rows, "Cosine") as pool:
        found = select(pool, queries, own(folds=folds, fold_seed=shuffle))
        assert {int(one) for one in found.selected_ids} == union
        steps = [fold.chosen for fold in evidence_of(found).folds]
        assert [step.nearest if step else 0 for step in steps] == chosen
        cost = distances[:, sorted(union)].T
        even = np.full(len(cost), 1 / len(cost)), np.full(len(queries), 1 / len(queries))
        moved = evidence_of(found).transport
        assert moved is not None
        assert moved.value == pytest.approx(transport_program(cost, *even), abs=1e-5)


def test_each_task_example_is_in_one_fold() -> None:
    for queries, folds in ((2, None), (7, None), (23, None), (23, 4)):
        parts = folds_of(queries, folds, 3)
        assert sorted(np.concatenate(parts).tolist()) == list(range(queries))
        assert len(parts) == (folds or min(10, queries))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    other = [part.tolist() for part in folds_of(23, 4, 4)]
    assert other != [part.tolist() for part in folds_of(23, 4, 3)]


def test_what_cannot_be_judged_is_refused_and_the_advice_helps() -> None:
    with edge_pool(at(CIRCLE), "Cosine") as pool:
        one, three = at([0]), at([0, 10, 180])
        with pytest.raises(
            SettingsError, match="there is 1 task example; give --size, or at least"
        ):
            select(pool, one, own())
        assert len(select(pool, one, own(sizes=(2,))).selected_ids) == 2
        assert select(pool, at([0, 10]), own()).selected_ids
        told = "3 task examples cannot be parted into 5 folds; give at most --folds 3"
        with pytest.raises(SettingsError, match=told):
            select(pool, three, own(folds=5))
        assert select(pool, three, own(folds=3)).selected_ids
    with edge_pool(at([0, 5, 355]), "Cosine") as pool:
        with pytest.raises(
            SupportError, match=r"no candidate has a cosine above 0 .*; give --size"
        ):
            select(pool, at([180, 182]), own())
        assert len(select(pool, at([180, 182]), own(sizes=(2,))).selected_ids) == 2
    for given_settings, told in (
        ({"folds": 1}, "folds is 1"),
        ({"fold_seed": -1}, "fold_seed is -1"),
        ({"repeats": 0.5}, "repeats is 0.5"),
        ({"repeats": float("nan")}, "repeats is nan"),
    ):
        with pytest.raises(SettingsError, match=told):
            own(**given_settings)


def test_rows_repeat_by_what_the_task_sends_them() -> None:
    cost = pairwise_distances(at(TARGETS), at([2, 12, 183]), "Cosine").T
    counts = repeated(cost, np.full(4, 0.25), 4.0)
    assert counts.sum() == 12
    assert counts.min() >= 1
    assert counts[2] == max(counts)  # the only one near two task examples
    assert repeated(cost, np.full(4, 0.25), 1.0).tolist() == [1, 1, 1]
    assert repeated(cost, np.array([0.7, 0.1, 0.1, 0.1]), 4.0).argmax() == 0
    with edge_pool(at(CIRCLE), "Cosine") as pool:
        found = select(pool, at(TARGETS), own(sizes=(3, 5), repeats=2.5))
        rows = list(found.sample_rows(5))
        assert sum(row["weight"] for row in rows) == 12  # round half to even
        assert list(found.sample_rows(3)) == rows[:3]
        once = select(pool, at(TARGETS), own(sizes=(3, 5)))
        assert once.selected_ids == found.selected_ids
        assert {row["weight"] for row in once.sample_rows(5)} == {1}
        with pytest.raises(SettingsError, match="leave these or the repeats out"):
            own(sizes=(2,), repeats=2.0, token_budget=10)


def test_lists_and_vectors_are_fetched_no_farther_than_needed(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows, queries = unit(rng, 3_000, 16), unit(rng, 12, 16)
    with edge_pool(rows, "Cosine") as pool:
        counted = Counted(pool)
        found = select(counted, queries, own(sizes=(60,)))
        assert found.counts.neighbor_searches == 12
        assert len({*counted.read["vectors"]}) < 60 + 12
        counted = Counted(pool)
        found = select(counted, queries, own(folds=4))
        assert found.counts.hits < 12 * 3_000 / 4
        looked = sum(len(fold.tried) for fold in evidence_of(found).folds)
        assert len({*counted.read["vectors"]}) <= looked


@pytest.mark.parametrize("metric", ["Euclid", "Manhattan"])
def test_the_unit_of_distance_makes_no_difference(metric: Metric) -> None:
    rng = np.random.default_rng(2)
    rows, queries = rng.normal(size=(80, 3)), rng.normal(size=(9, 3))
    for more in ({"sizes": (20,)}, {"folds": 3}):
        found = []
        for scale in (2.0**-12, 1.0, 2.0**12):
            with edge_pool(scale * rows, metric) as pool:
                found.append(select(pool, scale * queries, own(**more)).selected_ids)
        assert found[0] == found[1] == found[2]


def test_points_are_explained_by_layer_and_fold() -> None:
    seed = seed_of([{0, 2}, {1, 3}], 4)
    with edge_pool(at(CIRCLE), "Cosine") as pool:
        run = new_run(pool, at(TARGETS), own(folds=2, fold_seed=seed))
        points = {CIRCLE[int(one.id)]: one for one in explain(run, range(6)).points}
        told = {angle: one.reasons.plain() for angle, one in points.items()}
        assert points[183].verdict == "drawn"
        assert told[183]["folds"] == (0, 1)
        assert (told[2]["folds"], told[12]["folds"]) == ((0,), (1,))
        assert points[270].verdict == "not drawn"
        assert told[270]["folds"] == ()
        assert points[40].verdict == "not preferred"
        assert told[40]["query"] == 1
        assert told[40]["distance"] == pytest.approx(2 * np.sin(np.deg2rad(15)), abs=1e-5)
        words = " ".join(points[183].reasons.in_words())
        assert "its 1st nearest candidate" in words
        assert "chosen by fold 0, 1" in words
        fixed = explain(new_run(pool, at(TARGETS), own(sizes=(3,))), range(6)).points
        assert [CIRCLE[int(one.id)] for one in fixed if one.verdict == "drawn"] == [2, 12, 183]
        assert json.dumps([one.as_dict() for one in fixed])
