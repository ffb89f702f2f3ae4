"""Files of vectors: read from disk as needed, or refused."""

from __future__ import annotations

import contextlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import reuses_folder

from tsds_qdrant.errors import InputError
from tsds_qdrant.records import load_vectors


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_vectors_stay_on_disk(tmp_path: Path, dtype: str, order: Any) -> None:
    stored = np.asarray(np.arange(12).reshape(4, 3), dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", stored)
    vectors = load_vectors(tmp_path / "a.npy")
    assert isinstance(vectors, np.memmap)
    assert vectors.dtype == dtype
    np.testing.assert_array_equal(vectors, stored)


def test_huge_vectors_open_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(10**8, 64))  # sparse file
    tracemalloc.start()
    try:
        vectors = load_vectors(path)
        assert vectors[10**8 - 1].tolist() == [0.0] * 64
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (np.zeros(3), "holds an array of shape (3,); it must be (vectors, dimension)"),
        (np.zeros((1, 2, 3)), "holds an array of shape (1, 2, 3)"),
        (np.zeros((0, 3)), "is empty, its shape is (0, 3)"),
        (np.zeros((3, 0)), "is empty, its shape is (3, 0)"),
        (np.zeros((2, 2), int), "holds int64; convert it with .astype('float32')"),
        (np.array([["a"]]), "holds <U1; convert it"),
        (np.zeros((2, 2), complex), "holds complex128; convert it"),
        (np.array([[{}]]), "holds Python objects, which are never unpickled"),
    ],
)
def test_vectors_that_are_refused(tmp_path: Path, array: Any, wanted: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError) as caught:
        load_vectors(tmp_path / "a.npy")
    assert f"a.npy' {wanted}" in str(caught.value)


def test_files_that_hold_no_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", np.zeros((10, 3)))
    good = (tmp_path / "good.npy").read_bytes()
    np.savez(tmp_path / "b.npz", np.zeros((2, 2)))
    for raw, wanted in (
        (b"", "is no .npy file"),
        (b"garbage" * 20, "is no .npy file"),
        ((tmp_path / "b.npz").read_bytes(), "is no .npy file; write one with numpy.save"),
        (good[:200], "is cut off or broken ("),
        (good[:20], "is cut off or broken ("),
        (good[:7], "is cut off or broken ("),
        (good.replace(b"'shape'", b"'shapf'"), "is cut off or broken ("),
    ):
        (tmp_path / "a.npy").write_bytes(raw)
        with pytest.raises(InputError) as caught:
            load_vectors(tmp_path / "a.npy")
        assert wanted in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"missing.npy' does not exist; check the path"):
        load_vectors(tmp_path / "missing.npy")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        load_vectors(tmp_path)


@given(junk=st.binary(max_size=80), keep=st.integers(6, 128))
@reuses_folder
def test_any_broken_header_is_an_input_error(tmp_path: Path, junk: bytes, keep: int) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    raw = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(raw[:keep] + junk)
    with contextlib.suppress(InputError):
        load_vectors(tmp_path / "a.npy")
