"""Types of arrays that the whole package speaks of, and a few items of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Item = TypeVar("Item")


def spread_over(items: Sequence[Item], most: int) -> list[Item]:
    """At most ``most`` of the ``items``, in even steps from the first to the last."""
    places = np.unique(np.linspace(0, max(0, len(items) - 1), most).astype(np.int64))
    return [items[place] for place in places.tolist()] if items else []
