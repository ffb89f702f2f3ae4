"""A log of losses by source, and the weights that a mixture would have had over it.

Records of the log have ``step``, ``source`` and ``loss``; those of one step stand together. Each
step of the log counts as one, whatever its number. ``tokens`` is how many a loss is the mean of,
``chance`` the weight of the source when it was drawn: the mixture's own of now where it is unset.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import BadRecordError, InputError
from tsds_qdrant.records import read_entries
from tsds_qdrant.records.entries import Entry, Place
from tsds_qdrant.records.fields import listed_fields
from tsds_qdrant.training.mixing import OnlineMixture
from tsds_qdrant.training.mixing_rules import MixtureRules, is_name

LARGEST_STEP, LARGEST = 2**53, 1e250


@dataclass
class Sums:
    """Losses of one source in one step, weighted by tokens."""

    loss: float = 0.0
    chance: float = 0.0
    tokens: float = 0.0

    def add(self, loss: float, chance: float, tokens: float) -> None:
        """Take in ``loss``, the mean of ``tokens`` tokens."""
        self.loss += loss * tokens
        self.chance += chance * tokens
        self.tokens += tokens


@dataclass
class LoggedStep:
    """What a log says of a step.

    Attributes:
        number: as the log has it.
        place: of its first record.
        seen: source -> its losses.
    """

    number: int
    place: Place
    seen: dict[str, Sums] = field(default_factory=dict)

    @property
    def losses(self) -> dict[str, float]:
        """Source -> its mean loss by token."""
        return {source: one.loss / one.tokens for source, one in self.seen.items()}

    @property
    def chances(self) -> dict[str, float]:
        """Source -> its chance, where the log says it."""
        means = {source: one.chance / one.tokens for source, one in self.seen.items()}
        return {source: mean for source, mean in means.items() if not math.isnan(mean)}


@dataclass(frozen=True)
class WeightsAt:
    """Weights after a step of a log.

    Attributes:
        step: its number in the log.
        epsilon: the least weight a source can have then.
        weights: source -> weight.
    """

    step: int
    epsilon: float
    weights: Mapping[str, float]


@dataclass(frozen=True)
class Replay:
    """Weights over a log.

    Attributes:
        sources: all of them, sorted.
        points: one for each step.
        rewards: source -> R at the end.
    """

    sources: tuple[str, ...]
    points: tuple[WeightsAt, ...]
    rewards: Mapping[str, float]


def read_steps(path: str | Path) -> list[LoggedStep]:
    """The steps of the log ``path``.

    Raises:
        InputError: it cannot be read, is empty, or has a record that cannot be used; the message
            names the line.
    """
    steps: list[LoggedStep] = []
    for entry in read_entries(path):
        number = _number(entry, "step")
        if number != int(number) or abs(number) > LARGEST_STEP:
            raise _wrong(entry, f"has the step {number:g}", "give a whole number")
        if not steps or number > steps[-1].number:
            steps.append(LoggedStep(int(number), entry.place))
        elif number < steps[-1].number:
            raise _wrong(
                entry,
                f"has the step {number:g} after step {steps[-1].number}",
                "sort the log by step, and give one training alone",
            )
        source = _source(entry)
        loss = _number(entry, "loss")
        tokens = _number(entry, "tokens") if "tokens" in entry.record else 1.0
        chance = _number(entry, "chance") if "chance" in entry.record else math.nan
        if loss < 0:
            raise _wrong(entry, f"has the loss {loss:g}", "give cross-entropies, from 0 on")
        if tokens <= 0:
            raise _wrong(entry, f"has {tokens:g} tokens", "leave out losses of none")
        if chance <= 0 or chance > 1 + 1e-9:
            raise _wrong(entry, f"has the chance {chance:g}", "give one above 0 and at most 1")
        steps[-1].seen.setdefault(source, Sums()).add(loss, chance, tokens)
    if not steps:
        raise InputError(f"'{path}' holds no losses; give lines with step, source and loss")
    return steps


def replay(
    steps: Sequence[LoggedStep],
    rules: MixtureRules | None = None,
    initial: Mapping[str, float] | None = None,
) -> Replay:
    """The weights that a mixture by ``rules`` has over ``steps``.

    Args:
        steps: of a log.
        rules: how weights follow from losses.
        initial: first weights of all sources, those too that the log does not have; equal ones of
            the log's sources by default.

    Raises:
        InputError: the log has a source that ``initial`` lacks.
        SettingsError: a first weight is not positive.
    """
    sources = sorted(initial or {source for step in steps for source in step.seen})
    for step in steps:
        if unknown := sorted(step.seen.keys() - {*sources}):
            raise InputError(
                f"step {step.number} from {step.place} on has the source '{unknown[0]}', which has "
                f"no first weight; give it one"
            )
    mixture = OnlineMixture(sources, initial, **asdict(rules or MixtureRules()))
    points = []
    for step in steps:
        mixture.observe(step.losses, step.chances)
        points.append(WeightsAt(step.number, mixture.epsilon, mixture.weights))
    return Replay(mixture.sources, tuple(points), mixture.rewards)


def _number(entry: Entry, name: str) -> float:
    value: Any = entry.record.get(name)
    if name not in entry.record:
        raise _wrong(entry, f"has no '{name}' ({listed_fields(entry.record)})", "name it so")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        shown = "null" if value is None else repr(value)[:40]
        raise _wrong(entry, f"has the {name} {shown}", "give a finite number, or leave it out")
    if abs(value) > LARGEST:
        shown = f"{str(value)[:20]}.." if isinstance(value, int) else f"{value:g}"
        raise _wrong(entry, f"has the {name} {shown}", "leave the line out")
    return float(value)


def _source(entry: Entry) -> str:
    value = entry.record.get("source")
    if "source" not in entry.record:
        raise _wrong(entry, f"has no 'source' ({listed_fields(entry.record)})", "name it so")
    name = str(value) if type(value) is int else value
    if not is_name(name):
        raise _wrong(entry, f"has the source {value!r:.40}", "give a name")
    return str(name)


def _wrong(entry: Entry, fault: str, advice: str) -> BadRecordError:
    return BadRecordError(entry.place, fault, advice)
