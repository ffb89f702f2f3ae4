"""Limits from samples: against scipy, the closed form, and many samples of known populations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import beta

from tsds_qdrant.strategies.evidence import Accuracy
from tsds_qdrant.strategies.tsds.limits import CHANCE, mean_limit

SAMPLES = 3_000


def of(missed: int, count: int) -> np.ndarray:
    return np.r_[np.ones(missed), np.zeros(count - missed)]


@pytest.mark.parametrize("count", [1, 2, 10, 16, 32, 47])
def test_whole_misses_give_the_limit_of_clopper_and_pearson(count: int) -> None:
    for missed in range(count):
        wanted = beta.ppf(1 - CHANCE, missed + 1, count - missed)
        assert mean_limit(of(missed, count)) == pytest.approx(wanted, abs=1e-4)
    assert mean_limit(of(count, count)) == 1.0
    assert mean_limit(np.zeros(count)) == pytest.approx(1 - CHANCE ** (1 / count))


def test_a_sample_of_all_needs_no_limit() -> None:
    found = np.array([0.0, 0.25, 0.5])
    assert mean_limit(found, 3) == 0.25
    assert mean_limit(found, 4) > 0.25
    assert mean_limit(np.empty(0)) == 0.0


POPULATIONS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "all or nothing": lambda rng, shape: np.ones(shape),
    "halves": lambda rng, shape: np.full(shape, 0.5),
    "even": lambda rng, shape: rng.random(shape),
    "rarely whole": lambda rng, shape: np.where(rng.random(shape) < 0.1, 1.0, 0.02),
    "small": lambda rng, shape: rng.exponential(0.05, shape).clip(0, 1),
    "heavy": lambda rng, shape: (0.02 * (1 + rng.pareto(1.1, shape))).clip(0, 1),
    "a third or two": lambda rng, shape: np.where(rng.random(shape) < 0.5, 0.34, 0.66),
}


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("count", [16, 32])
def test_a_limit_is_too_low_in_one_sample_of_twenty_at_most(name: str, count: int) -> None:
    rng = np.random.default_rng(7)
    drawn = POPULATIONS[name]
    mean = float(drawn(rng, (1_000, 1_000)).mean())
    grid = np.linspace(0, count, 400)
    limits = [mean_limit(np.r_[np.full(count, total / count)]) for total in grid]
    for share in (0.02, 0.1, 0.16, 0.3, 0.5, 0.9, 1.0):
        shape = (SAMPLES, count)
        sums = np.where(rng.random(shape) < share, drawn(rng, shape), 0.0).sum(axis=1)
        too_low = np.interp(sums, grid, limits) < share * mean - 1e-3
        assert too_low.mean() <= CHANCE + 0.012, share  # three deviations of such a share


def test_words_say_what_a_sample_can_say() -> None:
    none = Accuracy(1.0, 0.0, None, 16, 31, 0, 0, 0.83, 0.1707, 0.0894, 0.41)
    assert none.in_words() == (
        "no miss in 47 repeated searches, so at 95 % at most 17 % of the lists and 9 % of the "
        "densities are off"
    )
    whole = Accuracy(1.0, 0.0, None, 9, 31, 0, 0, 1.0, 0.0, 0.0894, 0.1)
    assert whole.in_words() == (
        "no miss in 40 repeated searches, so at 95 % at most 9 % of the densities are off"
    )
    some = Accuracy(0.9931, 0.002, 0.0121, 16, 31, 0, 3, 0.8132, 0.3, 0.1, 0.3567)
    assert some.in_words() == (
        "recall 0.993 (at 95 % at least 0.81), p off by about 0.0121 in total variation (at 95 % "
        "at most 0.36), by 47 repeated searches"
    )
    # What version 0.2 or older has stored says less, and no more than it knows.
    assert Accuracy(1.0, 0.0, 0.0, 16, 31).in_words() == "no miss in 47 repeated searches"
    assert Accuracy(None, None, None).in_words() == "recall not measurable"
