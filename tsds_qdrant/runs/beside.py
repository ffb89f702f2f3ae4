"""Marks beside tags: the name of a write-back at a payload path where a framework's filters look.

Frameworks filter by equality inside their own metadata (``metadata.selected`` of LangChain's and
Open WebUI's points, ``meta.selected`` of Haystack's, a field at the top of LlamaIndex's and
mem0's). So a selected point has its tag, and at that path the name of the write-back. A tag says
where its mark is; marks are looked for by their value, so that those are found which lost their tag
to a plain upsert.
"""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Payload, PointId

PAGE = 1_000


class Marks:
    """Marks of one name at one path.

    Args:
        collection: written to by :meth:`settle` alone.
        place: the path.
        name: of the write-back.
    """

    def __init__(self, collection: Collection, place: str, name: str) -> None:
        self._collection = collection
        self._place, self._name = place, name
        self._inside, _, self._field = place.rpartition(".")

    def due(
        self, wanted: Ids[PointId], *, again: bool = False
    ) -> tuple[list[PointId], list[PointId], list[PointId]]:
        """Which points are to get a mark, to lose theirs, and cannot have one.

        Args:
            wanted: the points that are to have one.
            again: those that have one get it again.
        """
        where = {"must": [{"key": self._place, "match": {"value": self._name}}]}
        there = {point_id for page in self._collection.scroll_ids(where) for point_id in page}
        leaving = sorted(there - {*wanted}, key=str)
        coming: list[PointId] = []
        taken: list[PointId] = []
        rest = iter([i for i in wanted if again or i not in there])
        while page := list(islice(rest, PAGE)):
            for record in self._collection.retrieve(page):
                fits = self._fits(record.payload)
                (coming if fits else taken).append(record.id)
        return coming, leaving, taken

    def settle(self, coming: list[PointId], leaving: list[PointId]) -> None:
        """Mark some points, and take the marks of others away."""
        for page in _pages(leaving):
            self._collection.delete_payload(self._place, page)
        mark: Payload = {self._field: self._name}
        for page in _pages(coming):
            self._collection.set_payload(self._inside, page, [mark] * len(page))

    def _fits(self, payload: Mapping[str, Any]) -> bool:
        """Whether nothing else is at the path, nor in its way."""
        held: Any = payload
        for part in filter(None, self._inside.split(".")):
            held = held.get(part)
            if held is None:
                return True
            if not isinstance(held, Mapping):
                return False
        return held.get(self._field) in (None, self._name)


def _pages(ids: list[PointId]) -> Iterator[list[PointId]]:
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]
