"""What the rest of the package knows about a Qdrant collection, whichever engine holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

SEQUENCE_FIELD = "_tsds_seq"
"""Payload field of points that ``ingest`` stored: a number that grows with every write."""
TAG_FIELD = "tsds"
"""Payload field of selected points: name -> tag, see :mod:`tsds_qdrant.workflow.write_back`."""
TAG_KEYS = frozenset({"rank", "run"})
"""What every tag holds."""

PointId = int | str
"""An unsigned 64-bit integer, or a UUID in its lower-case hyphenated form."""

Payload = dict[str, Any]
Filter = Mapping[str, Any]
"""A payload filter in Qdrant's JSON form: ``{"must": [{"key": .., "match": {..}}]}``."""

Metric = Literal["Cosine", "Euclid", "Manhattan", "Dot"]
METRICS: tuple[Metric, ...] = ("Cosine", "Euclid", "Manhattan", "Dot")


@dataclass(frozen=True)
class Hits:
    """Answers of a batch of B searches, one after the other.

    Attributes:
        ids: all ids, those of the first search first; every search's nearest first.
        distances: (len(ids),) float64, in the unit of the metric; NaN where Qdrant scored NaN.
        counts: (B,) int64, hits of each search; they sum to ``len(ids)``.
    """

    ids: list[PointId]
    distances: FloatArray
    counts: IntArray


@dataclass(frozen=True)
class Record:
    """A stored point; ``payload`` is empty and ``vector`` None unless asked for."""

    id: PointId
    payload: Payload
    vector: Float32Array | None = None

    @property
    def content(self) -> Payload:
        """The payload without what ``ingest`` and write-back added to it."""
        own = {key: value for key, value in self.payload.items() if key != SEQUENCE_FIELD}
        tags = own.get(TAG_FIELD)
        if isinstance(tags, dict):
            own[TAG_FIELD] = {name: tag for name, tag in tags.items() if not is_tag(tag)}
            if not own[TAG_FIELD]:
                del own[TAG_FIELD]
        return own


def is_tag(value: Any) -> bool:
    """Whether a payload value is a tag of write-back."""
    return isinstance(value, dict) and value.keys() >= TAG_KEYS


@dataclass(frozen=True)
class Limits:
    """What a deployment allows (Qdrant strict mode); None where there is no limit."""

    limit: int | None = None
    batch: int | None = None
    ef: int | None = None
    exact: bool = True
    unindexed_filter: bool = True


@dataclass(frozen=True)
class CollectionInfo:
    """What is known of a collection without searching it.

    Attributes:
        location: path or URL, without secrets.
        vector: name of the dense vector that is searched, "" for the default one.
        count: number of points.
        indexed: number of vectors inside an HNSW graph.
        quantization: kind of quantisation, or None.
        payload_indexes: payload field -> type of its index.
        metadata: what ``ingest`` stored with the collection (``model``, ``text_field``, ..).
        engine: name and version of the Qdrant engine.
        scanner: what computes the distances of exact searches; two scanners may differ in the
            last bits of a float32.
    """

    location: str
    name: str
    vector: str
    dimension: int
    metric: Metric
    count: int
    indexed: int
    segments: int
    shards: int = 1
    quantization: str | None = None
    payload_indexes: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    engine: str = ""
    scanner: str = "qdrant"


class Collection(Protocol):
    """One vector of one Qdrant collection.

    Every method raises :class:`~tsds_qdrant.errors.CollectionError` or one of its kinds, never
    an error of a Qdrant package. ``where`` is a payload filter in Qdrant's JSON form. A ``with``
    block closes the collection at its end.
    """

    @property
    def bytes_moved(self) -> int:
        """Bytes of all searches so far, questions and answers; 0 where none leaves the process."""

    def __enter__(self) -> Collection: ...

    def __exit__(self, *error: object) -> None: ...

    def info(self) -> CollectionInfo:
        """Describe the collection."""

    def count(self, where: Filter | None = None) -> int:
        """Count the points, exactly."""

    def search(
        self,
        vectors: Float32Array,
        *,
        limit: int,
        max_distance: float | None = None,
        exact: bool = False,
        ef: int | None = None,
        where: Filter | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Hits:
        """Find the nearest points of every row of ``vectors`` (B, D).

        Args:
            limit: at most that many hits a row.
            max_distance: only hits at most this far away (inclusive).
            exact: scan everything instead of walking the HNSW graph.
            ef: candidates that the walk keeps (HNSW only); at least ``limit`` is used.
            on_batch: called with the number of rows done, batch by batch.
        """

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: bool = True, vectors: bool = False
    ) -> list[Record]:
        """Fetch stored points in the order of ``ids``; ids that do not exist are left out."""

    def existing(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of ``ids`` are stored."""

    def scroll_ids(self, where: Filter | None = None) -> Iterator[list[PointId]]:
        """All ids, page by page, in ascending order (numbers before UUIDs)."""

    def upsert(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array,
        payloads: Sequence[Payload] | None = None,
    ) -> None:
        """Insert or replace points; returns when they are stored.

        Raises:
            InputError: a vector of another dimension, with NaN or infinity, or of length zero
                under the Cosine metric. Nothing is stored then.
        """

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; ids that do not exist are ignored."""

    def set_payload(self, key: str, ids: Sequence[PointId], values: Sequence[Payload]) -> None:
        """Set fields of the object at the payload path ``key``, other values for each point.

        Nothing else of a payload is touched; ids that do not exist are ignored.
        """

    def delete_payload(self, key: str, ids: Sequence[PointId]) -> None:
        """Delete what is at the payload path ``key``; ids that do not exist are ignored."""

    def largest(self, field: str) -> int | float | str | None:
        """The largest number, or latest date, that any point has in the payload ``field``.

        Raises:
            RequestRejectedError: the field has no index that can be ordered by.
        """

    def index_payload(self, field: str) -> None:
        """Make a range index on an integer payload field, to filter by; not inside the graph."""

    def optimize(self) -> None:
        """Build the index where the engine leaves that to its user (the embedded one does)."""

    def update_metadata(self, changes: Mapping[str, Any]) -> None:
        """Keep ``changes`` with the collection, for ``info().metadata``."""

    def close(self) -> None:
        """Release the collection; it cannot be used afterwards."""
