"""Vectors that the user brings along, in a .npy file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.errors import InputError


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


def load_vectors(path: str | Path, *, whole: bool = False) -> npt.NDArray[Any]:
    """Map the (n, d) float16, float32 or float64 array of a ``.npy`` file into memory.

    ``whole`` numbers may stand there too, as for a collection of uint8.

    The rows are read from disk when they are used, so any number of them may be opened.

    Raises:
        InputError: no such file, no ``.npy`` file, Python objects inside, or an array that is
            not two-dimensional, is empty, or is of another type.
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
    if vectors.ndim != 2:
        raise InputError(
            f"'{source}' holds an array of shape {vectors.shape}; it must be (vectors, dimension)"
        )
    if vectors.size == 0:
        raise InputError(f"'{source}' is empty, its shape is {vectors.shape}; give some vectors")
    floats = vectors.dtype.kind == "f" and vectors.dtype.itemsize in (2, 4, 8)
    if not floats and not (whole and vectors.dtype.kind in "iu"):
        raise InputError(f"'{source}' holds {vectors.dtype}; convert it with .astype('float32')")
    return vectors
