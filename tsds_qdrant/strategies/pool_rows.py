"""Vectors of many candidates, block by block, and numbers in their payloads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.ids import id_order, uniform_noise
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import UnsupportedCollectionError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.records.fields import number_at
from tsds_qdrant.represented.marks import mark_key
from tsds_qdrant.strategies.pool_knowledge import PoolKnowledge

BLOCK_FLOATS = 4_194_304
"""Numbers held at once: 16 MB."""
PAYLOAD_PAGE = 1_000


def in_id_order(known: PoolKnowledge, numbers: IntArray) -> IntArray:
    """``numbers`` (n,) of candidates in the order of their ids, however they are numbered."""
    return numbers[id_order(known.index.keys[numbers])]


def by_chance(known: PoolKnowledge, numbers: IntArray, most: int, seed: int) -> IntArray:
    """At most ``most`` of ``numbers`` (n,), by a hash of ``seed`` and their ids, in id order."""
    if len(numbers) > most:
        keys = known.index.keys[numbers]
        numbers = numbers[id_order(keys, uniform_noise(keys, seed))[:most]]
    return in_id_order(known, numbers)


def row_blocks(
    searcher: Searcher, known: PoolKnowledge, numbers: IntArray, stage: str
) -> Iterator[tuple[IntArray, Float32Array]]:
    """Numbers (b,) and vectors (b, D) of candidates, in the order of ``numbers`` (n,).

    Those that have lost their vector meanwhile are left out.

    Args:
        searcher: knows the collection.
        known: numbers its candidates.
        numbers: of the candidates that are read.
        stage: of the progress.
    """
    size = max(1, BLOCK_FLOATS // max(1, searcher.info.dimension))
    for start in range(0, len(numbers), size):
        wanted = numbers[start : start + size]
        ids, rows = searcher.collection.vectors(known.index.ids(wanted.tolist()))
        found = known.index.lookup(ids)
        if not np.array_equal(found, wanted):
            place = np.full(len(known.index), len(numbers), dtype=np.int64)
            place[wanted] = np.arange(len(wanted))
            order = np.argsort(place[found], kind="stable")
            found, rows = found[order], rows[order]
        yield found, rows
        searcher.progress(stage, min(start + size, len(numbers)), len(numbers))


def check_lengths_kept(info: CollectionInfo, strategy: str) -> None:
    """Check that the searched vectors have the lengths that gradients have.

    Raises:
        UnsupportedCollectionError: their metric is another than Dot.
    """
    if info.metric != "Dot":
        raise UnsupportedCollectionError(
            f"the strategy '{strategy}' goes by products of gradients, and the metric of vectors "
            f"{info.named} of collection '{info.name}' is {info.metric}; make gradients with "
            f"'represent', and name them with --vector"
        )


def margin_path(space: str) -> str:
    """Where ``represent margin-gradient`` keeps the margins of the vectors ``space``."""
    return mark_key(space, "margin")


def numbers_at(collection: Collection, ids: Sequence[PointId], path: str) -> FloatArray:
    """(n,) the numbers at ``path`` in the payloads of the points ``ids``; NaN where none is."""
    top = path.split(".")[0]
    found = {}
    for start in range(0, len(ids), PAYLOAD_PAGE):
        page = ids[start : start + PAYLOAD_PAGE]
        for record in collection.retrieve(page, payloads=[top]):
            found[record.id] = number_at(record.payload, path)
    return np.array([found.get(one, np.nan) for one in ids])
