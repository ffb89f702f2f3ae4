"""What ``mirror``, and others on a folder of qdrant-client, say where something cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import run
from qdrant_client import QdrantClient, models

from tsds_qdrant import create_collection, open_collection

ROWS = np.random.default_rng(2).normal(size=(40, 6)).astype(np.float32)
STORE = ("--qdrant", "store", "--collection", "pool")
FOLDER = ("--qdrant", "local", "--collection", "pool")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with a pool, and the same in a folder of qdrant-client."""
    monkeypatch.chdir(tmp_path)
    np.save("Q.npy", ROWS[:3])
    payloads = [{"topic": f"t{k % 3}", "text": f"word{k} of text"} for k in range(len(ROWS))]
    with create_collection("store", "pool", dimension=6) as pool:
        pool.upsert(range(len(ROWS)), ROWS, payloads)
    client = QdrantClient(path="local")
    params = models.VectorParams(size=6, distance=models.Distance.COSINE)
    client.create_collection("pool", vectors_config=params)
    points = zip(ROWS, payloads, strict=True)
    client.upsert(
        "pool",
        [models.PointStruct(id=k, vector=r.tolist(), payload=p) for k, (r, p) in enumerate(points)],
    )
    client.close()


def error_of(*words: object, code: int = 1) -> str:
    lines = run(*words, code=code).stderr.splitlines()
    (said,) = (line for line in lines if line.startswith("error: "))
    return said


def refused(*words: object, code: int = 1) -> str:
    """The sentence that a command ends with; nothing else is there afterwards."""
    before = sorted(Path().iterdir())
    said = error_of(*words, code=code)
    assert sorted(Path().iterdir()) == before
    return said


@pytest.mark.parametrize("place", [STORE, FOLDER])
@pytest.mark.parametrize(
    ("where", "words"),
    [
        (
            "topik=t1",
            "has the field 'topik' that --filter names (its fields: topic, text); did you mean",
        ),
        ("topic=t7", "no point matches the filter; ingest some or change --filter"),
    ],
)
def test_a_filter_that_no_point_matches_makes_no_mirror(
    place: tuple[str, ...], where: str, words: str
) -> None:
    said = refused("mirror", *place, "--to", "mirror", "--filter", where)
    assert words in said
    select = ("--queries", "Q.npy", "--size", 3, "--out", "o.jsonl", "--filter", where)
    assert error_of("select", *place, *select) == said
    run("mirror", *place, "--to", "mirror", "--filter", "topic=t1")
    with open_collection("mirror", "pool") as made:
        assert made.count() == 13
    again = refused("mirror", *place, "--to", "mirror", "--filter", where, "--replace")
    assert words in again
