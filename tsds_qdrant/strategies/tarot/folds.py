"""How many: task examples in folds, each of which finds candidates that the others judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.errors import SettingsError, SupportError
from tsds_qdrant.neighbors.deepening import start
from tsds_qdrant.solver.entropic import Marginals
from tsds_qdrant.strategies.tarot.exact import MOST_ENTRIES, Transport, transport_of
from tsds_qdrant.strategies.tarot.knowledge import CostKnowledge
from tsds_qdrant.strategies.tarot.layers import deepened, ranks_of

ORTHOGONAL = float(np.sqrt(2.0)) - 1e-6
"""Nearer than this is a cosine above 0; metrics without angles know no such bound."""
FALL = 1e-9
"""Less than this share of the distance is no fall."""
USUAL_FOLDS = 10


@dataclass(frozen=True)
class Step:
    """One point of the curve of a fold.

    Attributes:
        nearest: k: how many nearest candidates each task example of the fold has.
        size: how many distinct candidates these are.
        distance: their transport distance to the other task examples.
        exact: it is proved; else that of an entropic plan, or a lower bound that says enough.
    """

    nearest: int
    size: int
    distance: float
    exact: bool


@dataclass
class Fold:
    """A fold on its way.

    Attributes:
        guide: (g,) task examples of the fold.
        judge: (M - g,) the others.
        steps: its curve; the last one did not fall any more, unless candidates ran out.
        best: (b,) the candidates of the lowest point.
        chosen: the lowest point; None for a fold without candidates.
        depth: the k of the last set that was looked at.
        tried: (t,) the candidates of that set.
        going: larger sets are still to be looked at.
    """

    guide: IntArray
    judge: IntArray
    steps: list[Step] = field(default_factory=list)
    best: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    chosen: Step | None = None
    depth: int = 0
    tried: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    going: bool = True

    def facts(self) -> dict[str, Any]:
        """For a manifest."""
        return {
            "examples": self.guide.tolist(),
            "chosen": vars(self.chosen) if self.chosen else None,
            "curve": [vars(step) for step in self.steps],
        }


def folds_of(queries: int, folds: int | None, seed: int) -> list[IntArray]:
    """The task examples (by number) of each fold, shuffled by ``seed``.

    Raises:
        SettingsError: there are fewer task examples than folds, or than two.
    """
    count = min(USUAL_FOLDS, queries) if folds is None else folds
    if queries < 2:
        raise SettingsError(
            "the strategy 'tarot' finds how many to select by letting task examples judge what "
            "others of them find, and there is 1 task example; give --size, or at least 2 of them"
        )
    if count > queries:
        raise SettingsError(
            f"{queries} task examples cannot be parted into {count} folds; give at most --folds "
            f"{queries}, or more task examples"
        )
    shuffled = np.random.default_rng(seed).permutation(queries)
    return [np.sort(part) for part in np.array_split(shuffled, count)]


def grown(known: CostKnowledge, guides: Sequence[IntArray], name: str) -> list[Fold]:
    """Let each fold take more and more of its nearest candidates until that brings it no nearer.

    All folds go on together, so that lists and vectors are fetched for all of them at once.

    Raises:
        DepthError: the lists would not fit into memory.
        SupportError: no candidate points the way of any task example.
    """
    everyone = np.arange(len(known.queries))
    folds = [Fold(guide, np.setdiff1d(everyone, guide)) for guide in guides]
    start(known.neighborhoods)
    depth = 0
    while going := [fold for fold in folds if fold.going]:
        depth += 1
        rows = np.concatenate([fold.guide for fold in going])
        sets = _nearest(known, going, rows, depth, name)
        known.learn(np.unique(np.concatenate(sets)))
        for fold, found in zip(going, sets, strict=True):
            _step(known, fold, found, depth)
    if not any(fold.steps for fold in folds):
        raise SupportError(
            "no candidate has a cosine above 0 with any task example, so the strategy 'tarot' "
            "cannot say how many to select; give --size, or other task examples"
        )
    return folds


def _nearest(
    known: CostKnowledge, going: Sequence[Fold], rows: IntArray, depth: int, name: str
) -> list[IntArray]:
    """The ``depth`` nearest of the task examples of each fold with a cosine above 0, by id."""
    near = known.neighborhoods
    lists = near.lists
    if (~lists.complete[rows] & (lists.depths[rows] < depth)).any():
        deepened(near, rows, 2 * depth, f"{depth} nearest candidates of each task example", name)
        return _nearest(known, going, rows, depth, name)
    angles = known.searcher.info.metric in ("Cosine", "Dot")
    reach = ORTHOGONAL if angles else np.inf
    within = (ranks_of(lists) <= depth) & (lists.distances < reach)
    taken, by = lists.candidates[within], lists.query_of_entry[within]
    found = [known.by_id(np.unique(taken[np.isin(by, fold.guide)])) for fold in going]
    for fold in going:
        ended = lists.complete[fold.guide] & (lists.depths[fold.guide] <= depth)
        starts = lists.offsets[fold.guide]
        at = np.minimum(starts + depth, lists.offsets[fold.guide + 1]) - 1
        fold.going = not (ended | (lists.distances[at] >= reach)).all()
    return found


def _step(known: CostKnowledge, fold: Fold, found: IntArray, depth: int) -> None:
    """Judge the set ``found``; a set that is the one before says nothing new."""
    fold.depth = depth
    if np.array_equal(found, fold.tried):
        return
    before, fold.tried = fold.tried, found
    problem = _problem(known, fold, found)
    if not fold.steps:
        now = transport_of(problem)
        falls = True
    else:
        last = fold.steps[-1]
        bound = problem.bound
        if problem.cost.size > MOST_ENTRIES and bound >= last.distance * (1 - FALL):
            now = Transport(bound, exact=False)
            falls = False
        else:
            now, least = transport_of(problem), last.distance
            if last.exact and not now.exact:
                # A proved plan and an entropic one differ by more than a step does.
                least = transport_of(_problem(known, fold, before), most=0).value
            falls = now.value < least * (1 - FALL)
    fold.steps.append(Step(depth, len(found), now.value, now.exact))
    if falls:
        fold.best, fold.chosen = found, fold.steps[-1]
    else:
        fold.going = False


def _problem(known: CostKnowledge, fold: Fold, members: IntArray) -> Marginals:
    weights: FloatArray = known.query_weights[fold.judge]
    return Marginals.uniform(known.cost(members)[:, fold.judge], weights / weights.sum())
