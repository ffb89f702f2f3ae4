"""Layers: the r-th nearest candidates of all task examples, and their order within a layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import id_order
from tsds_qdrant.errors import DepthError
from tsds_qdrant.neighbors.deepening import start
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.solver.entropic import Marginals, entropic_plan
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.strategies.tarot.knowledge import CostKnowledge

TIE = 1e-6
"""Potentials that differ by less than this share of the largest distance are equal: ids decide."""
BEYOND = np.iinfo(np.int64).max


def ranks_of(lists: NeighborLists) -> IntArray:
    """(n,) place of each entry in its list, from 1."""
    ranks: IntArray = np.arange(1, len(lists.candidates) + 1) - lists.offsets[lists.query_of_entry]
    return ranks


@dataclass(frozen=True)
class Layers:
    """The layers of candidates, as far as the lists reach.

    Attributes:
        layer: (n,) the first layer that each candidate is in, from 1; ``BEYOND`` where in none.
        known: up to which layer that is final; ``BEYOND`` where all lists are complete.
    """

    layer: IntArray
    known: int

    @classmethod
    def of(cls, lists: NeighborLists, seen: int) -> Layers:
        """The layers of ``lists`` over ``seen`` candidates."""
        layer = np.full(seen, BEYOND, dtype=np.int64)
        np.minimum.at(layer, lists.candidates, ranks_of(lists))
        known = int(lists.depths[~lists.complete].min(initial=BEYOND))
        return cls(layer, known)

    def reaching(self, size: int) -> int | None:
        """The first layer up to which there are ``size`` candidates; None where not known.

        The last there is, where all layers have fewer.
        """
        found = np.sort(self.layer[self.layer <= min(self.known, BEYOND - 1)])
        if len(found) >= size:
            return int(found[size - 1])
        return int(found[-1]) if self.known == BEYOND else None


def layers_for(known: CostKnowledge, size: int, name: str) -> tuple[Layers, int]:
    """Layers that hold ``size`` candidates, or all there are, and up to which one they do.

    Raises:
        DepthError: the lists would not fit into memory.
    """
    near = known.neighborhoods
    start(near)
    while True:
        layers = Layers.of(near.lists, len(near.index))
        last = layers.reaching(size)
        if last is not None:
            return layers, last
        deepened(near, np.flatnonzero(~near.complete), 2 * layers.known, f"{size} candidates", name)


def deepened(near: Neighborhoods, rows: IntArray, depth: int, what: str, name: str) -> None:
    """Fetch those of the lists ``rows`` that end before ``depth`` as deep as that.

    Raises:
        DepthError: the lists would not fit into memory.
    """
    short = rows[(near.depths[rows] - near.hidden[rows] < depth) & ~near.complete[rows]]
    try:
        near.deepen(short, np.maximum(near.fetched[short] + 1, depth + near.hidden[short]))
    except DepthError as error:
        raise DepthError(
            f"the strategy '{name}' needs deeper neighbour lists for {what} than can be fetched "
            f"({error}); lower the size, or give fewer task examples"
        ) from None


def in_layers(known: CostKnowledge, layers: Layers, last: int) -> IntArray:
    """The candidates up to layer ``last``: layer by layer, smallest potential first.

    So how a layer is ordered does not depend on how many are wanted, and samples are nested.
    """
    members = np.flatnonzero(layers.layer <= last)
    known.learn(members)
    order = np.argsort(layers.layer[members], kind="stable")
    members = members[order]
    cuts = np.flatnonzero(np.diff(layers.layer[members])) + 1
    parts = [by_potential(known, part) for part in np.split(members, cuts) if len(part)]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def by_potential(known: CostKnowledge, candidates: IntArray) -> IntArray:
    """``candidates`` (c,), smallest potential against the task examples first; ties go by id."""
    members = known.by_id(candidates)
    keys = known.index.keys[members]
    place = keys.tobytes()
    if place not in known.orders:
        known.orders[place] = potentials_of(known, members)
    ordered: IntArray = members[id_order(keys, known.orders[place])]
    return ordered


def potentials_of(known: CostKnowledge, members: IntArray) -> FloatArray:
    """(c,) dual potentials f of moving ``members``, evenly weighted, to the task examples: rounded.

    They are those of the entropic problem, which are unique up to a constant; a linear program
    leaves them open wherever as many candidates as task examples are matched. f_i is what mass at
    candidate i adds to the cost, so the smallest are the best.
    """
    if len(members) == 1:
        return np.zeros(1)
    problem = Marginals.uniform(known.cost(members), known.query_weights)
    unit = TIE * float(problem.cost.max()) or 1.0
    rounded: FloatArray = np.rint(entropic_plan(problem).row_potentials / unit)
    return rounded
