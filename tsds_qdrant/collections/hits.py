"""Figures of answers: which search a hit belongs to, and how many of the true hits were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, compress

import numpy as np

from tsds_qdrant.arrays import BoolArray, FloatArray, IntArray
from tsds_qdrant.collections.distance import score_to_distance
from tsds_qdrant.collections.hit_ids import HitIds
from tsds_qdrant.collections.values import Geometry, PointId

TIE_TOLERANCE = 1e-6
"""Relative difference between distances that float32 cannot tell apart."""


def recall_of(found: Hits, truth: Hits) -> float:
    """Share of the hits of ``truth`` that ``found`` makes up for, see :func:`made_up`."""
    return float(made_up(found, truth).sum()) / len(truth.ids) if len(truth.ids) else 1.0


def made_up(found: Hits, truth: Hits) -> IntArray:
    """(B,) how many hits of ``truth`` ``found`` makes up for, search by search.

    A hit counts if it is no farther than the farthest true one: where many copies tie at the cut,
    which of them come along is chance and no error.
    """
    farthest = np.full(len(truth.counts), -np.inf)
    np.maximum.at(farthest, search_numbers(truth), truth.distances)
    owner = search_numbers(found)
    near = found.distances <= farthest[owner] * (1 + TIE_TOLERANCE)
    good = np.bincount(owner[near], minlength=len(truth.counts))
    return np.minimum(good, truth.counts)


def search_numbers(hits: Hits) -> IntArray:
    """(n,) which search each hit belongs to."""
    return np.repeat(np.arange(len(hits.counts)), hits.counts)


def first_hits(hits: Hits, limits: int | IntArray) -> Hits:
    """The nearest hits of each of B searches, at most ``limits``, one number or (B,)."""
    starts = np.cumsum(hits.counts) - hits.counts
    place = np.arange(len(hits.ids)) - np.repeat(starts, hits.counts)
    return hits.only(place < np.repeat(np.broadcast_to(limits, len(hits.counts)), hits.counts))


@dataclass(frozen=True)
class Hits:
    """Answers of a batch of B searches, one after the other.

    Attributes:
        ids: all ids, those of the first search first; every search's nearest first.
        distances: (len(ids),) float64, in the unit of the metric; NaN where Qdrant scored NaN,
            and everywhere in the answers of a sparse search. Under Dot they mean something only
            where :meth:`~.protocol.Collection.check_distances` passes.
        counts: (B,) int64, hits of each search; they sum to ``len(ids)``.
        scores: (len(ids),) Qdrant's float32 scores as float64: similarities under Cosine and Dot
            (larger is nearer), distances under Euclid and Manhattan. Empty for hits that were
            not searched but put together from distances.
    """

    ids: Sequence[PointId]
    distances: FloatArray
    counts: IntArray
    scores: FloatArray = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of_scores(
        cls, ids: Sequence[PointId], scores: FloatArray, counts: IntArray, metric: Geometry | None
    ) -> Hits:
        """Hits from Qdrant's ``scores`` (n,); without a ``metric`` the distances are NaN."""
        rounded = np.asarray(scores, dtype=np.float32).astype(np.float64)
        unknown: FloatArray = np.full(len(rounded), np.nan)
        distances = unknown if metric is None else score_to_distance(scores, metric)
        return cls(ids, distances, counts, rounded)

    def only(self, kept: BoolArray) -> Hits:
        """The hits whose entry of ``kept`` (n,) is true, of as many searches."""
        ids = self.ids
        return Hits(
            ids.only(kept) if isinstance(ids, HitIds) else list(compress(ids, kept.tolist())),
            self.distances[kept],
            np.bincount(search_numbers(self)[kept], minlength=len(self.counts)),
            self.scores[kept] if len(self.scores) else self.scores,
        )


def within(hits: Hits, max_distance: float | None) -> Hits:
    """``hits`` without those farther than ``max_distance``, which a loose threshold let pass."""
    if max_distance is None:
        return hits
    keep = ~(hits.distances > max_distance)
    if keep.all():
        return hits
    return hits.only(keep)


def beside(parts: Sequence[Hits]) -> Hits:
    """The hits of several answers to the same B searches as one, every search's nearest first."""
    search = np.concatenate([search_numbers(part) for part in parts])
    distances = np.concatenate([part.distances for part in parts])
    order = np.lexsort((distances, search))
    ids = [*chain.from_iterable(part.ids for part in parts)]
    return Hits(
        [ids[k] for k in order.tolist()],
        distances[order],
        np.sum([part.counts for part in parts], axis=0),
        np.concatenate([part.scores for part in parts])[order],
    )
