"""The survey's terms, ranks and figure against what it publishes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsds_qdrant import catalogue
from tsds_qdrant.errors import InputError
from tsds_qdrant.planning.budget_measured import read_scores
from tsds_qdrant.planning.efficiency import (
    BASE_LINE,
    MAPPED,
    PUBLISHED,
    Efficiency,
    Line,
    published,
)
from tsds_qdrant.planning.efficiency_scores import Efficiencies, efficiencies
from tsds_qdrant.planning.survey import Effort, dense_ranks, effort_of, feasibility
from tsds_qdrant.strategies.card import PASSES, Card
from tsds_qdrant.strategies.catalog import CATALOG, strategy_class

GAPS = {
    "IFD": 0.314,
    "LESS": 0.058,
    "Superfiltering": 0.042,
    "SelectIT": 0.025,
    "Instruction-Mining": 0.0,
    "InstructionGPT-4": 0.0,
    "SHED": -0.025,
    "Nuggets": -0.037,
    "InsTag": -0.050,
    "CaR": -0.050,
    "DEITA": -0.072,
    "AlpaGasus": -0.309,
}
SURVEYED = {
    "AlpaGasus": Effort(0, 2, True, True, has_code=False, chat_free=False),
    "InsTag": Effort(0, 3, True, True, has_code=False, chat_free=False),
    "CaR": Effort(0, 4, True, True),
    "Nuggets": Effort(0, 4, True, True),
    "SelectIT": Effort(0, 4, True, True),
    "Superfiltering": Effort(1, 3, False, False, model_weight=1.5),
    "IFD": Effort(1, 3, False, False),
    "LESS": Effort(1, 4, False, False),
    "DEITA": Effort(2, 5, False, False, chat_free=False),
    "InstructionGPT-4": Effort(30, 4, False, True, chat_free=False),
    "SHED": Effort(500, 3, False, False),
    "Instruction-Mining": Effort(129, 4, False, True, has_code=False, chat_free=False),
}
RANKS = {
    **dict.fromkeys(("AlpaGasus", "CaR", "Nuggets", "SelectIT"), 1),
    "InsTag": 2,
    "Superfiltering": 3,
    "IFD": 4,
    "LESS": 5,
    "InstructionGPT-4": 6,
    **dict.fromkeys(("DEITA", "Instruction-Mining"), 7),
    "SHED": 8,
}


@pytest.mark.parametrize("name", CATALOG)
def test_every_strategy_says_all_terms_of_the_survey(name: str) -> None:
    card = strategy_class(name).card
    assert not card.unsaid
    assert card.passes in PASSES
    assert card.criterion.split(":")[0] in ("internal", "external", "none")
    assert effort_of(card) is not None


def test_a_card_that_leaves_terms_out_is_noticed() -> None:
    card = Card("idea", "", "cost", "features", "external: similarity")
    assert card.unsaid == (
        *("task_aware", "trained_models", "passes", "steps", "model_free", "dataset_free"),
    )
    assert effort_of(card) is None


def test_feasibility_is_that_of_the_survey() -> None:
    assert feasibility(SURVEYED) == RANKS


def test_strategies_are_ranked_among_themselves() -> None:
    ranks = {one.name: one.feasibility for one in catalogue()}
    assert ranks["random"] == 1
    assert all(ranks.values())
    efforts = {name: effort_of(strategy_class(name).card) for name in CATALOG}
    for one, effort in efforts.items():
        for other, theirs in efforts.items():
            assert effort is not None
            assert theirs is not None
            if effort.simplicity <= theirs.simplicity and effort.flexibility <= theirs.flexibility:
                assert (ranks[one] or 0) <= (ranks[other] or 0)


@given(st.lists(st.integers(0, 5), min_size=1))
def test_dense_ranks_leave_none_out(costs: list[int]) -> None:
    ranks = dense_ranks(costs)
    assert set(ranks) == set(range(1, len(set(costs)) + 1))
    for cost, rank in zip(costs, ranks, strict=True):
        assert rank == 1 + len({other for other in costs if other < cost})


def test_the_base_line_and_the_order_are_those_of_the_survey() -> None:
    assert pytest.approx(1.30303, abs=1e-5) == BASE_LINE.slope
    assert pytest.approx(1.36742, abs=1e-5) == BASE_LINE.intercept
    assert published() == pytest.approx(GAPS, abs=1e-3)
    assert list(published()) == list(GAPS)
    # Its page sorts by distances in pixels, of a figure with another scale on each axis.
    pixels = {name: (x / 0.21 * 580, (y - 1.22) / 0.62 * 380) for name, (x, y) in PUBLISHED.items()}
    drawn = Line.through(pixels["Instruction-Mining"], pixels["InstructionGPT-4"])
    for distance in (
        {name: drawn.distance(*point) for name, point in pixels.items()},
        {name: BASE_LINE.distance(*point) for name, point in PUBLISHED.items()},
    ):
        assert sorted(distance, key=lambda name: -round(distance[name], 9)) == list(GAPS)


def test_distances_are_those_of_the_nearest_point_of_the_line() -> None:
    for x, y in ((0.05, 1.747), (0.17, 1.284), (0.5, 1.0)):
        near = min(
            math.hypot(x - t, y - BASE_LINE.at(t))
            for t in (k / 2e5 for k in range(-300_000, 300_000, 2))
        )
        assert abs(BASE_LINE.distance(x, y)) == pytest.approx(near, abs=1e-5)
        assert math.copysign(1, BASE_LINE.distance(x, y)) == math.copysign(1, y - BASE_LINE.at(x))


def test_maps_go_through_their_two_points() -> None:
    for metric, points in MAPPED.items():
        for ratio, pir in points:
            found = Efficiency("any", 0.05, ratio, metric, 1)  # type: ignore[arg-type]
            assert found.pir == pytest.approx(pir)
            assert not found.extrapolated
    assert Efficiency("any", 0.05, 1.747, "win-rate", 1).gap == pytest.approx(0.314, abs=1e-3)
    assert Efficiency("any", 0.05, 1.2, "other-benchmark", 1).extrapolated


def of(path: Path, *rows: str, header: str = "method,share,score", **more: object) -> Efficiencies:
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return efficiencies(read_scores(path), path, **more)  # type: ignore[arg-type]


def test_the_ratio_is_a_mean_over_benchmarks_each_with_its_own_base_line(tmp_path: Path) -> None:
    found = of(
        tmp_path / "s.csv",
        *("less,0.05,40,mmlu", "less,0.05,30,bbh", "full,,50,mmlu", "full,,25,bbh"),
        *("random,0.05,35,mmlu", "random,0.05,20,bbh"),
        header="method,share,score,benchmark",
        metric="win-rate",
    )
    less, random = found.rows
    assert (less.strategy, less.ratios, random.strategy) == ("less", 2, "random")
    assert less.ratio == less.pir == pytest.approx((40 / 50 + 30 / 25) / 2)
    assert random.pir == pytest.approx((0.7 + 0.8) / 2)
    assert not any("one training each" in one or "mapped" in one for one in found.warnings)


def test_what_the_figure_rests_on_is_said(tmp_path: Path) -> None:
    found = of(tmp_path / "s.csv", "less,0.05,46.45", "full,,47.32")
    assert found.rows[0].pir == pytest.approx(1.344 + (46.45 / 47.32 - 0.985) * 0.082 / 0.015)
    said = " ".join(found.warnings)
    assert "through two methods" in said
    assert "other-benchmark scores are mapped onto those of win rates by two points" in said
    assert "less lie outside of those two points" in said
    assert "one training each says nothing of chance (less)" in said


def test_a_row_may_say_its_own_metric_and_base_line(tmp_path: Path) -> None:
    header = "strategy,sdf,score,baseline,metric"
    found = of(tmp_path / "s.csv", "mine,5%,1.492,1,win-rate", header=header)
    assert found.rows[0].gap == pytest.approx(0.059, abs=1e-3)
    assert found.rows[0].beside == "below IFD"
    with pytest.raises(InputError, match="the metric 'elo'; give one of win-rate, same-bench"):
        of(tmp_path / "s.csv", "mine,5%,1,1,elo", header=header)


def test_scores_without_a_base_line_are_refused_and_the_advice_helps(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    with pytest.raises(
        InputError, match=r"training on everything to be compared with.*--full-score"
    ):
        of(path, "less,0.05,46")
    assert of(path, "less,0.05,46", full_score=47.0).rows[0].ratio == pytest.approx(46 / 47)
    assert of(path, "less,0.05,46", "full,,47").rows[0].ratio == pytest.approx(46 / 47)
    with pytest.raises(InputError, match="holds no score of a selection"):
        of(path, "full,,47")
