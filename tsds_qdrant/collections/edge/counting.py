"""The numbers of operations, where a shard and its log do not agree on them."""

from __future__ import annotations

import qdrant_edge as edge


def count_on(shard: edge.EdgeShard) -> None:
    """Let a new log count on from where the segments are, at some 300,000 operations a second.

    *subtle*: it counts operations from 0 again, and segments leave out those whose number is below
    that of the last one they know: writes would be lost in silence.
    """
    versions = [facts["segment_version"] or 0 for facts in shard.snapshot_manifest().values()]
    for _ in range(max(versions, default=0) + 1):
        shard.update(edge.UpdateOperation.delete_points([]))
