"""Near copies in rankings against a naive walk, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_oracle import edge_pool
from profiles import examples

from tsds_qdrant import Quota, SelectionSettings, begin_run, explain, reopen, select
from tsds_qdrant.cli.explained import lines_of
from tsds_qdrant.cli.summary import summary
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.runs.begin import new_run
from tsds_qdrant.selection import copies
from tsds_qdrant.selection.results import manifest

FEW = settings(max_examples=examples(30), deadline=None)


def crowded(rng: np.random.Generator, count: int) -> Any:
    """Points in tight crowds, some of them exact copies."""
    centres = rng.normal(size=(max(2, count // 5), 4))
    rows = centres[rng.integers(len(centres), size=count)]
    rows = rows + rng.choice([0.0, 0.02, 0.1], size=count)[:, None] * rng.normal(size=rows.shape)
    return rows.astype(np.float32)


def naive(order: list[int], rows: Any, radius: float, metric: Metric) -> list[int]:
    """Those of ``order`` that are near to none taken before, and behind them all others."""
    rows = rows.astype(np.float64)
    if metric in ("Cosine", "Dot"):
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    taken: list[int] = []
    passed: list[int] = []
    for one in order:
        far = np.linalg.norm(rows[taken] - rows[one], axis=1) if taken else np.array([np.inf])
        if metric == "Manhattan" and taken:
            far = np.abs(rows[taken] - rows[one]).sum(axis=1)
        (passed if far.min() <= radius else taken).append(one)
    return taken + passed


@FEW
@given(
    seed=st.integers(0, 2**32),
    metric=st.sampled_from(["Cosine", "Dot", "Euclid", "Manhattan"]),
    given_radius=st.sampled_from([None, 0.05, 0.3]),
)
def test_the_walk_equals_a_naive_one(seed: int, metric: Metric, given_radius: float | None) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(10, 120))
    rows = crowded(rng, count)
    if metric == "Dot":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    query = rows[:1]
    sizes = tuple(sorted({int(rng.integers(1, count + 1)) for _ in range(2)}))
    with pytest.MonkeyPatch.context() as patch, edge_pool(rows, metric) as pool:
        patch.setattr(copies, "BLOCK", int(rng.choice([3, 16, 1_024])))
        asked: dict[str, Any] = {"sizes": sizes, "copy_radius": given_radius}
        found = select(pool, query, SelectionSettings.of("similarity-max", **asked))
        kept = select(
            pool, query, SelectionSettings.of("similarity-max", sizes=(count,), near_copies="keep")
        )
    radius = given_radius if given_radius is not None else 0.1 if metric in ("Cosine", "Dot") else 0
    wanted = naive(kept.selected_ids, rows, radius, metric)
    assert found.selected_ids == wanted[: max(sizes)]
    for size in sizes:
        assert [row["id"] for row in found.sample_rows(size)] == wanted[:size]
    facts = manifest(found, queries={})["near_copies"]
    assert facts["radius"] == radius
    assert manifest(kept, queries={})["near_copies"] is None
    drawn = set(found.selected_ids)
    apart = wanted[: len(naive_apart(wanted, kept.selected_ids, rows, radius, metric))]
    assert facts["drawn"] == len(drawn - set(apart))
    last = max(kept.selected_ids.index(one) for one in drawn & set(apart))
    before = kept.selected_ids[:last]
    assert facts["passed_over"] == len(set(before) - set(apart) - drawn)


def naive_apart(
    wanted: list[int], order: list[int], rows: Any, radius: float, metric: Metric
) -> list[int]:
    """Those that are near to none taken before: of a walk they rise in the order."""
    place = {one: k for k, one in enumerate(order)}
    for k in range(1, len(wanted)):
        if place[wanted[k]] < place[wanted[k - 1]]:
            return wanted[:k]
    del rows, radius, metric
    return wanted


def test_a_run_keeps_what_was_passed_over(tmp_path: Path) -> None:
    rows = np.array([[1, 0], [1, 0.01], [1, 0.02], [0.7, 0.7], [0, 1], [-1, 0]], dtype=np.float32)
    asked = SelectionSettings.of("similarity-max", sizes=(3,))
    with edge_pool(rows, "Cosine") as pool:
        state, first = begin_run(tmp_path / "run", pool, rows[:1], asked)
        assert first.selected_ids == [0, 3, 4]
        told = "passed over 2 near copies, within 0.1 of one taken before (--near-copies keep takes"
        assert told in summary(first)
        run = new_run(pool, rows[:1], asked)
        explained = explain(run, [0, 1, 5])
        assert [point.verdict for point in explained.points] == [
            "drawn",
            "near copy",
            "not preferred",
        ]
        assert "1: not selected, it is a near copy of a candidate that is preferred" in [
            *lines_of(explained)
        ]
        # Another vector would decide otherwise now; the run is what it was.
        pool.upsert([1], np.array([[0.5, 0.9]], dtype=np.float32))
        pool.delete([0])
        assert reopen(state, pool).selection.selected_ids == [0, 3, 4]
        everything = select(pool, rows[:1], SelectionSettings.of("similarity-max", sizes=(5,)))
        assert everything.selected_ids == [2, 3, 1, 4, 5]


def test_they_are_drawn_where_there_are_no_others() -> None:
    rows = np.array([[1, 0], [1, 0.01], [0, 1]], dtype=np.float32)
    with edge_pool(rows, "Cosine") as pool:
        found = select(pool, rows[:1], SelectionSettings.of("similarity-max", sizes=(3,)))
    assert found.selected_ids == [0, 2, 1]
    assert "passed over 0 near copies, within 0.1 of one taken before; 1 were drawn" in summary(
        found
    )


def test_bounds_walk_what_is_left() -> None:
    rng = np.random.default_rng(5)
    rows = crowded(rng, 80)
    payloads = [{"source": f"s{k % 2}"} for k in range(80)]
    with edge_pool(rows, "Cosine", payloads=payloads) as pool:
        kept = select(
            pool, rows[:1], SelectionSettings.of("similarity-max", sizes=(80,), near_copies="keep")
        )
        asked = SelectionSettings.of("similarity-max", sizes=(12,), quotas=(Quota("source", 0.5),))
        found = select(pool, rows[:1], asked)
    order = naive(kept.selected_ids, rows, 0.1, "Cosine")
    wanted: list[int] = []
    for one in order:
        same = [k for k in wanted if k % 2 == one % 2]
        if len(wanted) < 12 and len(same) < 6:
            wanted.append(one)
    assert found.selected_ids == wanted


def test_only_rankings_pass_over() -> None:
    rows = crowded(np.random.default_rng(0), 40)
    with edge_pool(rows, "Cosine") as pool:
        for strategy in ("tsds", "round-robin", "random"):
            found = select(pool, rows[:2], SelectionSettings.of(strategy, sizes=(5,)))
            assert found.near_copies is None
        asked = SelectionSettings.of("round-robin", sizes=(5,), near_copies="skip")
        assert select(pool, rows[:2], asked).near_copies is not None
    with pytest.raises(SettingsError, match="'tsds' draws by chance and ranks nothing, so near"):
        SelectionSettings.of("tsds", near_copies="skip")
    with pytest.raises(SettingsError, match="near_copies is 'drop'; choose skip or keep"):
        SelectionSettings.of("less", near_copies="drop")
    with pytest.raises(SettingsError, match="copy_radius is -1; choose 0 or more"):
        SelectionSettings.of("less", copy_radius=-1.0)


def test_runs_of_before_keep_copies() -> None:
    stored = SelectionSettings.of("similarity-max", sizes=(3,)).stored()
    del stored["bounds"]["near_copies"], stored["bounds"]["copy_radius"]
    assert not SelectionSettings.restored(stored).skips_copies
    assert SelectionSettings.of("similarity-max", sizes=(3,)).skips_copies


def test_where_a_strategy_chooses_how_many_others_take_their_places() -> None:
    rng = np.random.default_rng(1)
    rows = np.repeat(rng.normal(size=(40, 3)), 3, axis=0)
    rows = (rows + 0.01 * rng.normal(size=rows.shape)).astype(np.float32)
    task = rng.normal(size=(40, 3)).astype(np.float32)
    with edge_pool(rows, "Cosine") as pool:
        kept, found = (
            select(
                pool, task, SelectionSettings.of("tarot", folds=2, near_copies=rule)
            ).selected_ids
            for rule in ("keep", "skip")
        )
    assert len(found) == len(kept) > 40
    assert len({one // 3 for one in kept}) < len({one // 3 for one in found[:40]}) == 40
    told = "rows that the strategy 'tarot' lets count several times keep their places"
    with pytest.raises(SettingsError, match=told):
        SelectionSettings.of("tarot", sizes=(5,), repeats=2.0, near_copies="skip")
