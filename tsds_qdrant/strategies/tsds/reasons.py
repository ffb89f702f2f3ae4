"""Why a candidate has the probability that it has: who asks for it, and what it shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tsds_qdrant.collections.values import PointId
from tsds_qdrant.solver.turning import Turn
from tsds_qdrant.strategies.reasons import Reasons
from tsds_qdrant.strategies.unfetched import Unfetched
from tsds_qdrant.strategies.wording import SHOWN, named, ordinal, quoted, table


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
class Terms:
    """What the lines on a candidate speak of.

    Attributes:
        alpha: of the selection.
        bandwidth: h.
        queries: number of task examples.
        probability: p of the candidate.
    """

    alpha: float = 0.5
    bandwidth: float = 0.0
    queries: int = 0
    probability: float = 0.0


@dataclass(frozen=True)
class TransportReasons(Reasons):
    """Why one candidate has mass, or has none.

    Attributes:
        listings: lists that give it mass, most first; without any, lists it stands in, the one
            that comes nearest to giving mass first.
        density: at least 1; None where not measured.
        density_whole: otherwise it is a lower bound.
        duplicates: nearest first; perhaps not all.
        duplicate_count: how many there are.
        turn: where p turns positive; None for points that are no candidates.
        unfetched: for points in no list.
        terms: what the lines speak of.
    """

    VERDICTS: ClassVar = {
        "no mass": "nearer candidates use up what task examples have to give",
        "not fetched": "farther from every task example than what they use",
    }

    listings: tuple[Listing, ...] = ()
    density: float | None = None
    density_whole: bool = True
    duplicates: tuple[Duplicate, ...] = ()
    duplicate_count: int = 0
    turn: Turn | None = None
    unfetched: Unfetched | None = None
    terms: Terms = field(default_factory=Terms)

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON; the terms are those of the whole explanation."""
        return {name: value for name, value in super().plain().items() if name != "terms"}

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """Task examples, near-duplicates, and the alpha at which p turns."""
        return [
            *self._listings(),
            *self._unfetched(arrived),
            *self._duplicates(),
            *self._turn(),
        ]

    def _listings(self) -> Iterator[str]:
        if not self.listings:
            return
        count, paying = len(self.listings), self.terms.probability > 0
        if paying:
            yield f"{count} of {self.terms.queries} task examples send it mass:"
        else:
            yield f"it is in the lists of {count} of {self.terms.queries} task examples:"
        yield from table(
            ("share" if paying else "uses", "distance", "nearest", "task example"),
            [
                (
                    f"{one.share:.0%}" if paying else f"{one.used}",
                    f"{one.distance:.3f}",
                    ordinal(one.neighbor),
                    f"{one.query}  {quoted(one.text)}",
                )
                for one in self.listings[:SHOWN]
            ],
            count,
        )

    def _unfetched(self, arrived: bool) -> Iterator[str]:
        far = self.unfetched
        if far is None:
            return
        ends = "holds every candidate" if far.end is None else f"ends at {far.end:.3f}"
        yield (
            f"nearest to {named(far.query, far.text)}: distance {far.distance:.3f}, while its "
            f"list of {far.depth} {ends}"
        )
        if far.missed_by is not None and not arrived:
            yield (
                f"the list of task example {far.missed_by} should hold it: approximate search "
                f"missed it, or it came after the run's last selection"
            )

    def _duplicates(self) -> Iterator[str]:
        if self.density is None:
            return
        least = "" if self.density_whole else "at least "
        within = f"within {self.terms.bandwidth:.3g}"
        if not self.duplicate_count:
            yield f"density {self.density:.3g}: no near-duplicate {within}"
            return
        count = f"{least}{self.duplicate_count} near-duplicates"
        if self.duplicate_count == 1:
            count = "one near-duplicate"
        yield f"density {least}{self.density:.3g}: it shares with {count} {within}:"
        yield from table(
            ("distance", "p", "rank", "point"),
            [
                (
                    f"{one.distance:.3f}",
                    f"{one.probability:.3g}",
                    "-" if one.rank is None else f"{one.rank}",
                    f"{one.id}  {quoted(one.text)}",
                )
                for one in self.duplicates[:SHOWN]
            ],
            self.duplicate_count,
        )

    def _turn(self) -> Iterator[str]:
        turn, alpha = self.turn, self.terms.alpha
        if turn is None:
            return
        digits = next((n for n in range(4, 17) if f"{turn.alpha:.{n}g}" != f"{alpha:.{n}g}"), 17)
        there, now = f"{turn.alpha:.{digits}g}", f"(now {alpha:.{digits}g})"
        if turn.alpha == 1.0:
            yield f"it has p > 0 at every alpha {now}"
        elif self.terms.probability > 0:
            yield f"it has p > 0 below alpha {there} {now}"
        elif turn.exact:
            yield f"it would have p > 0 below alpha {there} {now}"
        else:
            yield (
                f"it would have p > 0 only below some alpha under {there} {now}; "
                f"that is a bound, as far as lists and densities are known"
            )
