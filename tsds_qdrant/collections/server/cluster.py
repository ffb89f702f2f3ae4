"""Asks a server how it keeps a collection: shards, keys, replicas, and whether these agree."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import RestToGrpc

from tsds_qdrant.collections.cluster import SERVING, Cluster, Layout, Replica, ShardKey, chosen_key
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.server.description import by_key
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.values import CollectionInfo, Filter
from tsds_qdrant.errors import CollectionError

WAYS = ("all", "majority", None)
"""Read consistencies by which a count is the least of all replicas, a middle one, and any."""


def options_of(layout: Layout | None) -> dict[str, Any]:
    """What says ``layout`` where a collection is created."""
    layout = layout or Layout()
    return {
        "shard_number": layout.shards,
        "replication_factor": layout.replicas,
        "write_consistency_factor": layout.confirmations,
    }


def fetch_cluster(session: Session) -> Cluster | None:
    """The shards of the session's collection; None where nothing can be found out of them."""
    if session.local:
        return None
    name = session.place.collection
    try:
        found = session.send(lambda client: client.collection_cluster_info(name), once=True)
    except CollectionError:  # a key without that right, say
        return None
    own = (
        Replica(one.shard_id, one.shard_key, found.peer_id, one.state.value, one.points_count)
        for one in found.local_shards
    )
    others = (
        Replica(one.shard_id, one.shard_key, one.peer_id, one.state.value)
        for one in found.remote_shards
    )
    moves = len(found.shard_transfers) + len(found.resharding_operations or ())
    return Cluster((*own, *others), moves)


def placed(info: CollectionInfo, found: models.CollectionInfo, session: Session) -> CollectionInfo:
    """``info`` with the shard keys of the collection, and the one that the session names.

    Raises:
        SettingsError: the collection has no such key, or none at all.
    """
    wanted, keys = session.connection.shard_key, None
    if by_key(found):
        cluster = fetch_cluster(session)
        keys = cluster.keys if cluster else ()
    elif session.connection.optional_key:
        wanted = None
    if keys == () and wanted is not None:  # they cannot be found out: Qdrant is to say
        return replace(info, shard_keys=keys, shard_key=wanted)
    return replace(info, shard_keys=keys, shard_key=chosen_key(wanted, keys, info.name))


def agreed_counts(
    session: Session, cluster: Cluster | None, where: Filter | None, key: ShardKey | None
) -> tuple[int, ...]:
    """How many points match ``where``, by what replicas agree on; see :attr:`Cluster.counts`.

    Empty where there are no replicas, or not all of them can be asked.
    """
    if cluster is None or not cluster.replicated:
        return ()
    if any(replica.state not in SERVING for replica in cluster.replicas):
        return ()
    count = _grpc_count if session.grpc else _rest_count
    name, condition = session.place.collection, server_filter(where)
    with suppress(CollectionError):
        return tuple(
            session.send(partial(count, name, condition, key, way), once=True) for way in WAYS
        )
    return ()


def _rest_count(
    name: str, where: models.Filter | None, key: Any, way: str | None, client: QdrantClient
) -> int:
    """The exact count by one read consistency, for which qdrant-client's own method has no word."""
    consistency: Any = None if way is None else models.ReadConsistencyType(way)
    reply = client.http.points_api.count_points(
        name,
        consistency=consistency,
        count_request=models.CountRequest(filter=where, exact=True, shard_key=key),
    )
    if reply.result is None:
        raise ValueError("a count without a result")
    return reply.result.count


def _grpc_count(
    name: str, where: models.Filter | None, key: Any, way: str | None, client: QdrantClient
) -> int:
    consistency = None
    if way is not None:
        kind = messages.ReadConsistencyType.Value(way.capitalize())
        consistency = messages.ReadConsistency(type=kind)
    message = messages.CountPoints(
        collection_name=name,
        filter=None if where is None else RestToGrpc.convert_filter(where),
        exact=True,
        read_consistency=consistency,
        shard_key_selector=None if key is None else RestToGrpc.convert_shard_key_selector(key),
    )
    return int(client.grpc_points.Count(message).result.count)
