"""Files of vectors: read from disk as needed, or refused."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
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
from tsds_qdrant.records import vectors as vectors_module


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", "u1", "<i4", ">i8", "<u8"])
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
        (np.zeros((2, 2), bool), "holds bool; convert it with .astype('float32')"),
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


@pytest.mark.slow
@given(
    st.sampled_from(["i1", "u1", "i2", ">u2", "i4", ">i4", "u4", "i8", ">i8", "u8"]),
    st.lists(st.integers(-(2**63), 2**64 - 1) | st.integers(-300, 300), min_size=1, max_size=6),
    st.integers(0, 40),
)
@reuses_folder
def test_whole_numbers_are_taken_exactly_or_not_at_all(
    tmp_path: Path, dtype: str, numbers: list[int], zeros: int
) -> None:
    kind = np.iinfo(dtype)
    kept = [(number >> zeros) << zeros for number in numbers]
    kept = [number for number in kept if kind.min <= number <= kind.max] or [0]
    np.save(tmp_path / "a.npy", np.array([kept], dtype=dtype).T)
    lost = [k for k, number in enumerate(kept) if int(np.float32(number)) != number]
    if not lost:
        found = np.asarray(load_vectors(tmp_path / "a.npy"), dtype=np.float32)
        assert [int(value) for value in found[:, 0]] == kept
        return
    with pytest.raises(InputError, match=rf"vector {lost[0]} holds {kept[lost[0]]} in column 0"):
        load_vectors(tmp_path / "a.npy")


def test_a_block_of_whole_numbers_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors_module, "BLOCK_NUMBERS", 6)
    rows = np.zeros((11, 3), dtype=np.int64)
    np.save(tmp_path / "a.npy", rows)
    load_vectors(tmp_path / "a.npy")
    rows[8, 1] = -(2**40) - 1
    np.save(tmp_path / "a.npy", rows)
    with pytest.raises(InputError, match=r"vector 8 holds -1099511627777 in column 1"):
        load_vectors(tmp_path / "a.npy")


def test_blocks_leave_memory_again(tmp_path: Path) -> None:
    rows = np.lib.format.open_memmap(
        tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(400_000, 128)
    )
    rows[123_456, 7] = 5.0
    del rows
    script = (
        "import resource, sys, numpy as np\n"
        "from tsds_qdrant.records.vectors import blocks_of, load_vectors\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "vectors = load_vectors(sys.argv[1])\n"
        "before = peak()\n"
        "print(sum(float(block.sum()) for _, block in blocks_of(vectors)), peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "x.npy")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    total, kilobytes = map(float, done.stdout.split())
    assert total == 5.0
    assert kilobytes < 80_000  # of 205,000
