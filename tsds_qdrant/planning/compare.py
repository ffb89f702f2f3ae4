"""Compare: what several methods select from one pool for one task, side by side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import DepthError, InputError, SettingsError, UnsupportedCollectionError
from tsds_qdrant.planning.comparison import METHODS, Comparison, Run
from tsds_qdrant.planning.quality import Quality, measure
from tsds_qdrant.pool.pool import vectors_of
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.fields import field_values
from tsds_qdrant.selection.ranking import TaskTexts, rank
from tsds_qdrant.selection.sampling import draw
from tsds_qdrant.selection.select import select, select_for
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.strategies.tsds.problem import Task

SEEDS = (0, 1, 2, 3, 4)
PAYLOAD_PAGE = 1_000


@dataclass(frozen=True)
class Contestant:
    """A method that is ready to select by any seed.

    Attributes:
        ids: seed -> what it selects, best rank first.
        has_chance: whether the seed makes a difference.
        effective_size: 1 / sum p^2; None if it has no probabilities.
    """

    ids: Callable[[int], list[PointId]]
    has_chance: bool
    effective_size: float | None


def compare(
    collection: Collection,
    queries: npt.ArrayLike,
    settings: SelectionSettings,
    *,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] = SEEDS,
    query_weights: npt.ArrayLike | None = None,
    texts: Sequence[str] = (),
    template: TextTemplate | None = None,
    by: str | None = None,
    target: str | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Select by each of ``methods`` and measure what they select.

    Args:
        collection: an open collection; it is only read.
        queries: (M, D) vectors of the task examples.
        settings: one size or a ratio, and how TSDS selects; regularizer, sampler and seed are
            those of each run.
        methods: of ``METHODS``; all that can be used here by default.
        seeds: methods with chance select once with each of them.
        query_weights: (M,) positive weights of the task examples.
        texts: M texts of the task examples, which ``dsir`` needs.
        template: how the text of a candidate is made, where the collection does not say.
        by: payload field whose values are counted in every selection; ``tags.*`` counts the items
            of a list.
        target: the value of that field that the task is about.
        progress: called as the searches go on, and with the stage ``methods``.

    Raises:
        SettingsError: see :func:`check_comparison`.
        InputError: a method that was asked for cannot be used here.
        TsdsError: whatever :func:`tsds_qdrant.select` raises.
    """
    check_comparison(settings, methods, seeds, by, target)
    wanted = METHODS if methods is None else tuple(dict.fromkeys(methods))
    settings = replace(settings, regularizer="kde", sampler="stable")
    task = Task.begin(collection, queries, settings, query_weights, progress)
    searcher, bandwidth = task.neighborhoods.searcher, task.neighborhoods.bandwidth
    size = settings.wanted_sizes(searcher.candidates)[0]
    words = TaskTexts(texts, template or TextTemplate())
    ready: dict[str, Contestant] = {}
    left_out: dict[str, str] = {}
    for number, method in enumerate(wanted):
        progress("methods", number, len(wanted))
        try:
            ready[method] = _contestant(task, method, size, words)
        except (InputError, DepthError, UnsupportedCollectionError) as error:
            if methods is not None:
                raise
            left_out[method] = str(error)
    chosen = {
        (method, seed): contestant.ids(seed or 0)
        for method, contestant in ready.items()
        for seed in (seeds if contestant.has_chance else [None])
    }
    ours = {seed: set(ids) for (method, seed), ids in chosen.items() if method == "tsds"}
    runs: list[Run] = []
    for (method, seed), ids in chosen.items():
        progress("measures", len(runs), len(chosen))
        shares = {} if by is None else _shares(collection, ids, by)
        others = list(ours.values()) if seed is None else [ours[seed]] if ours else []
        runs.append(
            Run(
                method=method,
                seed=seed,
                ids=ids,
                quality=_quality(task, ids, bandwidth),
                effective_size=ready[method].effective_size,
                overlap=None if method == "tsds" else _overlap(set(ids), others),
                shares=shares,
                target_share=None if target is None else shares.get(target, 0.0),
            )
        )
    if by is not None and not any(run.shares for run in runs):
        raise InputError(f"no selected candidate has a field '{by}'; name another")
    return Comparison(
        collection=searcher.info,
        candidates=searcher.candidates,
        queries=len(task.query_weights),
        size=size,
        typical=task.cost_scale,
        bandwidth=bandwidth,
        runs=tuple(runs),
        left_out=left_out,
    )


def _contestant(task: Task, method: str, size: int, words: TaskTexts) -> Contestant:
    if method == "tsds":
        return _by_transport(select_for(task, (size,)), size)
    if method == "tsds-uniform":
        searcher = task.neighborhoods.searcher
        settings = replace(task.settings, regularizer="uniform")
        selection = select(
            searcher.collection,
            task.neighborhoods.queries,
            settings,
            query_weights=task.query_weights,
            progress=searcher.progress,
        )
        return _by_transport(selection, size)
    ranking = rank(task, method, size, words)  # type: ignore[arg-type]  # checked before
    p = ranking.probabilities
    return Contestant(
        lambda seed: ranking.ids(ranking.rows(size, seed)),
        has_chance=p is not None,
        effective_size=None if p is None else float(1.0 / np.square(p).sum()),
    )


def _by_transport(selection: Selection, size: int) -> Contestant:
    def ids(seed: int) -> list[PointId]:
        p, keys = selection.probabilities, selection.keys
        sample = draw(p, keys, size, sampler="stable", seed=seed)
        return [selection.ids[candidate] for candidate in sample.candidates.tolist()]

    return Contestant(ids, has_chance=True, effective_size=selection.solution.effective_size)


def _quality(task: Task, ids: list[PointId], bandwidth: float) -> Quality:
    searcher = task.neighborhoods.searcher
    return measure(
        vectors_of(searcher.collection, ids, searcher.info),
        task.neighborhoods.queries,
        task.query_weights,
        searcher.info.metric,
        typical=task.cost_scale,
        bandwidth=bandwidth,
    )


def _overlap(ids: set[PointId], others: list[set[PointId]]) -> float | None:
    """Shared candidates as a share of all that either has; the mean over ``others`` if any."""
    if not others:
        return None
    return float(np.mean([len(ids & other) / len(ids | other) for other in others]))


def _shares(collection: Collection, ids: list[PointId], path: str) -> dict[str, float]:
    """Value of the field -> share of ``ids`` that have it."""
    counts: Counter[str] = Counter()
    for start in range(0, len(ids), PAYLOAD_PAGE):
        for record in collection.retrieve(ids[start : start + PAYLOAD_PAGE]):
            counts.update({_as_text(value) for value in field_values(record.content, path)})
    return {value: count / len(ids) for value, count in counts.items()}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def check_comparison(
    settings: SelectionSettings,
    methods: Sequence[str] | None,
    seeds: Sequence[int],
    by: str | None,
    target: str | None,
) -> None:
    """Check what :func:`compare` is asked for, before long work.

    Raises:
        SettingsError: an unknown method, no seed, not exactly one size, bounds on the sample, or
            a target of no field.
    """
    for method in methods or ():
        if method not in METHODS:
            raise SettingsError(f"'{method}' is no method; choose among {', '.join(METHODS)}")
    if not (methods is None or methods) or not seeds:
        raise SettingsError("there is nothing to compare; give at least one method and one seed")
    if len(settings.sizes) > 1 or not (settings.sizes or settings.ratio):
        raise SettingsError("a comparison needs one size; set one (1000, say) or a ratio (0.01)")
    if settings.bounded:
        raise SettingsError("methods are compared without quotas, token budgets and groups")
    if target is not None and by is None:
        raise SettingsError(f"the target '{target}' is a value of a field; name it with --by")
