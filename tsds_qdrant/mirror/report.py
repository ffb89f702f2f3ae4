"""What a mirroring did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Way = Literal["files", "snapshot", "scroll"]


@dataclass
class MirrorReport:
    """What was done, and what the mirror holds.

    Attributes:
        location: directory that the mirror is in.
        collection: its name.
        source: what it shows, in words.
        way: files copied, a snapshot unpacked, or points read page by page.
        partial: of the snapshot, only what was newer than the mirror.
        first: there was no mirror before, or another one gave way.
        added: points that came.
        updated: points that have other vectors or another payload now.
        deleted: points that went.
        points: that it holds now.
        resumed: points that a run which ended early had stored.
        since: when that run began, where the source may have changed since; else "".
        same: nothing had changed, and nothing was done.
        additions: what was added to the mirror itself, and was kept.
        bytes: room that it takes.
        seconds: how long all took.
        notes: what else is worth knowing, in sentences.
    """

    location: str
    collection: str
    source: str
    way: Way
    partial: bool = False
    first: bool = False
    added: int = 0
    updated: int = 0
    deleted: int = 0
    points: int = 0
    resumed: int = 0
    since: str = ""
    same: bool = False
    additions: bool = False
    bytes: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def unchanged(self) -> int:
        """Points that were there like that already."""
        return self.points - self.added - self.updated
