"""TAROT as a strategy: layers of nearest candidates, or as many as folds of the task call for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.collections.ids import id_order
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.deepening import whole_list
from tsds_qdrant.neighbors.knowledge import NeighborKnowledge
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import number_of
from tsds_qdrant.solver.entropic import Marginals
from tsds_qdrant.strategies.base import Arrays, Ask, Preference, Strategy
from tsds_qdrant.strategies.card import UNTRAINED, Card
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.tarot.evidence import TarotEvidence
from tsds_qdrant.strategies.tarot.exact import transport_of
from tsds_qdrant.strategies.tarot.folds import Fold, folds_of, grown
from tsds_qdrant.strategies.tarot.knowledge import CostKnowledge
from tsds_qdrant.strategies.tarot.layers import by_potential, in_layers, layers_for
from tsds_qdrant.strategies.tarot.reasons import ByLayers, by_layers
from tsds_qdrant.strategies.tarot.repeats import repeated
from tsds_qdrant.task.task import Task


@dataclass(frozen=True)
class Tarot(Strategy):
    """Strategy tarot

    Attributes:
        folds: into how many parts the task examples are shuffled where no size is given: each
            takes candidates that the others judge.
        fold_seed: of that shuffle.
        repeats: the rows count that many times their number in all, each at least once, those most
            that task examples send most to.
    """

    name: ClassVar[str] = "tarot"
    card: ClassVar[Card] = Card(
        idea="layers of nearest candidates, as many as bring them nearest by optimal transport",
        paper="Feng, Marini, Alahi, ICML 2025, arXiv 2412.00420",
        cost="one search for each task example, deeper by layers; vectors of the selected",
        features="whitened gradients, or any embeddings",
        criterion="external: distribution match by optimal transport",
        task_aware=True,
        steps=4,
        kinds=("whitened",),
        **UNTRAINED,
    )
    sizes_itself: ClassVar[bool] = True
    reasons: ClassVar[type[Reasons]] = ByLayers

    folds: int | None = setting(
        None,
        "Without --size: parts of the task examples, each judged by the others; 10 if unset.",
        metavar="K",
    )
    fold_seed: int = setting(0, "How task examples are parted.", metavar="S", least=0)
    repeats: float = setting(
        1.0,
        "Rows count R times their number in all, by what the task sends to each.",
        metavar="R",
        parse=number_of,
    )

    def __post_init__(self) -> None:
        if self.folds is not None and self.folds < 2:
            raise SettingsError(
                f"folds is {self.folds}; one part judges another, so give 2 or more"
            )
        if self.fold_seed < 0:
            raise SettingsError(f"fold_seed is {self.fold_seed}; choose 0 or more")
        if not 1.0 <= self.repeats <= 1e6:
            raise SettingsError(
                f"repeats is {self.repeats:g}; every row counts at least once, so choose 1 or more"
            )

    def check_sized(self) -> None:
        """Check that no folds are asked for, which choose the size."""
        if self.folds is not None or self.fold_seed:
            flag = "folds" if self.folds is not None else "fold-seed"
            raise SettingsError(
                f"folds choose how many are selected, and a size, a ratio or a token budget says "
                f"that too; leave --{flag} or that out"
            )

    @property
    def repeats_rows(self) -> bool:
        """Whether some rows count more than once."""
        return self.repeats > 1

    def begin(self, searcher: Searcher, task: Task) -> CostKnowledge:
        """No list is fetched yet."""
        searcher.preflight(task.vectors[0])
        return CostKnowledge(Neighborhoods(searcher, task.vectors), task.weights)

    def resume(self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays) -> CostKnowledge:
        """Lists and distances as they were stored."""
        known = NeighborKnowledge(*NeighborKnowledge.resumed(searcher, facts, arrays))
        found: CostKnowledge = CostKnowledge.taken_up(known, arrays)
        return found

    def prefer(self, known: CostKnowledge, ask: Ask) -> Preference:
        """Layers until there are as many as wanted, or what the folds chose.

        What the last layer or the folds have looked at beside comes behind, so that a guard sees
        all that the choice depends on.
        """
        if ask.own:
            return self._by_folds(known, ask)
        size = known.pool if ask.whole else min(ask.reach or ask.size, known.pool)
        layers, last = layers_for(known, size, self.name)
        candidates = in_layers(known, layers, last)
        drawn = min(ask.size or size, len(candidates))
        used = int(layers.layer[candidates[drawn - 1]]) if drawn else last
        depths = np.full(len(known.queries), last, dtype=np.int64)
        evidence = TarotEvidence(drawn, known.pool, depths, layers=used)
        return self._repeated(known, Preference(candidates, None, ordered=True, evidence=evidence))

    def _by_folds(self, known: CostKnowledge, ask: Ask) -> Preference:
        guides = folds_of(len(known.queries), self.folds, self.fold_seed)
        folds = grown(known, guides, self.name)
        union = _union(known, folds)
        seen = np.unique(np.concatenate([fold.tried for fold in folds]))
        rest = np.setdiff1d(seen, union)
        wanted = known.pool if ask.whole else min(ask.reach or 0, known.pool)
        if wanted > len(union) + len(rest):
            layers, last = layers_for(known, wanted, self.name)
            rest = np.setdiff1d(np.union1d(rest, np.flatnonzero(layers.layer <= last)), union)
        behind = rest[id_order(known.index.keys[rest], known.cost(rest).min(axis=1, initial=9.0))]
        depths = np.zeros(len(known.queries), dtype=np.int64)
        for fold in folds:
            depths[fold.guide] = fold.depth
        evidence = TarotEvidence(len(union), known.pool, depths, folds=tuple(folds))
        found = Preference(
            np.concatenate([union, behind]), None, ordered=True, evidence=evidence, size=len(union)
        )
        return self._repeated(known, found)

    def _repeated(self, known: CostKnowledge, found: Preference) -> Preference:
        """With how often each row counts."""
        evidence = _evidence(found)
        if not self.repeats_rows or not evidence.size:
            return found
        weights = np.ones(len(found.candidates), dtype=np.int64)
        cost = known.cost(found.candidates[: evidence.size])
        weights[: evidence.size] = repeated(cost, known.query_weights, self.repeats)
        told = replace(evidence, repeats=int(weights[: evidence.size].sum()))
        return replace(found, evidence=told, weights=weights)

    def concluded(
        self,
        known: CostKnowledge,
        preference: Preference,
        seed: int,
        before: Mapping[str, Any] | None,
    ) -> Preference:
        """With the transport distance of the selection as a whole to all task examples."""
        evidence = _evidence(preference)
        if not evidence.size:
            return preference
        cost = known.cost(known.by_id(preference.candidates[: evidence.size]))
        complete = replace(
            evidence,
            transport=transport_of(Marginals.uniform(cost, known.query_weights)),
            nearest=float(known.query_weights @ cost.min(axis=0)),
        )
        return replace(preference, evidence=complete)

    def everything(self, known: CostKnowledge) -> IntArray:
        """Those of one list, fetched to its end."""
        return whole_list(known.neighborhoods)

    def more(self, known: CostKnowledge, preference: Preference) -> str:
        """Nothing once all that have a vector are there to choose from."""
        near = known.neighborhoods
        whole = near.complete[0] and len(preference.candidates) >= len(whole_list(near))
        return "" if whole else super().more(known, preference)

    def explain(
        self, known: CostKnowledge, preference: Preference, question: Question
    ) -> list[ByLayers]:
        """In which layer each point is, and which folds chose it."""
        return by_layers(known, preference, question)


def _union(known: CostKnowledge, folds: list[Fold]) -> IntArray:
    """What any of ``folds`` chose: by the least k that it takes, then by potential."""
    near = known.neighborhoods
    lists = near.lists
    union = np.unique(np.concatenate([fold.best for fold in folds]))
    layer = np.full(len(near.index), np.iinfo(np.int64).max)
    for fold in folds:
        deep = fold.chosen.nearest if fold.chosen else 0
        for row in fold.guide.tolist():
            first = lists.candidates[lists.offsets[row] : lists.offsets[row + 1]][:deep]
            np.minimum.at(layer, first, np.arange(1, len(first) + 1))
    ordered = by_potential(known, union)
    by_layer: IntArray = ordered[np.argsort(layer[ordered], kind="stable")]
    return by_layer


def _evidence(preference: Preference) -> TarotEvidence:
    assert isinstance(preference.evidence, TarotEvidence)
    return preference.evidence
