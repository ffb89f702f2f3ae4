"""Mirrors from snapshots: streamed by a server, played back, and files of collections."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import running_server
from commands import run
from door import Door, Request, open_door
from mirrored import (
    CONFIG,
    INDEXES,
    NAME,
    assert_near,
    client_source,
    contents,
    edge_source,
    pack,
    points,
    put,
    reopened,
    searched,
)
from playback import Reply, failed
from qdrant_client import QdrantClient

from tsds_qdrant import open_collection
from tsds_qdrant.collections.spaces import ANY_SPACE, Space
from tsds_qdrant.collections.whole import Whole
from tsds_qdrant.errors import AccessDeniedError, CollectionError, SettingsError
from tsds_qdrant.mirror import MirrorSettings, mirror
from tsds_qdrant.mirror.report import MirrorReport
from tsds_qdrant.mirror.settings import By

PATH = f"/collections/{NAME}/shards/0/snapshot"


def snapshot_of(made: list[Whole], directory: Path, name: str = "shard") -> bytes:
    """A snapshot as a server streams it: a tar of the files of the shard with ``made``."""
    with edge_source(directory / name, made) as opened:
        opened.flush()
    packed = directory / f"{name}.tar"
    pack(packed, directory / name / NAME, "segments")
    return packed.read_bytes()


@dataclass
class Streaming:
    """A hook that answers requests for a snapshot with a reply; None leaves it to the door."""

    reply: Reply | None
    asked: int = 0

    def __call__(self, request: Request) -> Reply | None:
        if request.path != PATH:
            return None
        self.asked += 1
        return self.reply


@pytest.fixture
def door() -> Iterator[Door]:
    with open_door() as door:
        client_source(door.client, points(range(1, 101)))
        door.facts(NAME).indexes = {field: index.kind for field, index in INDEXES.items()}
        yield door


def mirrored(door: Door, to: Path, by: By = "auto") -> MirrorReport:
    with open_collection(door.url, NAME, vector=ANY_SPACE) as opened:
        return mirror(opened, MirrorSettings(to=to, by=by))


def check_equal(door: Door, to: Path) -> None:
    with open_collection(door.url, NAME, vector="dense") as theirs, reopened(to) as ours:
        assert_near(ours, theirs)
        (ids, numbers), (their_ids, their_numbers) = searched(ours), searched(theirs)
    assert ids == their_ids
    np.testing.assert_allclose(numbers, their_numbers, atol=1e-5)


@pytest.mark.slow
def test_a_shard_on_a_server_comes_as_a_snapshot(door: Door, tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    door.hook = Streaming((200, {}, snapshot_of(points(range(1, 101)), tmp_path)))
    report = mirrored(door, to)
    assert report.notes == []
    assert (report.way, report.points, report.added) == ("snapshot", 100, 100)
    check_equal(door, to)
    with reopened(to) as ours:
        shape = ours.shape()
    assert shape.indexes.keys() == INDEXES.keys()
    assert shape.metadata["identity"] == "one"
    assert shape.config["vectors"].keys() == CONFIG["vectors"].keys()
    assert [entry.name for entry in to.iterdir()] == [NAME]
    now = [*points(range(11, 101)), *points(range(200, 210))]
    put(door.client, points(range(200, 210)))
    door.client.delete(NAME, list(range(1, 11)))
    door.hook = Streaming((200, {}, snapshot_of(now, tmp_path, "later")))
    assert mirrored(door, to).points == 100
    check_equal(door, to)


@pytest.mark.slow
def test_additions_stay_where_the_update_is_a_snapshot(door: Door, tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    door.hook = Streaming((200, {}, snapshot_of(points(range(1, 101)), tmp_path)))
    mirrored(door, to)
    with reopened(to) as ours:
        ours.add_space(Space.dense("grad", 2, "Dot"))
        ours.set_vectors(range(1, 101), np.ones((100, 2), dtype=np.float32), space="grad")
    put(door.client, points([300]))
    door.client.delete(NAME, [1])
    now = [*points(range(2, 101)), *points([300])]
    door.hook = Streaming((200, {}, snapshot_of(now, tmp_path, "later")))
    report = mirrored(door, to)
    assert (report.way, report.added, report.updated, report.deleted) == ("snapshot", 1, 0, 1)
    check_equal(door, to)
    with reopened(to) as ours:
        having = contents(ours, spaces=["grad"])
    assert [i for i, one in having.items() if one[1]] == list(range(2, 101))


REPLIES: dict[str, Callable[[Path], Reply]] = {
    "refused": lambda _: failed(403, "Forbidden: Write access to collection pool is required"),
    "missing": lambda _: (404, {}, b"not found"),
    "broken": lambda _: (200, {}, b"this is no tar" * 100),
    "of other points": lambda path: (200, {}, snapshot_of(points(range(1, 101), 8), path)),
    "empty": lambda path: (200, {}, snapshot_of([], path)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", REPLIES)
def test_without_a_snapshot_that_serves_points_are_read(
    kind: str, door: Door, tmp_path: Path
) -> None:
    to = tmp_path / "mirror"
    door.hook = Streaming(REPLIES[kind](tmp_path))
    with pytest.raises(AccessDeniedError if kind == "refused" else CollectionError):
        mirrored(door, to, "snapshot")
    assert not (to / NAME).exists()
    report = mirrored(door, to)
    assert (report.way, report.points) == ("scroll", 100)
    assert "no snapshot was to be had, so points were read: " in report.notes[0]
    check_equal(door, to)


def test_no_snapshot_is_asked_for_where_it_would_not_do(door: Door, tmp_path: Path) -> None:
    door.hook = hook = Streaming(failed(500, "never"))
    assert mirrored(door, tmp_path / "a", "scroll").notes == []
    with open_collection(door.url, NAME, vector=ANY_SPACE) as opened:
        odd = {"must": [{"key": "kind", "match": {"value": "odd"}}]}
        assert mirror(opened, MirrorSettings(to=tmp_path / "b"), where=odd).points == 50
        with pytest.raises(SettingsError, match="--by snapshot is for all points"):
            mirror(opened, MirrorSettings(to=tmp_path / "c", by="snapshot"), where=odd)
    assert not hook.asked


def test_a_real_server_streams_one(tmp_path: Path) -> None:
    with running_server(tmp_path) as (url, _):
        client = QdrantClient(url=url, check_compatibility=False)
        with closing(client):
            client_source(client, points(range(1, 101)))
            try:
                with open_collection(url, NAME, vector=ANY_SPACE) as opened:
                    report = mirror(opened, MirrorSettings(to=tmp_path / "mirror", by="snapshot"))
                    assert report.way == "snapshot"
                    with reopened(tmp_path / "mirror") as ours:
                        assert contents(ours) == contents(opened)
            finally:
                client.delete_collection(NAME)


def snapshot_file(directory: Path, shards: int, *, packed: bool) -> Path:
    """A snapshot file of a collection of several shards: a folder for each, and its settings.

    Segments may be archives of their own in it.
    """
    settings = {
        "params": {key: CONFIG[key] for key in ("vectors", "sparse_vectors")},
        "hnsw_config": CONFIG["hnsw_config"],
        "quantization_config": CONFIG["quantization_config"],
        "metadata": {"tsds_qdrant": {"model": "tiny", "identity": "one"}},
    }
    whole = directory / "whole"
    whole.mkdir()
    for number in range(shards):
        made = points(range(number, 90, shards))
        with edge_source(directory / f"shard-{number}", made) as opened:
            opened.flush()
        segments = directory / f"shard-{number}" / NAME / "segments"
        if packed:
            for segment in [*segments.iterdir()]:
                pack(segments / f"{segment.name}.tar", segment, ".")
                shutil.rmtree(segment)
        (whole / str(number)).mkdir()
        segments.rename(whole / str(number) / "segments")
    (whole / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    pack(directory / "pool.snapshot", whole, ".")
    return directory / "pool.snapshot"


@pytest.mark.slow
@pytest.mark.parametrize(("shards", "packed"), [(1, False), (3, False), (2, True)])
def test_the_snapshot_file_of_a_collection_is_mirrored(
    shards: int, packed: bool, tmp_path: Path
) -> None:
    file = snapshot_file(tmp_path, shards, packed=packed)
    words = ("mirror", "--qdrant", file, "--collection", NAME, "--to", tmp_path / "mirror")
    said = run(*words).stderr
    assert f"{NAME} in {tmp_path / 'mirror'}: 90 points" in said
    assert f"of collection '{NAME}' of {file}" in said
    edge_source(tmp_path / "all", points(range(90))).close()
    with reopened(tmp_path / "all") as theirs, reopened(tmp_path / "mirror") as ours:
        assert contents(ours) == contents(theirs)
        (ids, numbers), (their_ids, their_numbers) = searched(ours), searched(theirs)
        assert ours.shape().metadata["identity"] == "one"
    assert ids == their_ids
    np.testing.assert_allclose(numbers, their_numbers, atol=1e-5)
    assert "has not changed since" in run(*words).stderr
    assert sorted(entry.name for entry in (tmp_path / "mirror").iterdir()) == [NAME]


def test_a_file_that_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    with tarfile.open(other, "w") as archive:
        archive.addfile(tarfile.TarInfo("x"), BytesIO())
    (tmp_path / "text").write_text("no tar", encoding="utf-8")
    for file in (other, tmp_path / "text"):
        call: tuple[Any, ...] = ("mirror", "--qdrant", file, "--collection", NAME)
        said = run(*call, "--to", tmp_path / "mirror", code=1).stderr
        assert f"'{file}' is no snapshot file of a collection (" in said
    assert not (tmp_path / "mirror" / NAME).exists()
