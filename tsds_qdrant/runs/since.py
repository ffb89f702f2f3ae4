"""A payload field that only grows, by which a run finds what has changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import IndexKind, Payload
from tsds_qdrant.errors import RequestRejectedError, SettingsError
from tsds_qdrant.pool.fields import payloads_with, sampled_payloads
from tsds_qdrant.pool.orderable import kind_of
from tsds_qdrant.progress import notice
from tsds_qdrant.records.fields import field_values, shown

OTHER = "name another field, or leave it out"


def largest_of(collection: Collection, field: str) -> int | float | str | None:
    """The largest number, or the latest date, that any point has in ``field``.

    That takes an index. In an embedded collection one is made, as for what ``ingest`` stores; on a
    server its owner has to make it.

    Raises:
        RequestRejectedError: there is none on a server.
        SettingsError: no point has a number or date there.
    """
    try:
        largest = collection.largest(field)
    except RequestRejectedError:
        info = collection.info()
        if field in info.payload_indexes:
            raise
        kind = _kind(collection, field)
        if is_server(info.location):
            request = json.dumps({"field_name": field, "field_schema": kind})
            raise RequestRejectedError(
                f"collection '{info.name}' has no {kind} index on '{field}', by which "
                f"--since-field finds what changed; make it (PUT "
                f"{info.location}/collections/{info.name}/index {request}), or compare "
                f"vectors with --detect-updates"
            ) from None
        collection.index_payload(field, kind)
        notice("since", f"made a {kind} index on '{field}', by which changes are found")
        largest = collection.largest(field)
    if largest is None and collection.count():
        raise SettingsError(f"no point has a number or date in '{field}'; {OTHER}")
    return largest


def _kind(collection: Collection, field: str) -> IndexKind:
    """The kind of index that orders points by ``field``, by the first of some that says it.

    Those are points as they come, and then, where Qdrant may look for them, points that have it.

    Raises:
        SettingsError: none of them has a number or date there; it says which were looked at.
    """
    looked = sampled_payloads(collection)
    if kind := kind_of(_values(looked, field)):
        return kind
    having = payloads_with(collection, field)
    if having is None:
        raise SettingsError(
            f"none of {len(looked)} points looked at has a number or date in '{field}', and the "
            f"limits of collection '{collection.info().name}' allow no search for those that have "
            f"it; make an index on it, or {OTHER}"
        ) from None
    if kind := kind_of(_values(having, field)):
        return kind
    held = next(iter(_values(having, field)), None)
    if held is None:
        raise SettingsError(f"no point has a value in '{field}'; {OTHER}") from None
    raise SettingsError(
        f"none of {len(having)} points looked at that have '{field}' has a number or date in it "
        f"({shown(held)} say); {OTHER}"
    ) from None


def _values(payloads: Iterable[Payload], field: str) -> Iterator[Any]:
    for payload in payloads:
        for value in field_values(payload, field):
            yield from value if isinstance(value, list) else (value,)
