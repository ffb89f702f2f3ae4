"""Every size up to the pool's can be selected; a larger one names the pool's."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from contaminated_pool import TEXT
from contract_pool import upsert_without_vectors
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marked import marks
from oracles import Array
from plain_strategies import NEEDY, PLAIN
from pool_oracle import (
    METRICS,
    UnscannableCollection,
    brute_force_by_id,
    edge_pool,
    probabilities_of,
    random_rows,
    variation,
)
from profiles import examples

from tsds_qdrant import CompareSettings, Quota, SelectionSettings, compare, select
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import SupportError
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.held_out import HeldOut, Reach
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.strategies.tsds.strategy import Tsds
from tsds_qdrant.strategies.tsds.trace import trace_path
from tsds_qdrant.task.examples import TaskExamples

ALONE = [name for name in PLAIN if name != "tsds"]
VARIANTS: list[dict[str, Any]] = [
    {},
    {"bandwidth": 0.0},
    {"bandwidth": 1e-200},
    {"bandwidth": 1e6},
    {"regularizer": "uniform"},
    {"sampler": "top"},
    {"cost_scale": 1e20},
    {"cost_scale": 1e-20},
    {"quotas": (Quota("kind", 1.0),)},
    {"exact": True},
]


class Small:
    """A pool of 1 to 40 candidates with copies among them, and a task, by chance."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.metric: Metric = METRICS[seed % 3]
        count = int(rng.integers(1, 41))
        self.rows: Array = random_rows(rng, (count, 3), grid=bool(rng.random() < 0.5))
        copies = rng.random(count) < rng.choice([0.0, 0.4, 1.0])
        self.rows[copies] = self.rows[0]
        self.task: Array = random_rows(rng, (int(rng.integers(1, 5)), 3), grid=True)
        way = rng.random()
        if way < 0.2:
            self.task = self.rows.copy()
        elif way < 0.4:
            self.task[:] = self.rows[0]
        self.payloads = [
            {"kind": f"k{k % 2}", "text": f"w{k % 3} x", **marks(k)} for k in range(count)
        ]
        self.variant = VARIANTS[int(rng.integers(len(VARIANTS)))]

    def opened(self) -> Any:
        return edge_pool(self.rows, self.metric, payloads=self.payloads)

    def sizes(self) -> range:
        return range(1, len(self.rows) + 1)


def task_of(vectors: Any) -> TaskExamples:
    rows = np.asarray(vectors, dtype=np.float32)
    return TaskExamples(rows, ["w1 x"] * len(rows), np.ones(len(rows)), TEXT)


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(60))
@given(st.integers(0, 10**9))
@example(72)
def test_every_size_up_to_the_pool(seed: int) -> None:
    x = Small(seed)
    with x.opened() as pool:
        for size in x.sizes():
            found = select(pool, x.task, SelectionSettings.of(sizes=(size,), **x.variant))
            assert len(set(found.selected_ids)) == size
            p, transport = found.probabilities, found.transport
            assert p.sum() == pytest.approx(1)
            assert 0 < transport.alpha < 1
            solution = transport.solution
            assert solution.converged
            if solution.regime == "pool":
                shares = {(d, one) for d, one in zip(transport.densities, p, strict=True)}
                assert len(shares) == len(set(transport.densities.tolist()))
                assert bool(transport.why_even)
                assert "alpha" not in transport.why_even
            if "regularizer" in x.variant or transport.bandwidth > 1e5:
                continue
            wanted = brute_force_by_id(
                x.rows, x.task, transport.alpha, transport.cost_scale, transport.bandwidth, x.metric
            )
            enough = 1 / sum(one**2 for one in wanted.values()) >= size * (1 - 1e-4)
            assert enough or solution.support >= size
        with pytest.raises(SupportError) as caught:
            select(pool, x.task, SelectionSettings.of(sizes=(len(x.rows) + 1,), **x.variant))
        count = len(x.rows)
        assert f"the pool has {count}; ask for at most {count}" in str(caught.value)


@settings(deadline=None, max_examples=examples(30))
@given(st.integers(0, 10**9), st.floats(0.5, 1))
def test_p_of_a_size_near_the_pool_is_that_of_brute_force(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    rows, task = rng.normal(size=(30, 3)), rng.normal(size=(3, 3))
    rows[::4] = rows[0]
    with edge_pool(rows) as pool:
        found = select(pool, task, SelectionSettings.of(sizes=(round(30 * share),)))
    transport = found.transport
    scales = (transport.alpha, transport.cost_scale, transport.bandwidth, "Euclid")
    wanted = brute_force_by_id(rows, task, *scales)
    assert variation(probabilities_of(found), wanted) <= 1e-5


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(30))
@given(st.integers(0, 10**9))
def test_bounds_that_bind_nothing_change_nothing(seed: int) -> None:
    x = Small(seed)
    free = SelectionSettings.of(sizes=(1,))
    bounds: list[dict[str, Any]] = [
        {"quotas": (Quota("kind", 1.0),)},
        {"max_per_group": 40, "group_field": "kind"},
        {"max_per_group": 41},
    ]
    with x.opened() as pool:
        for size in x.sizes():
            plain = select(pool, x.task, free.altered(sizes=(size,)))
            bound = bounds[size % 3]
            bounded = select(pool, x.task, free.altered(sizes=(size,), **bound))
            assert bounded.selected_ids == plain.selected_ids
            assert bounded.transport.alpha == plain.transport.alpha
            np.testing.assert_array_equal(bounded.probabilities, plain.probabilities)
        for ratio in (1e-6, 0.5, 1.0):
            shared = free.altered(sizes=(), ratio=ratio)
            size = max(1, int(np.ceil(ratio * len(x.rows))))
            assert len(select(pool, x.task, shared).selected_ids) == size
            assert (
                len(select(pool, x.task, shared.altered(quotas=(Quota("kind", 1.0),))).selected_ids)
                == size
            )


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("count", [1, 2, 9])
def test_other_strategies_take_every_size(name: str, count: int) -> None:
    rows = random_rows(np.random.default_rng(count), (count, 3), grid=False)
    rows[: count // 2] = rows[0]
    payloads = [{"text": f"w{k % 3} x", **marks(k)} for k in range(count)]
    with edge_pool(rows, "Cosine", payloads=payloads) as pool:
        for size in range(1, count + 1):
            found = select(pool, task_of(rows[:1]), SelectionSettings.of(name, sizes=(size,)))
            assert len(set(found.selected_ids)) == size
        whole = select(pool, task_of(rows[:1]), SelectionSettings.of(name, ratio=1.0))
        assert len(set(whole.selected_ids)) == count
        beyond = SelectionSettings.of(name, sizes=(count + 1,))
        for bounds in ({}, {"max_per_group": 50, "group_field": "text"}):
            told = f"the pool has {count}; ask for at most {count}$"
            with pytest.raises(SupportError, match=told):
                select(pool, task_of(rows[:1]), beyond.altered(**bounds))


ROWS = random_rows(np.random.default_rng(7), (30, 3), grid=False)
KINDS = [{"kind": "a" if k < 12 else "b", "text": f"word {k}", **marks(k)} for k in range(30)]


def most_of(pool: Collection, given: SelectionSettings, **more: Any) -> int:
    """The size that the message on one beyond the pool advises, followed to its end."""
    numbers = set()
    for size in (30, 31, 1_000_000):
        if size == 30 and not more and given.search.where is None:
            continue
        with pytest.raises(SupportError) as caught:
            select(pool, task_of(ROWS[:3]), given.altered(sizes=(size,)), **more)
        told = re.search(r"ask for at most (\d+)$", str(caught.value))
        assert told is not None, str(caught.value)
        assert str(caught.value).startswith(f"{size} candidates are wanted")
        assert "alpha" not in str(caught.value)
        numbers.add(int(told[1]))
    (most,) = numbers
    found = select(pool, task_of(ROWS[:3]), given.altered(sizes=(most,)), **more)
    assert len(set(found.selected_ids)) == most
    shared = given.altered(sizes=(), ratio=1.0)
    assert len(set(select(pool, task_of(ROWS[:3]), shared, **more).selected_ids)) == most
    return most


@pytest.mark.parametrize("bounds", [{}, {"quotas": (Quota("kind", 1.0),)}])
@pytest.mark.parametrize("name", PLAIN)
def test_the_number_is_that_after_filters_and_guards(name: str, bounds: dict[str, Any]) -> None:
    only_a = {"must": [{"key": "kind", "match": {"value": "a"}}]}
    given = SelectionSettings.of(name, sizes=(1,), **bounds)

    def guard() -> Guard:
        return Guard(HeldOut.of(["word 3", "word 4", "word 20"], None, Reach(0)), TEXT)

    with edge_pool(ROWS, "Cosine", payloads=KINDS) as pool:
        assert most_of(pool, given) == 30
        assert most_of(pool, given.altered(where=only_a)) == 12
        assert most_of(pool, given, guard=guard()) == 27
        assert most_of(pool, given.altered(where=only_a), guard=guard()) == 10


@pytest.mark.parametrize("bounds", [{}, {"quotas": (Quota("kind", 1.0),)}])
@pytest.mark.parametrize("name", ["tsds", "round-robin", "similarity-max", "similarity-mean"])
def test_points_without_a_vector_are_not_counted(name: str, bounds: dict[str, Any]) -> None:
    given = SelectionSettings.of(name, sizes=(1,), **bounds)
    with edge_pool(ROWS[:24], "Cosine", payloads=KINDS[:24]) as pool:
        upsert_without_vectors(pool, list(range(24, 30)), KINDS[24:])
        for size in (25, 30, 31):
            told = r"only 24 have a vector .*; ask for at most 24$"
            with pytest.raises(SupportError, match=told):
                select(pool, task_of(ROWS[:3]), given.altered(sizes=(size,)))
        for wanted in ({"sizes": (24,)}, {"sizes": (), "ratio": 1.0}):
            found = select(pool, task_of(ROWS[:3]), given.altered(**wanted))
            assert sorted(map(int, found.selected_ids)) == list(range(24))


@pytest.mark.parametrize("name", ["tsds", "round-robin", "similarity-mean"])
def test_bounds_that_leave_too_few_of_all_advise_no_more(name: str) -> None:
    given = SelectionSettings.of(name, sizes=(20,), quotas=(Quota("kind", 0.5),))
    with edge_pool(
        ROWS[:24], "Cosine", payloads=[{"kind": "a"}] * 18 + [{"kind": "b"}] * 6
    ) as pool:
        upsert_without_vectors(pool, list(range(24, 30)), KINDS[24:])
        with pytest.raises(SupportError) as caught:
            select(pool, task_of(ROWS[:3]), given)
        told = re.search(
            r"allows 10 and kept out 8; raise it, or ask for (\d+)$", str(caught.value)
        )
        assert told is not None, str(caught.value)
        most = int(told[1])
        found = select(pool, task_of(ROWS[:3]), given.altered(sizes=(most,)))
        assert len(found.selected_ids) == most


def test_an_alpha_or_a_support_that_is_given_is_named_with_what_would_do() -> None:
    with edge_pool(ROWS, "Cosine", payloads=KINDS) as pool:
        upsert_without_vectors(pool, [30], KINDS[:1])
        for chosen in ({"alpha": 0.9}, {"support": 5}):
            given = SelectionSettings.of(sizes=(30,), **chosen)
            with pytest.raises(SupportError) as caught:
                select(pool, ROWS[:3], given)
            told = str(caught.value)
            most = re.search(r"ask for at most (\d+)", told)
            assert most is not None
            found = select(pool, ROWS[:3], given.altered(sizes=(int(most[1]),)))
            assert len(found.selected_ids) == int(most[1])
            if "alpha" in chosen:
                alpha = re.search(r"set alpha to ([\d.e-]+) or less$", told)
                assert alpha is not None
                for share in (1.0, 0.3, 1e-3):
                    lower = given.altered(alpha=share * float(alpha[1]))
                    assert len(select(pool, ROWS[:3], lower).selected_ids) == 30
            else:
                assert told.endswith("by a support of 5; ask for at most 5, or raise the support")
                assert len(select(pool, ROWS[:3], given.altered(support=30)).selected_ids) == 30
            with pytest.raises(SupportError, match="only 30 have a vector"):
                select(pool, ROWS[:3], given.altered(sizes=(31,)))


def test_repeated_draws_may_be_more_than_the_pool() -> None:
    with edge_pool(ROWS, "Cosine") as pool:
        for size in (30, 31, 500):
            given = SelectionSettings.of(sizes=(size,), sampler="multinomial")
            found = select(pool, ROWS[:3], given)
            assert found.samples[size].weights.sum() == size


def test_a_budget_that_pays_for_a_few_is_not_taken_for_the_whole_pool() -> None:
    payloads = [{"tokens": 5} for _ in range(30)]
    with edge_pool(ROWS, "Cosine", payloads=payloads) as pool:
        given = SelectionSettings.of(token_budget=40, token_field="tokens")
        found = select(pool, np.tile(ROWS, (2, 1)), given)
        assert len(found.selected_ids) == 8
        assert found.transport.solution.regime == "capped"
        few = given.altered(token_budget=4)
        with pytest.raises(SupportError, match="pays for no candidate: the shortest has 5 tokens"):
            select(pool, ROWS[:2], few)
        assert len(select(pool, ROWS[:2], few.altered(token_budget=5)).selected_ids) == 1


def test_a_pool_that_allows_no_scan_gives_every_size() -> None:
    with edge_pool(ROWS[:12], "Cosine") as pool:
        closed: Any = UnscannableCollection(pool)
        for size in range(1, 13):
            found = select(closed, ROWS[:2], SelectionSettings.of(sizes=(size,)))
            assert len(set(found.selected_ids)) == size
        with pytest.raises(SupportError, match=r"the pool has 12; ask for at most 12$"):
            select(closed, ROWS[:2], SelectionSettings.of(sizes=(13,)))


@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize("equal", [True, False])
def test_paths_and_comparisons_of_small_and_equal_pools(count: int, equal: bool) -> None:
    rows = random_rows(np.random.default_rng(1), (count, 3), grid=False)
    if equal:
        rows[:] = rows[0]
    payloads = [{"text": f"w{k % 3} x", **marks(k)} for k in range(count)]
    with edge_pool(rows, "Cosine", payloads=payloads) as pool:
        traced = trace_path(pool, rows[:1] + 1, Tsds(), SearchSettings())
        assert len(traced.points) + len(traced.pool_alphas) == 10
        assert not (equal and traced.points)
        for size in {1, (count + 1) // 2, count}:
            given = SelectionSettings.of(sizes=(size,))
            result = compare(pool, task_of(rows[:1] + 1), given, CompareSettings(seeds=2))
            assert result.left_out.keys() == NEEDY
            assert {len(set(run.ids)) for run in result.runs} == {size}
        beyond = SelectionSettings.of(sizes=(count + 1,))
        with pytest.raises(SupportError, match=f"the pool has {count}; ask for at most {count}$"):
            compare(pool, task_of(rows[:1] + 1), beyond)
