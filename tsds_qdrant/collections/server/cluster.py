"""Asks a server how it keeps a collection: shards, keys, replicas, and whether these agree."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from qdrant_client import models

from tsds_qdrant.collections.cluster import SERVING, Cluster, Layout, Replica, ShardKey, chosen_key
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.server.description import by_key
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.values import CollectionInfo, Filter
from tsds_qdrant.errors import CollectionError

WAYS = (models.ReadConsistencyType.ALL, models.ReadConsistencyType.MAJORITY, None)
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
        found = session.send(lambda client: client.collection_cluster_info(name), attempts=2)
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
    name, condition = session.place.collection, server_filter(where)

    def count(way: models.ReadConsistencyType | None) -> int:
        return session.send(
            lambda client: (
                client.count(
                    name,
                    count_filter=condition,
                    exact=True,
                    shard_key_selector=key,
                    consistency=way,
                ).count
            ),
            attempts=1,
        )

    with suppress(CollectionError):
        return tuple(count(way) for way in WAYS)
    return ()
