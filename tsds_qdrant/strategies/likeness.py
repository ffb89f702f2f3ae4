"""How far candidates that can be drawn stand for each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Likeness:
    """What the sampler ``thinned`` knows of c candidates, numbered by their places here.

    Attributes:
        masses: (c,) what the task sends to the neighbourhood of each: p times density.
        entered: (c,) by what candidates of equal mass are ordered, the least first.
        offsets: (c + 1,) the others near candidate k are ``members[offsets[k]:offsets[k + 1]]``.
        members: (e,) their places.
        shares: (e,) in (0, 1]: what part of each of them candidate k stands for.
    """

    masses: FloatArray
    entered: FloatArray
    offsets: IntArray
    members: IntArray
    shares: FloatArray

    @classmethod
    def none(cls, masses: FloatArray, entered: FloatArray | None = None) -> Likeness:
        """Candidates of those ``masses`` that stand for themselves alone."""
        count = len(masses)
        return cls(
            masses,
            np.zeros(count) if entered is None else entered,
            np.zeros(count + 1, dtype=np.int64),
            np.empty(0, dtype=np.int64),
            np.empty(0),
        )
