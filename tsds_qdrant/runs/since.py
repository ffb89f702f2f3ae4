"""A payload field that only grows, by which a run finds what has changed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import RequestRejectedError, SettingsError
from tsds_qdrant.pool.fields import sampled_payloads
from tsds_qdrant.pool.orderable import kind_of
from tsds_qdrant.progress import notice
from tsds_qdrant.records.fields import field_values


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
        kind = kind_of(
            value for payload in sampled_payloads(collection) for value in _values(payload, field)
        )
        if kind is None:
            raise _no_number(field) from None
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
        raise _no_number(field)
    return largest


def _values(payload: dict[str, Any], field: str) -> Iterable[Any]:
    for value in field_values(payload, field):
        yield from value if isinstance(value, list) else (value,)


def _no_number(field: str) -> SettingsError:
    return SettingsError(
        f"no point has a number or date in '{field}'; name another field, or leave it out"
    )
