"""Signs are the same for numpy, torch and Python's whole numbers, and unrelated to each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsds_qdrant.representations.gradients.signs import ROW, key_of, mixed, signs, torch_signs

WHOLE = (1 << 64) - 1


def splitmix64(state: int) -> int:
    """As its authors wrote it, with Python's unbounded whole numbers."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & WHOLE
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & WHOLE
    return state ^ (state >> 31)


@given(st.integers(0, WHOLE), st.integers(-(1 << 63), (1 << 63) - 1))
def test_the_hash_is_splitmix64_in_numpy_and_in_torch(counter: int, key: int) -> None:
    signed = np.array([counter], dtype=np.uint64).view(np.int64)
    expected = splitmix64((counter * 0x9E3779B97F4A7C15 + key) & WHOLE)
    assert int(mixed(signed, key).view(np.uint64)[0]) == expected
    in_torch = mixed(torch.from_numpy(signed), key)
    assert int(in_torch.numpy().view(np.uint64)[0]) == expected


def test_the_generator_of_the_authors_begins_with_these_numbers() -> None:
    """Seed 1234567 of SplitMix64, as published with the algorithm."""
    found = mixed(np.arange(1, 4), 1234567).view(np.uint64)
    assert found.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 63), (300, 64), (5, 65), (33, 200)])
def test_numpy_and_torch_draw_the_same(rows: int, columns: int) -> None:
    key = key_of(3, "model.layers.0.mlp.up_proj", "in")
    drawn = signs(key, rows, columns)
    assert drawn.shape == (rows, columns)
    assert set(np.unique(drawn)) <= {-1, 1}
    np.testing.assert_array_equal(drawn, torch_signs(key, rows, columns, "cpu").numpy())
    np.testing.assert_array_equal(drawn, signs(key, rows + 3, columns + 70)[:rows, :columns])


def test_each_sign_is_one_bit_of_its_word() -> None:
    key = key_of(0, "é", "out")
    drawn = signs(key, 3, 130)
    for row, column in [(0, 0), (2, 63), (1, 64), (2, 129)]:
        word = splitmix64(((row + column // 64 * ROW) * 0x9E3779B97F4A7C15 + key) & WHOLE)
        assert drawn[row, column] == 1 - 2 * (word >> column % 64 & 1)


GOLDEN = ["--+-----+-+----+", "+--+++----++-+++", "-+-+----+--+-+-+", "++--++++--+-+--+"]


def test_the_signs_of_a_release_are_those_of_the_next() -> None:
    first = signs(key_of(0, "layers.0", "in"), 4, 16)
    assert ["".join("+-"[int(sign < 0)] for sign in row) for row in first] == GOLDEN


def test_signs_are_balanced_and_unrelated() -> None:
    """A mean of n independent signs is within 4.5 / sqrt(n) of 0, seven times in a million not."""
    rows, columns = 512, 256
    drawn = {
        (seed, layer, side): signs(key_of(seed, layer, side), rows, columns).astype(np.float64)
        for seed in (0, 1, -1)
        for layer in ("layers.1.up", "layers.2.up", "layers.11.up")
        for side in ("in", "out")
    }
    pairs = [*drawn.values()]
    assert max(abs(one.mean()) for one in pairs) < 4.5 / (rows * columns) ** 0.5
    for number, one in enumerate(pairs):
        assert np.abs(one.mean(0)).max() < 5 / rows**0.5
        assert np.abs(one.mean(1)).max() < 5 / columns**0.5
        for shift in range(1, 5):
            assert abs((one[shift:] * one[:-shift]).mean()) < 4.5 / ((rows - 4) * columns) ** 0.5
            together = one[:, shift:] * one[:, :-shift]
            assert abs(together.mean()) < 4.5 / (rows * (columns - 4)) ** 0.5
        for other in pairs[:number]:
            assert abs((one * other).mean()) < 4.5 / (rows * columns) ** 0.5
    gram = pairs[0].T @ pairs[0] / rows - np.eye(columns)
    assert np.abs(gram).max() < 5.5 / rows**0.5
