"""Snapshots of shards, as a server streams them (Qdrant documentation, "Snapshots").

A tar of the shard's files, graph and all, from ``GET /collections/NAME/shards/SHARD/snapshot``, of
the node that has the shard. ``POST .../snapshot/partial/create`` gives those files alone that are
newer than a manifest of files says ("Synchronizing Qdrant Edge with a Server").
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from tsds_qdrant.collections.cluster import SERVING
from tsds_qdrant.collections.edge.room import RESERVE, megabytes
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.server.clients import GRACE_S
from tsds_qdrant.collections.server.cluster import fetch_cluster
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.errors import RequestRejectedError

BLOCK = 4_000_000
UNCHANGED = 304
PREPARED_S = 600
"""Seconds that a server may take until the snapshot begins."""


@dataclass(frozen=True)
class Streamed:
    """The shards of a collection of which the node that answers gives snapshots.

    Attributes:
        shards: their numbers: all that have points of the collection, or of its shard key.
        lacking: why there are none, "" if there are.
    """

    shards: tuple[int, ...] = ()
    lacking: str = ""


def streamed_shards(collection: Collection) -> Streamed:
    """The shards whose snapshots together are ``collection``; none if one could not be had."""
    if not isinstance(collection, ServerCollection) or collection.is_local:
        return Streamed(lacking="it is on no server")
    info, cluster = collection.info(), fetch_cluster(collection.session)
    if cluster is None:
        if info.shards == 1 and info.shard_keys is None:
            return Streamed((0,))
        return Streamed(lacking="the server does not say where its shards are")
    wanted = [one for one in cluster.replicas if info.shard_key in (None, one.key)]
    numbers = sorted({one.shard for one in wanted})
    here = {one.shard for one in wanted if one.points is not None and one.state in SERVING}
    if cluster.moves:
        return Streamed(lacking="shards are being moved")
    if away := [shard for shard in numbers if shard not in here]:
        words = ("shard", "is") if len(away) == 1 else ("shards", "are")
        named = ", ".join(map(str, away))
        return Streamed(
            lacking=f"{words[0]} {named} {words[1]} not on the node at {info.location}, or not "
            f"active there"
        )
    if len(numbers) < (info.shards if info.shard_keys is None else 1):
        return Streamed(lacking=f"the server names {len(numbers)} of its {info.shards} shards")
    return Streamed(tuple(numbers))


def download_snapshot(
    collection: Collection, shard: int, file: Path, manifest: Mapping[str, Any] | None = None
) -> bool:
    """Write the snapshot of one ``shard`` of ``collection`` into ``file``.

    Args:
        collection: on a server.
        shard: its number.
        file: is made.
        manifest: of the files that a copy has; what is newer alone is written then.

    Returns:
        False where nothing is newer, and there is no file.

    Raises:
        AccessDeniedError: the key may not have it.
        CollectionError: the server gives none, or breaks off.
        RequestRejectedError: there is no room on the disk.
    """
    assert isinstance(collection, ServerCollection)
    session = collection.session
    name = quote(session.place.collection, safe="")

    tail = "snapshot" if manifest is None else "snapshot/partial/create"

    def fetched(client: QdrantClient) -> bool:
        http = client.http.client
        url = urljoin(f"{http.host.rstrip('/')}/", f"collections/{name}/shards/{shard}/{tail}")
        waits = max(PREPARED_S, session.timeout + GRACE_S)
        method = "GET" if manifest is None else "POST"
        with http._client.stream(method, url, json=manifest, timeout=waits) as response:
            if manifest is not None and response.status_code == UNCHANGED:
                return False
            if response.status_code != 200:
                response.read()
                raise UnexpectedResponse.for_response(response)
            with file.open("wb") as out:
                for block in response.iter_bytes(BLOCK):
                    _check_room(file, len(block))
                    out.write(block)
        return True

    return session.send(fetched, once=True)


def _check_room(file: Path, needed: int) -> None:
    free = shutil.disk_usage(file.parent).free
    if needed + RESERVE > free:
        raise RequestRejectedError(
            f"the snapshot needs more than the {megabytes(free)} that '{file.parent}' has left; "
            f"make room, then run the same command again"
        )
