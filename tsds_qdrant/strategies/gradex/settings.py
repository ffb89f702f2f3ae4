"""Settings of a choice of sources."""

from __future__ import annotations

from dataclasses import dataclass

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting

CHOICES = ("greedy", "ensemble")
MOST_GREEDY = 40
"""Sources up to which they are chosen one by one where nothing else is said: n (n + 1) / 2 fits."""
STRENGTH = 1e-4


@dataclass(frozen=True)
class SourceSettings:
    """Settings of a choice of sources.

    Attributes:
        source: payload field of a candidate's source.
        choice: ``greedy`` or ``ensemble``; by the number of sources by default.
        sources: how many are chosen, at most for ``greedy``.
        strength: what the loss of the candidates counts beside half the squared length of the step.
        rows: candidates of a source that are looked at to estimate; they stand for the others.
        subset_share: size of a random subset, as a share of the sources.
        subsets: how many of them there are at most.
        chance_seed: of subsets, and of the candidates that are looked at.
        margin_field: payload field of a candidate's margin; where ``represent margin-gradient``
            keeps it by default.
    """

    source: str | None = setting(None, "Payload field of a candidate's source.", metavar="FIELD")
    choice: str | None = setting(
        None,
        f"greedy, or ensemble of random subsets; if unset, greedy up to {MOST_GREEDY} sources.",
        metavar="NAME",
    )
    sources: int | None = setting(
        None, "Sources to choose; as many as help (greedy) or 70 % (ensemble) if unset.", least=1
    )
    strength: float = setting(
        STRENGTH,
        "What the candidates' loss counts beside half the squared step.",
        metavar="C",
    )
    rows: int = setting(256, "Candidates of a source that are looked at.", least=1, hidden=True)
    subset_share: float = setting(
        0.5, "Size of a random subset, as a share of the sources.", metavar="SHARE", hidden=True
    )
    subsets: int = setting(1_000, "Most random subsets.", least=1, hidden=True)
    chance_seed: int = setting(0, "Of subsets and candidates looked at.", hidden=True)
    margin_field: str | None = setting(
        None,
        "Payload field of a candidate's margin; that of represent if unset.",
        metavar="FIELD",
        hidden=True,
    )

    def __post_init__(self) -> None:
        if self.choice is not None and self.choice not in CHOICES:
            raise SettingsError(f"choice is '{self.choice}'; choose one of {', '.join(CHOICES)}")
        if not 0 < self.strength < float("inf"):
            raise SettingsError(
                f"strength is {self.strength:g}; give a number above 0, {STRENGTH:g} say"
            )
        if not 0 < self.subset_share <= 1:
            raise SettingsError(
                f"subset_share is {self.subset_share:g}; give a share above 0 and at most 1"
            )
        for name in ("sources", "rows", "subsets"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value}; give 1 or more")
