"""LESS against its formula, worked numbers, and sub-tasks of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import gradient_pool, unit_blocks
from profiles import examples

from tsds_qdrant import SelectionSettings, TaskExamples, select
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.strategies.aims import aims_of, checkpoint_weights
from tsds_qdrant.task.sources import parted_lengths
from tsds_qdrant.task.task import Task

FEW = settings(max_examples=examples(30), deadline=None)


def task_of(rows: Any, groups: Any = (), weights: Any = None) -> TaskExamples:
    count = len(rows)
    weights = np.ones(count) if weights is None else np.asarray(weights, dtype=float)
    return TaskExamples(np.asarray(rows, dtype=np.float32), [""] * count, weights, groups=[*groups])


def formula(rows: Any, task: TaskExamples, blocks: int, shares: Any) -> Any:
    """(N,) max over sub-tasks of the weighted mean of sum_c w_c <a_c, b_c>, written out."""
    a = rows.astype(np.float64).reshape(len(rows), blocks, -1)
    b = task.vectors.astype(np.float64).reshape(len(task.vectors), blocks, -1)
    b /= np.linalg.norm(b, axis=2, keepdims=True)
    each = np.einsum("zcd,vcd,c->zv", a, b, shares)
    groups = np.array(task.groups or [""] * len(b))
    means = [
        np.average(each[:, groups == name], axis=1, weights=task.weights[groups == name])
        for name in dict.fromkeys(groups.tolist())
    ]
    return np.max(means, axis=0)


def cancelled(task: TaskExamples, blocks: int, shares: Any) -> bool:
    """Whether the gradients of a sub-task sum to nothing."""
    b = task.vectors.astype(np.float64).reshape(len(task.vectors), blocks, -1)
    groups = np.array(task.groups or [""] * len(b))
    for name in set(groups.tolist()):
        mine = groups == name
        mean = np.average(b[mine], axis=0, weights=task.weights[mine])
        if np.linalg.norm(shares[:, None] * mean) < 1e-6:
            return True
    return False


def rows_of(found: Any, size: int) -> list[dict[str, Any]]:
    return list(found.sample_rows(size))


def test_the_worked_score() -> None:
    """w = (.75, .25), blocks (1, 0) and (.6, .8): sub-task A gives .55, B .20."""
    z, other = [1, 0, 0.6, 0.8], [0, -1, 0, -1]
    shots = [[1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 1]]
    pool_rows = np.array([z, other], dtype=np.float32)
    for groups, score in (("AABB", 0.55), ("BBBB", 0.375), ("ABBB", 0.9)):
        with gradient_pool(pool_rows, [3e-5, 1e-5]) as pool:
            asked = SelectionSettings.of("less", sizes=(1,))
            (row,) = rows_of(select(pool, task_of(shots, groups), asked), 1)
        assert row["id"] == 0
        assert row["score"] == pytest.approx(score, abs=1e-6), groups
    alone = task_of(shots[2:])
    with gradient_pool(pool_rows, [3e-5, 1e-5]) as pool:
        (row,) = rows_of(select(pool, alone, SelectionSettings.of("less", sizes=(1,))), 1)
    assert row["score"] == pytest.approx(0.20, abs=1e-6)


def test_both_ways_to_one_gradient() -> None:
    """Gradients (10, 0) and (0, 1) against (1, 0): .5 as mean of units, .9950 as unit of mean."""
    raw = np.array([[10, 0], [0, 1]], dtype=np.float32)
    rows, norms = parted_lengths(raw, 1)
    task = TaskExamples(rows, ["", ""], np.ones(2), norms=norms)
    wanted = {"mean_of_unit": 0.5, "unit_of_mean": 10 / np.sqrt(101)}
    with gradient_pool(np.eye(2, dtype=np.float32), [None]) as pool:
        for way, score in wanted.items():
            asked = SelectionSettings.of("less", sizes=(1,), val_agg=way)
            (row,) = rows_of(select(pool, task, asked), 1)
            assert row["score"] == pytest.approx(score, abs=1e-6)
        with pytest.raises(SettingsError, match="needs the lengths of the task's gradients"):
            select(pool, rows, asked)
    with pytest.raises(SettingsError, match="val_agg is 'mean'; choose one of mean_of_unit, unit_"):
        SelectionSettings.of("less", val_agg="mean")


@FEW
@given(seed=st.integers(0, 2**32), grid=st.booleans())
def test_lists_merged_equal_the_formula(seed: int, grid: bool) -> None:
    rng = np.random.default_rng(seed)
    blocks, count = int(rng.integers(1, 4)), int(rng.integers(5, 80))
    drawn = (lambda shape: rng.integers(-1, 2, size=shape) + 0.5) if grid else rng.normal
    draw = (lambda n: drawn((n, blocks * 3))) if grid else (lambda n: drawn(size=(n, blocks * 3)))
    rows = unit_blocks(draw(count), blocks)
    shots = int(rng.integers(1, 9))
    groups = rng.choice(["a", "b", "c"], size=shots) if rng.random() < 0.7 else ()
    task = task_of(unit_blocks(draw(shots), blocks), groups, rng.integers(1, 4, size=shots))
    rates: list[float | None] = rng.uniform(1e-6, 1e-4, size=blocks).tolist()
    shares = np.array(rates) / np.sum(rates)
    if rng.random() < 0.3:
        rates, shares = [None] * blocks, np.ones(blocks) / blocks
    wanted = formula(rows, task, blocks, shares)
    size = int(rng.integers(1, count + 1))
    with gradient_pool(rows, rates) as pool:
        asked = SelectionSettings.of("less", sizes=(size,), near_copies="keep")
        if cancelled(task, blocks, shares):
            with pytest.raises(InputError, match="cancel each other out"):
                select(pool, task, asked)
            return
        found = select(pool, task, asked)
        if not grid:  # equal scores are asked for further down
            assert found.counts.neighbor_searches == len(set(task.groups) or {""})
        assert found.scan_reason
    chosen = [row["id"] for row in rows_of(found, size)]
    assert len(set(chosen)) == size
    scores = [row["score"] for row in rows_of(found, size)]
    assert scores == pytest.approx(wanted[chosen], abs=2e-6)
    assert scores == pytest.approx(np.sort(wanted)[::-1][:size], abs=2e-6)
    assert scores == sorted(scores, reverse=True)
    for one, other in zip(rows_of(found, size), rows_of(found, size)[1:], strict=False):
        assert one["score"] > other["score"] or one["id"] < other["id"]


def test_weights_of_checkpoints_and_dropped_ones() -> None:
    rows = unit_blocks([[1, 0, 0, 1], [0, 1, 1, 0]], 2)
    task = task_of(unit_blocks([[1, 0, 1, 0]], 2))
    best = {}
    with gradient_pool(rows, [1e-5, 3e-5]) as pool:
        for given_ in ((), (1.0, 0.0), (0.0, 2.0)):
            asked = SelectionSettings.of("less", sizes=(1,), checkpoint_weights=given_)
            (row,) = rows_of(select(pool, task, asked), 1)
            best[given_] = row["id"], round(row["score"], 6)
        assert best == {(): (1, 0.75), (1.0, 0.0): (0, 1.0), (0.0, 2.0): (1, 1.0)}
        for bad in ((1.0,), (0.5, 0.2, 0.3)):
            asked = SelectionSettings.of("less", sizes=(1,), checkpoint_weights=bad)
            with pytest.raises(SettingsError, match="have 2 checkpoints; give a weight of 0 or mo"):
                select(pool, task, asked)
    for bad in ((1.0, -1.0), (np.nan, 1.0), (np.inf,)):
        with pytest.raises(SettingsError, match="; give a weight of 0 or more for each"):
            SelectionSettings.of("less", checkpoint_weights=bad)
    with pytest.raises(SettingsError, match="all checkpoint weights are 0"):
        SelectionSettings.of("less", checkpoint_weights=(0.0, 0.0))
    with gradient_pool(rows, [1e-5, None]) as pool:
        assert checkpoint_weights(pool.info()).tolist() == [0.5, 0.5]


def test_gradients_that_cancel_are_refused() -> None:
    task = task_of([[1, 0], [-1, 0], [0, 1]], ["x", "x", "y"])
    with gradient_pool(np.eye(2, dtype=np.float32), [None]) as pool:
        with pytest.raises(InputError, match="gradients of sub-task 'x' cancel each other out"):
            select(pool, task, SelectionSettings.of("less", sizes=(1,)))
        with pytest.raises(SettingsError, match="2 sub-tasks are named for 3 task examples"):
            select(
                pool, task_of(task.vectors, ["x", "y"]), SelectionSettings.of("less", sizes=(1,))
            )


def test_lists_are_shallow_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.strategies.influence.MOST_ENTRIES", 400)
    rng = np.random.default_rng(3)
    rows, shots = unit_blocks(rng.normal(size=(900, 6)), 2), unit_blocks(rng.normal(size=(9, 6)), 2)
    task = task_of(shots, [f"s{k}" for k in range(9)])
    with gradient_pool(rows, [1.0, 1.0]) as pool:
        found = select(pool, task, SelectionSettings.of("less", sizes=(300,), near_copies="keep"))
        assert found.counts.neighbor_searches > 9
        assert found.counts.hits < 9 * 300
    wanted = formula(rows, task, 2, np.array([0.5, 0.5]))
    assert sorted(found.selected_ids) == sorted(np.argsort(-wanted)[:300].tolist())


def test_queries_have_unit_length_and_their_scale() -> None:
    task = Task(np.array([[0.6, 0.8, 1, 0]], dtype=np.float32), np.ones(1))
    aims = aims_of(task, np.array([0.75, 0.25]), "mean_of_unit", "less")
    assert np.linalg.norm(aims.rows) == pytest.approx(1)
    assert aims.rows[0] * aims.scales[0] / np.sqrt(2) == pytest.approx([0.45, 0.6, 0.25, 0])
