"""Vectors in a mirror under Cosine: what becomes of each does not depend on the others."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from commands import run
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from tsds_qdrant import create_collection, open_collection
from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import ANY_SPACE
from tsds_qdrant.mirror import MirrorSettings, mirror
from tsds_qdrant.mirror.report import MirrorReport

RNG = np.random.default_rng(3)
NORMAL = RNG.normal(size=(400, 64)).astype(np.float32)
UNIT: Float32Array = NORMAL / np.linalg.norm(NORMAL, axis=1, keepdims=True)
LONG = 3 * RNG.normal(size=(1, 64)).astype(np.float32)


def put(directory: Path, first: int, rows: Float32Array) -> None:
    """Upsert ``rows`` into the folder of qdrant-client ``directory``."""
    client = QdrantClient(path=str(directory))
    if not client.collection_exists("pool"):
        params = models.VectorParams(size=rows.shape[1], distance=models.Distance.COSINE)
        client.create_collection("pool", vectors_config=params)
    made = [
        models.PointStruct(id=first + k, vector=row.tolist(), payload={"text": f"text {k}"})
        for k, row in enumerate(rows)
    ]
    client.upsert("pool", made)
    client.close()


def mirrored(source: Path, to: Path) -> MirrorReport:
    with open_collection(source, "pool", vector=ANY_SPACE) as opened:
        return mirror(opened, MirrorSettings(to=to))


def stored(directory: Path, count: int = len(UNIT)) -> Float32Array:
    with open_collection(directory, "pool") as opened:
        return rows_in(opened, count)


def rows_in(collection: Collection, count: int) -> Float32Array:
    found = [one.vector for one in collection.retrieve(range(count), vectors=True)]
    return np.stack([row for row in found if row is not None])


def test_one_vector_of_another_length_changes_no_other(tmp_path: Path) -> None:
    source, to = tmp_path / "source", tmp_path / "mirror"
    put(source, 0, UNIT)
    mirrored(source, to)
    before = stored(to)
    np.testing.assert_array_equal(before, UNIT)
    np.save(tmp_path / "Q.npy", UNIT[:4])
    run(
        *("select", "--qdrant", to, "--collection", "pool", "--queries", tmp_path / "Q.npy"),
        *("--size", 10, "--out", tmp_path / "s.jsonl", "--state", tmp_path / "task.run"),
    )
    put(source, len(UNIT), LONG)
    report = mirrored(source, to)
    assert (report.added, report.updated) == (1, 0)
    np.testing.assert_array_equal(stored(to), before)
    run("reselect", tmp_path / "task.run", "--out", tmp_path / "s.jsonl")
    put(source, 7, 2 * LONG)
    assert (mirrored(source, to).updated) == 1


def test_a_mirror_of_an_earlier_version_is_not_written_again(tmp_path: Path) -> None:
    source, to = tmp_path / "source", tmp_path / "mirror"
    put(source, 0, np.concatenate([UNIT, LONG]))
    mirrored(source, to)
    again = normalized(UNIT, "Cosine")
    assert (again != UNIT).any()
    with open_collection(to, "pool") as opened:
        assert isinstance(opened, EdgeCollection)
        opened.set_vectors(range(len(UNIT)), again)
    np.testing.assert_array_equal(stored(to), again)
    put(source, 1_000, LONG)
    report = mirrored(source, to)
    assert (report.added, report.updated) == (1, 0)
    np.testing.assert_array_equal(stored(to), again)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.lists(st.booleans(), max_size=6))
def test_a_stored_row_does_not_depend_on_its_neighbours(
    seed: int, dimension: int, long: list[bool]
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(len(long) + 1, dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[1:][long] *= 5
    with (
        TemporaryDirectory() as directory,
        create_collection(directory, "pool", dimension=dimension) as pool,
        create_collection(directory, "alone", dimension=dimension) as others,
    ):
        pool.upsert(range(len(rows)), rows)
        for k, row in enumerate(rows):
            others.upsert([k], row[np.newaxis])
        together, alone = (rows_in(one, len(rows)) for one in (pool, others))
    np.testing.assert_array_equal(together, alone)
    even = np.array([True, *(not one for one in long)])
    np.testing.assert_array_equal(together[even], rows[even])
