"""Online data mixing: weights of sources that follow the training loss, and draws by them.

The rules by which they do are those of :mod:`~tsds_qdrant.training.mixing_rules`. Weights are what
a bandit has: a source is an arm, a step of training a pull.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.errors import InputError, SettingsError, StateError
from tsds_qdrant.training.mixing_rules import (
    MixtureRules,
    Reward,
    Variant,
    exploration,
    initial_weights,
    is_name,
)

FORM = 1
"""Of a state."""


class OnlineMixture:
    """Weights over K sources, and seeded draws by them; neither depends on the sources' order.

    Attributes:
        sources: (K,) their names, sorted.
        rules: how weights follow from losses.
        step: steps that were observed, those of the warm-up too.
        epsilon: least weight of an open source as of the last step; 1/K before the first.
        closed: sources that are drawn no more.
    """

    def __init__(
        self,
        sources: Sequence[str],
        initial: Mapping[str, float] | None = None,
        *,
        variant: Variant = "paper",
        alpha: float = 0.9,
        warm_up: int = 0,
        reward: Reward = "loss",
        scale: float | None = None,
        seed: int = 0,
    ) -> None:
        """Begin with the weights ``initial``, or equal ones.

        Args:
            sources: K different names.
            initial: source -> weight, positive for all; they are brought to the sum 1.
            variant, alpha, warm_up, reward, scale: see :class:`MixtureRules`.
            seed: of the draws.

        Raises:
            SettingsError: a value that cannot be right.
        """
        names = [*sources]
        if isinstance(sources, str) or not names or not all(map(is_name, names)):
            raise SettingsError(f"sources are {sources!r}; give a list of names, at least one")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SettingsError(f"source '{twice[0]}' is named twice; name each once")
        self.rules = MixtureRules(variant, alpha, warm_up, reward, scale)
        self.sources = tuple(sorted(names))
        self.step, self.epsilon = 0, 1 / len(names)
        self.closed: frozenset[str] = frozenset()
        self._weights = initial_weights(self.sources, initial)
        self._remembered = np.full(len(names), self.rules.nothing)
        self._smoothed = np.full(len(names), math.nan)
        self._chance = np.random.default_rng(seed)

    @property
    def weights(self) -> dict[str, float]:
        """Source -> its weight; they sum up to 1, and are 0 for closed sources alone."""
        return dict(zip(self.sources, self._open().tolist(), strict=True))

    @property
    def rewards(self) -> dict[str, float]:
        """Source -> R, what is remembered of its rewards; infinite where it is beyond floats."""
        with np.errstate(over="ignore"):
            R = np.exp(self._remembered) if self.rules.logarithmic else self._remembered
        return dict(zip(self.sources, R.tolist(), strict=True))

    def draw(self, n: int) -> list[str]:
        """``n`` sources by their weights, with replacement; none where all are closed.

        However many are drawn at once, the sequence is the same.
        """
        if self.closed.issuperset(self.sources):
            return []
        up_to = np.cumsum(self._open())
        places = np.searchsorted(up_to / up_to[-1], self._chance.random(n), side="right")
        return [self.sources[place] for place in places]

    def update(self, source: str, loss: float, chance: float | None = None) -> None:
        """Learn from a step of one source; see :meth:`observe`."""
        self.observe({source: loss}, None if chance is None else {source: chance})

    def observe(
        self, losses: Mapping[str, float], chances: Mapping[str, float] | None = None
    ) -> None:
        """Learn from one step of training.

        Args:
            losses: source -> its mean loss by token in this step, for all sources that were seen.
            chances: source -> its weight when it was drawn; that of now where unset.

        Raises:
            InputError: an unknown source, a loss that is no finite number, or a chance that is
                none. Nothing is learnt then.
        """
        now = self._open()
        seen = []
        for source, loss in losses.items():
            if source not in self.sources:
                raise InputError(f"source '{source}' is unknown; name {', '.join(self.sources)}")
            place = self.sources.index(source)
            chance = float((chances or {}).get(source, now[place] or self._weights[place]))
            if not math.isfinite(loss):
                raise InputError(
                    f"the loss of source '{source}' in step {self.step + 1} is {loss}; leave the "
                    f"step out, or lower the learning rate"
                )
            if not 0 < chance <= 1 + 1e-9:
                raise InputError(
                    f"the chance of source '{source}' in step {self.step + 1} is {chance}; give "
                    f"its weight when it was drawn, above 0 and at most 1"
                )
            seen.append((place, float(loss), chance))
        self.step += 1
        if self.step <= self.rules.warm_up:
            return
        for place, loss, chance in seen:
            reward = self.rules.rewarded(loss, self._smoothed[place])
            self._smoothed[place] = self.rules.smoothed(loss, self._smoothed[place])
            R = self.rules.remembered(float(self._remembered[place]), reward, chance)
            self._remembered[place] = R
        before, K = self.epsilon, len(self.sources)
        self.epsilon = exploration(K, self.step)
        shares = self.rules.shares(self._remembered, before)
        self._weights = (1 - K * self.epsilon) * shares + self.epsilon

    def close(self, source: str) -> None:
        """Draw ``source`` no more; its weight goes to the others in proportion to theirs."""
        self.closed |= {source}

    def add(self, source: str) -> None:
        """Let a new source in: it has the mean R of the others, and the least weight for now.

        Raises:
            SettingsError: it is there already, or is no name.
        """
        if source in self.sources or not is_name(source):
            raise SettingsError(f"source {source!r} cannot be added; give a new name")
        K, before = len(self.sources) + 1, self.epsilon
        self.epsilon = exploration(K, max(self.step, 1))
        excess = np.maximum(self._weights - before, 0.0)
        excess = excess if excess.sum() > 0 else self._weights
        place = int(np.searchsorted([*self.sources], source))
        shares = np.insert(excess / excess.sum(), place, 0.0)
        self._weights = (1 - K * self.epsilon) * shares + self.epsilon
        mean = float(self._remembered.mean())
        if self.rules.logarithmic:
            mean = float(np.logaddexp.reduce(self._remembered)) - math.log(K - 1)
        self._remembered = np.insert(self._remembered, place, mean)
        self._smoothed = np.insert(self._smoothed, place, math.nan)
        self.sources = (*self.sources[:place], source, *self.sources[place:])

    def state_dict(self) -> dict[str, Any]:
        """All that weights and draws to come depend on; JSON holds it exactly."""
        return {
            "form": FORM,
            **asdict(self.rules),
            "sources": [*self.sources],
            "step": self.step,
            "epsilon": self.epsilon,
            "closed": sorted(self.closed),
            "weights": self._weights.tolist(),
            "remembered": _written(self._remembered),
            "smoothed": _written(self._smoothed),
            "random": self._chance.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, made by :meth:`state_dict` of a mixture of the same rules.

        Sources of this mixture that ``state`` lacks are added; those it alone has are closed.

        Raises:
            StateError: it is none, or of other rules. Nothing is changed then.
        """
        try:
            if state["form"] != FORM:
                raise ValueError(f"form {state['form']}")
            rules = {name: state[name] for name in asdict(self.rules)}
            sources, closed = (tuple(map(str, state[key])) for key in ("sources", "closed"))
            step, epsilon = int(state["step"]), float(state["epsilon"])
            weights = _read(state["weights"], math.nan)
            remembered = _read(state["remembered"], self.rules.nothing)
            smoothed = _read(state["smoothed"], math.nan)
            if not sources or not len(sources) == len(weights) == len(remembered) == len(smoothed):
                raise ValueError("not a number for each source")
            if not (weights > 0).all() or abs(weights.sum() - 1) > 1e-6:
                raise ValueError("weights that are none")
            chance = np.random.default_rng(0)
            chance.bit_generator.state = state["random"]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StateError(
                f"this is no state of a mixture ({error}); give what state_dict() made"
            ) from None
        for name, own in asdict(self.rules).items():
            if rules[name] != own:
                raise StateError(
                    f"the mixture was saved with {name} {rules[name]} and is made with {own} now; "
                    f"make it as it was"
                )
        wanted = {*self.sources}
        self.sources, self.step, self.epsilon = sources, step, epsilon
        self._weights, self._remembered, self._smoothed = weights, remembered, smoothed
        self._chance = chance
        self.closed = frozenset(closed) | ({*sources} - wanted)
        for source in sorted(wanted - {*sources}):
            self.add(source)

    def _open(self) -> FloatArray:
        """(K,) the weights, those of closed sources given to the others."""
        if not self.closed:
            return self._weights
        is_open = np.array([source not in self.closed for source in self.sources])
        kept = np.where(is_open, self._weights, 0.0)
        return kept / kept.sum() if is_open.any() else kept


def _written(numbers: FloatArray) -> list[float | None]:
    return [number if math.isfinite(number) else None for number in numbers.tolist()]


def _read(numbers: Sequence[float | None], nothing: float) -> FloatArray:
    return np.array([nothing if one is None else float(one) for one in numbers], dtype=np.float64)
