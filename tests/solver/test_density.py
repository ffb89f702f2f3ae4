"""Kernel densities, against plain sums over all points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import brute_densities, pairwise_distances
from profiles import examples

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.solver.density import checked_bandwidth, densities_of, kernel


def test_the_kernel_falls_from_one_at_zero_to_nothing_at_the_bandwidth() -> None:
    distances = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    np.testing.assert_allclose(kernel(distances, 2.0), [1, 15 / 16, 3 / 4, 7 / 16, 0, 0])


@pytest.mark.parametrize("returned", [True, False])
def test_a_candidate_counts_itself_once_whether_or_not_it_was_found(returned: bool) -> None:
    distances, is_self = np.array([0.0, 0.5]), np.array([True, False])
    if not returned:
        distances, is_self = distances[1:], is_self[1:]
    counts = np.array([len(distances)])
    assert densities_of(distances, counts, is_self, 1.0).tolist() == [1.75]


def test_rounding_in_the_distance_to_itself_is_ignored() -> None:
    found = densities_of(np.array([1e-4, 0.0]), np.array([2]), np.array([True, False]), 1.0)
    assert found.tolist() == [2.0]


def test_a_candidate_without_neighbours_keeps_its_place() -> None:
    counts = np.array([0, 2, 0, 1, 0])
    found = densities_of(np.array([0.0, 0.5, 0.5]), counts, np.zeros(3, dtype=bool), 1.0)
    assert found.tolist() == [1.0, 2.75, 1.0, 1.75, 1.0]


def test_no_neighbour_at_all_is_density_one() -> None:
    nothing = densities_of(np.empty(0), np.zeros(3, dtype=int), np.empty(0, dtype=bool), 0.5)
    assert nothing.tolist() == [1.0, 1.0, 1.0]


def test_at_bandwidth_zero_even_exact_copies_leave_every_density_at_one() -> None:
    found = densities_of(np.zeros(4), np.array([2, 2]), np.array([True, False] * 2), 0.0)
    assert found.tolist() == [1.0, 1.0]


@settings(deadline=None, max_examples=examples(60))
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.3, 0.8, 3.0]),
    st.sampled_from(["Cosine", "Euclid", "Manhattan"]),
)
def test_all_densities_are_those_of_plain_sums(seed: int, bandwidth: float, metric: str) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(15, 3))
    points[10:] = points[:5]  # exact copies
    distances = pairwise_distances(points, points, metric)
    itself = np.eye(15, dtype=bool)
    finds_itself = itself & (rng.random(15) < 0.5)
    shown = finds_itself | ((distances < bandwidth) & ~itself)
    found = densities_of(distances[shown], shown.sum(axis=1), itself[shown], bandwidth)
    np.testing.assert_allclose(found, brute_densities(points, bandwidth, metric), rtol=1e-12)


@pytest.mark.parametrize("bandwidth", [-0.5, float("nan"), float("inf")])
def test_a_bandwidth_that_cannot_be_is_refused(bandwidth: float) -> None:
    with pytest.raises(SettingsError, match=f"bandwidth is {bandwidth:g};"):
        checked_bandwidth(bandwidth)


@pytest.mark.parametrize("bandwidth", [0.0, 0.5])
def test_a_good_bandwidth_is_given_back(bandwidth: float) -> None:
    assert checked_bandwidth(bandwidth) == bandwidth
