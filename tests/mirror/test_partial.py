"""Mirrors brought up to date by partial snapshots: as a full one would be, whatever has changed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from door import Door, open_door
from mirrored import (
    INDEXES,
    NAME,
    client_source,
    contents,
    edge_source,
    points,
    put,
    reopened,
    searched,
)
from playback import Reply, failed
from streaming import StreamedShard

from tsds_qdrant import open_collection
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import ANY_SPACE, Space
from tsds_qdrant.collections.whole import Index
from tsds_qdrant.mirror import MirrorSettings, mirror
from tsds_qdrant.mirror.report import MirrorReport

NUMBERS = range(1, 301)


@dataclass
class Server:
    """A door, and an embedded collection of the same points whose files it streams."""

    door: Door
    source: EdgeCollection
    shard: StreamedShard

    def put(self, ids: Sequence[int], seed: int = 0) -> None:
        made = points(ids, seed)
        put(self.door.client, made)
        self.source.put_whole(made)

    def delete(self, ids: Sequence[int]) -> None:
        self.door.client.delete(NAME, list(ids))
        self.source.delete(ids)

    def set_payload(self, ids: Sequence[int], payload: dict[str, Any]) -> None:
        self.door.client.set_payload(NAME, payload, list(ids))
        self.source.set_payload("", ids, [payload] * len(ids))

    def index(self, field: str) -> None:
        self.door.facts(NAME).indexes[field] = "integer"
        self.source.index_as(field, Index("integer", {"lookup": True, "range": True}))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    directory = tmp_path / "server"
    with open_door() as door, edge_source(directory, points(NUMBERS)) as source:
        source.optimize()
        client_source(door.client, points(NUMBERS))
        door.facts(NAME).indexes = {field: index.kind for field, index in INDEXES.items()}
        door.hook = shard = StreamedShard(source, directory)
        yield Server(door, source, shard)


def mirrored(server: Server, to: Path) -> MirrorReport:
    with open_collection(server.door.url, NAME, vector=ANY_SPACE) as opened:
        return mirror(opened, MirrorSettings(to=to))


DENSE = 80 * 10
"""Numbers of the answers of dense searches, which :func:`searched` has first; behind them stand
those of sparse ones, which count on deleted points too until the collection is opened again."""


def check_equal(one: Collection, other: Collection, *, numbers: int | None = None) -> None:
    assert contents(one) == contents(other)
    assert one.shape().indexes == other.shape().indexes
    (ids, mine), (their_ids, others) = searched(one), searched(other)
    assert ids == their_ids
    np.testing.assert_array_equal(mine[:numbers], others[:numbers])
    where = {"must": [{"key": "kind", "match": {"value": "odd"}}]}
    assert one.count(where) == other.count(where)


def check_as_a_full_one(server: Server, to: Path) -> None:
    """The mirror is what the server has, and what a new one is."""
    full = to.with_name("full")
    assert mirrored(server, full).way == "snapshot"
    with reopened(full) as theirs, reopened(to) as ours:
        check_equal(ours, theirs)
        check_equal(ours, server.source, numbers=DENSE)


CHANGES: dict[str, Callable[[Server], None]] = {
    "nothing": lambda server: None,
    "new points": lambda server: server.put(range(400, 420)),
    "other vectors": lambda server: server.put(range(5, 15), seed=4),
    "deleted": lambda server: server.delete([*range(20, 30), 401]),
    "payloads": lambda server: server.set_payload(range(40, 60), {"kind": "third", "z": 1}),
    "an index": lambda server: server.index("z"),
    "segments made one": lambda server: server.source.optimize(),
    "twice as many": lambda server: server.put(range(600, 900)),
    "many gone": lambda server: server.delete(range(1, 100)),
    "again made one": lambda server: server.source.optimize(),
}


@pytest.mark.slow
def test_it_is_as_a_full_one(server: Server, tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    mirrored(server, to)
    server.put([*range(5, 15), *range(400, 420)], seed=4)
    server.delete(range(20, 30))
    server.set_payload(range(40, 60), {"kind": "third"})
    report = mirrored(server, to)
    assert (report.way, report.partial, report.points) == ("snapshot", True, 310)
    check_as_a_full_one(server, to)


@pytest.mark.slow
def test_after_each_change_it_is_as_a_full_one(server: Server, tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    assert not mirrored(server, to).partial
    for name, change in CHANGES.items():
        change(server)
        report = mirrored(server, to)
        assert (report.way, report.partial, report.notes) == ("snapshot", True, []), name
        with reopened(to) as ours:
            check_equal(ours, server.source, numbers=DENSE)
    assert server.shard.asked == ["full"] + ["partial"] * len(CHANGES)
    assert [entry.name for entry in to.iterdir()] == [NAME]
    check_as_a_full_one(server, to)


def test_where_nothing_is_newer_the_server_says_so(server: Server, tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    mirrored(server, to)
    server.shard.reply = (304, {}, b"")
    report = mirrored(server, to)
    assert (report.partial, report.points) == (True, 300)
    with reopened(to) as ours:
        check_equal(ours, server.source)


def test_a_new_vector_brings_a_full_one(server: Server, tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    mirrored(server, to)
    more, rows = Space.dense("more", 3, "Dot"), np.array([[1, 2, 3]], dtype=np.float32)
    with open_collection(server.door.url, NAME, vector=ANY_SPACE) as opened:
        for one in (opened, server.source):
            one.add_space(more)
            one.set_vectors([1], rows, space="more")
    report = mirrored(server, to)
    assert not report.partial
    with reopened(to) as ours:
        assert contents(ours, spaces=["more"])[1][1] == {"more": [1.0, 2.0, 3.0]}


@pytest.mark.slow
def test_after_a_write_to_the_mirror_no_point_of_the_server_is_lost(
    server: Server, tmp_path: Path
) -> None:
    to = tmp_path / "mirror"
    mirrored(server, to)
    with reopened(to) as ours:
        ours.add_space(Space.dense("grad", 2, "Dot"))
        ours.set_vectors(NUMBERS, np.ones((300, 2), dtype=np.float32), space="grad")
    server.put(range(400, 410))
    report = mirrored(server, to)
    assert (report.partial, report.additions, report.added) == (False, True, 10)
    assert "partial" not in server.shard.asked
    with reopened(to) as ours:
        assert contents(ours, spaces=[*server.source.spaces]) == contents(server.source)
        having = contents(ours, spaces=["grad"])
    assert [i for i, one in having.items() if one[1]] == list(NUMBERS)
    mirrored(server, to)
    assert "partial" not in server.shard.asked  # nor later, as what was added stays


REPLIES: dict[str, Callable[[Server], Reply]] = {
    "refused": lambda _: failed(403, "Forbidden: Write access to collection pool is required"),
    "unknown": lambda _: (404, {}, b""),
    "broken": lambda _: (200, {}, b"this is no tar" * 100),
    "cut": lambda server: (200, {}, server.shard.partial({})[:-200_000]),
    "failed": lambda _: failed(500, "Service internal error: No space left on device"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", REPLIES)
def test_without_a_partial_one_all_is_copied_again(
    kind: str, server: Server, tmp_path: Path
) -> None:
    to = tmp_path / "mirror"
    mirrored(server, to)
    server.put(range(400, 410))
    server.delete([1, 2])
    server.shard.reply = REPLIES[kind](server)
    report = mirrored(server, to)
    assert (report.way, report.partial, report.points) == ("snapshot", False, 308)
    assert "all was copied again, as no partial snapshot was to be had: " in report.notes[0]
    with reopened(to) as ours:
        check_equal(ours, server.source, numbers=DENSE)
    server.shard.reply = None
    assert mirrored(server, to).partial


@pytest.mark.slow
def test_a_server_put_back_to_an_earlier_state_is_noticed(server: Server, tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    earlier = server.shard.partial({})
    server.put(range(5, 15), seed=4)
    mirrored(server, to)
    server.shard.reply = (200, {}, earlier)
    report = mirrored(server, to)
    assert not report.partial
    assert "the server is at operation " in report.notes[0]


DRIVER = """
import os, signal, sys
from pathlib import Path
from tsds_qdrant import open_collection
from tsds_qdrant.collections.edge import collection  # imported once, for all children
from tsds_qdrant.collections.spaces import ANY_SPACE
from tsds_qdrant.collections.server import collection as _
from tsds_qdrant.mirror import MirrorSettings, mirror, snapshots

url, to = sys.argv[1:]
HOOKED = ("os.rename", "shutil.copytree")

def work(last):
    seen = 0

    def step(*_):
        nonlocal seen
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(name, _):
        if name in HOOKED:
            step()

    def stepping(apply):
        def stepped(*words):
            step()
            found = apply(*words)
            step()
            return found
        return stepped

    snapshots.download_snapshot = stepping(snapshots.download_snapshot)
    snapshots.updated_by = stepping(snapshots.updated_by)
    sys.addaudithook(hook)
    with open_collection(url, "pool", vector=ANY_SPACE) as opened:
        mirror(opened, MirrorSettings(to=Path(to)), progress=step)

for line in sys.stdin:
    child = os.fork()
    if not child:
        work(int(line))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
def test_killed_at_each_step_it_is_the_old_one_or_the_new_one(
    server: Server, tmp_path: Path
) -> None:
    to = tmp_path / "mirror"
    mirrored(server, to)
    with reopened(to) as ours:
        old = contents(ours)
    server.put([*range(5, 15), *range(400, 420)], seed=2)
    server.delete(range(30, 40))
    new = contents(server.source)
    words = [sys.executable, "-c", DRIVER, server.door.url, str(to)]
    pipe = subprocess.PIPE
    states: list[bool] = []
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None

        def killed(step: int) -> bool:
            driver.stdin.write(f"{step}\n")
            driver.stdin.flush()
            code = int(driver.stdout.readline())
            assert code in (0, -signal.SIGKILL)
            return code != 0

        step = 1
        while killed(step):
            with reopened(to) as ours:
                found = contents(ours)
            assert found in (old, new)
            states.append(found == new)
            step += 1
        driver.stdin.close()
    assert states == sorted(states)  # once it is the new one it stays that
    assert (states[0], states[-1]) == (False, True)
    assert step > 8
    assert "full" not in server.shard.asked[1:]
    with reopened(to) as ours:
        assert contents(ours) == new
    assert [entry.name for entry in to.iterdir()] == [NAME]
