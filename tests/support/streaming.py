"""A shard as a server streams it: whole, or what is newer than a manifest, from an embedded one.

Which files a partial snapshot has is Qdrant's own rule (lib/segment/src/segment/snapshot.rs): those
that the manifest lacks, those of a higher version, and those at version 0 in both; a file without a
version of its own has that of its segment.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from door import Request
from mirrored import NAME, pack
from playback import Reply

from tsds_qdrant.collections.edge.collection import EdgeCollection

ALWAYS = ("segment.json", "version.info")
INTO_FILES = r"s,^\(segments/[^/]*\)/,\1/files/,"


class StreamedShard:
    """A hook that answers as the node that has the shard in ``directory``, open as ``source``.

    Attributes:
        asked: how snapshots were asked for, in order: full or partial.
        reply: answers in the place of a partial snapshot, where it is set.
    """

    def __init__(self, source: EdgeCollection, directory: Path, number: int = 0) -> None:
        self._source = source
        self._shard = directory / NAME
        self._aside = directory
        self._path = f"/collections/{NAME}/shards/{number}/snapshot"
        self.asked: list[str] = []
        self.reply: Reply | None = None

    def __call__(self, request: Request) -> Reply | None:
        if request.path == self._path and request.method == "GET":
            self.asked.append("full")
            return 200, {}, self.whole()
        if request.path == f"{self._path}/partial/create" and request.method == "POST":
            self.asked.append("partial")
            return self.reply or (200, {}, self.partial(request.body))
        return None

    def whole(self) -> bytes:
        """A full snapshot."""
        self._source.flush()
        packed = self._aside / "full.tar"
        pack(packed, self._shard, "segments")
        return packed.read_bytes()

    def partial(self, manifest: Mapping[str, Any]) -> bytes:
        """What is newer than ``manifest``."""
        packed, staged = self._aside / "partial.tar", self._aside / "staged"
        names, made = ["wal"], []
        for segment, now in self._source.manifest().items():
            before = manifest.get(segment, {})
            files = {one for one, version in _versions(now).items() if _newer(one, version, before)}
            inside = self._shard / "segments" / segment
            there = sorted(one for one in files | {*ALWAYS} if (inside / one).exists())
            names += [f"segments/{segment}/{one}" for one in there]
            file = staged / "segments" / segment / "segment_manifest.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(now), encoding="utf-8")
            made.append(f"segments/{segment}/segment_manifest.json")
        words = ["tar", "-cSf", packed, "--transform", INTO_FILES, "-C", self._shard, *names]
        subprocess.run([*words, "-C", staged, *made], check=True)
        return packed.read_bytes()


def _versions(manifest: Mapping[str, Any]) -> dict[str, int]:
    whole = manifest["segment_version"] or 0
    own = manifest["file_versions"].items()
    return {file: whole if version is None else version for file, version in own}


def _newer(file: str, version: int, before: Mapping[str, Any]) -> bool:
    known = _versions(before).get(file) if before else None
    return known is None or known < version or known == version == 0
