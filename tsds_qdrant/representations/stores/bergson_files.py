"""What a directory of a gradient store holds: its description, and rows of its array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.errors import InputError
from tsds_qdrant.representations.checkpoints.model_files import read_object
from tsds_qdrant.representations.loading import first_line

GRADIENTS = "gradients.bin"
INFO = "info.json"
_FLOATS = ("float16", "float32", "float64")
_BFLOAT16 = "bfloat16"
_COPY = "copy the store again"


@dataclass(frozen=True)
class Part:
    """One directory of a store.

    Attributes:
        directory: where it is.
        dtype: the type of a value.
        count: n, its rows.
        modules: each module and how many columns it has, in their order.
    """

    directory: Path
    dtype: str
    count: int
    modules: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, directory: Path) -> Part:
        """The part in ``directory``.

        Raises:
            InputError: it is not described, is damaged, or has rows of tokens.
        """
        info = read_object(directory / INFO, InputError, _COPY)
        if info.get("attribute_tokens"):
            raise InputError(
                f"the gradient store '{directory}' has a row for each token; build one without "
                "attribute_tokens, which has a row for each example"
            )
        try:
            modules = tuple((str(name), int(size)) for name, size in info["grad_sizes"].items())
            found = cls(directory, _dtype(info), int(info["num_grads"]), modules)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(
                f"'{directory / INFO}' does not say num_grads, grad_sizes and base_dtype "
                f"({first_line(error)}); give a store that bergson wrote"
            ) from error
        found._check_size()
        return found

    @property
    def dimension(self) -> int:
        """D, the values of a row."""
        return sum(size for _, size in self.modules)

    def rows(self, start: int, stop: int) -> Float32Array:
        """(stop - start, D) rows.

        Raises:
            InputError: the file cannot be read.
        """
        stored = np.dtype(np.uint16 if self.dtype == _BFLOAT16 else self.dtype)
        path, shape = self.directory / GRADIENTS, (self.count, self.dimension)
        try:
            block = np.array(np.memmap(path, dtype=stored, mode="r", shape=shape)[start:stop])
        except (OSError, ValueError) as error:
            raise InputError(f"'{path}' cannot be read ({first_line(error)}); {_COPY}") from error
        if self.dtype == _BFLOAT16:
            widened: Float32Array = (block.astype(np.uint32) << 16).view(np.float32)
            return widened
        with np.errstate(over="ignore"):
            return block.astype(np.float32)

    def _check_size(self) -> None:
        path = self.directory / GRADIENTS
        if self.dtype not in (*_FLOATS, _BFLOAT16):
            known = ", ".join((*_FLOATS, _BFLOAT16))
            raise InputError(f"'{path}' holds values of type {self.dtype}; build one of {known}")
        if self.count < 1 or any(size < 1 for _, size in self.modules) or not self.modules:
            raise InputError(
                f"the gradient store '{self.directory}' has {self.count} rows of "
                f"{self.dimension} values; give one that holds some"
            )
        width = 2 if self.dtype == _BFLOAT16 else np.dtype(self.dtype).itemsize
        wanted = width * self.count * self.dimension
        found = path.stat().st_size if path.exists() else 0
        if found != wanted:
            raise InputError(
                f"'{path}' has {found} bytes, and {self.count} rows of {self.dimension} values of "
                f"type {self.dtype} have {wanted}; copy the store again, or build it to its end"
            )


def settings_of(directory: Path) -> dict[str, dict[str, Any]]:
    """What bergson wrote beside a store: how gradients were projected, made and changed.

    Returns:
        ``processor``, ``index`` and ``preprocess``, each empty where nothing says.

    Raises:
        InputError: a file of it cannot be read.
    """
    steps = _yaml(directory / "config.yaml").get("steps")
    commands = [
        command
        for step in (steps if isinstance(steps, list) else ())
        if isinstance(step, dict)
        for command in step.values()
        if isinstance(command, dict)
    ]
    found = {"processor": _yaml(directory / "processor_config.yaml")}
    for name in ("index", "preprocess"):
        held = (command.get(f"{name}_cfg") for command in commands)
        found[name] = next((one for one in held if isinstance(one, dict)), {})
    return found


def _dtype(info: Mapping[str, Any]) -> str:
    """The type of a value; stores of older versions say it for each module."""
    if "base_dtype" in info:
        return str(info["base_dtype"])
    return str(np.dtype(info["dtype"]["formats"][0]).base.name)


def _yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file of settings; empty where there is no file."""
    import yaml

    if not path.exists():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"'{path}' cannot be read ({first_line(error)}); {_COPY}") from error
    return found if isinstance(found, dict) else {}
