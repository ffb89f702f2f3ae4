"""Gradient stores of EleutherAI's bergson, read and written.

A store is a directory with ``gradients.bin``, an (n, d) array in C order, and ``info.json``: the
number of rows, the type of a value, and how many of the d columns each module of the model has, in
order. Version 2.5 of bergson is followed (``bergson/data.py``); ``load_gradients`` there reads what
is written here. A store may be in parts, directories whose names hold ``shard``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.errors import InputError, OutputError
from tsds_qdrant.paths import absolute
from tsds_qdrant.representations.base import NONFINITE, OK, ZERO_GRADIENT, Encoded
from tsds_qdrant.representations.checkpoints.drafts import SUFFIX, whole_directory
from tsds_qdrant.representations.checkpoints.model_files import read_object
from tsds_qdrant.representations.stores.bergson_files import GRADIENTS, INFO, Part, settings_of

MANIFEST = "tsds_qdrant.json"
"""The manifest of what was written here, which bergson does not read."""
Precision = Literal["float32", "float16"]
_OF_THE_RUN = (
    *("attribute_tokens", "auto_batch_size", "data", "debug", "distributed", "drop_columns"),
    *("fsdp", "max_batch_size", "overwrite", "profile", "run_path", "token_batch_size"),
)
"""Settings of bergson that say where and how fast it ran, and not what the values are."""


@dataclass(frozen=True)
class BergsonStore:
    """Gradients of n examples, each a row of d values.

    Attributes:
        path: the directory.
        unit: whether rows are scaled to length 1. Those that were written here never are, as they
            are a representation already.
    """

    path: Path
    unit: bool = True
    _parts: tuple[Part, ...] = field(default=(), repr=False)

    @classmethod
    def open(cls, path: str | Path, *, unit: bool = True) -> BergsonStore:
        """The store at ``path``.

        Raises:
            InputError: there is none, it is unfinished or damaged, or has rows of tokens.
        """
        directory = Path(absolute(path))
        if directory.name.endswith(SUFFIX):
            raise InputError(
                f"'{path}' is a gradient store that is being built; wait until it has its name "
                f"'{directory.name.removesuffix(SUFFIX)}'"
            )
        if (directory / INFO).exists():
            unit = unit and not (directory / MANIFEST).exists()
            return cls(directory, unit, (Part.of(directory),))
        shards = sorted(directory.glob("*shard*")) if directory.is_dir() else []
        parts = tuple(Part.of(shard) for shard in shards if (shard / INFO).exists())
        if not parts:
            fault = "holds" if directory.is_dir() else "is no directory with"
            negated = "no info.json" if directory.is_dir() else "an info.json"
            raise InputError(
                f"'{path}' {fault} {negated}; give the directory that bergson's 'build' wrote"
            )
        other = next((part for part in parts if part.modules != parts[0].modules), None)
        if other is not None:
            raise InputError(
                f"'{other.directory}' has other modules than '{parts[0].directory}'; give a store "
                "whose parts were built alike"
            )
        return cls(directory, unit, parts)

    def __len__(self) -> int:
        return sum(part.count for part in self._parts)

    @property
    def dimension(self) -> int:
        """D, the values of a row."""
        return self._parts[0].dimension

    @property
    def modules(self) -> tuple[tuple[str, int], ...]:
        """Each module of the model and how many columns it has, in their order."""
        return self._parts[0].modules

    def rows(self, start: int, stop: int) -> Float32Array:
        """(stop - start, D) rows as they are stored, fewer at the end.

        Raises:
            InputError: the file cannot be read.
        """
        blocks, first = [np.empty((0, self.dimension), dtype=np.float32)], 0
        for part in self._parts:
            low, high = max(start - first, 0), min(stop - first, part.count)
            if low < high:
                blocks.append(part.rows(low, high))
            first += part.count
        return blocks[1] if len(blocks) == 2 else np.concatenate(blocks)

    def encoded(self, start: int, stop: int) -> Encoded:
        """The same rows as a representation makes them: scaled where wanted, with their status."""
        rows = self.rows(start, stop)
        finite = np.asarray(np.isfinite(rows).all(axis=1))
        largest = np.abs(np.where(finite[:, None], rows, 0)).max(axis=1, initial=0)
        good = finite & (largest > 0)
        if self.unit:
            scaled = rows[good].astype(np.float64) / largest[good, None]
            rows[good] = scaled / np.linalg.norm(scaled, axis=1)[:, None]
        fault = np.where(finite, ZERO_GRADIENT, NONFINITE)
        return Encoded(rows, np.where(good, OK, fault).tolist())

    def manifest(self) -> dict[str, Any]:
        """What the values depend on, as far as the store says it.

        Raises:
            InputError: a description in it cannot be read.
        """
        first = self._parts[0].directory
        if (first / MANIFEST).exists():
            return read_object(first / MANIFEST, InputError, "copy the store again")
        found = settings_of(first)
        kept = {key: value for key, value in found["index"].items() if key not in _OF_THE_RUN}
        return {
            "kind": "gradient" if self.unit else "loss-gradient",
            "source": "bergson",
            "modules": [list(module) for module in self.modules],
            "precision": self._parts[0].dtype,
            "processor": found["processor"],
            "index": kept,
            "preprocess": found["preprocess"],
        }


def write_store(
    path: str | Path,
    blocks: Iterable[npt.NDArray[Any]],
    manifest: Mapping[str, Any],
    modules: Mapping[str, int] | None = None,
    dtype: Precision = "float32",
) -> int:
    """Write a store that bergson reads, and return the number of its rows; whole or not at all.

    Args:
        path: the directory to be made.
        blocks: (n, D) rows each, of one D, in order.
        manifest: of the representation; reading the store gives it back.
        modules: how many columns each module has, in their order; one of D columns by default.
        dtype: of a value.

    Raises:
        InputError: the blocks differ in D, hold nothing, or do not fit the layout.
        OutputError: something is at ``path``, or the disk is full.
    """
    count, dimension = 0, 0
    if dtype not in ("float32", "float16"):
        raise OutputError(f"a gradient store of type {dtype} is not written; choose float32")
    with whole_directory(Path(absolute(path))) as draft:
        with (draft / GRADIENTS).open("wb") as stream:
            for block in blocks:
                if block.ndim != 2 or (count and block.shape[1] != dimension):
                    raise InputError(
                        f"gradients of the shape {block.shape} come after rows of {dimension} "
                        "values; all must have as many"
                    )
                stream.write(np.ascontiguousarray(block, dtype=dtype).tobytes())
                count, dimension = count + len(block), block.shape[1]
        if not count or not dimension:
            raise InputError("there are no gradients to be written; represent some candidates")
        sizes = dict(modules or {"all": dimension})
        if sum(sizes.values()) != dimension:
            raise InputError(
                f"the modules have {sum(sizes.values())} columns in all, and the rows {dimension}; "
                "name all modules of the rows"
            )
        info = {
            "attribute_tokens": False,
            "num_items": count,
            "num_grads": count,
            "grad_sizes": sizes,
            "base_dtype": dtype,
        }
        for name, value in ((INFO, info), (MANIFEST, manifest)):
            (draft / name).write_text(json.dumps(value, indent=2), encoding="utf-8")
    return count
