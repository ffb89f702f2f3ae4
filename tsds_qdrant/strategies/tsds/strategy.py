"""TSDS as a strategy: probabilities by optimal transport, its settings, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.deepening import whole_list
from tsds_qdrant.neighbors.knowledge import NeighborKnowledge
from tsds_qdrant.neighbors.pairs import near_pairs
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import number_or_auto
from tsds_qdrant.solver.density import checked_bandwidth
from tsds_qdrant.solver.tradeoff import checked_alpha, checked_cost_scale
from tsds_qdrant.solver.transport import REGULARIZERS, Regularizer
from tsds_qdrant.strategies.base import Arrays, Ask, Clean, Preference, Strategy
from tsds_qdrant.strategies.card import UNTRAINED, Card
from tsds_qdrant.strategies.evidence import Accuracy, TransportEvidence
from tsds_qdrant.strategies.likeness import Likeness
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.tsds import explaining, sharpening, solving
from tsds_qdrant.strategies.tsds.problem import TaskProblem
from tsds_qdrant.strategies.tsds.reasons import TransportReasons
from tsds_qdrant.strategies.wording import too_few
from tsds_qdrant.task.task import Task


@dataclass(frozen=True)
class Tsds(Strategy):
    """Strategy tsds

    Attributes:
        alpha: alignment against diversity in (0, 1); by default it follows from the size: the
            effective sample size of p is at least the largest size, and larger where quotas and
            groups need more to choose from.
        support: choose alpha so that about this many candidates have p > 0.
        cost_scale: C; by default the median distance from a task example to its 32nd neighbour.
        bandwidth: h; by default 0.45 C, which on real text covers near-duplicates only.
        regularizer: ``kde``, ``uniform`` or ``tv``.
        accuracy: total variation of p, at most, that approximate searches may cost, as estimated
            from a sample of them: they are repeated, wider or by scans, until that is reached.
        density_limit: maximum number of neighbours fetched for one density; beyond, it is a lower
            bound.
    """

    name: ClassVar[str] = "tsds"
    card: ClassVar[Card] = Card(
        idea="optimal transport to the task examples; densities share the mass of near-duplicates",
        paper="Liu, Karbasi, Rekatsinas, NeurIPS 2024, arXiv 2410.11303",
        cost="about 1.5 searches for each task example and 1.1 for each candidate selected",
        features="embeddings",
        criterion="external: distribution match by optimal transport and density, probabilities",
        task_aware=True,
        steps=4,
        **UNTRAINED,
    )
    samples: ClassVar[bool] = True
    has_chances: ClassVar[bool] = True
    reasons: ClassVar[type[Reasons]] = TransportReasons

    alpha: float | None = setting(
        None, "Alignment (1) or diversity (0); follows from the size if unset.", metavar="A"
    )
    support: int | None = setting(
        None, "Choose alpha so that K candidates have p > 0.", metavar="K"
    )
    cost_scale: float | None = setting(
        None,
        "Unit of distance; auto: median distance to the 32nd neighbour.",
        metavar="C|auto",
        parse=number_or_auto,
    )
    bandwidth: float | None = setting(
        None,
        "How near a near-duplicate is; 0: all differ; auto: 0.45 x typical distance.",
        metavar="H|auto",
        parse=number_or_auto,
    )
    regularizer: Regularizer = setting("kde", "What keeps p diverse.", metavar="kde|uniform|tv")
    accuracy: float = setting(
        0.02,
        "How far p may be off, as total variation: searches are repeated until it is not.",
        metavar="V",
    )
    density_limit: int = setting(
        100_000, "Maximum number of neighbours fetched for one density.", metavar="N", hidden=True
    )

    def __post_init__(self) -> None:
        if self.alpha is not None:
            checked_alpha(self.alpha)
        if self.alpha is not None and self.support is not None:
            raise SettingsError("both alpha and a support size are given; leave one out")
        if self.support is not None and self.support < 1:
            raise SettingsError(f"support is {self.support}; ask for at least one candidate")
        if self.cost_scale is not None:
            checked_cost_scale(self.cost_scale)
        if self.bandwidth is not None:
            checked_bandwidth(self.bandwidth)
        if self.regularizer not in REGULARIZERS:
            known = ", ".join(REGULARIZERS)
            raise SettingsError(f"'{self.regularizer}' is no regularizer; choose one of {known}")
        if not 0.0 < self.accuracy <= 1.0:
            raise SettingsError(
                f"accuracy is {self.accuracy:g}; choose it above 0 and at most 1, or exact searches"
            )
        if self.density_limit < 1:
            raise SettingsError(f"density_limit is {self.density_limit}; it must be positive")
        if self.regularizer == "tv" and self.alpha is None:
            raise SettingsError("the regularizer 'tv' needs an alpha; set one, 0.9 say")

    @property
    def follows_size(self) -> bool:
        """Whether alpha follows from the size."""
        return self.alpha is None and self.support is None

    def check_near_duplicates(self) -> None:
        """Check that densities are in use, which know near-duplicates."""
        if self.regularizer != "kde" or self.bandwidth == 0:
            raise SettingsError(
                "near-duplicates are known by the bandwidth of the regularizer 'kde'; use it, or "
                "name a field that gives the group"
            )

    def begin(self, searcher: Searcher, task: Task) -> TaskProblem:
        """First neighbours of the task examples."""
        return TaskProblem.begin(searcher, task, self)

    def resume(self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays) -> TaskProblem:
        """Lists, densities, C and h as they were stored."""
        near, weights = NeighborKnowledge.resumed(
            searcher, facts, arrays, density_limit=self.density_limit
        )
        return TaskProblem(near, weights, settings=self, cost_scale=facts["cost_scale"])

    def settle(self, known: TaskProblem, clean: Clean | None) -> None:
        """Settle C and h by the first neighbours."""
        known.settle(clean)

    def settled(self, facts: Mapping[str, Any], arrays: Arrays) -> dict[str, Any]:
        """Alpha, C and h."""
        return {
            "alpha": "by the size" if self.alpha is None else self.alpha,
            "cost_scale": facts["cost_scale"],
            "bandwidth": float(arrays["bandwidth"][0]),
        }

    def prefer(self, known: TaskProblem, ask: Ask) -> Preference:
        """Probabilities of the solution that ``ask`` needs."""
        return solving.solved(known, ask)

    def sharpened(
        self,
        known: TaskProblem,
        preference: Preference,
        seed: int,
        before: Mapping[str, Any] | None,
    ) -> bool:
        """Until the accuracy asked for is reached."""
        return sharpening.sharpened(known, _evidence(preference).solution, seed, _earlier(before))

    def concluded(
        self,
        known: TaskProblem,
        preference: Preference,
        seed: int,
        before: Mapping[str, Any] | None,
    ) -> Preference:
        """With the accuracy of p measured, and the nearest task examples named."""
        evidence = _evidence(preference)
        measured = sharpening.accuracy_of(known, evidence.solution, seed, _earlier(before))
        searcher = known.searcher
        complete = replace(
            evidence,
            accuracy=measured,
            densities_capped=known.neighborhoods.capped,
            counts=searcher.counts,
            ef=searcher.ef,
            scan_reason=searcher.scan_reason,
            scanned_from=searcher.lists_scanned_from,
            density_scans=searcher.density_scans,
        )
        nearest = solving.nearest_of(evidence.solution)
        return replace(preference, evidence=complete, nearest=nearest)

    def likeness(self, known: TaskProblem, preference: Preference) -> Likeness:
        """By the neighbourhoods that the densities were summed over."""
        return solving.likeness(known, _evidence(preference))

    def near_duplicates(self, known: TaskProblem, candidates: IntArray) -> tuple[IntArray, float]:
        """Pairs within the bandwidth of each other."""
        near = known.neighborhoods
        return near_pairs(near.vicinities, len(near.index), candidates), near.bandwidth

    def everything(self, known: TaskProblem) -> IntArray:
        """Those of one list, fetched to its end."""
        return whole_list(known.neighborhoods)

    def more(self, known: TaskProblem, preference: Preference) -> str:
        """A lower alpha, or a larger support."""
        if solving.all_in_use(_evidence(preference).solution):
            return ""
        if self.follows_size:
            return f"set alpha to {solving.POOL_ALPHA:g}"
        return "lower alpha" if self.support is None else "raise the support"

    def advice(self, known: TaskProblem, preference: Preference, size: int) -> str:
        """The alpha or the support that would do, where one is given."""
        solution = _evidence(preference).solution
        there = solution.support if self.follows_size else len(self.everything(known))
        if size > there or self.follows_size:
            return too_few(known, there, size)
        return solving.advice(known, solution, size)

    def explain(
        self, known: TaskProblem, preference: Preference, question: Question
    ) -> list[TransportReasons]:
        """Which task examples ask for each point, what it shares, where its p turns positive."""
        return explaining.explained(known, _evidence(preference), question)


def _earlier(before: Mapping[str, Any] | None) -> Accuracy | None:
    return Accuracy(**before["accuracy"]) if before else None


def _evidence(preference: Preference) -> TransportEvidence:
    assert isinstance(preference.evidence, TransportEvidence)
    return preference.evidence
