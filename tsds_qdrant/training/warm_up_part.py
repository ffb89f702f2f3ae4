"""Which part of the pool a warm-up learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.collections.ids import id_order, point_keys, uniform_noise
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting

STREAM = 0x3A93 << 32
"""Added to the seed, so that this part has nothing to do with what a strategy draws."""


@dataclass(frozen=True)
class PartSettings:
    """The part of the pool

    Attributes:
        share: of the candidates.
        at_least: examples, where the pool has as many.
        seed: of the part, and of the training.
    """

    share: float = setting(0.05, "Share of the candidates that is learnt.")
    at_least: int = setting(100, "Examples to learn at least, of a small pool.", least=1)
    seed: int = setting(0, "Same seed, same part and same training.", least=0)

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise SettingsError(f"share is {self.share:g}; choose it above 0 and at most 1")
        if self.at_least < 1 or self.seed < 0:
            name, least = ("at_least", 1) if self.at_least < 1 else ("seed", 0)
            raise SettingsError(f"{name} is {getattr(self, name)}; choose {least} or more")

    def of(self, ids: Sequence[PointId]) -> list[PointId]:
        """The part of ``ids``, by a hash of the seed and each id alone, in their order."""
        size = min(len(ids), max(math.ceil(self.share * len(ids)), self.at_least))
        keys = point_keys(ids)
        chosen = np.sort(id_order(keys, uniform_noise(keys, self.seed + STREAM))[:size])
        return [ids[number] for number in chosen.tolist()]
