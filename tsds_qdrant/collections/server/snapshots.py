"""Snapshots of shards, as a server streams them (Qdrant documentation, "Snapshots").

A tar of the shard's files, graph and all, from ``GET /collections/NAME/shards/0/snapshot``.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote, urljoin

from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from tsds_qdrant.collections.edge.room import RESERVE, megabytes
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.server.clients import GRACE_S
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.errors import RequestRejectedError

BLOCK = 4_000_000
PREPARED_S = 600
"""Seconds that a server may take until the snapshot begins."""


def streams_snapshots(collection: Collection) -> bool:
    """Whether ``collection`` is one shard on a server, which may give a snapshot of it."""
    if not isinstance(collection, ServerCollection) or collection.is_local:
        return False
    info = collection.info()
    return info.shards == 1 and info.shard_keys is None


def download_snapshot(collection: Collection, file: Path) -> None:
    """Write the snapshot of the one shard of ``collection`` into ``file``.

    Raises:
        AccessDeniedError: the key may not have it.
        CollectionError: the server gives none, or breaks off.
        RequestRejectedError: there is no room on the disk.
    """
    assert isinstance(collection, ServerCollection)
    session = collection.session
    name = quote(session.place.collection, safe="")

    def fetched(client: QdrantClient) -> None:
        http = client.http.client
        url = urljoin(f"{http.host.rstrip('/')}/", f"collections/{name}/shards/0/snapshot")
        waits = max(PREPARED_S, session.timeout + GRACE_S)
        with http._client.stream("GET", url, timeout=waits) as response:
            if response.status_code != 200:
                response.read()
                raise UnexpectedResponse.for_response(response)
            with file.open("wb") as out:
                for block in response.iter_bytes(BLOCK):
                    _check_room(file, len(block))
                    out.write(block)

    session.send(fetched, once=True)


def _check_room(file: Path, needed: int) -> None:
    free = shutil.disk_usage(file.parent).free
    if needed + RESERVE > free:
        raise RequestRejectedError(
            f"the snapshot needs more than the {megabytes(free)} that '{file.parent}' has left; "
            f"make room, then run the same command again"
        )
