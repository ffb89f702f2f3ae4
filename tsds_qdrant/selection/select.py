"""Select: from a collection and task examples to a preference and samples, for any strategy."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.neighbors.remembering import Memory
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.yardstick import Yardstick
from tsds_qdrant.pool.fields import check_fields
from tsds_qdrant.pool.pool import vectors_found
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.selection.asking import Asking
from tsds_qdrant.selection.bounded import Drawing, order_of
from tsds_qdrant.selection.copies import NearCopies, radius_in
from tsds_qdrant.selection.kept_out import KeptOut
from tsds_qdrant.selection.measured import drawn_ids, nearest_of_drawn
from tsds_qdrant.selection.pacing import announce_reads
from tsds_qdrant.selection.quotas import Traits
from tsds_qdrant.selection.searching import searcher_of
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.selection.tasks import Tasks, task_of
from tsds_qdrant.selection.traits import CountTokens, TraitReader
from tsds_qdrant.strategies.known import Knowledge
from tsds_qdrant.task.examples import TaskExamples


@dataclass(frozen=True)
class Earlier:
    """What is known of the selection that a run made before.

    Attributes:
        evidence: what its evidence stored, if most of it still holds.
        traits: what bounds looked at then, if nothing has changed since.
        copies: id -> whether it was a near copy of a better one, if nothing has changed since.
        unchanged: nothing has changed since, so that what the guard kept out then stays so, and
            nothing is looked at again.
        reopened: it is that selection that is wanted; points that were drawn may have left.
    """

    evidence: Mapping[str, Any] | None = None
    traits: Mapping[PointId, Traits] | None = None
    copies: Mapping[PointId, bool] | None = None
    unchanged: bool = False
    reopened: bool = False


def select(
    collection: Collection,
    queries: npt.ArrayLike | TaskExamples,
    settings: SelectionSettings,
    *,
    query_weights: npt.ArrayLike | None = None,
    guard: Guard | None = None,
    count_tokens: CountTokens | None = None,
    progress: Progress = silent,
) -> Selection:
    """Select candidates of ``collection`` for the task that ``queries`` show.

    Args:
        collection: an open collection; it is only read.
        queries: (M, D) vectors of the task examples, or the examples with texts and weights.
        settings: how many, by which strategy, and how.
        query_weights: (M,) positive weights of the task examples; equal by default.
        guard: keeps copies of test items out.
        count_tokens: counts the tokens of texts; the collection's own model by default.
        progress: called as the searches go on.

    Raises:
        InputError: the vectors do not fit, there is no candidate, no point has a field that bounds
            look at, or texts are missing that strategy or guard need.
        SupportError: fewer candidates than wanted can be drawn (the message names what would do),
            or quotas, budget and groups leave fewer.
        ContaminationError: copies of test items were met, and the guard is strict.
        DepthError: neighbour lists would not fit into memory.
        CollectionError: Qdrant fails.
    """
    if guard is not None:
        guard.check_texts(collection)
    announce_reads(collection, queries, settings)
    known = begin(collection, queries, settings, query_weights=query_weights, progress=progress)
    sizes, tasks = settings.wanted_sizes(known.searcher.candidates), Tasks.of(queries, known)
    return select_for(known, settings, sizes, guard=guard, count_tokens=count_tokens, tasks=tasks)


def begin(
    collection: Collection,
    queries: npt.ArrayLike | TaskExamples,
    settings: SelectionSettings,
    *,
    query_weights: npt.ArrayLike | None = None,
    progress: Progress = silent,
    memory: Memory | None = None,
) -> Any:
    """What the strategy knows before it is asked; see :func:`select`.

    Answers to searches are kept in ``memory``, and those that it has are not asked for.
    """
    check_fields(collection, settings.bounds.fields)
    searcher = searcher_of(collection, settings, progress, memory)
    if settings.wanted.sizes or settings.wanted.ratio is not None:
        searcher.wanted = max(settings.wanted_sizes(searcher.candidates), default=0)
    task = task_of(queries, searcher, query_weights)
    return settings.strategy.begin(searcher, task)


def select_for(
    known: Knowledge,
    settings: SelectionSettings,
    sizes: tuple[int, ...],
    *,
    guard: Guard | None = None,
    count_tokens: CountTokens | None = None,
    earlier: Earlier | None = None,
    tasks: Tasks | None = None,
) -> Selection:
    """Prefer and draw samples of ``sizes``, fetching only what is not known yet.

    Args:
        known: begun, or resumed after a repair.
        settings: as given; where a token budget alone says how much is drawn, sizes do not count.
        sizes: how many to draw, ascending; do not count where the strategy says it either.
        guard: keeps copies of test items out; without one, what is excluded stays so.
        count_tokens: see :func:`select`.
        earlier: the selection that the run made before.
        tasks: what is known of the task examples beside their vectors.

    Raises:
        SupportError, ContaminationError, DepthError, CollectionError: see :func:`select`.
    """
    started = time.perf_counter()
    earlier, searcher, tasks = earlier or Earlier(), known.searcher, tasks or Tasks()
    reader = TraitReader(
        searcher.collection,
        settings.bounds,
        known=earlier.traits,
        count_tokens=count_tokens,
        template=tasks.template,
        progress=searcher.progress,
    )
    sizes = () if settings.by_budget or settings.own_size else sizes
    drawing = Drawing(settings, known, reader)
    copies = copies_of(searcher, settings, earlier.copies)
    if settings.exact_size and settings.wanted.ratio is None and not earlier.reopened:
        tasks.check_enough(sizes, searcher.candidates)
    kept_out = None if earlier.reopened else KeptOut.of(guard, tasks.points)
    asking = Asking(known, settings, kept_out, drawing, earlier.unchanged, copies)
    strategy, seed, largest = settings.strategy, settings.wanted.seed, max(sizes, default=0)
    preference = asking.preference(largest)
    if not (earlier.reopened or earlier.unchanged):
        while strategy.sharpened(known, preference, seed, earlier.evidence):
            preference = asking.preference(largest)
    sizes = sizes if preference.size is None else (preference.size,)
    sizes = tuple(settings.fits(size, len(preference.candidates)) for size in sizes)
    found = None
    if guard is not None:
        found = guard.found(known)
        guard.check_compared(searcher.info.name)
    searched = time.perf_counter()
    preference = replace(preference, drawn=order_of(settings, known, preference))
    samples = drawing.samples(preference, sizes)
    drawn = time.perf_counter()
    preference = strategy.concluded(known, preference, seed, earlier.evidence)
    query, distance = preference.nearest or nearest_of_drawn(known, samples, earlier.reopened)
    if preference.nearest and searcher.info.metric == "Dot" and not earlier.reopened:
        # Where densities were not asked for, nobody has looked at these vectors yet.
        vectors_found(searcher.collection, drawn_ids(known, samples), searcher.info)
    seen = len(query)
    ids = known.index.ids(range(seen))
    return Selection(
        settings=settings,
        collection=searcher.info,
        candidates=searcher.candidates,
        queries=len(known.queries),
        ids=ids,
        keys=known.index.keys[:seen],
        preference=preference,
        nearest_query=query,
        nearest_distance=distance,
        samples=samples,
        counts=searcher.counts,
        ef=searcher.ef,
        scan_reason=searcher.scan_reason,
        seconds={
            "search": searched - started,
            "sample": drawn - searched,
            "measure": time.perf_counter() - drawn,
        },
        contamination=found,
        traits=reader.known if samples else {},
        copies=copies.passed if copies and samples else {},
        copy_radius=None if copies is None else copies.radius,
        yardstick=Yardstick.of(known.queries, searcher.info.geometry),
        tasks=tasks,
        task_yardsticks=tasks.yardsticks(known.queries, searcher.info.geometry),
    )


def copies_of(
    searcher: Searcher, settings: SelectionSettings, known: Mapping[PointId, bool] | None = None
) -> NearCopies | None:
    """What finds near copies, where ``settings`` let them come last.

    Args:
        searcher: knows the pool.
        settings: as given.
        known: what was found before.
    """
    if not settings.skips_copies:
        return None
    radius = radius_in(searcher.info, settings.bounds.copy_radius)
    return NearCopies(searcher, radius, known or {})
