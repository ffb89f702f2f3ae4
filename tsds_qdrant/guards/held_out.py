"""Test items that no selected candidate may copy, and the comparison of candidates with them.

A candidate copies a test item if their texts are equal (``exact``), if they share a run of words
(``ngram``; 13 words, as in the cleaning of GPT-3's training texts, arXiv 2005.14165, Appendix C),
or if their vectors are near (``radius``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.distance import is_similarity, normalized
from tsds_qdrant.collections.values import Geometry, Metric, PointId
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.guards.fingerprints import Prints, run_prints, telling_runs, whole_print, words_of
from tsds_qdrant.guards.settings import NGRAM

Reason = Literal["exact", "ngram", "radius"]
REASONS: tuple[Reason, ...] = ("exact", "ngram", "radius")

LEAST_NGRAM = 3
SHORTEST_RUN = 8
"""A test item of at least this many words, but fewer than the n-gram, is a run by itself; a
shorter one must be equal as a whole: "thank you" stands everywhere."""
RADIUS = 0.25
"""Default under Cosine; the reason is in scripts/README.md, "Copies of test items"."""
EXCERPT_CHARS = 160
BLOCK_ENTRIES = 8_000_000


@dataclass(frozen=True)
class Reach:
    """What counts as a copy.

    Attributes:
        ngram: this many shared words in a row make a copy; 0 compares no runs.
        radius: vectors at most this far apart, in the unit of the metric; 0 compares none.
        overlap: shared runs must cover at least this share of the test item; 0: one is enough.
    """

    ngram: int = NGRAM
    radius: float = 0.0
    overlap: float = 0.0

    def __post_init__(self) -> None:
        if self.ngram and self.ngram < LEAST_NGRAM:
            raise SettingsError(
                f"n-grams of {self.ngram} words are shared by unrelated texts; choose "
                f"{LEAST_NGRAM} or more, or 0 for none"
            )
        if not 0.0 <= self.radius < float("inf"):
            raise SettingsError(f"the radius is {self.radius:g}; choose 0 (none) or more")
        if not 0.0 <= self.overlap <= 1.0:
            raise SettingsError(f"the overlap is {self.overlap:g}; choose it from 0 to 1")


def default_radius(metric: Metric) -> float:
    """``RADIUS`` where it has a meaning; 0, which compares no vectors, for other metrics."""
    return RADIUS if is_similarity(metric) else 0.0


@dataclass(frozen=True)
class Finding:
    """A candidate that copies a test item.

    Attributes:
        id: the candidate.
        reason: how that shows; the first of ``REASONS`` that holds.
        item: number of the test item: the nearest one for ``radius``, the one that is covered
            most for ``ngram``.
        overlap: share of the test item that shared runs of words cover.
        distance: between both vectors; None where there are none.
        text: the beginning of the candidate's text, "" where it has none.
    """

    id: PointId
    reason: Reason
    item: int
    overlap: float
    distance: float | None
    text: str


@dataclass(frozen=True)
class HeldOut:
    """T test items as numbers; their texts are not kept, but for beginnings to be shown.

    Attributes:
        reach: what counts as a copy.
        sources: where they came from.
        counts: how many came from each source.
        excerpts: T beginnings of their texts.
        vectors: (T, D); (0, 0) where none are compared.
        wholes: prints of their whole texts.
        runs: prints of their runs of words.
        run_lengths: (T,) how long the runs of each are; 0 where it has none.
        lengths: (T,) how many words each has.
    """

    reach: Reach
    sources: tuple[str, ...]
    counts: tuple[int, ...]
    excerpts: tuple[str, ...]
    vectors: Float32Array
    wholes: Prints
    runs: Prints
    run_lengths: IntArray
    lengths: IntArray

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        vectors: Float32Array | None,
        reach: Reach,
        *,
        sources: Sequence[str] = ("",),
        counts: Sequence[int] = (),
    ) -> HeldOut:
        """Test items with ``texts`` (T, "" for none) and ``vectors`` (T, D).

        Raises:
            SettingsError: a radius and no vectors.
        """
        if reach.radius and vectors is None:
            raise SettingsError(f"the radius {reach.radius:g} needs vectors of the test items")
        words = [words_of(text) for text in texts]
        lengths = np.array([len(found) for found in words], dtype=np.int64)
        runs = np.minimum(lengths, reach.ngram)
        runs[(runs < reach.ngram) & (lengths < SHORTEST_RUN)] = 0
        start = np.zeros(1, dtype=np.int64)
        return cls(
            reach,
            tuple(sources),
            tuple(counts) or (len(texts),),
            tuple(_excerpt(text) for text in texts),
            np.empty((0, 0), dtype=np.float32) if vectors is None or not reach.radius else vectors,
            Prints.joined(
                [(k, start, whole_print(found)) for k, found in enumerate(words) if found]
            ),
            Prints.joined(
                [(k, *telling_runs(words[k], n)) for k, n in enumerate(runs.tolist()) if n]
            ),
            runs,
            lengths,
        )

    @property
    def has_texts(self) -> bool:
        """Whether any test item has a text."""
        return bool(len(self.wholes.values))

    @property
    def has_vectors(self) -> bool:
        """Whether vectors are compared."""
        return bool(len(self.vectors))

    def source_of(self, item: int) -> tuple[str, int]:
        """Where test item ``item`` came from, and its number there, from 0."""
        ends = np.cumsum(self.counts)
        source = int(np.searchsorted(ends, item, side="right"))
        return self.sources[source], item - int(ends[source] - self.counts[source])

    def copies(
        self,
        ids: Sequence[PointId],
        texts: Sequence[str],
        vectors: Float32Array | None,
        metric: Geometry,
    ) -> list[Finding]:
        """Which candidates copy a test item.

        Args:
            ids: n candidates.
            texts: (n,) their texts, "" for none.
            vectors: (n, D) as stored; needed where vectors are compared.
            metric: the collection's geometry.
        """
        items, distances = None, None
        if vectors is not None and self.has_vectors and len(ids):
            items, distances = nearest_items(vectors, self.vectors, metric)
        found = []
        for row, (point_id, text) in enumerate(zip(ids, texts, strict=True)):
            reason, item, overlap = self._by_text(text)
            distance = None
            if items is not None and distances is not None and vectors is not None:
                distance = float(distances[row])
                # A vector that was rounded to float16 may be some way from itself.
                same = np.array_equal(vectors[row], self.vectors[items[row]])
                if item is None and (same or distance <= self.reach.radius):
                    reason, item = "radius", int(items[row])
                elif item is not None:
                    pair = vectors[row : row + 1], self.vectors[item : item + 1]
                    distance = float(nearest_items(*pair, metric)[1][0])
            if item is not None:
                found.append(Finding(point_id, reason, item, overlap, distance, _excerpt(text)))
        return found

    def _by_text(self, text: str) -> tuple[Reason, int | None, float]:
        """How ``text`` copies a test item, which one, and how much of it shared runs cover."""
        words = words_of(text) if self.has_texts else []
        if words and len(equal := self.wholes.find(whole_print(words))[0]):
            return "exact", int(equal.min()), 1.0
        prints = [run_prints(words, n) for n in np.unique(self.run_lengths).tolist() if n]
        if not prints:
            return "ngram", None, 0.0
        items, places = self.runs.find(np.concatenate(prints))
        if not len(items):
            return "ngram", None, 0.0
        order = np.lexsort((places, items))
        items, places = items[order], places[order]
        # A run adds its words up to where the next one of the same test item begins.
        fresh = self.run_lengths[items]
        follows = items[1:] == items[:-1]
        fresh[:-1][follows] = np.minimum(fresh[:-1], np.diff(places))[follows]
        shares = np.bincount(items, weights=fresh) / np.maximum(self.lengths[: items[-1] + 1], 1)
        best = int(np.argmax(shares))
        covered = float(shares[best])
        return "ngram", best if covered >= self.reach.overlap else None, covered


def nearest_items(
    vectors: Float32Array, items: Float32Array, metric: Geometry
) -> tuple[IntArray, FloatArray]:
    """(n,) the nearest of ``items`` (T, D) to each of ``vectors`` (n, D), and its distance.

    In float64: exact but for about 1e-8 of the vectors' length.
    """
    a = normalized(vectors, metric).astype(np.float64)
    b = normalized(items, metric).astype(np.float64)
    nearest, distances = np.empty(len(a), dtype=np.int64), np.empty(len(a))
    step = max(1, BLOCK_ENTRIES // (len(b) * (b.shape[1] if metric == "Manhattan" else 1)))
    for start, stop in pairwise([*range(0, len(a), step), len(a)]):
        part = a[start:stop]
        if metric == "Manhattan":
            apart = np.abs(part[:, None, :] - b[None, :, :]).sum(axis=2)
        else:
            products = part @ b.T
            squares = 2.0 - 2.0 * products
            if metric != "Product":
                squares = np.einsum("ij,ij->i", b, b)[None, :] - 2 * products
                squares += np.einsum("ij,ij->i", part, part)[:, None]
            apart = np.sqrt(np.maximum(squares, 0.0))
        nearest[start:stop] = apart.argmin(axis=1)
        distances[start:stop] = apart.min(axis=1)
    return nearest, distances


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT_CHARS else f"{line[:EXCERPT_CHARS]}.."
