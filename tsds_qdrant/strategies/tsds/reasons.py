"""Why a candidate has the probability that it has: who asks for it, what it shares, its luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.selection.sampling import inclusion_probabilities, uniform_noise
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.solver.transport import TransportSolution
from tsds_qdrant.solver.turning import Turn

Verdict = Literal["drawn", "not drawn", "no mass", "not fetched", "filtered out", "kept out"]


@dataclass(frozen=True)
class Listing:
    """A candidate in the list of one task example.

    Attributes:
        query: number of the task example, from 0.
        text: of the task example; "" where not known.
        mass: gamma_ij, what the task example sends; 0 where others are nearer.
        share: of the candidate's p.
        distance: from the task example.
        neighbor: 1 for its nearest candidate, 2 for the next, ..
        used: how many of its nearest candidates get mass.
    """

    query: int
    text: str
    mass: float
    share: float
    distance: float
    neighbor: int
    used: int


@dataclass(frozen=True)
class Duplicate:
    """A near-duplicate: a candidate within the bandwidth.

    Attributes:
        id: of the point.
        distance: from the candidate that is explained.
        probability: p.
        rank: in the largest sample, None where it was not drawn.
        text: "" where not known.
    """

    id: PointId
    distance: float
    probability: float
    rank: int | None
    text: str


@dataclass(frozen=True)
class Standing:
    """A candidate and the sample of one size.

    Attributes:
        size: of the sample.
        rank: in it, from 0; None where it was not drawn.
        weight: how often it was drawn.
        chance: of being drawn under any seed, closely; None under quotas, budgets and groups.
        needed: the p with which it would have been drawn with this seed, if the others kept
            theirs; None where it was drawn, or where p alone does not tell.
    """

    size: int
    rank: int | None
    weight: int
    chance: float | None
    needed: float | None


@dataclass(frozen=True)
class Unfetched:
    """How far a point that stands in no list is from the lists.

    Attributes:
        query: the task example that is nearest to it.
        text: of that task example; "" where not known.
        distance: between the two.
        depth: how many candidates the list of that task example holds.
        end: the distance at which the list ends; None where it holds every candidate.
        missed_by: a task example whose list ends farther away, so that it should hold the point.
    """

    query: int
    text: str
    distance: float
    depth: int
    end: float | None
    missed_by: int | None


@dataclass(frozen=True)
class PointExplanation:
    """Why one point is selected, or not.

    Attributes:
        id: of the point.
        text: "" where not known.
        verdict: what became of it; ``no mass``: p is 0, ``not fetched``: it is in no list,
            ``filtered out``: the run's filter leaves it out, ``kept out``: as a test item's copy.
        probability: p.
        rank: in the order of the draw over all candidates with p > 0, from 0.
        samples: its standing in each, the smallest first.
        listings: lists that give it mass, most first; without any, lists it stands in, the one
            that comes nearest to giving mass first.
        density: at least 1; None where not measured.
        density_whole: otherwise it is a lower bound.
        duplicates: nearest first; perhaps not all.
        duplicate_count: how many there are.
        turn: where p turns positive; None for points that are no candidates.
        unfetched: for points in no list.
        arrived: it came after the run's last selection; None where that is not known.
    """

    id: PointId
    text: str
    verdict: Verdict
    probability: float = 0.0
    rank: int | None = None
    samples: tuple[Standing, ...] = ()
    listings: tuple[Listing, ...] = ()
    density: float | None = None
    density_whole: bool = True
    duplicates: tuple[Duplicate, ...] = ()
    duplicate_count: int = 0
    turn: Turn | None = None
    unfetched: Unfetched | None = None
    arrived: bool | None = None


@dataclass(frozen=True)
class Explanation:
    """What :func:`~tsds_qdrant.runs.explain.explain` returns.

    Attributes:
        alpha: of the run's last selection.
        bandwidth: h.
        regularizer: ``kde``, ``uniform`` or ``tv``.
        sampler: ``stable``, ``multinomial`` or ``top``.
        support: number of candidates with p > 0.
        candidates: size of the pool.
        queries: number of task examples.
        points: in the order asked for.
        searches: made for the answers.
    """

    alpha: float
    bandwidth: float
    regularizer: str
    sampler: str
    support: int
    candidates: int
    queries: int
    points: tuple[PointExplanation, ...]
    searches: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def listings_of(
    solution: TransportSolution, candidate: int, texts: Mapping[int, str]
) -> tuple[Listing, ...]:
    """The lists that ``candidate`` stands in, as :class:`PointExplanation` wants them."""
    lists, plan = solution.problem.lists, solution.plan
    entries = np.flatnonzero(lists.candidates == candidate)
    if not len(entries):
        return ()
    paying = entries[plan[entries] > 0]
    used = np.add.reduceat((plan > 0).astype(np.int64), lists.offsets[:-1])
    rows = lists.query_of_entry[entries]
    if len(paying):
        entries = paying[np.argsort(-plan[paying], kind="stable")]
    else:
        places = entries - lists.offsets[rows] - used[rows]
        entries = entries[np.lexsort((lists.distances[entries], places))]
    p = float(solution.probabilities[candidate])
    return tuple(
        Listing(
            query=row,
            text=texts.get(row, ""),
            mass=float(plan[entry]),
            share=float(plan[entry]) / p if p else 0.0,
            distance=float(lists.distances[entry]),
            neighbor=entry - int(lists.offsets[row]) + 1,
            used=int(used[row]),
        )
        for entry, row in zip(entries.tolist(), lists.query_of_entry[entries].tolist(), strict=True)
    )


def standings_of(
    selection: Selection, candidate: int, chances: Mapping[int, FloatArray]
) -> tuple[Standing, ...]:
    """How ``candidate``, which has p > 0, stands to each sample; see :func:`chances_of`."""
    settings = selection.settings
    found = []
    for size, sample in sorted(selection.samples.items()):
        places = np.flatnonzero(sample.candidates == candidate)
        drawn = bool(len(places))
        needed = None
        if not drawn and settings.sampler != "multinomial" and not settings.bounded:
            needed = _needed(selection, candidate, int(sample.candidates[-1]))
        found.append(
            Standing(
                size,
                rank=int(places[0]) if drawn else None,
                weight=int(sample.weights[places[0]]) if drawn else 0,
                chance=float(chances[size][candidate]) if size in chances else None,
                needed=needed,
            )
        )
    return tuple(found)


def chances_of(selection: Selection) -> dict[int, FloatArray]:
    """Size -> (n,) chances to be drawn under any seed; none where the sampler leaves nothing to
    chance, or where quotas, budgets and groups have a say.
    """
    p, settings = selection.probabilities, selection.settings
    if settings.bounded or settings.sampler == "top":
        return {}
    if settings.sampler == "multinomial":
        return {size: 1.0 - (1.0 - p) ** size for size in selection.samples}
    return {size: inclusion_probabilities(p, size) for size in selection.samples}


def _needed(selection: Selection, candidate: int, last: int) -> float:
    """The p that would have taken the place of ``last``, the last one drawn."""
    p, settings = selection.probabilities, selection.settings
    if settings.sampler == "top":
        return float(p[last])
    mine, theirs = -np.log(uniform_noise(selection.keys[[candidate, last]], settings.seed))
    return float(p[last] * mine / theirs)
