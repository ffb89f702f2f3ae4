"""A seeded sample of the pool, at a cost that hardly grows with it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Filter, PointId, Record
from tsds_qdrant.errors import RequestRejectedError, UnsupportedCollectionError
from tsds_qdrant.pool.members import Members
from tsds_qdrant.pool.pool import as_directions

POOL_SAMPLE = 2_000
"""At most this many points of the pool are looked at."""
FIRST_IDS = 50_000
"""Where slices are not to be had, the sample comes from at most this many ids."""


@dataclass(frozen=True)
class PoolSample:
    """Some points of the pool.

    Attributes:
        records: with payload and vector.
        whole: these are all candidates.
        first: they come from the first ``first`` ids only; None if from everywhere.
    """

    records: list[Record]
    whole: bool
    first: int | None = None

    @property
    def vectors(self) -> Float32Array:
        """(n, D) vectors of ``records``."""
        rows = [record.vector for record in self.records if record.vector is not None]
        return np.stack(rows)


def draw_pool(members: Members, seed: int, *, size: int = POOL_SAMPLE) -> PoolSample:
    """Draw about ``size`` of the candidates.

    Qdrant shares out all ids into slices by a hash, so one slice is a sample of the pool, and
    only its ids are sent. Servers before 1.19 know no slices: there, the first ids must do.

    Raises:
        UnsupportedCollectionError: none of the sampled points has the vector.
    """
    collection, where = members.collection, members.where
    slices = max(1, members.found // (2 * size))
    first = None
    try:
        sliced = {"slice": {"total": slices, "index": seed % slices}}
        ids = _ids(collection, joined(where, sliced) if slices > 1 else where)
    except RequestRejectedError:
        ids = list(islice(chain.from_iterable(collection.scroll_ids(where)), FIRST_IDS))
        first = len(ids) if len(ids) < members.found else None
    whole = slices == 1 and len(ids) <= size
    if len(ids) > size:
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.permutation(len(ids))[:size])
        ids = [ids[row] for row in rows.tolist()]
    outside = members.outside
    stored = collection.retrieve([i for i in ids if i not in outside], vectors=True)
    info = collection.info()
    records = [one for one in as_directions(stored, info) if one.vector is not None]
    if not records:
        raise UnsupportedCollectionError(
            f"none of {len(ids)} points looked at in collection '{info.name}' has the vector "
            f"{info.named}; choose another with --vector"
        )
    return PoolSample(records, whole, first)


def _ids(collection: Collection, where: Filter | None) -> list[PointId]:
    return list(chain.from_iterable(collection.scroll_ids(where)))
