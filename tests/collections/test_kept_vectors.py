"""Vectors kept beside a shard: those of the engine after writes, a stranger's too, and kills."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import given, settings
from hypothesis import strategies as st

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.vector_file import Mapped
from tsds_qdrant.collections.edge.vector_files import DIRECTORY
from tsds_qdrant.collections.edge.vectors import EdgeVectors
from tsds_qdrant.collections.scanning import Scanning
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import Metric

DIMENSION = 5
CPU = Scanning("cpu")


def rows_of(count: int, seed: int, scale: float = 1.0) -> Any:
    rows = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return (rows * scale).astype(np.float32)


def made(place: Path, metric: Metric = "Cosine") -> EdgeCollection:
    return EdgeCollection.create(str(place), "pool", dimension=DIMENSION, metric=metric)


def opened(place: Path, **more: Any) -> EdgeCollection:
    return EdgeCollection.open(str(place), "pool", **more)


def check(collection: EdgeCollection, *, from_file: bool = True) -> None:
    """What a scan compares is what the engine holds, bit by bit, of all points and no other."""
    assert (collection._mapped() is not None) == from_file
    loaded = collection.loaded(None)
    ids = [point_id for page in collection.scroll_ids() for point_id in page]
    ids, truth = collection._read(ids)
    assert list(loaded.ids) == ids
    rows = np.arange(len(ids)) if loaded.rows is None else loaded.rows
    assert loaded.matrix[rows].tobytes() == truth.tobytes()
    asked = [*ids[::-1], *ids[:2]]
    for wanted in (asked, [*asked, 10**6]):
        found = collection.retrieve(wanted, payloads=False, vectors=True)
        engine = collection.retrieve(wanted, vectors=True)
        assert [(one.id, one.payload) for one in found] == [(own, {}) for own in asked]
        assert [one.id for one in engine] == asked
        assert np.array_equal([one.vector for one in found], [one.vector for one in engine])


STEP = st.tuples(
    st.sampled_from(["upsert", "set", "delete", "payload", "reopen", "optimize", "search"]),
    st.lists(st.integers(0, 12), min_size=1, max_size=8, unique=True),
    st.integers(0, 1000),
)


@settings(deadline=None)
@given(st.sampled_from(["Cosine", "Euclid", "Dot"]), st.booleans(), st.lists(STEP, max_size=12))
def test_any_writes(metric: Metric, named: bool, steps: list[Any]) -> None:
    """Numbers and UUIDs, one space or two; each space has a file of its own."""
    with TemporaryDirectory() as directory:
        collection = made(Path(directory), metric)
        if named:
            collection.add_space(Space("other", "dense", DIMENSION, "Euclid"))
        for kind, numbers, seed in steps:
            ids = [n if n % 2 else str(UUID(int=n)) for n in numbers]
            rows = rows_of(len(ids), seed, 3.0)
            if metric == "Dot":
                rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            view = collection.at("other") if named and seed % 2 else collection
            if kind == "upsert":
                view.upsert(ids, rows, [{"n": seed}] * len(ids))
            elif kind == "set":
                view.set_vectors(ids, rows)
            elif kind == "delete":
                collection.delete(ids)
            elif kind == "payload":
                collection.set_payload("a", ids, [{"b": seed}] * len(ids))
            elif kind == "optimize":
                collection.optimize()
            elif kind == "reopen":
                collection.close()
                collection = opened(Path(directory))
                assert collection._known.files.of("") or not collection.count()
            elif collection.count():
                check(collection)
        collection.close()
        collection = opened(Path(directory))
        if collection.count():
            check(collection)
            if named:
                check(collection.at("other"))
        collection.close()


@pytest.mark.parametrize("datatype", ["float16", "uint8"])
@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
def test_what_is_rounded_is_kept_as_it_is_stored(
    tmp_path: Path, datatype: Any, metric: Metric
) -> None:
    collection = made(tmp_path)
    collection.add_space(Space("b", "dense", DIMENSION, metric, datatype=datatype))
    rows = np.abs(np.round(rows_of(30, 1, 40.0))).clip(1, 255)
    collection.upsert(range(30), rows)
    collection.set_vectors(range(5, 25), rows[5:25], space="b")
    check(collection.at("b"))
    collection.at("b").delete([7])
    check(collection.at("b"))
    check(collection)
    collection.close()


@pytest.mark.parametrize("scale", [0.01, 1.0, 1 + 4e-7, 1 + 9e-7, 1 + 2e-6, 30.0])
@pytest.mark.parametrize("dimension", [3, 384, 3072])
def test_lengths_that_the_engine_may_change(tmp_path: Path, dimension: int, scale: float) -> None:
    rows = np.random.default_rng(2).normal(size=(300, dimension))
    rows = (scale * rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    name, place = "pool", str(tmp_path)
    with EdgeCollection.create(place, name, dimension=dimension, metric="Cosine") as collection:
        collection.upsert(range(300), rows)
        check(collection)


def test_strangers_writes_are_seen(tmp_path: Path) -> None:
    made(tmp_path).close()
    with opened(tmp_path) as collection:
        collection.upsert(range(40), rows_of(40, 1))
    shard = edge.EdgeShard.load(str(tmp_path / "pool"))
    point = edge.Point(3, [1.0, 0, 0, 0, 0], None)
    shard.update(edge.UpdateOperation.upsert_points([point]))
    shard.close()
    with opened(tmp_path) as collection:
        assert collection._known.files.of("") is None
        check(collection, from_file=False)
        assert collection.search(np.eye(1, 5, dtype=np.float32), limit=1, exact=True).ids == [3]


def test_larger_collections_get_a_file_when_they_are_scanned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsds_qdrant.collections.edge.vectors.IN_MEMORY_POINTS", 20)
    monkeypatch.setattr("tsds_qdrant.collections.edge.vectors.READ_POINTS", 7)
    collection = made(tmp_path)
    collection.upsert(range(40), rows_of(40, 1))
    collection.close()
    shutil.rmtree(tmp_path / "pool" / DIRECTORY)
    with opened(tmp_path) as collection:
        assert collection._known.files.of("") is None
        check(collection)
        assert collection.info().scanner == "numpy"
    with opened(tmp_path) as collection:
        assert collection._known.files.of("") is not None
        check(collection)
    shutil.rmtree(tmp_path / "pool" / DIRECTORY)
    (tmp_path / "pool" / DIRECTORY).write_text("in the way")
    with opened(tmp_path) as collection:
        check(collection, from_file=False)


@pytest.mark.parametrize("file", ["rows", "entries", "seal.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "grown", "zeroed", "one byte", "random"])
@pytest.mark.parametrize("large", [False, True])
def test_damaged_files_are_not_believed(
    tmp_path: Path, file: str, damage: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are written again where the collection is large, and done without where it is small."""
    monkeypatch.setattr(
        "tsds_qdrant.collections.edge.vectors.IN_MEMORY_POINTS", 20 if large else 50
    )
    with made(tmp_path) as collection:
        collection.upsert(range(40), rows_of(40, 1))
    (path,) = (tmp_path / "pool" / DIRECTORY).glob(f"*/{file}")
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "one byte":
        content[len(content) // 2] ^= 64
        path.write_bytes(content)
    else:
        noise = np.random.default_rng(3).bytes(len(content))
        made_of = {"cut": content[:-3], "grown": content + b"1234567", "random": noise}
        path.write_bytes(made_of.get(damage, bytes(len(content))))
    for _ in range(2):
        with opened(tmp_path) as collection:
            check(collection, from_file=large)


def test_a_graph_without_a_file_is_scanned_by_the_engine_until_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsds_qdrant.collections.edge.vectors.IN_MEMORY_POINTS", 20)
    monkeypatch.setattr(EdgeVectors, "_has_graph", lambda self: True)
    with made(tmp_path) as collection:
        collection.upsert(range(40), rows_of(40, 1))
    path = tmp_path / "pool" / DIRECTORY
    for making in (lambda one: one.optimize(), lambda one: one._known.__setattr__("scanning", CPU)):
        shutil.rmtree(path)
        with opened(tmp_path) as collection:
            assert collection.info().scanner == "qdrant"
            making(collection)
            assert collection.info().scanner == "numpy"
            check(collection)
        assert path.exists()


def test_where_most_rows_are_of_the_past_the_file_shrinks(tmp_path: Path) -> None:
    collection = made(tmp_path)
    for seed in range(9):
        collection.upsert(range(200), rows_of(200, seed))
    check(collection)
    collection.close()
    (path,) = (tmp_path / "pool" / DIRECTORY).glob("*/rows")
    assert path.stat().st_size == 200 * DIMENSION * 4
    with opened(tmp_path) as collection:
        check(collection)


KILLED = """
import os, sys
import numpy as np
from tsds_qdrant.collections.edge.collection import EdgeCollection
collection = EdgeCollection.open(sys.argv[1], "pool")
collection.upsert(range(30, 60), np.random.default_rng(5).normal(size=(30, 5)).astype(np.float32))
collection.delete([3])
os.kill(os.getpid(), 9)
"""


def test_a_killed_writer_leaves_nothing_that_is_believed(tmp_path: Path) -> None:
    with made(tmp_path) as collection:
        collection.upsert(range(40), rows_of(40, 1))
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -9
    with opened(tmp_path) as collection:
        assert collection.count() == 59
        assert collection._known.files.of("") is None
        check(collection, from_file=False)


def test_no_file_where_the_engine_scans(tmp_path: Path) -> None:
    engine = Scanning("engine")
    with EdgeCollection.create(
        str(tmp_path), "pool", dimension=DIMENSION, metric="Cosine", scanning=engine
    ) as collection:
        collection.upsert(range(40), rows_of(40, 1))
        assert collection.info().scanner == "qdrant"
    assert not (tmp_path / "pool" / DIRECTORY).exists()
    with EdgeCollection.create(
        str(tmp_path), "city", dimension=DIMENSION, metric="Manhattan"
    ) as collection:
        collection.upsert(range(40), rows_of(40, 1))
        assert collection.info().scanner == "qdrant"
    assert not (tmp_path / "city" / DIRECTORY).exists()


@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
@pytest.mark.parametrize("where", [None, {"must": [{"key": "n", "range": {"lt": 150}}]}])
def test_a_collection_beyond_its_share_of_memory_gives_the_same_bytes(
    tmp_path: Path, metric: Metric, where: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = []
    monkeypatch.setattr(Mapped, "release", lambda self: released.append(len(self.matrix)))
    monkeypatch.setattr("tsds_qdrant.collections.edge.compared.RELEASED_BYTES", 1_000)
    with made(tmp_path, metric) as collection:
        collection.upsert(range(300), rows_of(300, 1), [{"n": k} for k in range(300)])
        collection.upsert(range(0, 300, 7), rows_of(43, 2), [{"n": 7 * k} for k in range(43)])
    found = []
    for memory in (1.0, 0.0):
        with opened(tmp_path, scanning=Scanning(memory=memory)) as collection:
            collection.loaded(where)  # whose reading gives back what it has read
            released.clear()
            for limit, radius in ((9, None), (300, 1.1)):
                hits = collection.search(
                    rows_of(20, 3), limit=limit, max_distance=radius, exact=True, where=where
                )
                found.append((hits.ids, hits.distances.tobytes(), hits.counts.tolist()))
        assert bool(released) == (memory == 0)
    assert found[:2] == found[2:]
