"""Unbalanced optimal transport as a ranking: by what task examples send to each candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import id_order
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import DepthError, SettingsError
from tsds_qdrant.neighbors.deepening import whole_list
from tsds_qdrant.neighbors.knowledge import NeighborKnowledge
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import number_of
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.relaxed import EPSILON, RELAX, Pairs, RelaxedPlan, relaxed_plan
from tsds_qdrant.strategies.base import Arrays, Ask, Preference, Strategy
from tsds_qdrant.strategies.card import UNTRAINED, Card
from tsds_qdrant.strategies.evidence import Evidence
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.unfetched import distances_from, with_listed
from tsds_qdrant.strategies.wording import named
from tsds_qdrant.task.task import Task

TIE = 1e-9
"""Logarithms of masses that differ by less are equal, and ids decide."""


@dataclass(frozen=True)
class ByMass(Reasons):
    """What a point receives.

    Attributes:
        query: the nearest task example, from 0.
        text: of that task example; "" where not known.
        distance: between the two.
        log_mass: logarithm of the mass that it receives; None where it is in no list.
    """

    VERDICTS: ClassVar = {"not preferred": "it is in no list of nearest candidates"}

    query: int | None = None
    text: str = ""
    distance: float | None = None
    log_mass: float | None = None

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """The mass, and the nearest task example."""
        if self.query is None:
            return []
        mass = "" if self.log_mass is None else f"receives {math.exp(self.log_mass):.3g} of 1; "
        return [f"{mass}distance {self.distance:.3f} to {named(self.query, self.text)}"]


@dataclass(frozen=True)
class MassEvidence(Evidence):
    """How far the plan has converged, and over how many pairs.

    Attributes:
        plan: the solution.
        pairs: of a task example and a candidate.
    """

    plan: RelaxedPlan
    pairs: int

    def facts(self) -> dict[str, Any]:
        """The part ``transport`` of the manifest."""
        plan = self.plan
        told = {"pairs": self.pairs, "sweeps": plan.sweeps, "error": plan.error}
        return {"transport": {**told, "converged": plan.converged}}

    def in_words(self) -> list[str]:
        """How many candidates receive mass, and what to mind."""
        masses = self.plan.masses
        even = 1.0 / float(np.square(masses).sum())
        lines = [f"mass on {len(masses)} candidates, as spread as evenly over {even:.0f}"]
        if not self.plan.converged:
            lines.append(f"not converged after {self.plan.sweeps} sweeps; raise epsilon")
        return lines


@dataclass(frozen=True)
class Unbalanced(Strategy):
    """Strategy uot

    Attributes:
        epsilon: entropy, in units of the cost; see :func:`cost_of`.
        relax: what keeps the masses of candidates even, in the same units.
        depth: how many nearest candidates each task example may send to; None for all.
    """

    name: ClassVar[str] = "uot"
    card: ClassVar[Card] = Card(
        idea="the candidates that receive most in an unbalanced optimal transport",
        paper="arXiv 2602.14696",
        cost="every distance between task examples and candidates, or lists of --depth",
        features="embeddings",
        criterion="external: unbalanced optimal transport",
        task_aware=True,
        steps=3,
        **UNTRAINED,
    )
    reasons: ClassVar[type[Reasons]] = ByMass

    epsilon: float = setting(
        EPSILON, "Entropy of the plan, as a cost.", metavar="E", parse=number_of
    )
    relax: float = setting(
        RELAX,
        "What keeps candidates even, as a cost; large: all equal.",
        metavar="R",
        parse=number_of,
    )
    depth: int | None = setting(
        None, "Each task example sends to its K nearest only; all if unset.", metavar="K", least=1
    )

    def __post_init__(self) -> None:
        for name in ("epsilon", "relax"):
            if not (math.isfinite(value := getattr(self, name)) and value > 0):
                raise SettingsError(f"{name} is {value:g}; choose a number above 0")
        if self.depth is not None and self.depth < 1:
            raise SettingsError(f"depth is {self.depth}; choose 1 or more")

    def begin(self, searcher: Searcher, task: Task) -> NeighborKnowledge:
        """No list is fetched yet."""
        searcher.preflight(task.vectors[0])
        return NeighborKnowledge(Neighborhoods(searcher, task.vectors), task.weights)

    def resume(
        self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays
    ) -> NeighborKnowledge:
        """Lists as they were stored."""
        return NeighborKnowledge(*NeighborKnowledge.resumed(searcher, facts, arrays))

    def prefer(self, known: NeighborKnowledge, ask: Ask) -> Preference:
        """All candidates in the order of what they receive; no size makes a difference to it."""
        lists = self._lists(known)
        candidates, places = np.unique(lists.candidates, return_inverse=True)
        cost = cost_of(lists.distances, known.searcher.info.metric)
        pairs = Pairs(lists.offsets, places.reshape(-1), cost)
        plan = relaxed_plan(pairs, known.query_weights, epsilon=self.epsilon, relax=self.relax)
        rounded = np.rint(-plan.log_masses / TIE)
        order = id_order(known.index.keys[candidates], rounded)
        evidence = MassEvidence(
            replace(plan, log_masses=plan.log_masses[order]), len(lists.candidates)
        )
        return Preference(candidates[order], None, ordered=True, reached=False, evidence=evidence)

    def _lists(self, known: NeighborKnowledge) -> NeighborLists:
        """Lists as deep as each task example may send, and no deeper, however far they are known.

        Raises:
            DepthError: they would not fit into memory.
        """
        near = known.neighborhoods
        everyone = np.arange(len(known.queries))
        wanted = known.pool if self.depth is None else min(self.depth, known.pool)
        try:
            while len(short := everyone[~near.complete & (near.depths - near.hidden < wanted)]):
                near.deepen(short, np.full(len(short), wanted + int(near.excluded.sum()) + 1))
        except DepthError as error:
            advice = "give --depth 1000, say" if self.depth is None else "lower --depth"
            raise DepthError(
                f"the strategy '{self.name}' needs {wanted} distances from each of "
                f"{len(known.queries)} task examples ({error}); {advice}, or fewer task examples"
            ) from None
        if self.depth is None:
            return near.lists
        lists = near.lists
        rows = [slice(at, min(at + self.depth, end)) for at, end in _bounds(lists)]
        return NeighborLists.from_rows(
            [lists.candidates[row] for row in rows], [lists.distances[row] for row in rows]
        )

    def everything(self, known: NeighborKnowledge) -> IntArray:
        """Those of one list, fetched to its end."""
        return whole_list(known.neighborhoods)

    def more(self, known: NeighborKnowledge, preference: Preference) -> str:
        """Longer lists, where their length is given."""
        return "" if self.depth is None else "raise --depth"

    def advice(self, known: NeighborKnowledge, preference: Preference, size: int) -> str:
        """Longer lists, as long as there are more candidates."""
        if self.depth is None or size > len(self.everything(known)):
            return super().advice(known, preference, size)
        return (
            f"{size} candidates are wanted but only {len(preference.candidates)} are among the "
            f"{self.depth} nearest of a task example; raise --depth"
        )

    def explain(
        self, known: NeighborKnowledge, preference: Preference, question: Question
    ) -> list[ByMass]:
        """What each point receives, and from how far."""
        evidence = preference.evidence
        assert isinstance(evidence, MassEvidence)
        masses = dict(
            zip(preference.candidates.tolist(), evidence.plan.log_masses.tolist(), strict=True)
        )
        lists, found = known.neighborhoods.lists, []
        for record in question.records:
            far = distances_from(known.queries, record, known.searcher)
            candidate = int(known.index.lookup([record.id])[0])
            far = with_listed(far, lists, candidate)
            row = int(np.argmin(far))
            found.append(
                ByMass(
                    "" if candidate in masses else "not preferred",
                    query=row,
                    text=question.texts.get(row, ""),
                    distance=float(far[row]),
                    log_mass=masses.get(candidate),
                )
            )
        return found


def cost_of(distances: FloatArray, metric: Metric) -> FloatArray:
    """(p,) costs of sending mass as far as ``distances`` (p,): (1 - cosine) / 2 of directions.

    Under other metrics they are squared distances as a share of twice their mean, which gives
    vectors that have nothing to do with each other a cost of about 1 / 2 too.
    """
    squared: FloatArray = np.square(distances)
    if metric in ("Cosine", "Dot"):
        return squared / 4
    mean = float(squared.mean())
    return squared / (2 * mean) if mean else squared


def _bounds(lists: NeighborLists) -> list[tuple[int, int]]:
    """Where each list begins and ends."""
    return list(zip(lists.offsets[:-1].tolist(), lists.offsets[1:].tolist(), strict=True))
