"""What a selection can be told; every default suits a user who sets nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.density import checked_bandwidth
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.sampling import SAMPLERS, Sampler
from tsds_qdrant.tradeoff import checked_alpha, checked_cost_scale
from tsds_qdrant.transport import REGULARIZERS, Regularizer


@dataclass(frozen=True)
class SelectionSettings:
    """Settings of one selection.

    Attributes:
        sizes: numbers of candidates to draw; the smaller are inside the larger (``stable``).
        ratio: draw that share of the pool instead.
        alpha: alignment against diversity in (0, 1); by default it follows from the size: the
            effective sample size of p is at least the largest size.
        support: choose alpha so that about this many candidates have p > 0.
        cost_scale: C; by default the median distance from a task example to its 32nd neighbour.
        bandwidth: h; by default 0.45 C, which on real text covers near-duplicates only.
        regularizer: ``kde``, ``uniform`` or ``tv``.
        sampler: ``stable``, ``multinomial`` or ``top``.
        exact: scan in every search.
        recall: what approximate searches must reach in the probe that chooses ef.
        seed: same seed, same sample.
        where: payload filter in Qdrant's JSON form.
        density_limit: neighbours fetched for one density at most; beyond, it is a lower bound.
    """

    sizes: tuple[int, ...] = ()
    ratio: float | None = None
    alpha: float | None = None
    support: int | None = None
    cost_scale: float | None = None
    bandwidth: float | None = None
    regularizer: Regularizer = "kde"
    sampler: Sampler = "stable"
    exact: bool = False
    recall: float = 0.98
    seed: int = 0
    where: Mapping[str, Any] | None = None
    density_limit: int = 100_000

    def __post_init__(self) -> None:
        if not isinstance(self.sizes, (tuple, list)):
            raise SettingsError(f"sizes is {self.sizes!r}; give a tuple like (1000,)")
        object.__setattr__(self, "sizes", tuple(self.sizes))
        if self.sizes and self.ratio is not None:
            raise SettingsError("both a size and a ratio are given; leave one out")
        for size in self.sizes:
            if size < 1:
                raise SettingsError(f"size is {size}; ask for at least one candidate")
        if self.ratio is not None and not 0.0 < self.ratio <= 1.0:
            raise SettingsError(f"ratio is {self.ratio:g}; choose it above 0 and at most 1")
        if self.alpha is not None:
            checked_alpha(self.alpha)
        if self.alpha is not None and self.support is not None:
            raise SettingsError("both alpha and a support size are given; leave one out")
        if self.support is not None and self.support < 1:
            raise SettingsError(f"support is {self.support}; ask for at least one candidate")
        if self.cost_scale is not None:
            checked_cost_scale(self.cost_scale)
        if self.bandwidth is not None:
            checked_bandwidth(self.bandwidth)
        if self.regularizer not in REGULARIZERS:
            known = ", ".join(REGULARIZERS)
            raise SettingsError(f"'{self.regularizer}' is no regularizer; choose one of {known}")
        if self.sampler not in SAMPLERS:
            raise SettingsError(
                f"'{self.sampler}' is no sampler; choose one of {', '.join(SAMPLERS)}"
            )
        if self.seed < 0:
            raise SettingsError(f"seed is {self.seed}; choose 0 or more")
        if not 0.0 < self.recall <= 1.0:
            raise SettingsError(f"recall is {self.recall:g}; choose it above 0 and at most 1")
        if self.density_limit < 1:
            raise SettingsError(f"density_limit is {self.density_limit}; it must be positive")
        if self.regularizer == "tv" and self.alpha is None:
            raise SettingsError("the regularizer 'tv' needs an alpha; set one, 0.9 say")

    def wanted_sizes(self, candidates: int) -> tuple[int, ...]:
        """The sizes to draw from a pool of ``candidates``, ascending.

        None is needed where alpha or the support is set: then only p is computed.

        Raises:
            SettingsError: neither a size nor a ratio is set, and alpha would follow from them.
        """
        if not self.sizes and self.ratio is None and (self.alpha or self.support):
            return ()
        if self.ratio is not None:
            return (max(1, math.ceil(self.ratio * candidates - 1e-9)),)
        if not self.sizes:
            raise SettingsError("no size is given; set a size (1000, say) or a ratio (0.01)")
        return tuple(sorted(set(self.sizes)))
