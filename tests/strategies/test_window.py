"""Windows of an order by difficulty, against the worked numbers and plain refits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from hypothesis import given
from hypothesis import strategies as st
from pool_oracle import edge_pool

from tsds_qdrant import (
    SelectionSettings,
    begin_run,
    create_collection,
    explain,
    reopen,
    reselect,
    select,
)
from tsds_qdrant.errors import InputError, SettingsError, SupportError
from tsds_qdrant.runs.run import Run
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.strategies.window.order import Ordered
from tsds_qdrant.strategies.window.ridge import (
    accuracy,
    parts,
    ridge,
    solved,
    window_fits,
    window_starts,
    with_constant,
)

X = np.array([[-2.0], [-1.0], [0.5], [2.0]])
CLASSES = np.array([0, 0, 1, 1])
EVEN = np.full(4, 0.25)


@pytest.mark.parametrize(
    ("window", "columns", "right"),
    [
        ([0, 3], [(0.3333, -0.2222), (0.3333, 0.2222)], 1.0),
        ([1, 2], [(0.2692, -0.3846), (0.3846, 0.3077)], 1.0),
        ([0, 1], [(0.3333, -0.3333), (0.0, 0.0)], 0.75),
    ],
)
def test_the_worked_numbers(
    window: list[int], columns: list[tuple[float, float]], right: float
) -> None:
    wanted = np.eye(2)[CLASSES]
    (fit,) = window_fits(X, wanted, [np.array(window)])
    assert pytest.approx(np.array(columns), abs=5e-5) == fit.T
    # A score of 0 against a tie of zeros is won by the first class, as arg max has it.
    assert accuracy(X, EVEN, CLASSES, fit) == pytest.approx(right)


@pytest.mark.parametrize(("rows", "columns"), [(4, 9), (9, 4), (6, 6), (30, 8)])
def test_both_systems_of_equations_give_the_same(rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows)
    features, wanted = rng.normal(size=(rows, columns)), rng.normal(size=(rows, 3))
    primal = solved(features.T @ features, features.T @ wanted, 1.0)
    dual = features.T @ solved(features @ features.T, wanted, 1.0)
    assert primal == pytest.approx(dual, abs=1e-10)
    assert ridge(features, wanted) == pytest.approx(primal, abs=1e-10)


def refit(rows: Any, wanted: Any, penalty: float) -> Any:
    """The same by least squares over rows that the penalty adds."""
    features = with_constant(rows)
    size = features.shape[1]
    stacked = np.vstack([features, np.sqrt(penalty) * np.eye(size)])
    targets = np.vstack([wanted, np.zeros((size, wanted.shape[1]))])
    return np.linalg.lstsq(stacked, targets, rcond=None)[0]


@given(seed=st.integers(0, 2**32), by_class=st.booleans())
def test_sums_that_windows_share_give_what_a_refit_of_each_gives(seed: int, by_class: bool) -> None:
    rng = np.random.default_rng(seed)
    count, dimension = int(rng.integers(3, 80)), int(rng.integers(1, 6))
    rows = rng.normal(size=(count, dimension)).astype(np.float32)
    labels = rng.choice(["a", "b", "c"], size=count)
    keys = np.zeros((count, 3), dtype=np.uint64)
    keys[:, 2] = np.arange(count)
    ordered = Ordered.of(np.arange(count), rng.integers(0, 9, count) / 2.0, labels, keys)
    wanted = np.eye(len(ordered.names))[ordered.classes] if by_class else None
    width, penalty = int(rng.integers(1, count + 1)), float(rng.choice([0.5, 1.0, 3.0]))
    windows = [ordered.window(start, width) for start in ordered.starts(width, 0.05)]
    assert all(len(window) == width for window in windows)
    fits = list(window_fits(rows, wanted, windows, penalty))
    assert len(fits) == len(windows)
    for window, fit in zip(windows, fits, strict=True):
        y = rows[window].astype(np.float64) if wanted is None else wanted[window]
        assert fit == pytest.approx(refit(rows[window], y, penalty), abs=1e-8)


@pytest.mark.parametrize(
    ("ratio", "count"),
    [
        *((0.01, 20), (0.05, 20), (0.1, 19), (0.2, 17), (0.3, 15), (0.4, 13)),
        *((0.5, 11), (0.75, 6), (0.9, 3), (1.0, 1)),
    ],
)
def test_there_are_as_many_windows_as_published(ratio: float, count: int) -> None:
    starts = window_starts(ratio)
    assert len(starts) == count
    assert starts[0] == 0
    assert starts[-1] + ratio <= 1 + 1e-9


def test_a_window_takes_its_part_of_each_class() -> None:
    assert parts(10, np.array([50, 30, 20])).tolist() == [5, 3, 2]
    assert parts(3, np.array([1, 1, 1, 1])).tolist() == [1, 1, 1, 0]
    assert parts(4, np.array([1, 9])).tolist() == [0, 4]
    assert parts(10, np.array([4, 6])).tolist() == [4, 6]


def bands(count: int = 300, seed: int = 0) -> tuple[Any, Any, list[dict[str, Any]]]:
    """Three kinds of candidates, hard, middling and easy, and a task of the middling kind."""
    rng = np.random.default_rng(seed)
    centres = np.eye(3, 12) * 3
    kinds = np.repeat([0, 1, 2], count // 3)
    inner = [rng.normal(size=(3, 12)) * (np.arange(12) // 4 == kind) for kind in range(3)]
    rows = centres[kinds] + np.stack([rng.normal(size=3) @ inner[kind] for kind in kinds])
    payloads = [
        {"hard": float(10 - 3 * kind + rng.uniform(0, 2.5)), "kind": f"k{kind}"}
        for kind in kinds.tolist()
    ]
    task = centres[1] + rng.normal(size=(20, 3)) @ inner[1]
    order = rng.permutation(count)
    return rows[order].astype(np.float32), task.astype(np.float32), [payloads[k] for k in order]


@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
def test_the_window_that_teaches_the_task_is_found(metric: Any) -> None:
    rows, task, payloads = bands()
    with edge_pool(rows, metric, payloads=payloads) as pool:
        found = select(pool, task, SelectionSettings.of("window", sizes=(60,), difficulty="hard"))
    assert {payloads[one]["kind"] for one in found.selected_ids} == {"k1"}
    facts = found.evidence.facts()["window"]
    assert len(facts["curve"]) == 17
    best = max(facts["curve"], key=lambda pair: pair[1])
    assert facts["start"] == best[0]
    assert 1 / 3 - 0.02 <= facts["start"] <= facts["end"] <= 2 / 3 + 0.02
    order = sorted(range(300), key=lambda k: -payloads[k]["hard"])
    first = round(facts["start"] * 300)
    assert set(found.selected_ids) == set(order[first : first + 60])
    shown = found.evidence.in_words()[0]
    assert "the best of 17 windows" in shown
    (drawn,) = found.evidence.curves()
    (line,), (best,) = drawn.lines.values(), drawn.chosen.values()
    assert [list(point) for point in line] == facts["curve"]
    assert best == max(line, key=lambda point: point[1])
    assert best[0] == facts["start"]


def test_the_curve_is_what_refits_say() -> None:
    rows, task, payloads = bands(150, 3)
    with edge_pool(rows, "Euclid", payloads=payloads) as pool:
        asked = SelectionSettings.of("window", sizes=(45,), difficulty="hard")
        curve = select(pool, task, asked).evidence.facts()["window"]["curve"]
    order = sorted(range(150), key=lambda k: -payloads[k]["hard"])
    for start, score in curve:
        window = order[int(start * 150 + 1e-6) :][:45]
        fit = refit(rows[window], rows[window].astype(np.float64), 1.0)
        lost = np.square(task - with_constant(task) @ fit).sum()
        assert score == pytest.approx(1 - lost / np.square(task).sum(), abs=1e-6)


def test_hard_ones_with_wrong_labels_are_passed_over() -> None:
    """By classes: the hardest have the labels of others, and the task is like the rest."""
    rng = np.random.default_rng(5)
    kinds = rng.integers(0, 2, 400)
    rows = (np.array([[2.0, 0, 0], [0, 2.0, 0]])[kinds] + rng.normal(size=(400, 3)) * 0.3).astype(
        np.float32
    )
    hard = rng.random(400)
    wrong = hard > 0.75
    payloads = [
        {"hard": float(h), "kind": f"k{kind ^ int(w)}"}
        for h, kind, w in zip(hard, kinds.tolist(), wrong, strict=True)
    ]
    task = rows[~wrong][:30] + 0.05
    asked = SelectionSettings.of("window", sizes=(80,), difficulty="hard", classes="kind")
    with edge_pool(rows, payloads=payloads) as pool:
        found = select(pool, task, asked)
    facts = found.evidence.facts()["window"]
    assert facts["judged_by"] == "accuracy on the task"
    assert dict(map(tuple, facts["curve"]))[facts["start"]] == 1.0
    assert min(score for _, score in facts["curve"]) < 0.5
    assert not wrong[found.selected_ids].mean() > 0.5
    drawn = [payloads[one]["kind"] for one in found.selected_ids]
    share = sum(one["kind"] == "k0" for one in payloads) / 400
    assert drawn.count("k0") == pytest.approx(80 * share, abs=1)


def test_equal_difficulties_are_cut_by_ids() -> None:
    rows, task, _ = bands(60)
    ids = list(range(1000, 1060))[::-1]
    with edge_pool(rows, ids=ids, payloads=[{"hard": 1}] * 60) as pool:
        asked = SelectionSettings.of("window", sizes=(12,), difficulty="hard")
        found = select(pool, task, asked)
    start = round(found.evidence.facts()["window"]["start"] * 60)
    assert sorted(found.selected_ids) == sorted(ids)[start : start + 12]


def test_a_window_as_wide_as_the_pool_is_the_pool() -> None:
    rows, task, payloads = bands(30)
    with edge_pool(rows, payloads=payloads) as pool:
        found = select(pool, task, SelectionSettings.of("window", sizes=(30,), difficulty="hard"))
    facts = found.evidence.facts()["window"]
    assert (facts["start"], facts["end"], facts["curve"]) == (0.0, 1.0, [])
    assert found.evidence.curves() == ()
    assert sorted(found.selected_ids) == list(range(30))


def test_a_width_of_its_own_serves_all_sizes() -> None:
    rows, task, payloads = bands()
    with edge_pool(rows, payloads=payloads) as pool:
        asked = SelectionSettings.of("window", sizes=(10, 90), difficulty="hard", width=0.2)
        found = select(pool, task, asked)
        small = select(pool, task, asked.altered(sizes=(10,)))
    assert small.selected_ids == found.selected_ids[:10]
    order = sorted(range(300), key=lambda k: -payloads[k]["hard"])
    first = round(found.evidence.facts()["window"]["start"] * 300)
    assert set(found.selected_ids[:60]) == set(order[first : first + 60])


@pytest.mark.parametrize("odd", [None, "3", True, float("inf"), [1, 2], {"a": 1}])
def test_candidates_without_a_number_are_left_out_and_counted(odd: Any) -> None:
    rows, task, payloads = bands(30)
    if odd == float("inf"):
        odd = "inf"
    payloads[4]["hard"] = payloads[9]["hard"] = odd
    del payloads[11]["hard"]
    asked = SelectionSettings.of("window", sizes=(27,), difficulty="hard")
    with edge_pool(rows, payloads=payloads) as pool:
        found = select(pool, task, asked)
        assert not {4, 9, 11} & set(found.selected_ids)
        assert found.evidence.facts()["window"]["unranked"] == 3
        assert "3 candidates have no number in 'hard'" in found.evidence.in_words()[-1]
        with pytest.raises(SupportError, match="only 27 have a number in 'hard'; ask for at most"):
            select(pool, task, asked.altered(sizes=(28,)))


def test_a_field_that_nobody_has_is_refused_with_a_way_on() -> None:
    rows, task, payloads = bands(30)
    with edge_pool(rows, payloads=payloads) as pool:
        for flags, told in (
            ({}, r"'_tsds_made.hidden.loss'; .*, or make it: tsds-qdrant represent hidden"),
            ({"difficulty": "harf"}, r"'harf'; name another field with --difficulty .*hard, kind"),
            ({"difficulty": "hard", "classes": "no"}, r"'no'; name another field with --classes"),
        ):
            with pytest.raises(InputError, match=told):
                select(pool, task, SelectionSettings.of("window", sizes=(2,), **flags))
    for flags in ({"width": 0.0}, {"width": 1.5}, {"step": 0.0}, {"penalty": 0.0}):
        with pytest.raises(SettingsError, match=str(next(iter(flags.values())))):
            SelectionSettings.of("window", sizes=(2,), **flags)


def test_scores_of_represent_are_read_where_they_lie() -> None:
    rows, task, payloads = bands(90)
    made = [
        {"text": "t", "_tsds_made": {"hidden": {"fp": "x", "loss": one["hard"]}}}
        for one in payloads
    ]
    with edge_pool(rows, payloads=made) as pool:
        found = select(pool, task, SelectionSettings.of("window", sizes=(20,)))
    with edge_pool(rows, payloads=payloads) as pool:
        plain = select(pool, task, SelectionSettings.of("window", sizes=(20,), difficulty="hard"))
    assert found.selected_ids == plain.selected_ids


def test_a_run_moves_its_window_and_says_so(tmp_path: Path) -> None:
    rows, task, payloads = bands()
    asked = SelectionSettings.of("window", sizes=(60,), difficulty="hard")
    with edge_pool(rows, payloads=payloads) as pool:
        state, first = begin_run(tmp_path / "task.run", pool, task, asked)
        middle = [k for k in range(300) if payloads[k]["kind"] == "k1"]
        pool.delete(middle[:80])
        pool.upsert(
            range(1000, 1080),
            rows[middle[:80]],
            [{"hard": 20.0 + k, "kind": "moved"} for k in range(80)],
        )
        done = reselect(state, collection=pool)
        scratch = select(pool, task, asked)
    assert isinstance(first, Selection)
    assert done.selection.selected_ids == scratch.selected_ids
    assert done.selection.evidence.figures() == {"window_start": 0.0}
    assert first.evidence.figures() != {"window_start": 0.0}


def test_explain_says_where_a_point_stands(tmp_path: Path) -> None:
    rows, task, payloads = bands(60)
    del payloads[7]["hard"]
    asked = SelectionSettings.of("window", sizes=(12,), difficulty="hard")
    with edge_pool(rows, payloads=payloads) as pool:
        state, found = begin_run(tmp_path / "task.run", pool, task, asked)
        again: Run = reopen(state, pool)
        points = {one.id: one for one in explain(again, range(60)).points}
    assert points[7].verdict == "no difficulty"
    order = sorted((k for k in range(60) if k != 7), key=lambda k: -payloads[k]["hard"])
    for place, number in enumerate(order):
        plain = points[number].reasons.plain()
        assert plain["difficulty"] == pytest.approx(payloads[number]["hard"])
        assert plain["place"] == pytest.approx(place / 59)
    for rank, number in enumerate(found.selected_ids):
        assert (points[number].verdict, points[number].rank) == ("drawn", rank)


def test_its_flags_select_and_its_curve_is_in_the_manifest(tmp_path: Path) -> None:
    rows, task, payloads = bands(90)
    collection = create_collection(str(tmp_path / "store"), "pool", dimension=12)
    collection.upsert(range(90), rows, payloads)
    collection.close()
    np.save(tmp_path / "Q.npy", task)
    asked = ("select", "--qdrant", tmp_path / "store", "--collection", "pool", "--queries")
    asked = (*asked, tmp_path / "Q.npy", "--size", 20, "--strategy", "window")
    said = run(*asked, "--difficulty", "hard", "--out", tmp_path / "a.jsonl").output
    assert "by 'hard', the largest first" in said
    manifest = json.loads((tmp_path / "a.jsonl.manifest.json").read_text())
    assert manifest["settings"]["strategy"]["difficulty"] == "hard"
    assert len(manifest["window"]["curve"]) == 16
    config = ("--config", tmp_path / "a.jsonl.manifest.json")
    run(*asked[:-2], *config, "--out", tmp_path / "b.jsonl")
    assert rows_of(tmp_path / "b.jsonl") == rows_of(tmp_path / "a.jsonl")
    assert "represent hidden" in run(*asked, "--out", tmp_path / "c.jsonl", code=1).output
