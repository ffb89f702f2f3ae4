"""Vectors that the user brings along, in a .npy file."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.errors import InputError

FLOAT32_BITS = 24
"""float32 holds whole numbers of this many bits exactly, times any power of two."""
BLOCK_NUMBERS = 4_000_000


@contextmanager
def naming_file(vectors: npt.NDArray[Any]) -> Iterator[None]:
    """Let errors about rows of ``vectors`` begin with the file that :func:`load_vectors` mapped."""
    try:
        yield
    except InputError as error:
        file = getattr(vectors, "filename", None)
        if file is None:
            raise
        raise InputError(f"'{file}': {error}") from None


def load_vectors(path: str | Path) -> npt.NDArray[Any]:
    """Map the (n, d) array of a ``.npy`` file into memory: float16 to float64, or whole numbers.

    The rows are read from disk when they are used, so any number of them may be opened; whole
    numbers of 32 and 64 bits are read once more before, as float32 has to hold them exactly.

    Raises:
        InputError: no such file, no ``.npy`` file, Python objects inside, or an array that is
            not two-dimensional, is empty, or is of another type; or a whole number that float32
            cannot hold.
    """
    source = Path(path)
    try:
        with source.open("rb") as stream:
            magic = stream.read(len(np.lib.format.MAGIC_PREFIX))
        if magic != np.lib.format.MAGIC_PREFIX:
            raise InputError(f"'{source}' is no .npy file; write one with numpy.save")
        vectors: npt.NDArray[Any] = np.load(source, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"'{source}' does not exist; check the path") from None
    except OSError as error:
        raise InputError(f"'{source}' cannot be read ({error.strerror}); check the file") from None
    except InputError:
        raise
    except Exception as error:  # numpy parses a broken header with whatever Python's parser raises
        if "Python objects" in str(error):
            raise InputError(
                f"'{source}' holds Python objects, which are never unpickled; "
                "save an array of float32"
            ) from None
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"'{source}' is cut off or broken ({reason}); write it again") from None
    check_array(vectors, str(source))
    return vectors


def check_array(vectors: npt.NDArray[Any], name: str) -> None:
    """Check that an array can be ready vectors, whatever its numbers are.

    Raises:
        InputError: it is not two-dimensional, is empty, of another type than float16 to float64 or
            whole numbers, or holds a whole number that float32 cannot hold.
    """
    if vectors.ndim != 2:
        raise InputError(
            f"'{name}' holds an array of shape {vectors.shape}; it must be (vectors, dimension)"
        )
    if vectors.size == 0:
        raise InputError(f"'{name}' is empty, its shape is {vectors.shape}; give some vectors")
    floats = vectors.dtype.kind == "f" and vectors.dtype.itemsize in (2, 4, 8)
    if not floats and vectors.dtype.kind not in "iu":
        raise InputError(f"'{name}' holds {vectors.dtype}; convert it with .astype('float32')")
    if not floats and vectors.dtype.itemsize > 2:
        with naming_file(vectors):
            _check_exact(vectors)


def rows_of(vectors: npt.NDArray[Any], which: slice | Sequence[int]) -> Float32Array:
    """A copy of the rows ``which`` of ``vectors`` as float32.

    What float32 cannot hold becomes infinity. A mapped file stays on disk: what was read of it
    takes no memory afterwards.
    """
    with np.errstate(over="ignore"):
        rows = np.array(vectors[which], dtype=np.float32)
    mapped = vectors.base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
    return rows


def blocks_of(vectors: npt.NDArray[Any]) -> Iterator[tuple[int, Float32Array]]:
    """All rows of ``vectors`` (n, d) in blocks that fit in memory, each with its first row."""
    step = max(1, BLOCK_NUMBERS // vectors.shape[1])
    for first in range(0, len(vectors), step):
        yield first, rows_of(vectors, slice(first, first + step))


def _check_exact(vectors: npt.NDArray[Any]) -> None:
    """Check that float32 holds each whole number of ``vectors`` (n, d) as it is."""
    step = max(1, BLOCK_NUMBERS // vectors.shape[1])
    for start in range(0, len(vectors), step):
        rows = np.asarray(vectors[start : start + step])
        signed = rows.dtype.kind == "i"
        size = np.abs(rows.astype(np.int64)).view(np.uint64) if signed else rows.astype(np.uint64)
        # Bits below the lowest one that is set are the exponent's.
        lowest = np.maximum(size & (~size + np.uint64(1)), np.uint64(1))
        bad = size // lowest >= np.uint64(1 << FLOAT32_BITS)
        if bad.any():
            row, column = np.argwhere(bad)[0].tolist()
            raise InputError(
                f"vector {start + row} holds {rows[row, column]} in column {column}, which float32 "
                f"cannot hold exactly; scale the vectors down, or convert them with "
                f".astype('float32'), which rounds"
            )
