"""Mending an embedded collection that cannot be opened.

What is damaged is set aside, never deleted. A damaged log is the usual case, and its points lie in
segments beside it. The engine makes a new log, and new settings out of the segments. A segment that
cannot be read is set aside too, and what was in it has to be stored again.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from tsds_qdrant.collections.edge.collection import load_shard
from tsds_qdrant.collections.edge.counting import count_on
from tsds_qdrant.collections.edge.directory import (
    CONFIG_FILE,
    METADATA_FILE,
    SEGMENTS,
    has_segments,
    read_config,
    read_object,
    shard_path,
)
from tsds_qdrant.collections.edge.failures import DAMAGED_LOG, edge_failures, without_reports
from tsds_qdrant.collections.edge.forms import plain_id
from tsds_qdrant.collections.edge.locks import LOG, held
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.errors import CollectionError, CollectionNotFoundError, DamagedCollectionError

PAGE = 256
NAMED = 10
"""Points that cannot be read and are named."""


@dataclass
class StoreRepair:
    """What was done to a collection.

    Attributes:
        aside: what was damaged, and where it is now.
        remade: whether its settings were missing, and follow from its segments now.
        points: how many there are, each read once.
    """

    aside: dict[Path, Path] = field(default_factory=dict)
    remade: bool = False
    points: int = 0

    @property
    def lost(self) -> list[str]:
        """What may be lost, in words."""
        names = {path.name for path in self.aside}
        said = {
            LOG: "what was written since the last flush",
            METADATA_FILE: "the name of the model, and how texts were made (give them again)",
        }
        lost = [words for name, words in said.items() if name in names]
        if any(path.parent.name == SEGMENTS for path in self.aside):
            lost.append("the points of the segment that was set aside")
        return lost


def repair_store(location: str, name: str) -> StoreRepair:
    """Set aside what keeps the collection ``location/name`` from being opened, and read it once.

    Raises:
        CollectionNotFoundError: there is nothing of that name.
        CollectionLockedError: it is open in another process.
        DamagedCollectionError: it cannot be mended; the message says what is left to do.
        CollectionError: nothing is wrong with it.
    """
    place, path = Place(location, name), shard_path(location, name)
    if not has_segments(path):
        read_config(location, name)  # says which collections there are
    repair = StoreRepair(remade=not (path / CONFIG_FILE).is_file())
    with held(path, place):
        _set_aside_settings(path, repair)
    shard = _opened(place, path, repair)
    unread = _read_all(shard, place, repair)
    with edge_failures(location, name):
        if path / LOG in repair.aside:
            count_on(shard)
        shard.close()
    if unread:
        named = ", ".join(map(str, unread[:NAMED])) + (", .." if len(unread) > NAMED else "")
        raise DamagedCollectionError(
            f"{place} opens, but {len(unread)} of its {repair.points} points cannot be read (ids "
            f"{named}); {_last_resort(path)}"
        )
    if not repair.aside and not repair.remade:
        raise CollectionError(
            f"{place} needs no repair: its {repair.points} points can all be read; nothing was "
            f"changed"
        )
    return repair


def _set_aside_settings(path: Path, repair: StoreRepair) -> None:
    for file in (path / CONFIG_FILE, path / METADATA_FILE):
        if file.exists():
            try:
                read_object(file)
            except DamagedCollectionError:
                _set_aside(file, repair)


def _opened(place: Place, path: Path, repair: StoreRepair) -> edge.EdgeShard:
    """The shard, open, once what is damaged is set aside."""
    while True:
        try:
            return load_shard(place.location, place.collection)
        except CollectionNotFoundError:
            words = "no segment of it is left"
        except DamagedCollectionError as error:
            words = str(error.__cause__)
            culprit = _culprit(words, path)
            if culprit is not None and culprit.exists() and culprit not in repair.aside:
                with held(path, place):
                    _set_aside(culprit, repair)
                continue
        raise DamagedCollectionError(
            f"{place} cannot be mended ({place.clean(words)}); {_last_resort(path)}"
        )


def _culprit(words: str, path: Path) -> Path | None:
    """What the engine complains of in ``words``."""
    if re.search(DAMAGED_LOG, words):
        return path / LOG
    found = re.search(rf"/{SEGMENTS}/([0-9a-f-]{{36}})", words)
    return path / SEGMENTS / found[1] if found else None


def _set_aside(damaged: Path, repair: StoreRepair) -> None:
    home = damaged.parent.parent if damaged.parent.name == SEGMENTS else damaged.parent
    number = 1
    while (aside := home / f"{damaged.name}.damaged-{number}").exists():
        number += 1
    damaged.rename(aside)
    repair.aside[damaged] = aside


def _read_all(shard: edge.EdgeShard, place: Place, repair: StoreRepair) -> list[int | str]:
    """Read every point once; ids of those that cannot be read."""
    unread: list[int | str] = []
    offset = None
    while True:
        with edge_failures(place.location, place.collection):
            found, offset = shard.scroll(
                edge.ScrollRequest(offset=offset, limit=PAGE, with_payload=False, with_vector=False)
            )
        ids = [point.id for point in found]
        repair.points += len(ids)
        if not _readable(shard, ids, place):
            unread += [plain_id(one) for one in ids if not _readable(shard, [one], place)]
        if offset is None:
            return unread


def _readable(shard: edge.EdgeShard, ids: list[Any], place: Place) -> bool:
    with (
        suppress(CollectionError),
        without_reports(),
        edge_failures(place.location, place.collection),
    ):
        return len(shard.retrieve(ids, with_payload=True, with_vector=True)) == len(ids)
    return False


def _last_resort(path: Path) -> str:
    return f"restore '{path}' from a copy, or move it away and ingest again"
