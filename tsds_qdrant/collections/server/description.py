"""Reads what a server says of a collection, and whether selection can work on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from qdrant_client import models

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.limits import Limits
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import FLOAT32, CollectionInfo
from tsds_qdrant.errors import CollectionError, CollectionNotFoundError, UnsupportedCollectionError
from tsds_qdrant.sparse import SparseRows

METADATA_KEY = "tsds_qdrant"
METADATA_VERSION = (1, 16)
SPACES_VERSION = (1, 18)


def fetch(session: Session, *, opening: bool = False) -> models.CollectionInfo:
    """Qdrant's own description of the session's collection.

    Raises:
        CollectionNotFoundError: the message names the collections there are.
    """
    place = session.place
    try:
        return session.send(lambda client: client.get_collection(place.collection), opening=opening)
    except CollectionNotFoundError as error:
        known = ""
        with suppress(CollectionError):
            known = f" (it holds {', '.join(session.collection_names()) or 'none'})"
        raise CollectionNotFoundError(
            f"no collection '{place.collection}' at {place.location}{known}; "
            f"check --qdrant and --collection, or make it with 'tsds-qdrant ingest'"
        ) from error


def spaces_of(found: models.CollectionInfo, session: Session) -> dict[str, Space]:
    """The spaces of the collection that ``found`` describes; local mode keeps float32 alone."""
    params = found.config.params
    vectors = params.vectors or {}
    spaces = {}
    for name, dense in (vectors if isinstance(vectors, dict) else {"": vectors}).items():
        codes = dense.quantization_config or found.config.quantization_config
        own, usual = dense.hnsw_config or models.HnswConfigDiff(), found.config.hnsw_config
        spaces[name] = Space(
            name,
            "dense",
            dense.size,
            dense.distance.value,
            multivector=dense.multivector_config is not None,
            datatype=FLOAT32 if session.local or not dense.datatype else dense.datatype.value,
            quantization=next(iter(codes.model_dump()), None) if codes else None,
            m=usual.m if own.m is None else own.m,
            payload_m=usual.payload_m if own.payload_m is None else own.payload_m,
            on_disk=bool(dense.on_disk) or getattr(dense, "memory", None) == "cold",
        )
    for name, sparse in (params.sparse_vectors or {}).items():
        idf = sparse.modifier == models.Modifier.IDF
        spaces[name] = Space(name, "sparse", None, "Dot", idf=idf)
    return spaces


def metadata_of(found: models.CollectionInfo) -> dict[str, Any]:
    """What this package keeps with the collection that ``found`` describes."""
    return dict((found.config.metadata or {}).get(METADATA_KEY) or {})


def describe(
    found: models.CollectionInfo, session: Session, space: Space, engine: str
) -> CollectionInfo:
    """``found`` as ours, searched in ``space``."""
    return CollectionInfo(
        location=session.location,
        name=session.place.collection,
        vector=space.name,
        dimension=space.dimension or 0,
        metric=space.metric,
        count=found.points_count or 0,
        indexed=found.indexed_vectors_count or 0,
        segments=found.segments_count,
        shards=found.config.params.shard_number or 1,
        replicas=found.config.params.replication_factor or 1,
        datatype=space.datatype,
        quantization=space.quantization,
        payload_indexes={
            field: index.data_type.value for field, index in found.payload_schema.items()
        },
        metadata=metadata_of(found),
        limits=limits_of(found, space),
        engine=engine,
        confirmations=found.config.params.write_consistency_factor or 1,
    )


def by_key(found: models.CollectionInfo) -> bool:
    """Whether the collection is sharded by key."""
    return found.config.params.sharding_method == models.ShardingMethod.CUSTOM


def limits_of(found: models.CollectionInfo, space: Space) -> Limits:
    """What the collection that ``found`` describes allows, searched in ``space``."""
    strict = found.config.strict_mode_config
    if strict is None or not strict.enabled:
        return Limits()
    exact = strict.search_allow_exact is not False
    return Limits(
        limit=strict.max_query_limit,
        batch=getattr(strict, "search_max_batchsize", None),
        ef=strict.search_max_hnsw_ef,
        exact=exact,
        searches=exact or space.dimension is None or space.m != 0,
        oversampling=strict.search_max_oversampling,
        conditions=strict.filter_max_conditions,
        condition_size=strict.condition_max_size,
        unindexed_filter=strict.unindexed_filtering_retrieve is not False,
        unindexed_update=strict.unindexed_filtering_update is not False,
        upsert_batch=strict.upsert_max_batchsize,
        read_rate=strict.read_rate_limit,
        write_rate=strict.write_rate_limit,
        timeout=strict.max_timeout,
        points=strict.max_points_count,
        payload_indexes=getattr(strict, "max_payload_index_count", None),
    )


def may_repeat(found: models.CollectionInfo) -> bool:
    """Whether one search could find a point twice, on two shards."""
    return found.config.params.shard_number != 1 or by_key(found)


def longest_timeout(found: models.CollectionInfo, wanted: int) -> int:
    """``wanted`` seconds, or fewer where strict mode says so."""
    strict = found.config.strict_mode_config
    allowed = strict.max_timeout if strict is not None and strict.enabled else None
    return wanted if allowed is None else max(1, min(wanted, allowed))


def check_metadata_support(session: Session, engine: str) -> None:
    """Check that the server keeps metadata.

    Raises:
        UnsupportedCollectionError: it is too old.
    """
    if _is_older(engine, METADATA_VERSION):
        raise UnsupportedCollectionError(
            f"{session.place} is on {engine}, which keeps no metadata with a collection; "
            f"use Qdrant 1.16 or newer"
        )


def check_added_spaces(session: Session, engine: str) -> None:
    """Check that the server, and its client here, can add a vector to a collection.

    Raises:
        UnsupportedCollectionError: one of them is too old.
    """
    if _is_older(engine, SPACES_VERSION):
        raise UnsupportedCollectionError(
            f"{session.place} is on {engine}, which adds no vector to a collection that exists; "
            f"use Qdrant 1.18 or newer"
        )


def vector_of(stored: Any, name: str) -> tuple[Float32Array | None, SparseRows | None]:
    """Pick the vector ``name`` of a stored point: dense (D,), or sparse; None if it has none."""
    if not isinstance(stored, Mapping):  # the unnamed one alone comes without its name
        stored = {"": stored}
    own = stored.get(name)
    if isinstance(own, Mapping):  # in bare JSON
        own = models.SparseVector.model_validate(own)
    if isinstance(own, models.SparseVector):
        return None, SparseRows.of([dict(zip(own.indices, own.values, strict=True))])
    return None if own is None else np.array(own, dtype=np.float32), None


def inserts_only(engine: str) -> bool:
    """Whether an upsert can be asked to leave points alone that are there."""
    return not _is_older(engine, SPACES_VERSION)


def _is_older(engine: str, version: tuple[int, int]) -> bool:
    """Whether ``engine`` names a version, and one before ``version``."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", engine)[:2])
    return bool(numbers) and numbers < version
