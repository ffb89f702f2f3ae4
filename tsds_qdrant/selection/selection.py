"""The result of a selection: a preference, samples of it, and how both came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray, id_order
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.guards.contamination import Contamination
from tsds_qdrant.neighbors.counted import SearchCounts
from tsds_qdrant.neighbors.yardstick import Yardstick
from tsds_qdrant.selection.quotas import Traits
from tsds_qdrant.selection.sampling import Sample
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.selection.tasks import Tasks
from tsds_qdrant.strategies.base import Preference
from tsds_qdrant.strategies.evidence import Evidence, TransportEvidence


@dataclass(frozen=True)
class Selection:
    """What :func:`tsds_qdrant.select` returns. Arrays run over the n candidates seen.

    Attributes:
        settings: as given.
        collection: the collection at the time.
        candidates: size of the pool (after the filter).
        queries: how many task examples there are.
        ids: (n,) point ids.
        keys: (n, 3) their sort keys.
        preference: what the strategy prefers, and what that rests on.
        nearest_query: (n,) the nearest task example; -1 where it was not looked for.
        nearest_distance: (n,) its distance; NaN where it was not looked for.
        samples: size -> sample.
        counts: searches done.
        ef: of approximate searches; None if there were none.
        scan_reason: why everything was scanned, or "".
        seconds: time by stage.
        contamination: what was kept out as a copy of a test item; None without test items.
        traits: id -> what quotas, budgets and groups looked at, of all candidates that they did,
            so that the same preferences are tried again where the run is taken up.
        copies: id -> whether it is a near copy of a candidate that comes before it, of all that
            were looked at; empty where near copies are kept.
        copy_radius: within what; None where near copies are kept.
        yardstick: how near the task examples lie to each other; None where it was not looked for.
        tasks: whose examples they are, and which of them are in the pool.
        task_yardsticks: the yardstick of each of several tasks, by its name.
    """

    settings: SelectionSettings
    collection: CollectionInfo
    candidates: int
    queries: int
    ids: list[PointId]
    keys: KeyArray
    preference: Preference
    nearest_query: IntArray
    nearest_distance: FloatArray
    samples: dict[int, Sample]
    counts: SearchCounts
    ef: int | None
    scan_reason: str
    seconds: dict[str, float]
    contamination: Contamination | None = None
    traits: Mapping[PointId, Traits] = field(default_factory=dict)
    copies: Mapping[PointId, bool] = field(default_factory=dict)
    copy_radius: float | None = None
    yardstick: Yardstick | None = None
    tasks: Tasks = field(default_factory=Tasks)
    task_yardsticks: Mapping[str, Yardstick] = field(default_factory=dict)

    @property
    def near_copies(self) -> dict[str, Any] | None:
        """How many near copies were passed over, and how many drawn for want of others.

        None where near copies are kept.
        """
        if self.copy_radius is None:
            return None
        drawn = set(self.selected_ids) if self.samples else set()
        passed = {point_id for point_id, is_copy in self.copies.items() if is_copy}
        places = [place for place, one in enumerate(self.copies) if one in drawn - passed]
        before = [*self.copies][: max(places, default=-1) + 1]
        return {
            "radius": self.copy_radius,
            "passed_over": len(passed.intersection(before) - drawn),
            "drawn": len(passed & drawn),
        }

    @property
    def strategy(self) -> str:
        """Name of the strategy."""
        return self.settings.strategy.name

    @property
    def evidence(self) -> Evidence:
        """What the preference rests on."""
        return self.preference.evidence

    @property
    def transport(self) -> TransportEvidence:
        """The evidence of a strategy that solves a transport problem.

        Raises:
            SettingsError: the strategy is another one.
        """
        if not isinstance(self.evidence, TransportEvidence):
            raise SettingsError(
                f"the strategy '{self.strategy}' solves no transport problem; use tsds"
            )
        return self.evidence

    @property
    def probabilities(self) -> FloatArray:
        """(n,) p, sum 1.

        Raises:
            SettingsError: the strategy leaves nothing to chance.
        """
        p = self.preference.probabilities
        if p is None:
            raise SettingsError(
                f"the strategy '{self.strategy}' gives an order and no probabilities; use tsds"
            )
        return p

    @property
    def support(self) -> IntArray:
        """(c,) candidates that could be drawn."""
        return self.preference.candidates

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the rows, with their payloads."""
        task = ("task",) if self.tasks.names else ()
        score = () if self.preference.scores is None else ("score",)
        return (*SAMPLE_COLUMNS, *task, *score)

    @property
    def selected_ids(self) -> list[PointId]:
        """Ids of the largest sample, best rank first."""
        return [self.ids[row] for row in self.samples[max(self.samples)].candidates.tolist()]

    def probability(self, candidate: int) -> float | None:
        """P of a candidate; None where the strategy leaves nothing to chance."""
        p = self.preference.probabilities
        if p is None:
            return None
        return float(p[candidate]) if candidate < len(p) else 0.0

    def task_of(self, candidate: int) -> str | None:
        """The task of the example that is nearest to a candidate; None where none was looked for.

        Raises:
            IndexError: there is one task, which has no name.
        """
        query = int(self.nearest_query[candidate])
        return self.tasks.names[query] if query >= 0 else None

    def sample_rows(self, size: int) -> Iterator[dict[str, Any]]:
        """Rows of the sample of ``size``: id, probability, weight, nearest query, distance.

        With the task of the nearest query where there are several, and with the score where the
        strategy gives one.
        """
        sample, scores = self.samples[size], self.preference.scores
        pairs = zip(sample.candidates.tolist(), sample.weights.tolist(), strict=True)
        for rank, (candidate, weight) in enumerate(pairs):
            yield {
                "id": self.ids[candidate],
                "rank": rank,
                "probability": self.probability(candidate),
                "weight": weight,
                "query": int(self.nearest_query[candidate]),
                "distance": float(self.nearest_distance[candidate]),
                **({"task": self.task_of(candidate)} if self.tasks.names else {}),
                **({} if scores is None else {"score": float(scores[candidate])}),
            }

    def probability_rows(self) -> Iterator[dict[str, Any]]:
        """Every candidate with p > 0, most probable first.

        Raises:
            SettingsError: the strategy leaves nothing to chance.
        """
        p = self.probabilities
        support = np.flatnonzero(p)
        keys = self.keys[support]
        order = id_order(keys, -p[support])
        for candidate in support[order].tolist():
            row = {"id": self.ids[candidate], "probability": float(p[candidate])}
            yield {**row, **self._details(candidate)}

    def _details(self, candidate: int) -> dict[str, Any]:
        """Density, nearest task example and its distance, where they were looked for."""
        density, evidence = None, self.evidence
        if isinstance(evidence, TransportEvidence):
            density = float(evidence.densities[candidate])
        query, distance = int(self.nearest_query[candidate]), self.nearest_distance[candidate]
        seen = {"query": query, "distance": float(distance)}
        return {"density": density, **(seen if query >= 0 else dict.fromkeys(seen))}


PROBABILITY_COLUMNS = ("id", "probability", "density", "query", "distance")
SAMPLE_COLUMNS = ("id", "payload", "rank", "probability", "weight", "query", "distance")
