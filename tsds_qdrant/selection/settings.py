"""What a selection can be told; every default suits a user who sets nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.selection.quotas import Quota
from tsds_qdrant.selection.sampling import SAMPLERS, Sampler
from tsds_qdrant.solver.density import checked_bandwidth
from tsds_qdrant.solver.tradeoff import checked_alpha, checked_cost_scale
from tsds_qdrant.solver.transport import REGULARIZERS, Regularizer

LATER = frozenset({"quotas", "token_budget", "token_field", "max_per_group", "group_field"})
"""Settings that the states of older runs do not name."""


@dataclass(frozen=True)
class SelectionSettings:
    """Settings of one selection.

    Attributes:
        sizes: numbers of candidates to draw; the smaller are inside the larger (``stable``).
        ratio: draw that share of the pool instead.
        alpha: alignment against diversity in (0, 1); by default it follows from the size: the
            effective sample size of p is at least the largest size, and larger where quotas and
            groups need more to choose from.
        support: choose alpha so that about this many candidates have p > 0.
        cost_scale: C; by default the median distance from a task example to its 32nd neighbour.
        bandwidth: h; by default 0.45 C, which on real text covers near-duplicates only.
        regularizer: ``kde``, ``uniform`` or ``tv``.
        sampler: ``stable``, ``multinomial`` or ``top``.
        exact: scan in every search.
        scans: searches may scan; without, ef is 256 and the recall is not measured.
        recall: what approximate searches must reach in the probe that chooses ef.
        seed: same seed, same sample.
        where: payload filter in Qdrant's JSON form.
        density_limit: neighbours fetched for one density at most; beyond, it is a lower bound.
        quotas: at most so large a share of the sample from each value of a payload field.
        token_budget: the sample's tokens are at most so many; without a size, alpha follows.
        token_field: payload field that holds them; by default the collection's model counts.
        max_per_group: at most so many candidates of one group.
        group_field: payload field that names the group; by default near-duplicates are one.
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
    scans: bool = True
    recall: float = 0.98
    seed: int = 0
    where: Mapping[str, Any] | None = None
    density_limit: int = 100_000
    quotas: tuple[Quota, ...] = ()
    token_budget: int | None = None
    token_field: str | None = None
    max_per_group: int | None = None
    group_field: str | None = None

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
        if self.exact and not self.scans:
            raise SettingsError("exact searches are scans, which are ruled out; leave one out")
        if self.seed < 0:
            raise SettingsError(f"seed is {self.seed}; choose 0 or more")
        if not 0.0 < self.recall <= 1.0:
            raise SettingsError(f"recall is {self.recall:g}; choose it above 0 and at most 1")
        if self.density_limit < 1:
            raise SettingsError(f"density_limit is {self.density_limit}; it must be positive")
        if self.regularizer == "tv" and self.alpha is None:
            raise SettingsError("the regularizer 'tv' needs an alpha; set one, 0.9 say")
        self._check_bounds()

    @classmethod
    def stored(cls, given: Mapping[str, Any]) -> SelectionSettings:
        """What ``asdict`` and JSON made of settings; older ones lack those of ``LATER``.

        Raises:
            KeyError: another setting is missing.
        """
        values = {
            f.name: given[f.name] for f in fields(cls) if f.name in given or f.name not in LATER
        }
        quotas = tuple(Quota(**quota) for quota in given.get("quotas", ()))
        return cls(**values | {"sizes": tuple(given["sizes"]), "quotas": quotas})

    def _check_bounds(self) -> None:
        object.__setattr__(self, "quotas", tuple(self.quotas))
        names = [quota.name for quota in self.quotas]
        for name in names:
            if names.count(name) > 1:
                raise SettingsError(f"'{name}' has two quotas; leave one out")
        if self.token_budget is not None and self.token_budget < 1:
            raise SettingsError(f"the token budget is {self.token_budget}; it must be positive")
        if self.token_field is not None and self.token_budget is None:
            raise SettingsError(f"the token field '{self.token_field}' needs a token budget")
        if self.max_per_group is not None and self.max_per_group < 1:
            raise SettingsError(f"{self.max_per_group} per group is none at all; choose 1 or more")
        if self.group_field is not None and self.max_per_group is None:
            raise SettingsError(f"the group field '{self.group_field}' needs a maximum per group")
        near = self.max_per_group is not None and self.group_field is None
        if near and (self.regularizer != "kde" or self.bandwidth == 0):
            raise SettingsError(
                "near-duplicates are known by the bandwidth of the regularizer 'kde'; use it, or "
                "name a field that tells the group"
            )
        if self.bounded and self.sampler == "multinomial":
            raise SettingsError(
                "the sampler 'multinomial' draws candidates again and again and knows no quotas, "
                "budgets or groups; choose stable or top"
            )

    @property
    def bounded(self) -> bool:
        """Whether samples must keep to quotas, a budget or groups."""
        return bool(self.quotas) or self.token_budget is not None or self.max_per_group is not None

    @property
    def by_budget(self) -> bool:
        """Whether the token budget alone says how much is drawn."""
        return self.token_budget is not None and not self.sizes and self.ratio is None

    def wanted_sizes(self, candidates: int) -> tuple[int, ...]:
        """The sizes to draw from a pool of ``candidates``, ascending.

        None is needed where alpha or the support is set (then only p is computed), and where a
        token budget says how much is drawn.

        Raises:
            SettingsError: neither a size nor a ratio is set, and alpha would follow from them.
        """
        if self.by_budget or (not (self.sizes or self.ratio) and (self.alpha or self.support)):
            return ()
        if self.ratio is not None:
            return (max(1, math.ceil(self.ratio * candidates - 1e-9)),)
        if not self.sizes:
            raise SettingsError("no size is given; set a size (1000, say) or a ratio (0.01)")
        return tuple(sorted(set(self.sizes)))
