"""Plans within a budget against the numbers of the paper, and against plain arithmetic."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.planning.budget import Planner
from tsds_qdrant.planning.budget_law import Law
from tsds_qdrant.planning.budget_passes import NEEDS, need_of
from tsds_qdrant.planning.budget_pool import Pool
from tsds_qdrant.planning.budget_rows import Budget, Row
from tsds_qdrant.planning.budget_settings import Choosing, Compute
from tsds_qdrant.strategies.card import Card

N, TAU, P = 270_679, 420.0, 7e9
FULL = 6 * P * TAU * N
ALL = tuple(NEEDS)


def planner(x: float, pool: Pool | None = None, epochs: int = 1, **choosing: Any) -> Planner:
    """For a budget of ``x`` trainings on everything."""
    made = pool or Pool(N, TAU, "as given")
    full = 6 * P * made.tokens * made.candidates * epochs
    return Planner(Compute(flops=x * full), P, epochs, Choosing(**choosing), made)


def row(budget: Budget, name: str) -> Row:
    return next(one for one in budget.rows if one.strategy == name)


def planned(x: float, name: str, **more: Any) -> Row:
    return row(planner(x, **more).planned(ALL), name)


def test_costs_are_those_that_the_figures_of_the_paper_show() -> None:
    # 270,679 examples of 420 tokens: 4.593e18 FLOPs for a model of 6.74 billion parameters.
    made = Planner(Compute(flops=1e18), 6.738e9, 1, Choosing(), Pool(N, TAU, ""))
    assert made.full == pytest.approx(4.593e18, rel=2e-3)
    assert made.pass_flops(NEEDS["perplexity"]) == pytest.approx(1.531e18, rel=2e-3)
    assert made.pass_flops(NEEDS["less"]) == pytest.approx(8.27e18, rel=2e-3)
    assert made.pass_flops(NEEDS["bm25"]) == made.pass_flops(NEEDS["random"]) == 0


def test_half_a_budget_leaves_a_sixth_to_perplexity_and_nothing_to_gradients() -> None:
    less, perplexity = planned(0.5, "less"), planned(0.5, "perplexity")
    assert perplexity.trainable == pytest.approx(0.5 - 1 / 3)
    assert perplexity.size == pytest.approx(N * 0.167, rel=2e-3)
    assert perplexity.spent == pytest.approx(2 / 3)
    assert less.trainable == pytest.approx(0.5 - 1.8)
    assert (less.size, less.training, less.verdict) == (0, 0, "infeasible")


@pytest.mark.parametrize("shared", [{"model_params": P / 10}, {"tasks": 10}])
def test_a_tenth_of_the_model_or_ten_tasks_leave_a_third_to_gradients(
    shared: dict[str, Any],
) -> None:
    less = planned(0.5, "less", **shared)
    assert less.trainable == pytest.approx(0.32)
    assert less.size == math.floor(0.32 * N)
    assert less.verdict == "worth it"


def test_checkpoints_count_each_and_the_warm_up() -> None:
    assert planned(9, "less", checkpoints=4).choosing == pytest.approx(4.2 * FULL)
    assert planned(9, "tarot", checkpoints=1).choosing == pytest.approx(FULL)


@given(
    x=st.floats(0.01, 3),
    ratio=st.floats(0.05, 100),
    tasks=st.integers(1, 40),
    epochs=st.integers(1, 4),
    stored=st.floats(0, 1),
)
def test_rows_follow_the_cost_model(
    x: float, ratio: float, tasks: int, epochs: int, stored: float
) -> None:
    pool = Pool(1_000, 300, "as given", stored={"hidden": stored})
    made = planner(x, pool, epochs, model_params=P / ratio, tasks=tasks)
    budget = made.planned(ALL)
    kappas = {"random": 0, "bm25": 0, "rds": (1 - stored) / 3, "less": 1.8}
    for name, kappa in kappas.items():
        found = row(budget, name)
        left = x - kappa / ratio / tasks / epochs
        assert found.trainable == pytest.approx(left, abs=1e-9)
        assert abs(found.size - min(max(left, 0) * 1_000, 1_000)) <= 1
        assert found.training + found.choosing <= budget.total * (1 + 1e-9) or not found.size
        assert found.size or found.verdict == "infeasible"
    assert sum(one.verdict == "best" for one in budget.rows) <= 1
    assert {one.strategy for one in budget.rows} == set(NEEDS)


def test_what_is_stored_costs_nothing_and_a_part_its_rest() -> None:
    whole = Pool(N, TAU, "", stored={"gradient": 1.0, "hidden": 0.75})
    less, rds = planned(0.5, "less", pool=whole), planned(0.5, "rds", pool=whole)
    assert (less.choosing, less.size, less.verdict) == (0, N // 2, "best")
    assert less.reason == "what it needs is stored already, and costs nothing"
    assert rds.choosing == pytest.approx(FULL / 12)
    # A warm-up was paid where any gradients are there.
    some = Pool(N, TAU, "", stored={"gradient": 0.5})
    assert planned(1, "less", pool=some).choosing == pytest.approx(0.8 * FULL)


def test_answers_alone_are_read_once_more() -> None:
    pool = Pool(N, TAU, "", answered=0.25, stored={"hidden": 1.0})
    assert planned(1, "ifd", pool=pool).choosing == pytest.approx(FULL * 1.25 / 3)


def test_a_small_budget_goes_to_words_or_embeddings() -> None:
    budget = planner(0.09, model_params=P / 100).planned(ALL)
    assert budget.best is not None
    assert NEEDS[budget.best.strategy].work in ("embedding", "words")
    for one in budget.rows:
        if NEEDS[one.strategy].work in ("forward", "gradients"):
            assert one.verdict == "not worth it"
            assert "9.0% of a training on everything" in one.reason
    stored = planner(0.09, Pool(N, TAU, "", stored={"hidden": 1.0})).planned(ALL)
    assert stored.best is not None
    assert stored.best.strategy == "rds"


@pytest.mark.parametrize(
    ("ratio", "worth"),
    [
        (1, set()),
        (4.9, set()),
        (5, {"forward"}),
        (9.9, {"forward"}),
        (10, {"forward", "gradients"}),
    ],
)
def test_passes_pay_off_from_the_ratios_of_the_paper_on(ratio: float, worth: set[str]) -> None:
    budget = planner(0.9, model_params=P / ratio, checkpoints=4).planned(ALL)
    found = {
        NEEDS[one.strategy].work
        for one in budget.rows
        if one.verdict in ("worth it", "best")
        and NEEDS[one.strategy].work in ("forward", "gradients")
    }
    assert found == worth


def test_following_the_advice_on_tasks_makes_a_pass_worth_it() -> None:
    for name in ("less", "rds", "dsdm"):
        refused = planned(0.9, name) if name == "rds" else planned(2, name)
        assert refused.verdict == "not worth it"
        tasks = int(refused.reason.split(" tasks share it")[0].split()[-1])
        assert planned(0.9, name, tasks=tasks).verdict in ("worth it", "best")
        assert planned(2, name, tasks=tasks - 1).verdict == "not worth it"


def test_a_budget_for_everything_leaves_nothing_to_choose() -> None:
    budget = planner(1.5).planned(ALL)
    assert budget.best is not None
    assert (budget.best.strategy, budget.best.size) == ("random", N)
    assert "pays for training on everything" in budget.best.reason


def test_nothing_is_best_where_nothing_is_affordable() -> None:
    budget = planner(1e-9).planned(ALL)
    assert budget.best is None
    assert {one.verdict for one in budget.rows} == {"infeasible"}


def test_measured_curves_rank_by_what_they_predict_at_what_is_left() -> None:
    laws = {
        "random": Law(45.25, 47.32, 2.537, (0.025, 1), 6, 0),
        "bm25": Law(45.354, 47.32, 5.067, (0.025, 1), 6, 0),
        "less": Law(46.082, 47.32, 4.771, (0.3, 1), 6, 0),
        "tsds-mine": Law(40, 47.32, 0.1, (0.025, 1), 6, 0),
    }
    half = planner(0.5).planned(ALL, laws)
    assert [one.strategy for one in half.rows[:2]] == ["bm25", "random"]
    assert row(half, "bm25").predicted == pytest.approx(
        47.32 - 1.966 * math.exp(-5.067 / 2), abs=1e-3
    )
    assert row(half, "less").verdict == "infeasible"
    mine = row(half, "tsds-mine")
    assert mine.verdict == "not worth it"
    assert mine.reason.startswith("predicted below random")
    shared = planner(0.5, tasks=200).planned(ALL, laws)
    assert shared.best is not None
    assert shared.best.strategy == "less"
    assert "beyond" not in shared.best.reason
    few = planner(0.5, tasks=5).planned(ALL, laws)
    assert "beyond what was measured (0.3-1)" in row(few, "less").reason
    assert any("do not transfer" in note for note in half.notes)
    with pytest.raises(InputError, match="measured of 'mid-ppl', which is no strategy here"):
        planner(0.5).planned(ALL, {"mid-ppl": laws["random"]})


def test_random_is_always_there_and_the_limits_are_said() -> None:
    budget = planner(0.5).planned(["tsds"])
    assert [one.strategy for one in budget.rows] == ["tsds", "random"]
    assert any("lambda and P0 do not transfer" in note for note in budget.notes)


def test_strategies_of_no_table_are_known_by_their_cards() -> None:
    def of(**terms: Any) -> str:
        return need_of(Card("", "", "", "", "", **terms)).work

    assert of(passes="forward") == "forward"
    assert of(passes="forward and backward") == "gradients"
    assert of(passes="none") == "embedding"
    assert of(passes="none", needs_vectors=False) == "words"
    assert need_of(
        Card("", "", "", "", "", trained_models=1, passes="forward and backward")
    ).warm_up


def test_hours_become_flops() -> None:
    assert Compute(gpu_hours=2, gpu="h100", utilisation=0.4).total == 2 * 3600 * 989e12 * 0.4
    assert Compute(gpu_hours=1, peak=1e14, utilisation=0.5).total == 3600 * 1e14 / 2
    assert Compute(flops=1e18).assumption == ""


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({}, "neither --gpu-hours nor --flops"),
        ({"flops": 1.0, "gpu_hours": 1.0}, "both are given"),
        ({"gpu_hours": 1.0, "peak": 312.0}, "no GPU is as slow as"),
        ({"gpu_hours": math.inf}, "gpu-hours is inf"),
        ({"flops": -1.0}, "flops is -1"),
        ({"gpu_hours": 1.0, "gpu": "abacus"}, "'abacus', whose peak is not known"),
    ],
)
def test_budgets_that_cannot_be_right_are_refused(given_: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Compute(**given_)
