"""Compare: what several strategies select from one pool for one task, side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    DepthError,
    InputError,
    SettingsError,
    SupportError,
    UnsupportedCollectionError,
)
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.task_points import without_task_points
from tsds_qdrant.planning.comparison import Comparison, Run
from tsds_qdrant.planning.contestants import METHODS, Contestant, View, Viewing, settings_of
from tsds_qdrant.planning.scales import scales_of
from tsds_qdrant.planning.settings import CompareSettings
from tsds_qdrant.pool.fields import check_fields
from tsds_qdrant.progress import Progress, notice, silent
from tsds_qdrant.records.fields import field_values, label
from tsds_qdrant.selection.searching import searcher_of
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.selection.tasks import task_of
from tsds_qdrant.strategies.catalog import DEFAULT
from tsds_qdrant.task.examples import TaskExamples
from tsds_qdrant.task.task import Task

PAYLOAD_PAGE = 1_000
UNUSABLE = (
    CollectionMismatchError,
    CollectionNotFoundError,
    DepthError,
    InputError,
    SettingsError,
    SupportError,
    UnsupportedCollectionError,
)
"""Why a strategy cannot be used here, though others can."""


def compare(
    collection: Collection,
    queries: npt.ArrayLike | TaskExamples,
    settings: SelectionSettings,
    compared: CompareSettings | None = None,
    *,
    query_weights: npt.ArrayLike | None = None,
    views: Viewing | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Select by each of several strategies and measure what they select.

    Args:
        collection: an open collection; it is only read.
        queries: (M, D) vectors of the task examples, or the examples with texts (which ``dsir``
            needs) and weights.
        settings: one size or a ratio, how is searched, the first seed, and settings of the
            strategy that they name; regularizer and sampler are those of each strategy.
        compared: which strategies, how many seeds, and values of which field are counted.
        query_weights: (M,) positive weights of the task examples.
        views: where each strategy searches; all in ``collection`` as it is opened, where every
            selection is measured in any case.
        progress: called as the searches go on, and with the stages ``methods`` and ``measures``.

    Raises:
        SettingsError: see :func:`check_comparison`.
        InputError: a strategy that was asked for cannot be used here.
        SupportError: the pool is smaller than the size.
        TsdsError: whatever :func:`tsds_qdrant.select` raises.
    """
    compared = compared or CompareSettings()
    check_comparison(settings)
    check_fields(collection, {} if compared.by is None else {compared.by: "--by"})
    searcher = _searcher(collection, settings, progress)
    task = task_of(queries, searcher, query_weights)
    names: tuple[str, ...] = ()
    if isinstance(queries, TaskExamples):
        names = tuple(queries.tasks)
        if queries.in_pool == "out":
            settings = _without_examples(settings, searcher, task, queries)
            searcher = _searcher(collection, settings, progress)
    size = settings.wanted_sizes(searcher.candidates)[0]
    if size > searcher.candidates:
        rule, known = settings.strategy, settings.strategy.begin(searcher, task)
        raise SupportError(rule.too_few(known, len(rule.everything(known)), size))
    methods = METHODS if compared.methods is None else compared.methods
    ready: dict[str, Contestant] = {}
    left_out: dict[str, str] = {}
    for number, method in enumerate(methods):
        progress("methods", number, len(methods))
        own = settings_of(method, settings)
        try:
            view = View(collection) if views is None else views(own.strategy)
            fresh = _searcher(view.collection, own, progress)
            at = task if view.examples is None else task_of(view.examples, fresh)
            ready[method] = Contestant.begin(own, size, fresh, at)
        except UNUSABLE as error:
            if compared.methods is not None:
                raise
            left_out[method] = str(error)
    first = settings.wanted.seed
    chosen = {
        (method, seed): contestant.ids(first if seed is None else seed)
        for method, contestant in ready.items()
        for seed in (range(first, first + compared.seeds) if contestant.has_chance else [None])
    }
    scales = replace(scales_of(ready.values(), searcher, task, settings), names=names)
    ours = {seed: set(ids) for (method, seed), ids in chosen.items() if method == DEFAULT}
    runs: list[Run] = []
    for (method, seed), ids in chosen.items():
        progress("measures", len(runs), len(chosen))
        quality, distances, coverage = scales.quality(ids)
        shares = {} if compared.by is None else _shares(collection, ids, compared.by)
        others = [ours[seed]] if seed in ours else [*ours.values()]
        runs.append(
            Run(
                method=method,
                seed=seed,
                ids=ids,
                quality=quality,
                distances=distances,
                seconds=ready[method].seconds,
                effective_size=ready[method].effective_size,
                overlap=None if method == DEFAULT else _overlap(set(ids), others),
                shares=shares,
                task_coverage=coverage,
                target_share=None if compared.target is None else shares.get(compared.target, 0.0),
            )
        )
    if compared.by is not None and not any(run.shares for run in runs):
        raise InputError(f"no selected candidate has a field '{compared.by}'; name another")
    return Comparison(
        collection=searcher.info,
        candidates=searcher.candidates,
        queries=len(task.vectors),
        size=size,
        typical=scales.typical,
        bandwidth=scales.bandwidth,
        yardstick=scales.yardstick,
        runs=tuple(runs),
        left_out=left_out,
    )


def check_comparison(settings: SelectionSettings) -> None:
    """Check that :func:`compare` can select by ``settings``, before long work.

    Raises:
        SettingsError: not exactly one size, or bounds on the sample.
    """
    wanted = settings.wanted
    if settings.bounds.any:
        raise SettingsError("strategies are compared without quotas, token budgets and groups")
    if len(wanted.sizes) > 1 or not (wanted.sizes or wanted.ratio):
        raise SettingsError("a comparison needs one size; set one (1000, say) or a ratio (0.01)")


def _searcher(collection: Collection, settings: SelectionSettings, progress: Progress) -> Searcher:
    """One for each strategy, so that its ef follows from nothing but its own searches."""
    return searcher_of(collection, settings, progress)


def _without_examples(
    settings: SelectionSettings, searcher: Searcher, task: Task, queries: TaskExamples
) -> SelectionSettings:
    """``settings`` for the pool without the task examples that are in it; that is said."""
    search, points = without_task_points(searcher, settings.search, task.vectors, queries.ids)
    if points.ids:
        notice("left out", points.in_words(len(task.vectors)))
    return replace(settings, search=search)


def _overlap(ids: set[PointId], others: list[set[PointId]]) -> float | None:
    """Shared candidates as a share of all that either has; the mean over ``others`` if any."""
    if not others:
        return None
    return float(np.mean([len(ids & other) / len(ids | other) for other in others]))


def _shares(collection: Collection, ids: list[PointId], path: str) -> dict[str, float]:
    """Value of the field -> share of ``ids`` that have it."""
    counts: Counter[str] = Counter()
    for at in range(0, len(ids), PAYLOAD_PAGE):
        for record in collection.retrieve(ids[at : at + PAYLOAD_PAGE]):
            counts.update({label(value) for value in field_values(record.content, path)})
    return {value: count / len(ids) for value, count in counts.items()}
