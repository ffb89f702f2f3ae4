"""Plain values: ids, payloads, filters, records, and what is known of a collection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.cluster import ShardKey
from tsds_qdrant.collections.limits import Limits
from tsds_qdrant.collections.reserved import (
    MADE_FIELD,
    MANIFESTS,
    REPRESENTATION,
    SEQUENCE_FIELD,
    STAMP_FIELD,
    TAG_FIELD,
    is_tag,
)
from tsds_qdrant.sparse import SparseRows

PointId = int | str
"""An unsigned 64-bit integer, or a UUID in its lower-case hyphenated form."""
Payload = dict[str, Any]
Filter = Mapping[str, Any]
"""A payload filter in Qdrant's JSON form: ``{"must": [{"key": .., "match": {..}}]}``."""
Wanted = bool | Sequence[str]
"""Which part of a payload: all, none, or the fields of these names."""
IndexKind = Literal["integer", "float", "keyword", "datetime"]
Datatype = str
"""How Qdrant keeps the numbers of a vector: ``float32``, ``float16``, ``uint8``, ``turbo4``, .."""
FLOAT32: Datatype = "float32"
Metric = Literal["Cosine", "Euclid", "Manhattan", "Dot"]
Geometry = Metric | Literal["Product"]
"""How distances follow from vectors. Product: as sqrt(2 - 2 p) from products p of vectors whose
unit length rounding has changed; Cosine and Dot make them unit vectors first."""
METRICS: tuple[Metric, ...] = ("Cosine", "Euclid", "Manhattan", "Dot")


@dataclass(frozen=True)
class Record:
    """A stored point; ``payload`` is empty and ``vector`` None unless asked for.

    Attributes:
        vector: (D,) that of the searched space, None where the point has none.
        sparse: the same where the searched space is sparse: one row.
    """

    id: PointId
    payload: Payload
    vector: Float32Array | None = None
    sparse: SparseRows | None = None

    @property
    def content(self) -> Payload:
        """The payload without what ``ingest``, ``represent`` and write-back added to it."""
        kept = (SEQUENCE_FIELD, STAMP_FIELD, MADE_FIELD)
        own = {key: value for key, value in self.payload.items() if key not in kept}
        tags = own.get(TAG_FIELD)
        if isinstance(tags, dict):
            own[TAG_FIELD] = {name: tag for name, tag in tags.items() if not is_tag(tag)}
            if not own[TAG_FIELD]:
                del own[TAG_FIELD]
        return own


@dataclass(frozen=True)
class CollectionInfo:
    """What is known of a collection without searching it.

    Attributes:
        location: path or URL, without secrets.
        vector: name of the searched space, "" for the unnamed vector.
        dimension: of the searched space, 0 where it is sparse.
        metric: of the searched space.
        count: number of points, whether they have a vector of that space or not; as Qdrant says it
            without counting where exact counts are refused.
        indexed: number of vectors inside an index, of all spaces.
        replicas: of each shard, as the collection was made.
        datatype: of the stored vectors of the searched space.
        quantization: kind of quantisation, or None.
        payload_indexes: payload field -> type of its index.
        metadata: what ``ingest`` stored with the collection (``model``, ``text_field``, ..).
        engine: name and version of the Qdrant engine.
        scanner: what computes the distances of exact searches; two scanners may differ in the
            last bits of a float32.
        reached: how the server is reached, as :meth:`Connection.remembered` says it.
        confirmations: replicas that must confirm a write.
        shard_keys: those of custom sharding; None where the collection is not sharded by key.
        shard_key: the one whose points alone are read and written; None for all.
        alias_of: the collection that is meant, where ``name`` is an alias.
        mirror: the directory of the copy that is searched in its place; None for none.
        any_length: products of vectors of any length are wanted under Dot, which say no distances;
            those are then of directions alone.
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
    replicas: int = 1
    datatype: Datatype = FLOAT32
    quantization: str | None = None
    payload_indexes: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    engine: str = ""
    scanner: str = "qdrant"
    reached: Mapping[str, Any] = field(default_factory=dict)
    confirmations: int = 1
    shard_keys: tuple[ShardKey, ...] | None = None
    shard_key: ShardKey | None = None
    alias_of: str | None = None
    mirror: str | None = None
    any_length: bool = False

    @property
    def named(self) -> str:
        """The name of the searched space behind "vector": ``'gradient'``, or "without a name"."""
        return f"'{self.vector}'" if self.vector else "without a name"

    @property
    def geometry(self) -> Geometry:
        """How distances follow from vectors as they are stored."""
        rounded = self.datatype == "float16" and self.metric in ("Cosine", "Dot")
        return "Product" if rounded and not self.any_length else self.metric

    @property
    def model(self) -> str | None:
        """The text model that made the vectors of the searched space; None where none is named.

        That of the metadata made those of the space that is searched where none is named, unless
        ``represent`` made them.
        """
        made = self.metadata.get(MANIFESTS) or ()
        default = self.metadata.get(REPRESENTATION, self.vector)
        if self.vector in made or (default != self.vector and default not in made):
            return None
        return self.metadata.get("model")

    @property
    def blocks(self) -> int:
        """How many unit vectors stand side by side in each vector of the searched space.

        As ``represent`` made them: one for each checkpoint of unit gradients.
        """
        made = self.metadata.get(MANIFESTS)
        kept = made.get(self.vector) if isinstance(made, Mapping) else None
        manifest = kept.get("manifest") if isinstance(kept, Mapping) else None
        if not isinstance(manifest, Mapping) or manifest.get("normalised") is not True:
            return 1
        return max(1, len(manifest.get("checkpoints") or ()))

    @property
    def length(self) -> float:
        """The length of every vector of the searched space where products say distances."""
        return math.sqrt(self.blocks) if self.metric == "Dot" and not self.any_length else 1.0

    @property
    def recomputable(self) -> bool:
        """Whether stored vectors give Qdrant's distances, but for rounding to float32.

        Those of Turbo datatypes do not: they are read back roughly, and so is a query there.
        """
        return self.datatype in (FLOAT32, "float16", "uint8")

    @property
    def tags_need_index(self) -> bool:
        """Whether tags are found by an index alone: to be read, or cleared in all replicas."""
        limits = self.limits
        return not (limits.unindexed_filter and (limits.unindexed_update or self.replicas < 2))
