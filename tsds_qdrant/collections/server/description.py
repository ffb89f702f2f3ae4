"""Reads what a server says of a collection, and whether selection can work on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from qdrant_client import models

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.spaces import UNIT_SAMPLE, check_unit_length, chosen_vector
from tsds_qdrant.collections.values import CollectionInfo, Limits
from tsds_qdrant.errors import CollectionError, CollectionNotFoundError, UnsupportedCollectionError

METADATA_KEY = "tsds_qdrant"
METADATA_VERSION = (1, 16)


def fetch(session: Session, *, attempts: int | None = None) -> models.CollectionInfo:
    """Qdrant's own description of the session's collection.

    Raises:
        CollectionNotFoundError: the message names the collections there are.
    """
    place = session.place
    try:
        return session.send(
            lambda client: client.get_collection(place.collection), attempts=attempts
        )
    except CollectionNotFoundError as error:
        known = ""
        with suppress(CollectionError):
            known = f" (it holds {', '.join(session.collection_names()) or 'none'})"
        raise CollectionNotFoundError(
            f"no collection '{place.collection}' at {place.location}{known}; "
            f"check --qdrant and --collection, or make it with 'tsds-qdrant ingest'"
        ) from error


def describe(
    found: models.CollectionInfo, session: Session, vector: str | None, engine: str
) -> CollectionInfo:
    """``found`` as ours; ``vector`` None picks the only dense vector.

    Raises:
        CollectionNotFoundError: no vector of that name, or several and none is named.
        UnsupportedCollectionError: no dense vector, or a multivector.
    """
    config = found.config
    vectors = config.params.vectors or {}
    named = vectors if isinstance(vectors, dict) else {"": vectors}
    plain = {name: params for name, params in named.items() if not params.multivector_config}
    offered = plain if vector is None and plain else named
    vector = chosen_vector(
        {"vectors": {name: params.model_dump() for name, params in offered.items()}},
        vector,
        session.place.collection,
    )
    params = named[vector]
    quantization = params.quantization_config or config.quantization_config
    return CollectionInfo(
        location=session.place.location,
        name=session.place.collection,
        vector=vector,
        dimension=params.size,
        metric=params.distance.value,
        count=found.points_count or 0,
        indexed=found.indexed_vectors_count or 0,
        segments=found.segments_count,
        shards=config.params.shard_number or 1,
        quantization=next(iter(quantization.model_dump()), None) if quantization else None,
        payload_indexes={
            field: index.data_type.value for field, index in found.payload_schema.items()
        },
        metadata=dict((config.metadata or {}).get(METADATA_KEY) or {}),
        limits=_limits(config.strict_mode_config),
        engine=engine,
    )


def may_repeat(found: models.CollectionInfo) -> bool:
    """Whether one search could find a point twice, on two shards."""
    params = found.config.params
    return params.shard_number != 1 or params.sharding_method == models.ShardingMethod.CUSTOM


def longest_timeout(found: models.CollectionInfo, wanted: int) -> int:
    """``wanted`` seconds, or fewer where strict mode says so."""
    strict = found.config.strict_mode_config
    allowed = strict.max_timeout if strict is not None and strict.enabled else None
    return wanted if allowed is None else max(1, min(wanted, allowed))


def check_stored_lengths(session: Session, vector: str) -> None:
    """Check a sample of the stored vectors.

    Raises:
        UnsupportedCollectionError: one is not of unit length, so dot products are no distances.
    """
    name = session.place.collection
    points, _ = session.send(
        lambda client: client.scroll(name, limit=UNIT_SAMPLE, with_payload=False, with_vectors=True)
    )
    check_unit_length(
        ((point.id, vector_of(point.vector, vector)) for point in points), str(session.place)
    )


def check_metadata_support(session: Session, engine: str) -> None:
    """Check that the server keeps metadata.

    Raises:
        UnsupportedCollectionError: it is too old.
    """
    numbers = tuple(int(number) for number in re.findall(r"\d+", engine)[:2])
    if numbers and numbers < METADATA_VERSION:
        raise UnsupportedCollectionError(
            f"{session.place} is on {engine}, which keeps no metadata with a collection; "
            f"use Qdrant 1.16 or newer"
        )


def vector_of(stored: Any, name: str) -> Float32Array | None:
    """Pick the vector ``name`` of a stored point, (D,), or None if it has none."""
    row = stored.get(name) if isinstance(stored, Mapping) else stored
    return None if row is None else np.array(row, dtype=np.float32)


def _limits(strict: models.StrictModeConfigOutput | None) -> Limits:
    if strict is None or not strict.enabled:
        return Limits()
    return Limits(
        limit=strict.max_query_limit,
        batch=getattr(strict, "search_max_batchsize", None),
        ef=strict.search_max_hnsw_ef,
        exact=strict.search_allow_exact is not False,
        unindexed_filter=strict.unindexed_filtering_retrieve is not False,
    )
