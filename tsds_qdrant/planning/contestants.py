"""Contestants: strategies by the names under which they are compared, ready to select."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.selection.asking import Asking
from tsds_qdrant.selection.bounded import Drawing
from tsds_qdrant.selection.sampling import DEFAULT_SAMPLER
from tsds_qdrant.selection.select import copies_of
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.selection.traits import TraitReader
from tsds_qdrant.solver.spread import effective_sample_size
from tsds_qdrant.strategies.base import Ask, Preference, Strategy
from tsds_qdrant.strategies.catalog import CATALOG, strategy_class
from tsds_qdrant.strategies.known import Knowledge
from tsds_qdrant.task.examples import TaskExamples
from tsds_qdrant.task.task import Task

VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "tsds": ("tsds", {"regularizer": "kde"}),
    "tsds-uniform": ("tsds", {"regularizer": "uniform"}),
}
"""Name -> strategy of the catalogue, and its settings that make the variant: KNN-KDE and
KNN-Uniform of the paper."""
METHODS: tuple[str, ...] = tuple(dict.fromkeys([*VARIANTS, *CATALOG]))
"""What can be compared: the variants, then the rest of the catalogue."""


@dataclass(frozen=True)
class View:
    """Where a strategy searches.

    Attributes:
        collection: the pool, at the vectors that the strategy is made for.
        examples: the task examples as such vectors; None for those of the whole comparison.
    """

    collection: Collection
    examples: TaskExamples | None = None


Viewing = Callable[[Strategy], View]
"""Finds the view of a strategy; raises where the task has no vectors there."""


def strategy_name(method: str) -> str:
    """The strategy of the catalogue behind one of ``METHODS``."""
    return VARIANTS[method][0] if method in VARIANTS else method


def settings_of(method: str, given: SelectionSettings) -> SelectionSettings:
    """The settings by which one of ``METHODS`` selects.

    Those of the strategy are the ``given`` ones where they name that strategy; the sampler is
    the default for all.

    Raises:
        SettingsError: there is none of that name.
    """
    name, changes = VARIANTS.get(method, (method, {}))
    strategy = given.strategy if given.strategy.name == name else strategy_class(name)()
    wanted = replace(given.wanted, sampler=DEFAULT_SAMPLER)
    return replace(given, wanted=wanted, strategy=strategy.with_settings(**changes))


@dataclass(frozen=True)
class Contestant:
    """A strategy that knows the task and can select by any seed.

    Attributes:
        settings: with that strategy, and the seed of the first selection.
        size: how many it selects.
        known: what it knows of the pool for the task.
        preference: what it prefers by the first seed.
        seconds: that learning and preferring took.
    """

    settings: SelectionSettings
    size: int
    known: Knowledge
    preference: Preference
    seconds: float

    @classmethod
    def begin(
        cls, settings: SelectionSettings, size: int, searcher: Searcher, task: Task
    ) -> Contestant:
        """Learn what the strategy needs to prefer ``size`` candidates.

        Raises:
            TsdsError: the task or the collection lacks what the strategy needs.
        """
        began = time.perf_counter()
        strategy, seed = settings.strategy, settings.wanted.seed
        searcher.wanted = size
        known = strategy.begin(searcher, task)
        drawing = Drawing(settings, known, TraitReader(searcher.collection, settings.bounds))
        asking = Asking(known, settings, None, drawing, copies=copies_of(searcher, settings))
        preference = asking.preference(size)
        while strategy.sharpened(known, preference, seed, None):
            preference = asking.preference(size)
        return cls(settings, size, known, preference, time.perf_counter() - began)

    @property
    def has_chance(self) -> bool:
        """Whether the seed makes a difference."""
        return self.settings.by_chance

    @property
    def effective_size(self) -> float | None:
        """1 / sum p^2; None if it has no probabilities."""
        p = self.preference.probabilities
        return None if p is None else effective_sample_size(p)

    def ids(self, seed: int) -> list[PointId]:
        """What it selects by ``seed``, best rank first.

        Raises:
            SupportError: there are fewer candidates than it is to select.
        """
        settings = replace(self.settings, wanted=replace(self.settings.wanted, seed=seed))
        preference = self.preference
        if preference.ordered and seed != self.settings.wanted.seed:
            preference = settings.strategy.prefer(self.known, Ask(self.size, seed=seed))
        reader = TraitReader(self.known.searcher.collection, settings.bounds)
        samples = Drawing(settings, self.known, reader).samples(preference, (self.size,))
        return self.known.index.ids(samples[self.size].candidates.tolist())
