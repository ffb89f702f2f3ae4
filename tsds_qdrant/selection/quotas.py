"""Samples that keep to bounds: quotas, a budget of tokens, a maximum per group.

The order of the draw stays what it is. It is walked once, and every candidate that still fits is
taken: what is passed over would not fit later either, so the sample is maximal, and it is the
plain one where nothing binds. With one kind of bound (the values of one field, or groups) beside
the size, the samples are the bases of a matroid: a candidate that goes makes place for one other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.selection.sampling import Met, Sample

NULL = "null"
"""The value of a candidate that has no such field."""


@dataclass(frozen=True)
class Quota:
    """At most a share of the sample from each value of a field, or from one value.

    Attributes:
        field: payload field; dots reach into nested ones.
        share: in (0, 1], of the size that is asked for, and of the token budget if there is one.
        value: the one value; None for each. One value's own quota takes the place of the field's.
    """

    field: str
    share: float
    value: str | None = None

    def __post_init__(self) -> None:
        if not self.field:
            raise SettingsError("a quota names no field; write FIELD:SHARE or FIELD=VALUE:SHARE")
        if not 0.0 < self.share <= 1.0:
            raise SettingsError(
                f"the quota of '{self.name}' is {self.share:g}; choose it above 0 and at most 1, "
                f"or leave candidates out with a filter"
            )

    @property
    def name(self) -> str:
        """The field, and the value if it is for one."""
        return self.field if self.value is None else f"{self.field}={self.value}"

    @classmethod
    def parse(cls, text: str) -> Quota:
        """Read ``FIELD:SHARE`` or ``FIELD=VALUE:SHARE``.

        Raises:
            SettingsError: neither.
        """
        name, colon, share = text.rpartition(":")
        key, equals, value = name.partition("=")
        try:
            if colon:
                return cls(key, float(share), value if equals else None)
        except ValueError:
            pass
        raise SettingsError(f"'{text}' is no quota; write source:0.3 or source=web:0.3")


@dataclass(frozen=True)
class Traits:
    """What bounds look at in one candidate.

    Attributes:
        values: field -> its values as text; one of them, but for fields that hold lists.
        tokens: its length.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tokens: int = 0

    @classmethod
    def stored(cls, given: Mapping[str, Any]) -> Traits:
        """What ``asdict`` and JSON made of traits."""
        values = {name: tuple(found) for name, found in given["values"].items()}
        return cls(values, given["tokens"])


@dataclass(frozen=True)
class Neighbors:
    """Which candidates are near-duplicates of each other.

    Attributes:
        offsets: (n + 1,) those of candidate i are ``members[offsets[i]:offsets[i + 1]]``.
        members: candidate numbers, without i itself; near is mutual.
        most: how many candidates that are all near one of them, itself included, may be drawn.
        name: for messages.
    """

    offsets: IntArray
    members: IntArray
    most: int
    name: str


class Caps:
    """Counters that must not pass their limits, and what each candidate adds to them."""

    def __init__(self, candidates: int, neighbors: Neighbors | None = None) -> None:
        self.costs: list[list[tuple[int, int]]] = [[] for _ in range(candidates)]
        self.most: list[int] = []
        self.names: list[str] = []
        self.neighbors = neighbors

    def add(self, name: str, most: int, costs: Sequence[tuple[int, int]]) -> None:
        """Bound the sum of ``costs``, pairs of candidate number and cost, by ``most``."""
        for candidate, cost in costs:
            self.costs[candidate].append((len(self.most), cost))
        self.most.append(most)
        self.names.append(name)

    def add_quotas(self, quotas: Sequence[Quota], traits: Sequence[Traits], total: int) -> None:
        """Quotas as shares of ``total`` candidates."""
        self._add_shares(quotas, traits, [1] * len(traits), total, "")

    def add_token_quotas(
        self, quotas: Sequence[Quota], traits: Sequence[Traits], total: int
    ) -> None:
        """Quotas as shares of ``total`` tokens."""
        self._add_shares(quotas, traits, [one.tokens for one in traits], total, " in tokens")

    def _add_shares(
        self,
        quotas: Sequence[Quota],
        traits: Sequence[Traits],
        costs: Sequence[int],
        total: int,
        unit: str,
    ) -> None:
        shares = {(quota.field, quota.value): quota.share for quota in quotas}
        for name in dict.fromkeys(quota.field for quota in quotas):
            for value, members in members_of(traits, name).items():
                share = shares.get((name, value), shares.get((name, None), 1.0))
                most = int(np.floor(share * total * (1 + 1e-12)))
                if most < sum(costs[k] for k in members):
                    self.add(f"{name}={value}{unit}", most, [(k, costs[k]) for k in members])

    def draw(self, order: IntArray, size: int | None) -> Sample:
        """Walk ``order`` and take what fits, until there are ``size`` (None: to the end)."""
        used, refused = [0] * len(self.most), [0] * len(self.most)
        crowd = _Crowd(self.neighbors, len(self.costs)) if self.neighbors else None
        drawn: list[int] = []
        for candidate in order.tolist():
            if len(drawn) == size:
                break
            for counter, cost in self.costs[candidate]:
                if used[counter] + cost > self.most[counter]:
                    refused[counter] += 1
                    break
            else:
                if crowd is not None and not crowd.take(candidate):
                    continue
                drawn.append(candidate)
                for counter, cost in self.costs[candidate]:
                    used[counter] += cost
        met = [
            Met(name, most, total, turned)
            for name, most, total, turned in zip(self.names, self.most, used, refused, strict=True)
            if turned
        ]
        if crowd is not None and crowd.refused:
            met.append(Met(crowd.neighbors.name, crowd.neighbors.most, None, crowd.refused))
        met.sort(key=lambda one: -one.refused)
        weights = np.ones(len(drawn), dtype=np.int64)
        return Sample(np.array(drawn, dtype=np.int64), weights, met=tuple(met))


class _Crowd:
    """How many drawn candidates each candidate is near to."""

    def __init__(self, neighbors: Neighbors, candidates: int) -> None:
        self.neighbors = neighbors
        self.refused = 0
        self._near = np.zeros(candidates, dtype=np.int64)
        self._drawn = np.zeros(candidates, dtype=np.bool_)

    def take(self, candidate: int) -> bool:
        """Draw ``candidate`` if neither it nor one drawn before gets more than it may."""
        start, stop = self.neighbors.offsets[candidate : candidate + 2]
        around = self.neighbors.members[start:stop]
        most = self.neighbors.most
        if (
            self._near[candidate] >= most
            or (self._near[around[self._drawn[around]]] + 1 >= most).any()
        ):
            self.refused += 1
            return False
        self._near[around] += 1
        self._drawn[candidate] = True
        return True


def members_of(traits: Sequence[Traits], name: str) -> dict[str, list[int]]:
    """Which candidates have each value of field ``name``, in the order of their numbers."""
    members: dict[str, list[int]] = {}
    for number, one in enumerate(traits):
        for value in one.values[name]:
            members.setdefault(value, []).append(number)
    return members
