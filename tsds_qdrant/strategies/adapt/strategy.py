"""Adapt-infinity: clusters take turns, each by the score that says most of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.collections.places import read_only
from tsds_qdrant.collections.reserved import MADE_FIELD, TAG_FIELD
from tsds_qdrant.errors import RequestRejectedError, SettingsError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.strategies.adapt.knowledge import AdaptKnowledge, begun
from tsds_qdrant.strategies.adapt.reasons import AdaptEvidence, ByCluster, Part
from tsds_qdrant.strategies.adapt.strata import (
    CUT,
    OUTSIDE,
    STRATA,
    Cluster,
    Drawing,
    clusters_of,
    drawn,
)
from tsds_qdrant.strategies.base import Arrays, Ask, Preference, Strategy
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.lacking import nobody_has
from tsds_qdrant.strategies.pool_fields import HIDDEN, Looked
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.task.task import Task

CLUSTERS = f"{MADE_FIELD}.clusters.cluster"
SCORES = (f"{HIDDEN}.loss", f"{HIDDEN}.entropy", f"{HIDDEN}.el2n")


@dataclass(frozen=True)
class Adapt(Strategy):
    """Strategy adapt

    Attributes:
        clusters: payload field of labels.
        scores: payload fields of numbers, of which each cluster goes by one; by default those of
            ``represent hidden``.
        budgets: even, or by the standard deviation of the last score in a cluster.
        prune: how many candidates stay for good; None: nothing is pruned.
        strata: of a score, in each cluster.
        cut: share at each end of a score that comes last.
    """

    name: ClassVar[str] = "adapt"
    card: ClassVar[Card] = Card(
        idea="clusters share evenly, and each spreads over the score that varies most in it",
        paper="Maharana, Yoon, Chen, Bansal, ICLR 2025, arXiv 2410.10636",
        cost="one read of a few fields; to prune, the vectors of the pool too",
        features="clusters of gradients, or other vectors; loss, entropy, EL2N",
        criterion="internal: coverage of clusters and of the range of a score",
        task_aware=False,
        trained_models=0,
        passes="forward and backward",
        steps=4,
        model_free=False,
        dataset_free=True,
        needs_vectors=False,
        fields=((CLUSTERS,), SCORES),
        reads_all=True,
    )
    has_chances: ClassVar[bool] = True
    reasons: ClassVar[type[Reasons]] = ByCluster

    clusters: str = setting(CLUSTERS, f"Field of clusters ({CLUSTERS}).", metavar="FIELD")
    scores: tuple[str, ...] = setting(
        (),
        "Field of scores, of which each cluster goes by one. May be repeated; loss, entropy and "
        "el2n of 'represent hidden' if unset.",
        "--score",
        metavar="FIELD",
        parse=lambda text, _: text,
        repeated=True,
    )
    budgets: Literal["even", "spread"] = setting(
        "even",
        "Parts of clusters: even, or by how much the last score varies in them (spread).",
        metavar="even|spread",
    )
    prune: int | None = setting(
        None,
        "Prune the pool for good so that N candidates stay, and mark the others in the collection "
        "(payload tsds.pruned).",
        metavar="N",
        least=1,
    )
    strata: int = setting(STRATA, "Strata of a score in each cluster.", hidden=True, least=1)
    cut: float = setting(CUT, "Share at each end of a score that comes last.", hidden=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", tuple(self.scores))
        if self.budgets not in ("even", "spread"):
            raise SettingsError(f"budgets is '{self.budgets}'; choose even or spread")
        if self.prune is not None and self.prune < 1:
            raise SettingsError(f"prune is {self.prune}; at least 1 candidate must stay")
        if self.strata < 1:
            raise SettingsError(f"strata is {self.strata}; choose 1 or more")
        if not 0 <= self.cut < 0.5:
            raise SettingsError(f"cut is {self.cut}; choose a share from 0, below 0.5")
        if twice := [one for one in self.scores if self.scores.count(one) > 1]:
            raise SettingsError(f"the score '{twice[0]}' is given twice; leave one out")

    @property
    def _scores(self) -> tuple[str, ...]:
        return self.scores or SCORES

    @property
    def _looked(self) -> Looked:
        return Looked(self._scores, self.clusters, also=(TAG_FIELD,))

    def begin(self, searcher: Searcher, task: Task) -> AdaptKnowledge:
        """Clusters and scores of the pool: the first arrival.

        Raises:
            InputError: no candidate has a cluster, or a score.
            RequestRejectedError: what is pruned could not be marked.
        """
        info = searcher.info
        if self.prune is not None and not info.limits.writes:
            raise RequestRejectedError(
                f"{read_only(info.location, info.name)}, or leave --prune out"
            )
        known = begun(searcher, task, self._looked, self.prune)
        if not (known.labels != "").any():
            raise nobody_has(searcher, [self.clusters], "a cluster", "--clusters")
        if all(np.isnan(known.numbers_of(path)).all() for path in self._scores):
            raise nobody_has(searcher, self._scores, "a number", "--score")
        known.warn()
        return known

    def resume(self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays) -> Any:
        """The same as it was stored."""
        known: AdaptKnowledge = AdaptKnowledge.resume_looking(searcher, facts, arrays, self._looked)
        known.budget = self.prune
        known.resume_ledger(facts, arrays)
        return known

    def prefer(self, known: AdaptKnowledge, ask: Ask) -> Preference:
        """Candidates as the clusters take turns."""
        candidates, clusters = self._clusters(known, ask.seed)
        places, chances = drawn(clusters)
        size = len(places) if ask.whole else ask.reach or ask.size
        p = np.zeros(len(known.index))
        p[candidates] = chances
        parts = self._parts(clusters, places[: ask.size or size])
        tags = {} if self.prune is None else known.tags()
        evidence = AdaptEvidence(parts, tuple(known.ledger), len(known.marked), tags)
        return Preference(candidates[places[:size]], p, ordered=True, evidence=evidence)

    def explain(
        self, known: AdaptKnowledge, preference: Preference, question: Question
    ) -> list[ByCluster]:
        """The cluster of each point, and its stratum there."""
        candidates, clusters = self._clusters(known, question.seed)
        ranks = {int(candidates[place]): k for k, place in enumerate(drawn(clusters)[0].tolist())}
        found: dict[int, ByCluster] = {}
        for one in clusters:
            scores = known.numbers_of(self._scores[one.scorer])
            for place, stratum in zip(one.members.tolist(), one.strata.tolist(), strict=True):
                number = int(candidates[place])
                score = float(scores[number])
                found[number] = ByCluster(
                    rank=ranks[number],
                    cluster=one.name,
                    scorer=self._scores[one.scorer],
                    score=None if np.isnan(score) else score,
                    stratum=None if stratum == OUTSIDE else stratum,
                    strata=self.strata,
                )
        found |= {number: ByCluster("pruned") for number in known.marked}
        found |= {number: ByCluster("pruned", step=step) for number, step in known.dropped.items()}
        numbers = known.index.lookup([record.id for record in question.records]).tolist()
        return [found.get(number, ByCluster("not read")) for number in numbers]

    def _clusters(self, known: AdaptKnowledge, seed: int) -> tuple[IntArray, list[Cluster]]:
        """(c,) the candidates, and clusters of places among them."""
        candidates = known.candidates
        scores = np.stack([known.numbers_of(path)[candidates] for path in self._scores], axis=1)
        drawing = Drawing(self.strata, self.cut, self.budgets == "spread", seed)
        keys = known.index.keys[candidates]
        return candidates, clusters_of(known.labels[candidates], scores, keys, drawing)

    def _parts(self, clusters: list[Cluster], places: IntArray) -> tuple[Part, ...]:
        """What each cluster gives to a sample of ``places``."""
        whose = np.empty(sum(len(one.members) for one in clusters), dtype=np.int64)
        for number, one in enumerate(clusters):
            whose[one.members] = number
        budgets = np.bincount(whose[places], minlength=len(clusters)).tolist()
        return tuple(
            Part(one.name, len(one.members), budget, self._scores[one.scorer], one.entropy)
            for one, budget in zip(clusters, budgets, strict=True)
        )
