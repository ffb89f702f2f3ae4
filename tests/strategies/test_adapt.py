"""Scorers by entropy, turns of clusters and strata, and pruning for good, against plain counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_oracle import LimitedCollection, edge_pool
from profiles import examples

from tsds_qdrant import SelectionSettings, begin_run, reopen, reselect, select
from tsds_qdrant.collections.ids import point_keys
from tsds_qdrant.collections.limits import Limits
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import InputError, RequestRejectedError, SettingsError
from tsds_qdrant.strategies.adapt.ledger import least_redundant, redundancy
from tsds_qdrant.strategies.adapt.strata import (
    OUTSIDE,
    Drawing,
    clusters_of,
    drawn,
    entropy,
    strata_of,
    water_filled,
)

FOUR = np.array([0.0, 0, 0, 0, 1, 1, 2, 3])


def test_four_levels_have_the_worked_entropy() -> None:
    assert entropy(FOUR) == pytest.approx(1.75)
    for a, b in ((10.0, 0.0), (0.1, 5.0), (1e6, -3.0), (-2.0, 1.0)):
        assert entropy(a * FOUR + b) == pytest.approx(1.75)


def test_the_unit_of_a_score_does_not_matter() -> None:
    """In the published code the score with the smallest unit wins."""
    scores = np.random.default_rng(0).normal(size=2_000)
    found = [entropy(scores * unit) for unit in (0.1, 1.0, 10.0)]
    assert found == pytest.approx([found[0]] * 3, abs=1e-9)
    assert 4.0 < found[0] < np.log2(49)


@pytest.mark.parametrize("flat", [[], [3.0], [0.1] * 7, [1e9] * 30])
def test_equal_scores_say_nothing(flat: list[float]) -> None:
    assert entropy(np.array(flat)) == 0.0


def test_outliers_are_counted() -> None:
    assert entropy(np.array([0.0] * 99 + [1e6])) == pytest.approx(
        -(0.99 * np.log2(0.99) + 0.01 * np.log2(0.01))
    )


@pytest.mark.parametrize(
    ("sizes", "budget", "parts"),
    [
        ([3, 10, 100], 30, [3, 10, 17]),
        ([3, 10, 100], 31, [3, 10, 18]),
        ([3, 10, 100], 113, [3, 10, 100]),
        ([3, 10, 100], 500, [3, 10, 100]),
        ([5, 5, 5], 7, [3, 2, 2]),
        ([100, 1, 100], 10, [5, 1, 4]),
        ([4], 0, [0]),
    ],
)
def test_small_clusters_give_all_and_leave_the_rest(
    sizes: list[int], budget: int, parts: list[int]
) -> None:
    assert water_filled(np.array(sizes), budget).tolist() == parts


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(0, 150))
def test_water_is_filled_as_one_by_one(sizes: list[int], budget: int) -> None:
    given_out = [0] * len(sizes)
    for _ in range(min(budget, sum(sizes))):
        open_ = [k for k, size in enumerate(sizes) if given_out[k] < size]
        given_out[min(open_, key=lambda k: (given_out[k], k))] += 1
    assert water_filled(np.array(sizes), budget).tolist() == given_out


def test_strata_are_the_worked_ones() -> None:
    scores = np.arange(20.0)
    strata = strata_of(scores, 4)
    ends = [(14.5, 19), (10, 14.5), (5.5, 10), (1, 5.5)]
    for number, (low, high) in enumerate(ends):
        inside = scores[strata == number]
        assert inside.min() >= low
        assert inside.max() <= high
    assert scores[strata == OUTSIDE].tolist() == [0.0]
    assert Counter(strata[order_of(scores, strata=4)[:8]].tolist()) == dict.fromkeys(range(4), 2)


def order_of(scores: Any, labels: Any = None, **more: Any) -> Any:
    """Places in the order in which they are drawn."""
    labels = ["a"] * len(scores) if labels is None else labels
    rows = np.asarray(scores, dtype=np.float64)
    columns = rows[:, None] if rows.ndim == 1 else rows
    return drawn(clusters_of(labels, columns, point_keys(range(len(rows))), Drawing(**more)))[0]


def test_many_equal_scores_at_an_end_are_no_loss() -> None:
    """Fifteen zeros and 1 to 5: the published strata give 5 of a budget of 8."""
    scores = np.array([0.0] * 15 + [1.0, 2, 3, 4, 5])
    order = order_of(scores, strata=4)
    assert sorted(order.tolist()) == list(range(20))
    assert set(scores[order[:4]].tolist()) >= {0.0}
    assert OUTSIDE not in strata_of(scores, 4)


def test_a_small_part_is_spread_over_the_whole_range() -> None:
    """From the highest stratum to the lowest, 8 of 50 strata would be the highest 8."""
    scores = np.linspace(0, 1, 500)
    for size in (4, 8, 16):
        taken = np.sort(scores[order_of(scores)[:size]])
        assert np.diff(taken).max() < 2.2 / size
        assert taken[0] < 1.2 / size + 0.05
        assert taken[-1] > 0.9


def test_what_has_no_score_comes_last_in_its_cluster() -> None:
    scores = np.array([1.0, np.nan, 3.0, np.nan, 5.0, 6.0])
    assert set(order_of(scores)[:4].tolist()) == {0, 2, 4, 5}
    assert sorted(order_of(np.full(4, np.nan)).tolist()) == [0, 1, 2, 3]


@given(seed=st.integers(0, 2**32), spread=st.booleans())
def test_every_beginning_of_the_order_is_water_filled(seed: int, spread: bool) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 60))
    labels = rng.choice(["a", "b", "c", "d"], p=[0.6, 0.2, 0.1, 0.1], size=count)
    scores = rng.normal(size=(count, 2))
    keys = point_keys(rng.permutation(1000)[:count].tolist())
    clusters = clusters_of(labels, scores, keys, Drawing(4, by_spread=spread, seed=seed))
    order, chances = drawn(clusters)
    assert sorted(order.tolist()) == list(range(count))
    assert chances.sum() == pytest.approx(1)
    names, sizes = np.unique(labels, return_counts=True)
    if not spread:
        for size in range(1, count + 1):
            given_out = Counter(labels[order[:size]].tolist())
            assert [given_out[name] for name in names] == water_filled(sizes, size).tolist()
    shuffled = rng.permutation(count)
    other, _ = drawn(
        clusters_of(
            labels[shuffled],
            scores[shuffled],
            keys[shuffled],
            Drawing(4, seed=seed, by_spread=spread),
        )
    )
    assert shuffled[other].tolist() == order.tolist()


def test_chance_is_even_within_a_stratum() -> None:
    scores = np.repeat([0.0, 1.0], [30, 10])
    firsts = Counter(int(order_of(scores, strata=2, cut=0.0, seed=seed)[1]) for seed in range(600))
    assert set(firsts) <= set(range(30))
    assert max(firsts.values()) < 60
    assert len(firsts) == 30


def test_spread_gives_turns_by_how_much_a_cluster_varies() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(["narrow", "wide"], 200)
    scores = np.concatenate([rng.normal(size=200), 3 * rng.normal(size=200)])
    taken = Counter(labels[order_of(scores, labels, by_spread=True)[:80]].tolist())
    ratio = scores[200:].std() / scores[:200].std()
    assert taken["wide"] / taken["narrow"] == pytest.approx(ratio, rel=0.1)


def made(rng: np.random.Generator, count: int = 240) -> tuple[Any, list[dict[str, Any]]]:
    """Three clusters, in each of which another score varies; the others have few values."""
    kinds = rng.integers(0, 3, count)
    rows = rng.normal(size=(count, 8)) + 4 * np.eye(8)[kinds]
    names = ("loss", "entropy", "el2n")
    payloads = []
    for kind in kinds.tolist():
        scores = {name: float(rng.integers(2)) for name in names}
        scores[names[kind]] = float(rng.normal())
        payloads.append(
            {"_tsds_made": {"hidden": {"fp": "h", **scores}, "clusters": {"cluster": kind}}}
        )
    return rows.astype(np.float32), payloads


def test_each_cluster_goes_by_the_score_that_varies_in_it() -> None:
    rows, payloads = made(np.random.default_rng(0))
    with edge_pool(rows, "Cosine", payloads=payloads) as pool:
        found = select(pool, rows[:2], SelectionSettings.of("adapt", sizes=(60,)))
    facts = found.evidence.facts()["adapt"]
    assert [one["cluster"] for one in facts["clusters"]] == ["0", "1", "2"]
    assert [one["scorer"].rpartition(".")[2] for one in facts["clusters"]] == [
        *("loss", "entropy", "el2n"),
    ]
    assert [one["budget"] for one in facts["clusters"]] == [20, 20, 20]
    kinds = [payloads[one]["_tsds_made"]["clusters"]["cluster"] for one in found.selected_ids]
    assert Counter(kinds) == {0: 20, 1: 20, 2: 20}
    loss = [
        payloads[one]["_tsds_made"]["hidden"]["loss"]
        for one, kind in zip(found.selected_ids, kinds, strict=True)
        if kind == 0
    ]
    assert max(loss) - min(loss) > 2.5
    assert "3 clusters (1 by '_tsds_made.hidden.loss'" in found.evidence.in_words()[0]


def test_the_latter_of_two_equal_points_goes_first() -> None:
    rows = np.array([[1, 0], [0, 1], [1, 0], [1, 0.1], [-1, -1]], dtype=np.float32)
    expected = [0, 0, 1, 1 / np.sqrt(1.01), 0]
    assert redundancy(rows) == pytest.approx(np.array(expected), abs=1e-6)
    stays, goes = least_redundant(rows, 3)
    assert (stays.tolist(), goes.tolist()) == ([0, 1, 4], [2, 3])
    copies = np.ones((4, 2), dtype=np.float32)
    assert least_redundant(copies, 1)[1].tolist() == [3, 2, 1]


@given(st.integers(0, 2**32))
def test_redundancy_is_that_of_the_whole_matrix(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(int(rng.integers(1, 40)), 3)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    lower = np.tril(unit @ unit.T, -1)
    assert redundancy(rows) == pytest.approx(np.maximum(lower.max(axis=1), 0), abs=2e-6)


def test_pruning_keeps_a_pool_that_every_cluster_shares() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(120, 6)).astype(np.float32)
    labels = ["a"] * 80 + ["b"] * 30 + ["c"] * 10
    payloads = [{"c": name, "s": float(rng.normal())} for name in labels]
    asked = SelectionSettings.of(
        "adapt", sizes=(20, 60), clusters="c", scores=("s",), prune=60, seed=3
    )
    with edge_pool(rows, "Cosine", payloads=payloads) as pool:
        found = select(pool, rows[:1], asked)
        assert not any("tsds" in one.payload for one in pool.retrieve(range(120)))
    gone = set(found.evidence.dropped())
    for name, first, last, share in (("a", 0, 80, 25), ("b", 80, 110, 25), ("c", 110, 120, 10)):
        unit = rows[first:last] / np.linalg.norm(rows[first:last], axis=1, keepdims=True)
        like = np.round(np.maximum(np.tril(unit @ unit.T, -1).max(axis=1), 0), 6)
        stays = first + np.lexsort((np.arange(last - first), like))[:share]
        assert set(range(first, last)) - gone == set(stays.tolist()), name
    assert set(found.selected_ids) == set(range(120)) - gone


SETTINGS: dict[str, Any] = {"sizes": (5, 12), "clusters": "c", "scores": ("s", "t")}


@pytest.mark.slow
@settings(max_examples=examples(30), deadline=None)
@given(seed=st.integers(0, 2**32), calm=st.booleans())
def test_replaying_the_ledger_gives_the_same(seed: int, calm: bool) -> None:
    """Arrivals by chance; if not ``calm``, points leave, change and return, pruned ones too."""
    rng = np.random.default_rng(seed)
    asked = SelectionSettings.of("adapt", **SETTINGS, prune=int(rng.integers(14, 30)), seed=seed)
    task, history = rng.normal(size=(2, 4)).astype(np.float32), [arrival(rng, [], 30)]
    pruned: list[dict[Any, Any]] = []
    with edge_pool(*rows_of(history[0]), **points_of(history[0])) as pool, at() as path:
        state, found = begin_run(path, pool, task, asked)
        for _ in range(4):
            before = found.evidence.dropped()
            assert len(pool_of(pool)) - len(before.keys() & pool_of(pool)) <= asked.strategy.prune
            there = [] if calm else sorted(pool_of(pool))
            step = arrival(rng, there, int(rng.integers(0, 12)))
            history.append(step)
            write(pool, step)
            found = reselect(state, collection=pool).selection
            after = found.evidence.dropped()
            assert list(after)[: len(before)] == list(before)
            assert {k: after[k] for k in before} == before
            assert not set(found.selected_ids) & after.keys()
        pruned.append(dict(after))
        again = reopen(state, pool)
        assert again.selection.selected_ids == found.selected_ids
        told = [again.known.index.ids(one.pruned) for one in again.known.ledger]
        if calm:  # all that came is still stored as it was
            assert again.known.replayed() == told
    # The same arrivals in another collection.
    with edge_pool(*rows_of(history[0]), **points_of(history[0])) as pool, at() as path:
        state, other = begin_run(path, pool, task, asked)
        for step in history[1:]:
            write(pool, step)
            other = reselect(state, collection=pool).selection
    assert dict(other.evidence.dropped()) == pruned[0]
    assert list(other.sample_rows(12)) == list(found.sample_rows(12))


def at() -> Any:
    """A path of a run in a directory that goes away."""
    from contextlib import contextmanager
    from tempfile import TemporaryDirectory

    @contextmanager
    def made_() -> Any:
        with TemporaryDirectory() as directory:
            yield Path(directory) / "task.run"

    return made_()


def arrival(rng: np.random.Generator, there: list[int], count: int) -> dict[str, Any]:
    """New points, of ids that chance does not give twice; some that are there leave or change."""
    old = rng.permutation(there)[: int(rng.integers(0, 3))].tolist() if there else []
    gone = [one for one in old if rng.random() < 0.5]
    ids = [*rng.integers(0, 10**12, count).tolist(), *(set(old) - set(gone))]
    ids = list(dict.fromkeys(ids))
    rows = rng.normal(size=(len(ids), 4)).astype(np.float32)
    if len(rows) > 3:
        rows[1] = rows[2] = rows[0]
    payloads = [
        {"c": str(rng.choice(["a", "b"])), "s": float(rng.normal()), "t": float(rng.integers(3))}
        for _ in ids
    ]
    return {"ids": ids, "rows": rows, "payloads": payloads, "gone": gone}


def rows_of(step: dict[str, Any]) -> tuple[Any, Any]:
    return step["rows"], "Cosine"


def points_of(step: dict[str, Any]) -> dict[str, Any]:
    return {"ids": step["ids"], "payloads": [{**one, "_tsds_seq": 1} for one in step["payloads"]]}


def pool_of(pool: Collection) -> set[int]:
    return {one for page in pool.scroll_ids() for one in page}  # type: ignore[misc]


def write(pool: Collection, step: dict[str, Any]) -> None:
    """As ``ingest`` does."""
    number = int(pool.info().metadata.get("sequence", 1)) + 1
    pool.delete(step["gone"])
    if step["ids"]:
        payloads = [{**one, "_tsds_seq": number} for one in step["payloads"]]
        pool.upsert(step["ids"], step["rows"], payloads)
    pool.update_metadata({"sequence": number, "settled": number})


def test_a_step_that_cannot_be_replayed_says_which_point_is_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    first = arrival(rng, [], 30)
    asked = SelectionSettings.of("adapt", **SETTINGS, prune=15)
    with edge_pool(*rows_of(first), **points_of(first)) as pool:
        state, found = begin_run(tmp_path / "a.run", pool, first["rows"][:1], asked)
        run = reopen(state, pool)
        assert run.known.replayed() == [list(found.evidence.dropped())]
        victim = found.selected_ids[0]
        pool.delete([victim])
        with pytest.raises(InputError, match=f"point {victim} has left collection 'pool'"):
            run.known.replayed()


def test_what_may_not_be_written_to_is_not_pruned() -> None:
    rows = np.eye(4, dtype=np.float32)
    asked = SelectionSettings.of("adapt", sizes=(2,), clusters="c", scores=("s",))
    with edge_pool(rows, payloads=[{"c": "a", "s": 1.0}] * 4) as pool:
        read_only = LimitedCollection(pool, Limits(writes=False))
        assert len(select(read_only, rows[:1], asked).selected_ids) == 2
        with pytest.raises(RequestRejectedError, match=r"only read.*or leave --prune out"):
            select(read_only, rows[:1], asked.altered(prune=2))


def test_candidates_without_a_cluster_are_one() -> None:
    rng = np.random.default_rng(6)
    rows = rng.normal(size=(40, 4)).astype(np.float32)
    payloads = [{"s": float(k), **({"c": k % 2} if k < 20 else {})} for k in range(40)]
    with edge_pool(rows, payloads=payloads) as pool:
        asked = SelectionSettings.of("adapt", sizes=(9,), clusters="c", scores=("s",))
        found = select(pool, rows[:1], asked)
    parts = found.evidence.facts()["adapt"]["clusters"]
    assert [(one["cluster"], one["candidates"], one["budget"]) for one in parts] == [
        *(("", 20, 3), ("0", 10, 3), ("1", 10, 3)),
    ]
    assert "20 candidates have no cluster and count as one" in found.evidence.in_words()


def test_fields_that_nobody_has_are_refused_with_a_way_on() -> None:
    rows = np.eye(4, dtype=np.float32)
    payloads = [{"c": "a", "s": 1.0}] * 4
    with edge_pool(rows, payloads=payloads) as pool:
        for flags, told in (
            ({}, r"in '_tsds_made.clusters.cluster'; .* or make it: .* clusters --of NAME"),
            ({"clusters": "d"}, r"a cluster in 'd'; name another field with --clusters \(.*c, s"),
            ({"clusters": "c"}, r"a number in '_tsds_made.hidden.loss' or .*represent hidden"),
            ({"clusters": "c", "scores": ("c", "x")}, r"in 'c' or 'x'; name .* with --score"),
        ):
            with pytest.raises(InputError, match=told):
                select(pool, rows[:1], SelectionSettings.of("adapt", sizes=(2,), **flags))
    for flags in (
        *({"prune": 0}, {"strata": 0}, {"cut": 0.5}, {"budgets": "fair"}),
        {"scores": ("s", "s")},
    ):
        with pytest.raises(SettingsError, match=next(iter(flags)).rstrip("s")):
            SelectionSettings.of("adapt", sizes=(2,), **flags)
