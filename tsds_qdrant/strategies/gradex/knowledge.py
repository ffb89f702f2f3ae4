"""What is known for a choice of sources: who is of which, their margins, and what was estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import id_order
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.progress import notice
from tsds_qdrant.strategies.gradex.choosing import Choice, Estimates, ensemble, greedy
from tsds_qdrant.strategies.gradex.first_order import Margins
from tsds_qdrant.strategies.gradex.judged import Judged
from tsds_qdrant.strategies.gradex.labels import Labels, check_gradients, names_in_words
from tsds_qdrant.strategies.gradex.settings import MOST_GREEDY, SourceSettings
from tsds_qdrant.strategies.margin_knowledge import MarginKnowledge, falling_short
from tsds_qdrant.strategies.pool_rows import by_chance, in_id_order, row_blocks
from tsds_qdrant.task.task import Task

MOST_ROWS = 16_384
"""Candidates that are looked at in all."""
LEAST_ROWS = 8


class SourceKnowledge(MarginKnowledge):
    """A pool by sources, and what was estimated of them.

    A candidate's source, margin and gain are read once. What a source is worth depends on its
    candidates: whenever some come, change or leave, or count as deleted, all is estimated again.

    Attributes:
        settings: of the strategy.
        labels: sources and margins of the candidates seen.
    """

    settings: SourceSettings
    labels: Labels
    _judged: Judged | None = None
    _gains: FloatArray = np.empty(0)
    """(n,) of the candidates seen; NaN where not known."""
    _without: frozenset[int] = frozenset()

    @classmethod
    def begun(cls, searcher: Searcher, task: Task, settings: SourceSettings) -> Any:
        """Read the ids of the pool.

        Raises:
            InputError: see :func:`~.labels.check_gradients`.
            UnsupportedCollectionError: the vectors are no gradients of margins.
        """
        check_gradients(searcher, settings)
        known: SourceKnowledge = cls.begin(searcher, task)
        known.settings = settings
        known.labels = Labels.none()
        return known

    @classmethod
    def resumed(
        cls,
        searcher: Searcher,
        facts: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        settings: SourceSettings,
    ) -> Any:
        """What :meth:`stored` gave.

        Raises:
            KeyError: a part is missing.
        """
        known: SourceKnowledge = cls.resume(searcher, facts, arrays)
        known.settings = settings
        known.labels = Labels(facts["sources"], arrays["source_of"], arrays["margins"])
        known._judged, known._gains = Judged.restored(facts["judged"]), arrays["gains"]
        known._without = known.excluded_now
        return known

    @property
    def task(self) -> Task:
        """The task examples."""
        return Task(self.queries, self.query_weights, groups=self.groups, margins=self.margins)

    @property
    def judged(self) -> Judged:
        """The sources in the order of preference; estimated now where that is not known."""
        if self._judged is None or self.excluded_now != self._without:
            self._judged, self._without = self._estimated(), self.excluded_now
        return self._judged

    def order(self) -> tuple[IntArray, FloatArray]:
        """All candidates, best first, and (n,) gains of the candidates seen."""
        judged, candidates = self.judged, self.candidates
        self._learn_gains(candidates)
        place = {name: rank for rank, name in enumerate(judged.names)}
        of_source = np.array([place.get(name, len(place)) for name in self.labels.sources])
        ranks = of_source[self.labels.source_of[candidates]]
        keys = self.index.keys[candidates]
        return candidates[id_order(keys, ranks, -self._gains[candidates])], self._gains

    def source_name(self, number: int) -> str:
        """The source of a candidate."""
        return self.labels.sources[int(self.labels.source_of[number])]

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Take points out and in; if there are any, sources are judged again."""
        report = super().update(came, gone)
        if not (came or gone):
            return report
        numbers = self.index.lookup([*came, *gone])
        self.labels = self.labels.grown(len(self.index)).without(numbers)
        self._gains = _grown(self._gains, len(self.index))
        self._gains[numbers] = np.nan
        self._judged = None
        return replace(report, from_scratch=True)

    def retarget(self, task: Task) -> None:
        """Take other task examples."""
        super().retarget(task)
        self._judged, self._gains = None, np.empty(0)

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Keys, sources, margins and gains of the pool, and what was estimated."""
        judged = self.judged
        self.order()
        facts, arrays = super().stored()
        there = self.present
        more = {
            "sources": list(self.labels.sources),
            "judged": judged.stored(),
        }
        own = {
            "source_of": self.labels.source_of[there],
            "margins": self.labels.margins[there],
            "gains": _grown(self._gains, len(self.index))[there],
        }
        return {**facts, **more}, {**arrays, **own}

    def _learn_labels(self, candidates: IntArray) -> None:
        self.labels = self.labels.grown(len(self.index)).read(
            self.searcher, self, candidates, self.settings
        )

    def _target(self) -> Margins:
        offsets = np.zeros(len(self.queries))
        if self.margins is not None and self.labels.have_margins(self.candidates):
            offsets = self.margins
        return Margins(self.queries.astype(np.float64), offsets, self.task.shares)

    def _learn_gains(self, candidates: IntArray) -> None:
        """Fill in by how much the target's loss falls by a small step on each candidate alone."""
        self._gains = _grown(self._gains, len(self.index))
        wanted = in_id_order(self, candidates[np.isnan(self._gains[candidates])])
        if not len(wanted):
            return
        pull = self._target().pull(np.zeros(self.queries.shape[1]))
        for numbers, rows in row_blocks(self.searcher, self, wanted, "gains"):
            products = np.einsum("ij,j->i", rows.astype(np.float64), pull)
            self._gains[numbers] = falling_short(self.labels.offsets(numbers)) * products

    def _estimated(self) -> Judged:
        given, candidates = self.settings, self.candidates
        self._learn_labels(candidates)
        names = sorted({self.source_name(number) for number in candidates.tolist()})
        if given.sources is not None and given.sources > len(names):
            notice(
                "sources of gradex",
                f"{given.sources} sources are wanted, and there are {len(names)}: "
                f"{names_in_words(names)}",
            )
        counts: list[int] = []
        chosen: list[IntArray] = []
        most = max(LEAST_ROWS, min(given.rows, MOST_ROWS // len(names)))
        for name in names:
            own = self.labels.source_of[candidates] == self.labels.sources.index(name)
            counts.append(int(own.sum()))
            chosen.append(by_chance(self, candidates[own], most, given.chance_seed))
        looked_at = np.concatenate(chosen)
        owners = np.repeat(np.arange(len(names)), [len(part) for part in chosen])
        weights = (np.array(counts) / [len(part) for part in chosen])[owners]
        blocks = list(row_blocks(self.searcher, self, looked_at, "sources"))
        rows = np.concatenate([block for _, block in blocks]).astype(np.float64)
        if len(rows) != len(looked_at):
            raise InputError(
                f"{len(looked_at) - len(rows)} candidates have lost their vectors meanwhile; "
                f"select again"
            )
        total = self._fits(len(names))
        estimates = Estimates(
            Margins(rows, self.labels.offsets(looked_at), weights),
            owners,
            self._target(),
            given.strength,
            lambda done: self.searcher.progress("estimates", min(done, total), total),
        )
        choice = self._choice(estimates, len(names))
        known = self.margins is not None, self.labels.have_margins(candidates)
        return Judged.of(choice, names, counts, estimates.solved, known)

    def _is_greedy(self, count: int) -> bool:
        wanted = self.settings.choice
        return count <= MOST_GREEDY if wanted is None else wanted == "greedy"

    def _fits(self, count: int) -> int:
        """About how many subsets are estimated."""
        return count * (count + 1) // 2 if self._is_greedy(count) else self.settings.subsets

    def _choice(self, estimates: Estimates, count: int) -> Choice:
        given = self.settings
        if self._is_greedy(count):
            return greedy(estimates, count, given.sources)
        return ensemble(
            estimates,
            count,
            share=given.subset_share,
            subsets=given.subsets,
            seed=given.chance_seed,
            most=given.sources,
        )


def _grown(values: FloatArray, count: int) -> FloatArray:
    """``values`` with NaN up to ``count``."""
    return np.concatenate([values, np.full(count - len(values), np.nan)])
