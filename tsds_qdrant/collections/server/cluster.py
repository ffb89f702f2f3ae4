"""Asks a server how it keeps a collection: shards, keys, replicas, and whether these agree."""

from __future__ import annotations

from contextlib import suppress

from qdrant_client import models

from tsds_qdrant.collections.cluster import SERVING, Cluster, Replica, ShardKey
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.values import Filter
from tsds_qdrant.errors import CollectionError

WAYS = (models.ReadConsistencyType.ALL, models.ReadConsistencyType.MAJORITY, None)
"""Read consistencies by which a count is the least of all replicas, a middle one, and any."""


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


def keys_of(session: Session) -> tuple[ShardKey, ...]:
    """The shard keys of the session's collection; empty where they cannot be found out."""
    found = fetch_cluster(session)
    return found.keys if found else ()


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
