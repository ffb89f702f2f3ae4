"""What an open embedded collection holds, told by a short text that every write changes.

The engine counts its operations, and each segment knows the last one that touched it
(``EdgeShard.snapshot_manifest``): that number grows with each write, one that fails halfway too,
and stays over reopening and after a process was killed. *subtle*: a copy of the directory counts
on by itself, so the time of the last write to the log (``wal``) is a part as well.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import qdrant_edge as edge

from tsds_qdrant.collections.edge.locks import LOG

WRITTEN = "open-"
"""How files of the log are named that are written to, the one in use first by number."""


def fingerprint_of(shard: edge.EdgeShard, directory: Path) -> str | None:
    """32 hexadecimal digits; None where the directory has no log that we can read."""
    numbers = [file.name.removeprefix(WRITTEN) for file in (directory / LOG).glob(f"{WRITTEN}*")]
    if not numbers or not all(number.isdecimal() for number in numbers):
        return None
    used = directory / LOG / f"{WRITTEN}{min(numbers, key=int)}"
    try:
        written = used.stat().st_mtime_ns
    except OSError:
        return None
    versions = {
        segment: facts["segment_version"] for segment, facts in shard.snapshot_manifest().items()
    }
    content = json.dumps([versions, written], sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=16).hexdigest()
