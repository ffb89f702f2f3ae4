"""What a server's shards and replicas mean for a selection, in words and figures."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tsds_qdrant.collections.cluster import Cluster, listed
from tsds_qdrant.collections.values import CollectionInfo


def layout_of(info: CollectionInfo, cluster: Cluster | None) -> str:
    """Shards, replicas and their states, for a person."""
    parts = [f"{info.shards} {'shard' if info.shards == 1 else 'shards'}"]
    if info.shard_keys is not None:
        chosen = "" if info.shard_key is None else f", of which '{info.shard_key}' is read"
        parts = [f"sharded by the keys {listed(info.shard_keys)}{chosen}"]
    if info.replicas > 1 or (cluster and cluster.replicated):
        parts.append(f"{info.replicas} replicas ({info.confirmations} confirm a write)")
    if cluster is not None and len(cluster.replicas) > 1:
        parts.append(", ".join(f"{many} {state}" for state, many in cluster.states.items()))
    return ", ".join(parts)


def figures_of(info: CollectionInfo, cluster: Cluster | None) -> dict[str, Any]:
    """The same for a machine."""
    replicas = () if cluster is None else cluster.replicas
    per_key = Counter(replica.key for replica in replicas if replica.key is not None)
    return {
        "replicas": info.replicas,
        "write_consistency": info.confirmations,
        "shard_keys": None if info.shard_keys is None else list(info.shard_keys),
        "shard_key": info.shard_key,
        "replicas_by_key": {str(key): many for key, many in per_key.items()},
        "states": {} if cluster is None else cluster.states,
        "moves": 0 if cluster is None else cluster.moves,
        "counts": [] if cluster is None else list(cluster.counts),
        "alias_of": info.alias_of,
    }


def troubles_of(cluster: Cluster | None) -> tuple[str, ...]:
    """Sentences on what makes a selection less certain, or a write fail."""
    return tuple(f"{trouble}." for trouble in (cluster.troubles() if cluster else ()))


def placing_of(info: CollectionInfo) -> tuple[str, ...]:
    """Sentences on which points count, and what the name stands for."""
    notes = []
    if info.alias_of:
        notes.append(f"'{info.name}' is an alias of collection '{info.alias_of}'.")
    if info.shard_keys is not None and info.shard_key is None:
        notes.append(
            f"the points of all shard keys count ({listed(info.shard_keys)}); choose one with "
            f"--shard-key, which 'ingest' needs."
        )
    return tuple(notes)
