"""The fingerprint of an embedded collection: whatever changes the points changes it, and no more.

The second source is a dump of all points, with their payloads and vectors.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from door import open_door
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import models

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.sparse import SparseRows

COUNT = 40
ROWS = np.random.default_rng(2).normal(size=(COUNT, 4)).astype(np.float32)
RANKED = {"must": [{"key": "n", "range": {"gte": 30}}]}
Write = Callable[[EdgeCollection], object]


def shard_update(operation: edge.UpdateOperation) -> Write:
    """A write that fails halfway, past our adapter."""

    def write(pool: EdgeCollection) -> None:
        with pytest.raises(Exception, match=r"No point with id|dimension"):
            pool._shard.update(operation)

    return write


WRITES: dict[str, Write] = {
    "insert": lambda pool: pool.upsert([1_000], ROWS[:1]),
    "same again": lambda pool: pool.upsert([3], ROWS[3:4], [{"n": 3}]),
    "vector": lambda pool: pool.upsert([3], ROWS[4:5], [{"n": 3}]),
    "payload": lambda pool: pool.set_payload("t", [7], [{"x": 1}]),
    "less payload": lambda pool: pool.delete_payload("n", [8]),
    "cleared": lambda pool: pool.clear_payload("n", RANKED, by="n"),
    "amended": lambda pool: pool.amend([7], ROWS[9:10], [{"x": 1}], [["n"]]),
    "set vectors": lambda pool: pool.set_vectors([7, 9], ROWS[:2]),
    "delete": lambda pool: pool.delete([9]),
    "half a payload": shard_update(edge.UpdateOperation.set_payload([3, 999], {"z": 1})),
    "half a deletion": shard_update(edge.UpdateOperation.delete_payload([3, 999], ["n"])),
    "half of vectors": shard_update(
        edge.UpdateOperation.update_vectors(
            [edge.PointVectors(k, {"": ROWS[0].tolist()}) for k in (3, 999)]
        )
    ),
}


def filled(directory: str | Path, rows: Any = ROWS) -> EdgeCollection:
    pool = EdgeCollection.create(str(directory), "p", dimension=len(rows[0]), metric="Euclid")
    pool.upsert(range(len(rows)), rows, [{"n": k} for k in range(len(rows))])
    return pool


def reopened(pool: EdgeCollection) -> EdgeCollection:
    location = pool.info().location
    pool.close()
    return EdgeCollection.open(location, "p")


def dump(pool: EdgeCollection) -> list[Any]:
    ids = [point for page in pool.scroll_ids() for point in page]
    return [
        (one.id, one.payload, None if one.vector is None else one.vector.tobytes())
        for one in pool.retrieve(ids, vectors=True)
    ]


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[EdgeCollection]:
    made = filled(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("kind", WRITES)
def test_every_write_changes_it(pool: EdgeCollection, kind: str) -> None:
    seen = [pool.fingerprint()]
    for _ in range(3):
        WRITES[kind](pool)
        seen.append(pool.fingerprint())
        pool = reopened(pool)
        assert pool.fingerprint() == seen[-1]
    pool.close()
    assert None not in seen
    assert len({*seen}) == len(seen)


def test_reading_leaves_it(pool: EdgeCollection) -> None:
    before = pool.fingerprint()
    pool.search(ROWS[:5], limit=3)
    pool.search(ROWS[:5], limit=3, exact=True, where=RANKED)
    assert len(dump(pool)) == COUNT
    assert pool.at("").fingerprint() == before
    for _ in range(3):
        pool = reopened(pool)
        assert pool.fingerprint() == before
    pool.close()


def test_spaces_and_their_vectors_change_it(pool: EdgeCollection) -> None:
    seen = [pool.fingerprint()]
    pool.add_space(Space("b", "dense", 2, "Cosine"))
    seen.append(pool.fingerprint())
    pool.at("b").set_vectors([1, 2], ROWS[:2, :2])
    seen.append(pool.fingerprint())
    pool.add_space(Space("s", "sparse", None, "Dot"))
    seen.append(pool.fingerprint())
    pool.set_vectors([1, 2], SparseRows.of([{1: 1.0}, {2: 1.0}]), space="s")
    seen.append(pool.fingerprint())
    assert len({*seen}) == len(seen)


@pytest.mark.slow
def test_a_collection_with_a_graph(tmp_path: Path) -> None:
    """Whose points lie in several segments."""
    rows = np.random.default_rng(3).normal(size=(12_000, 256)).astype(np.float32)
    pool = filled(tmp_path, rows)
    pool.optimize()
    assert pool.info().indexed == len(rows)
    assert pool.info().segments > 1
    seen = [pool.fingerprint()]
    pool = reopened(pool)
    assert pool.fingerprint() == seen[0]
    for kind in ("payload", "delete", "insert"):
        if kind == "insert":
            pool.upsert([20_000], rows[:1])
        else:
            WRITES[kind](pool)
        seen.append(pool.fingerprint())
        pool = reopened(pool)
        assert pool.fingerprint() == seen[-1]
    pool.close()
    assert len({*seen}) == len(seen)


@settings(deadline=None)
@given(st.lists(st.sampled_from([*WRITES, "reopen", "optimize", "nothing"]), max_size=8))
def test_equal_fingerprints_mean_equal_points(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        pool = filled(directory)
        known: dict[str | None, list[Any]] = {}
        for step in steps:
            if step == "reopen":
                pool = reopened(pool)
            elif step == "optimize":
                pool.optimize()
            elif step in WRITES:
                with_failures(pool, WRITES[step])
            assert known.setdefault(pool.fingerprint(), dump(pool)) == dump(pool)
        pool.close()


def with_failures(pool: EdgeCollection, write: Write) -> None:
    """What a sequence of steps has made impossible is no concern here."""
    try:
        write(pool)
    except pytest.fail.Exception:
        return


KILLED = """
import os, signal, sys
from tsds_qdrant.collections.edge.collection import EdgeCollection
pool = EdgeCollection.open(sys.argv[1], "p")
pool.delete([11])
print(pool.fingerprint(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_it_lasts_over_a_killed_process(pool: EdgeCollection) -> None:
    location, before = pool.info().location, pool.fingerprint()
    pool.close()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, location], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    with EdgeCollection.open(location, "p") as found:
        assert found.existing([10, 11]) == {10}
        assert found.fingerprint() == done.stdout.strip() != before


def test_copies_that_go_different_ways_differ(pool: EdgeCollection, tmp_path: Path) -> None:
    """Their operations have equal numbers, but not the times of the last one."""
    pool.close()
    (tmp_path / "copy").mkdir()
    shutil.copytree(tmp_path / "p", tmp_path / "copy" / "p", copy_function=shutil.copy2)
    prints = []
    for place, gone in ((tmp_path, 5), (tmp_path / "copy", 6)):
        with EdgeCollection.open(str(place), "p") as found:
            start = found.fingerprint()
            found.delete([gone])
            prints.append((start, found.fingerprint()))
    (one, mine), (other, theirs) = prints
    assert one == other
    assert mine != theirs


def test_a_collection_that_was_made_again(pool: EdgeCollection, tmp_path: Path) -> None:
    before = pool.fingerprint()
    pool.close()
    shutil.rmtree(tmp_path / "p")
    with filled(tmp_path) as again:
        assert again.fingerprint() != before


def test_a_log_that_we_cannot_read_gives_none(pool: EdgeCollection, tmp_path: Path) -> None:
    (tmp_path / "p" / "wal" / "open-x").touch()
    assert pool.fingerprint() is None


def test_servers_have_none() -> None:
    with open_door() as door:
        params = models.VectorParams(size=4, distance=models.Distance.EUCLID)
        door.client.create_collection("p", vectors_config=params)
        with ServerCollection.open(door.url, "p") as pool:
            assert pool.fingerprint() is None
