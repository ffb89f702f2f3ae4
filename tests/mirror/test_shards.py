"""Mirrors of collections of several shards on a server: a snapshot of each, searched as one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
from playback import Reply

from tsds_qdrant import Connection, open_collection
from tsds_qdrant.collections.edge.cloning import joined, of_files, opened_at
from tsds_qdrant.collections.spaces import ANY_SPACE, Space
from tsds_qdrant.collections.whole import Whole
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.mirror import MirrorSettings, mirror
from tsds_qdrant.mirror.report import MirrorReport
from tsds_qdrant.mirror.settings import By

SHARDS = 3
NUMBERS = range(1, 101)
CLUSTER = f"/collections/{NAME}/cluster"


def shard_files(directory: Path, made: list[Whole]) -> Path:
    """The files of a shard with ``made``, and its graph."""
    with edge_source(directory, made) as opened:
        opened.optimize()
    return directory / NAME


def snapshots(made: Mapping[int, list[Whole]], directory: Path) -> dict[int, bytes]:
    """A snapshot of each shard, as a server streams it."""
    found = {}
    for number, own in made.items():
        packed = directory / f"{number}.tar"
        packed.parent.mkdir(exist_ok=True)
        pack(packed, shard_files(directory / f"shard-{number}", own), "segments")
        found[number] = packed.read_bytes()
    return found


def sharded(made: list[Whole]) -> dict[int, list[Whole]]:
    return {k: [one for one in made if int(one.id) % SHARDS == k] for k in range(SHARDS)}


class Node:
    """A hook: a node that streams snapshots of shards, and says what ``change`` makes of it."""

    def __init__(
        self, streamed: Mapping[int, bytes], change: Callable[[Any], None] = lambda _: None
    ) -> None:
        self.streamed = streamed
        self.change = change
        self.asked: list[int] = []

    def __call__(self, request: Request) -> Reply | None:
        if request.path == CLUSTER:
            status, headers, body = request.apply()
            answer = json.loads(json.dumps(body))
            self.change(answer["result"])
            return status, headers, answer
        if not request.path.endswith("/snapshot"):
            return None
        number = int(request.path.split("/")[-2])
        self.asked.append(number)
        return 200, {}, self.streamed[number]


@pytest.fixture
def door() -> Iterator[Door]:
    with open_door() as door:
        client_source(door.client, points(NUMBERS))
        facts = door.facts(NAME)
        facts.indexes = {field: index.kind for field, index in INDEXES.items()}
        facts.params["shard_number"] = SHARDS
        yield door


def mirrored(door: Door, to: Path, by: By = "auto", key: str | None = None) -> MirrorReport:
    connection = Connection(shard_key=key)
    with open_collection(door.url, NAME, vector=ANY_SPACE, connection=connection) as opened:
        return mirror(opened, MirrorSettings(to=to, by=by))


def check_equal(door: Door, to: Path) -> None:
    with open_collection(door.url, NAME, vector="dense") as theirs, reopened(to) as ours:
        assert_near(ours, theirs)
        (ids, numbers), (their_ids, their_numbers) = searched(ours), searched(theirs)
        assert ours.info().indexed > 0
    assert ids == their_ids
    np.testing.assert_allclose(numbers, their_numbers, atol=1e-5)


@pytest.mark.slow
def test_shards_joined_are_one_collection(tmp_path: Path) -> None:
    first, *others = (
        shard_files(tmp_path / f"shard-{k}", own) for k, own in sharded(points(range(900))).items()
    )
    whole = edge_source(tmp_path / "whole", points(range(900)))
    for other in others:
        joined(first, other, CONFIG)
        assert not other.exists()
    of_files(first, CONFIG)
    with whole, opened_at(first) as ours:
        assert contents(ours) == contents(whole)
        assert searched(ours)[0] == searched(whole)[0]
        rows = np.random.default_rng(3).normal(size=(30, 8)).astype(np.float32)
        walked = ours.at("dense").search(rows, limit=10, ef=200).ids
        exact = whole.at("dense").search(rows, limit=10, exact=True).ids
        assert np.mean([one == other for one, other in zip(walked, exact, strict=True)]) > 0.9
        for one in (ours, whole):  # written to in every former shard, and made one segment
            one.put_whole(points([3, 4, 5, 2_000], seed=5))
            one.delete([6, 7, 8])
            one.set_payload("", [9, 10, 11], [{"kind": "other"}] * 3)
        ours.optimize()
    with opened_at(first) as ours, opened_at(tmp_path / "whole" / NAME) as theirs:
        assert contents(ours) == contents(theirs)
        assert ours.facet("kind") == theirs.facet("kind")
        assert searched(ours)[0] == searched(theirs)[0]


@pytest.mark.slow
def test_every_shard_comes_as_a_snapshot(door: Door, tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    door.hook = node = Node(snapshots(sharded(points(NUMBERS)), tmp_path / "one"))
    report = mirrored(door, to)
    assert (report.way, report.points, report.notes) == ("snapshot", 100, [])
    assert node.asked == [0, 1, 2]
    check_equal(door, to)
    assert [entry.name for entry in to.iterdir()] == [NAME]
    with reopened(to) as ours:
        ours.add_space(Space.dense("grad", 2, "Dot"))
        ours.set_vectors(NUMBERS, np.ones((100, 2), dtype=np.float32), space="grad")
    put(door.client, points([300]))
    door.client.delete(NAME, [1])
    now = sharded([*points(range(2, 101)), *points([300])])
    door.hook = Node(snapshots(now, tmp_path / "two"))
    report = mirrored(door, to)
    assert (report.way, report.added, report.updated, report.deleted) == ("snapshot", 1, 0, 1)
    check_equal(door, to)
    with reopened(to) as ours:
        having = contents(ours, spaces=["grad"])
    assert [i for i, one in having.items() if one[1]] == list(range(2, 101))


@pytest.mark.slow
def test_the_shard_of_one_key_is_a_snapshot_too(door: Door, tmp_path: Path) -> None:
    facts = door.facts(NAME)
    facts.params["shard_number"] = 1
    door.shard(NAME, "a", "b")
    facts.key_of = {n: "b" if n > 60 else "a" for n in NUMBERS}
    own = snapshots({0: points(range(1, 61)), 1: points(range(61, 101))}, tmp_path / "keys")
    door.hook = node = Node(own)
    report = mirrored(door, tmp_path / "b", key="b")
    assert (report.way, report.points, node.asked) == ("snapshot", 40, [1])
    assert mirrored(door, tmp_path / "all").points == 100
    assert node.asked == [1, 0, 1]


def moving(said: Any) -> None:
    said["shard_transfers"] = [
        {"shard_id": 1, "from": 1, "to": 2, "sync": False, "method": "snapshot"}
    ]


def elsewhere(said: Any) -> None:
    for one in said["local_shards"][1:]:
        said["remote_shards"].append({"shard_id": one["shard_id"], "peer_id": 7, "state": "Active"})
    del said["local_shards"][1:]


def dead(said: Any) -> None:
    said["local_shards"][2]["state"] = "Dead"


def unsaid(said: Any) -> None:
    del said["local_shards"][1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (moving, "shards are being moved"),
        (elsewhere, "shards 1, 2 are not on the node at http"),
        (dead, "shard 2 is not on the node at http"),
        (unsaid, "the server names 2 of its 3 shards"),
    ],
)
def test_where_a_shard_cannot_be_had_points_are_read(
    change: Callable[[Any], None], words: str, door: Door, tmp_path: Path
) -> None:
    door.hook = node = Node({}, change)
    report = mirrored(door, tmp_path / "mirror")
    assert (report.way, report.points, node.asked) == ("scroll", 100, [])
    (note,) = report.notes
    assert note.startswith(f"no snapshot was to be had, so points were read: {words}")
    with pytest.raises(SettingsError, match=words):
        mirrored(door, tmp_path / "other", "snapshot")


@pytest.mark.slow
def test_a_snapshot_that_lacks_a_shard_is_no_mirror(door: Door, tmp_path: Path) -> None:
    made = sharded(points(NUMBERS))
    door.hook = Node(snapshots({**made, 2: []}, tmp_path / "one"))
    report = mirrored(door, tmp_path / "mirror")
    assert (report.way, report.points) == ("scroll", 100)
    assert "the snapshot has 67 points, and the server 100" in report.notes[0]
