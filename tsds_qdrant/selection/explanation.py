"""What became of points in a selection: their verdicts, and how they stand to each sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.ids import uniform_noise
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.selection.sampling import inclusion_probabilities
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.strategies.reasons import Reasons

Verdict = str
"""``drawn``, ``not drawn`` (it could have been), ``not preferred``, ``filtered out`` (by the run's
filter), ``kept out`` (as a copy of a test item), ``near copy`` (of a preferred one), ``no vector``
(in the searched space), ``lost vector`` (since the run's last selection), ``zero vector`` (which
has no direction), or what the strategy says of a point that could not be drawn: one of its
``VERDICTS``."""
NO_CANDIDATE: tuple[Verdict, ...] = (
    "filtered out",
    "kept out",
    "near copy",
    "no vector",
    "lost vector",
    "zero vector",
)
LEAST_P = 1e-290
"""Smaller p, as of texts that weigh next to nothing, are beyond what chances can be given for."""


@dataclass(frozen=True)
class Standing:
    """A candidate and the sample of one size.

    Attributes:
        size: of the sample.
        rank: in it, from 0; None where it was not drawn.
        weight: how often it was drawn.
        chance: of being drawn under any seed, closely; None where nothing is left to chance, and
            under quotas, budgets and groups.
        needed: the p with which it would have been drawn with this seed, if the others kept
            theirs; None where it was drawn, or where p alone does not decide.
    """

    size: int
    rank: int | None
    weight: int
    chance: float | None
    needed: float | None


@dataclass(frozen=True)
class PointExplanation:
    """Why one point is selected, or not.

    Attributes:
        id: of the point.
        text: "" where not known.
        verdict: what became of it.
        probability: p; None where the strategy leaves nothing to chance.
        rank: in the order of the draw over all candidates that could be drawn, from 0.
        samples: its standing in each, the smallest first.
        reasons: of the strategy.
        arrived: it came after the run's last selection; None where that is not known.
    """

    id: PointId
    text: str
    verdict: Verdict
    probability: float | None = 0.0
    rank: int | None = None
    samples: tuple[Standing, ...] = ()
    reasons: Reasons = field(default_factory=Reasons)
    arrived: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the reasons stand among the others."""
        return {
            "id": self.id,
            "text": self.text,
            "verdict": self.verdict,
            "probability": self.probability,
            "rank": self.rank,
            "samples": [asdict(standing) for standing in self.samples],
            **self.reasons.plain(),
            "arrived": self.arrived,
        }


@dataclass(frozen=True)
class Explanation:
    """What :func:`~tsds_qdrant.runs.explain.explain` returns.

    Attributes:
        strategy: name of the strategy.
        terms: what the strategy's reasons speak of; for ``tsds`` alpha, bandwidth, regularizer.
        sampler: one of :data:`~tsds_qdrant.selection.sampling.SAMPLERS`.
        support: number of candidates that could be drawn.
        candidates: size of the pool.
        queries: number of task examples.
        points: in the order asked for.
        searches: made for the answers.
        vector: name of the searched vector, "" for the unnamed one.
        missing: points that the collection does not hold -> a sentence on that.
    """

    strategy: str
    terms: Mapping[str, Any]
    sampler: str
    support: int
    candidates: int
    queries: int
    points: tuple[PointExplanation, ...]
    searches: int = 0
    vector: str = ""
    missing: Mapping[PointId, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "strategy": self.strategy,
            **self.terms,
            "sampler": self.sampler,
            "support": self.support,
            "vector": self.vector,
            "candidates": self.candidates,
            "queries": self.queries,
            "points": [point.as_dict() for point in self.points],
            "searches": self.searches,
            "missing": [{"id": i, "message": text} for i, text in self.missing.items()],
        }


def ranks_of(selection: Selection) -> dict[int, int]:
    """Candidate -> its rank in the largest sample; nothing where none was drawn."""
    if not selection.samples:
        return {}
    largest = selection.samples[max(selection.samples)].candidates
    return {candidate: rank for rank, candidate in enumerate(largest.tolist())}


def draw_order(selection: Selection) -> dict[int, int]:
    """Candidate -> its place in the order of the draw; nothing where that has no order."""
    order = selection.preference.drawn
    return {} if order is None else {one: place for place, one in enumerate(order.tolist())}


def standings_of(
    selection: Selection, candidate: int, chances: Mapping[int, FloatArray]
) -> tuple[Standing, ...]:
    """How ``candidate``, which could be drawn, stands to each sample; see :func:`chances_of`."""
    found = []
    for size, sample in sorted(selection.samples.items()):
        places = np.flatnonzero(sample.candidates == candidate)
        drawn = bool(len(places))
        found.append(
            Standing(
                size,
                rank=int(places[0]) if drawn else None,
                weight=int(sample.weights[places[0]]) if drawn else 0,
                chance=float(chances[size][candidate]) if size in chances else None,
                needed=None if drawn else _needed(selection, candidate, sample.candidates.tolist()),
            )
        )
    return tuple(found)


def chances_of(selection: Selection) -> dict[int, FloatArray]:
    """Size -> (n,) chances to be drawn under any seed.

    There are none where the strategy or the sampler leaves nothing to chance, and where quotas,
    budgets and groups decide too. An order by weighted chance is the same race that the sampler
    ``stable`` is, so its chances are too.
    """
    p, settings = selection.preference.probabilities, selection.settings
    sampler = settings.wanted.sampler
    if p is None or settings.bounds.any or not settings.by_chance:
        return {}
    if sampler == "multinomial":
        return {size: 1.0 - (1.0 - p) ** size for size in selection.samples}
    p = np.where(p > LEAST_P, p, 0.0)
    known = int(np.count_nonzero(p))
    return {size: inclusion_probabilities(p, size) for size in selection.samples if size <= known}


def _needed(selection: Selection, candidate: int, drawn: list[int]) -> float | None:
    """The p that would have taken the place of the last one ``drawn``, where p alone decides."""
    preference, settings = selection.preference, selection.settings
    p, wanted, last = preference.probabilities, settings.wanted, drawn[-1]
    alone = wanted.sampler in ("top", "stable")
    if p is None or preference.ordered or settings.bounds.any or not alone:
        return None
    if wanted.sampler == "top":
        return float(p[last])
    mine, theirs = -np.log(uniform_noise(selection.keys[[candidate, last]], wanted.seed))
    return float(p[last] * mine / theirs)
