"""Settings of adapters and of their training; the defaults are those of LESS (arXiv 2402.04333)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting

ALL_LINEAR = "all-linear"
ONLY_SPEED = ("batch_tokens",)
"""Settings that change nothing but memory, time and the draws of dropout."""


def targets_of(text: str, flag: str) -> tuple[str, ...]:
    """Names of layers, from ``q_proj,v_proj``.

    Raises:
        SettingsError: a name is empty.
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise SettingsError(f"{flag} is '{text}'; name layers, as in q_proj,v_proj")
    return names


@dataclass(frozen=True)
class LoraSettings:
    """The training

    Attributes:
        rank: r, of the two factors of an adapter.
        alpha: what they add is scaled by alpha / r.
        dropout: share of their inputs that is left out in training.
        targets: ends of the names of the layers that get adapters; ``all-linear`` for all but the
            last; the projections of attention, or all linear layers where there are no such names,
            by default.
        learning_rate: the highest.
        warmup_ratio: the share of steps in which it rises; it falls to 0 in the others.
        epochs: how often each example is learnt.
        batch: examples of one step.
        batch_tokens: tokens of one pass, padding among them.
    """

    rank: int = setting(128, "Rank of the adapters.", least=1)
    alpha: float = setting(512.0, "Their sum is scaled by alpha / rank.")
    dropout: float = setting(0.1, "Share of the inputs of an adapter that is left out.")
    targets: tuple[str, ...] = setting(
        (),
        "Layers that get adapters; q, k, v and o of attention, or all-linear, if unset.",
        metavar="NAME,..",
        parse=targets_of,
    )
    learning_rate: float = setting(2e-5, "The highest learning rate.")
    warmup_ratio: float = setting(
        0.03, "Share of the steps in which it rises; then it falls.", "--warm-up-ratio"
    )
    epochs: int = setting(4, "How often each example is learnt; a checkpoint each.", least=1)
    batch: int = setting(32, "Examples of one step of the optimizer.", least=1)
    batch_tokens: int = setting(
        2_048, "Tokens of one pass; fewer take less memory.", least=1, hidden=True
    )

    def __post_init__(self) -> None:
        for name in ("rank", "epochs", "batch", "batch_tokens"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; choose 1 or more")
        for name in ("alpha", "learning_rate"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise SettingsError(f"{name} is {getattr(self, name):g}; choose more than 0")
        for name in ("dropout", "warmup_ratio"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise SettingsError(
                    f"{name} is {getattr(self, name):g}; choose 0 or more and less than 1"
                )

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0, of ``steps``.

        It rises to the highest, and falls towards 0 behind the last step; no step has 0, as the
        first one of transformers has, which would learn nothing.
        """
        rising = math.ceil(steps * self.warmup_ratio) if self.warmup_ratio else 0
        rising = min(rising, steps - 1)
        share = (step + 1) / (rising + 1) if step < rising else (steps - step) / (steps - rising)
        return self.learning_rate * share

    def facts(self) -> dict[str, Any]:
        """What the weights depend on, as JSON values."""
        kept = {key: value for key, value in asdict(self).items() if key not in ONLY_SPEED}
        return {**kept, "targets": list(self.targets)}
