"""Near-duplicates in the support, and what the density correction did to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.neighbors.geometry import join_groups
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.report.chosen import Chosen
from tsds_qdrant.strategies.evidence import TransportEvidence

LISTED = 20
"""Maximum number of groups listed."""
SHOWN = 3
"""Maximum number of members of a group shown with their texts."""


@dataclass(frozen=True)
class Group:
    """Candidates of the support that chains of near-duplicates connect.

    Attributes:
        members: candidate numbers, most probable first.
        pool: points of the pool within the bandwidth of a member, members included.
        density: mean density of the members.
        probability: sum of their p.
        undivided: that sum if near-duplicates did not share their mass, see
            :func:`undivided_probabilities`.
        selected: how many members were selected.
    """

    members: IntArray
    pool: int
    density: float
    probability: float
    undivided: float
    selected: int


@dataclass(frozen=True)
class Groups:
    """All groups of two and more.

    Attributes:
        rows: the largest of them, largest first.
        count: how many there are.
        candidates: how many candidates they hold.
        probability: sum of p in all of them.
        undivided: that sum if near-duplicates did not share their mass.
    """

    rows: tuple[Group, ...]
    count: int
    candidates: int
    probability: float
    undivided: float


def groups_of(
    evidence: TransportEvidence, neighborhoods: Neighborhoods, chosen: Chosen
) -> Groups | None:
    """The groups of near-duplicates in the support; None where densities are not in use."""
    if evidence.bandwidth == 0:
        return None
    p = evidence.solution.probabilities
    undivided = undivided_probabilities(evidence)
    support = np.flatnonzero(p)
    owners, members = _pairs(neighborhoods, support)
    counted = ~neighborhoods.excluded[members]
    owners, members = owners[counted], members[counted]
    inside = members < len(p)
    inside[inside] = p[members[inside]] > 0
    joined = np.arange(len(p))
    join_groups(joined, owners[inside], members[inside])
    _, labels, sizes = np.unique(joined[support], return_inverse=True, return_counts=True)
    order = np.lexsort((-p[support], labels))
    parts = np.split(support[order], np.cumsum(sizes)[:-1])
    several = [part for part in parts if len(part) > 1]
    several.sort(key=lambda part: (-len(part), -float(p[part].sum()), int(part[0])))
    together = np.concatenate([np.empty(0, dtype=np.int64), *several])
    return Groups(
        tuple(
            Group(
                part,
                len(np.union1d(part, members[np.isin(owners, part)])),
                float(evidence.densities[part].mean()),
                float(p[part].sum()),
                float(undivided[part].sum()),
                int(np.count_nonzero(chosen.among[part])),
            )
            for part in several[:LISTED]
        ),
        len(several),
        len(together),
        float(p[together].sum()),
        float(undivided[together].sum()),
    )


def undivided_probabilities(evidence: TransportEvidence) -> FloatArray:
    """(n,) p times density, scaled to sum 1: what p would be if each candidate counted alone.

    A density divides the cap of its candidate's mass; this takes the division back and leaves
    the rest of the solution as it is.
    """
    whole = evidence.solution.probabilities * evidence.densities
    undivided: FloatArray = whole / whole.sum()
    return undivided


def _pairs(neighborhoods: Neighborhoods, support: IntArray) -> tuple[IntArray, IntArray]:
    """Pairs of a candidate of ``support`` and a point within the bandwidth of it.

    Candidates at one place, which are copies, are paired with their first one; only that one is
    paired with the neighbours of the place.
    """
    places = neighborhoods.vicinities.places
    place_of = neighborhoods.vicinities.place_of[support]
    known = support[place_of >= 0]
    used, first, copies = np.unique(place_of[place_of >= 0], return_index=True, return_inverse=True)
    found = [places[number].members for number in used.tolist()]
    sizes = np.array([len(part) for part in found], dtype=np.int64)
    owners = np.concatenate([np.repeat(known[first], sizes), known[first][copies]])
    return owners, np.concatenate([*found, known]).astype(np.int64, copy=False)
