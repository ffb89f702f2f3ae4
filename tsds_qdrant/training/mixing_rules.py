"""How weights of sources follow from losses: four rules that are all called online data mixing.

Albalak, Pan, Raffel, Wang, "Efficient Online Data Mixing For Language Model Pre-Training" (arXiv
2312.02406) and its official code; Exp3 is by Auer, Cesa-Bianchi, Freund, Schapire (2002). With K
sources, l the loss of source i, pi_i its weight when it was drawn, R_i what is remembered of it and
a the smoothing:

===================  ========================  ==================================================
variant              R_i of a source seen      share
===================  ========================  ==================================================
``paper``            a R_i + (1 - a) l / pi_i  softmax of e R, e the exploration of the step before
``official``         a R_i + (1 - a) exp(l)    R_i / sum R
``official-update``  a R_i + (1 - a) exp(l)    softmax of e R
``exp3``             R_i + (l / 10) / pi_i     softmax of e R
===================  ========================  ==================================================

Others keep their R, which is 0 at first. After step t the exploration is eps = min(1/K,
sqrt(ln K / (K t))), and the weight of a source is (1 - K eps) share + eps. ``official`` is what the
training loop of the official code does, ``official-update`` its update by a single source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting

Variant = Literal["paper", "official", "official-update", "exp3"]
Reward = Literal["loss", "drop"]
VARIANTS: tuple[Variant, ...] = ("paper", "official", "official-update", "exp3")
REWARDS: tuple[Reward, ...] = ("loss", "drop")
MOST_REWARD = 1e290
"""Rewards over weights are cut to it, so that sums of them stay finite."""
MOST_EXPONENT = 700.0


@dataclass(frozen=True)
class MixtureRules:
    """The bandit

    Attributes:
        variant: one of four rules, see the module.
        alpha: smoothing of R, from 0 to below 1; ``exp3`` sums up and has none.
        warm_up: steps during which the first weights stay and nothing is learnt.
        reward: ``loss``, or ``drop``: by how much the loss fell below the smoothed losses of the
            source so far (0 at first), so that what nobody can learn wins nothing.
        scale: what the reward is multiplied by; 1, and 0.1 for ``exp3``, if None.

    Raises:
        SettingsError: a value that cannot be right.
    """

    variant: Variant = setting("paper", "By which rule weights follow from losses.")
    alpha: float = setting(0.9, "Smoothing of rewards, from 0 to below 1; exp3 has none.")
    warm_up: int = setting(0, "Steps during which the first weights stay.", least=0)
    reward: Reward = setting(
        "loss", "What is rewarded: the loss, or its drop below the source's smoothed loss."
    )
    scale: float | None = setting(
        None, "What rewards are multiplied by; 1, or 0.1 for exp3, if unset."
    )

    def __post_init__(self) -> None:
        for name, known in (("variant", VARIANTS), ("reward", REWARDS)):
            if getattr(self, name) not in known:
                raise SettingsError(
                    f"{name} is '{getattr(self, name)}'; choose among {', '.join(known)}"
                )
        if not 0 <= self.alpha < 1:
            raise SettingsError(f"alpha is {self.alpha:g}; give a number from 0 to below 1")
        if self.warm_up < 0 or self.warm_up != int(self.warm_up):
            raise SettingsError(f"warm-up is {self.warm_up}; give a number of steps, at least 0")
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise SettingsError(f"scale is {self.scale:g}; give a positive number")

    @property
    def logarithmic(self) -> bool:
        """Whether the logarithm of R is kept, as R may be too large for a float."""
        return self.variant.startswith("official")

    @property
    def nothing(self) -> float:
        """How R = 0 is kept."""
        return -math.inf if self.logarithmic else 0.0

    def rewarded(self, loss: float, smoothed: float) -> float:
        """The reward of ``loss``, by the ``smoothed`` loss of its source so far, NaN at first."""
        reward = loss
        if self.reward == "drop":
            reward = 0.0 if math.isnan(smoothed) else smoothed - loss
        scale = (0.1 if self.variant == "exp3" else 1.0) if self.scale is None else self.scale
        return reward * scale

    def smoothed(self, loss: float, before: float) -> float:
        """The smoothed loss after ``loss``; NaN says that there was none ``before``."""
        return loss if math.isnan(before) else self.alpha * before + (1 - self.alpha) * loss

    def remembered(self, before: float, reward: float, chance: float) -> float:
        """R, as it is kept, of a source that was drawn with ``chance`` and earned ``reward``."""
        if self.logarithmic:
            kept = math.log(self.alpha) + before if self.alpha else -math.inf
            return float(np.logaddexp(kept, math.log1p(-self.alpha) + reward))
        whole = max(-MOST_REWARD, min(MOST_REWARD, reward / chance))
        return (
            before + whole
            if self.variant == "exp3"
            else (self.alpha * before + (1 - self.alpha) * whole)
        )

    def shares(self, R: FloatArray, exploration: float) -> FloatArray:
        """(K,) shares of sources that sum up to 1.

        Args:
            R: (K,) as it is kept.
            exploration: that of the step before.
        """
        highest = float(R.max())
        if math.isinf(highest):  # no source was seen
            return np.full(len(R), 1 / len(R))
        if not self.logarithmic:
            exponents = exploration * (R - highest)
        elif self.variant == "official":
            exponents = R - highest
        else:
            # e (exp R_i - exp R_max), where the exponentials themselves may be too large
            exponents = exploration * math.exp(min(highest, MOST_EXPONENT)) * np.expm1(R - highest)
        grown = np.exp(exponents)
        shares: FloatArray = grown / grown.sum()
        return shares


def exploration(sources: int, step: int) -> float:
    """The least weight of each of K = ``sources`` after ``step``, which is at least 1."""
    return min(1 / sources, math.sqrt(math.log(sources) / (sources * step)))


def is_name(source: Any) -> bool:
    """Whether ``source`` can name one."""
    return isinstance(source, str) and bool(source)


def initial_weights(sources: Sequence[str], given: Mapping[str, float] | None) -> FloatArray:
    """(K,) the first weights, with sum 1: those ``given`` for ``sources``, or equal ones.

    Raises:
        SettingsError: other sources have one, or one is not positive.
    """
    if given is None:
        return np.full(len(sources), 1 / len(sources))
    if {*given} != {*sources}:
        raise SettingsError(
            f"first weights are given for {', '.join(sorted(given)) or 'no source'}, and the "
            f"sources are {', '.join(sources)}; give one for each"
        )
    weights = np.array([given[source] for source in sources], dtype=np.float64)
    with np.errstate(all="ignore"):
        shares: FloatArray = weights / weights.max()
        shares /= shares.sum()
    wrong = [
        s
        for s, w, share in zip(sources, weights, shares, strict=True)
        if not (0 < w < math.inf and share > 0)
    ]
    if wrong:
        raise SettingsError(
            f"the first weight of source '{wrong[0]}' is {given[wrong[0]]}; give a positive number"
        )
    return shares
