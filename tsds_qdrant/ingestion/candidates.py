"""The candidates of a collection as a representation wants them: shown, or as vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import checked_kind
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.records.showing import Showing
from tsds_qdrant.representations.base import Examples, Shown
from tsds_qdrant.represented.marks import described, kept_of
from tsds_qdrant.represented.whole import check_whole


@dataclass(frozen=True)
class Batch:
    """Some candidates.

    Attributes:
        ids: n of them.
        examples: n shown ones, (n, D) vectors, or (n,) numbers of rows.
        textless: ids of those whose payload shows no text.
        missing: how many lack what the representation is derived from.
    """

    ids: Sequence[PointId]
    examples: Examples
    textless: list[PointId] = field(default_factory=list)
    missing: int = 0


class Candidates:
    """Reads candidates for a representation."""

    def __init__(
        self,
        collection: Collection,
        source: str | None,
        showing: Showing,
        rows: Mapping[PointId, int] | None = None,
    ) -> None:
        """Read the vectors of the space ``source``, or, where that is None, what payloads show.

        Where ``rows`` are given, the number of each point's row is all that is read.

        Raises:
            CollectionNotFoundError: there is no such space.
            UnsupportedCollectionError: it is sparse.
        """
        self._collection = collection
        self._source = source
        self._view = collection if source is None else collection.at(source)
        if source is not None:
            checked_kind(collection.spaces[source], "dense", collection.info().name)
        self._showing = showing
        self._rows = rows

    @property
    def what(self) -> str:
        """What a candidate must have."""
        return "a text" if self._source is None else f"a vector '{self._source}'"

    @property
    def advice(self) -> str:
        """What to do where none has it."""
        return (
            "ingest some, or change --filter" if self._source is None else "name another with --of"
        )

    def check(self, where: Filter | None) -> None:
        """Check that the vectors to derive from were all made in one way.

        Raises:
            CollectionMismatchError: they were not.
        """
        if self._source is not None:
            check_whole(self._view, described(self._view), where)

    def facts(self) -> dict[str, Any]:
        """What a representation depends on of how candidates are read, for its manifest."""
        if self._rows is not None:
            return {}
        if self._source is None:
            return {"text": self._showing.facts()}
        kept = kept_of(self._collection, self._source)
        made_by = kept.fingerprint if kept else self._view.info().model or ""
        return {"source": {"name": self._source, "made_by": made_by}}

    def count(self, where: Filter | None) -> int:
        """How many there are."""
        having = [] if self._source is None else [{"has_vector": self._source}]
        return self._collection.count(joined(where, *having))

    def all(self, where: Filter | None, size: int) -> Iterator[Batch]:
        """All of them in the order of their ids, at most ``size`` at a time."""
        for page in self._collection.scroll_ids(where):
            for start in range(0, len(page), size):
                batch = self.of(page[start : start + size])
                if batch.ids:
                    yield batch

    def of(self, ids: Sequence[PointId]) -> Batch:
        """Those of ``ids``; one that was deleted meanwhile is left out."""
        if self._rows is not None:
            known = [point_id for point_id in ids if point_id in self._rows]
            numbers = np.array([self._rows[point_id] for point_id in known], dtype=np.int64)
            return Batch(known, numbers, missing=len(ids) - len(known))
        if self._source is not None:
            having, rows = self._view.vectors(ids)
            return Batch(having, rows, missing=len(ids) - len(having))
        shown: list[Shown] = []
        found: list[PointId] = []
        textless: list[PointId] = []
        for record in self._collection.retrieve(ids):
            one = self._showing.of(record.content)
            if one is None:
                textless.append(record.id)
            else:
                found.append(record.id)
                shown.append(one)
        return Batch(found, shown, textless)
