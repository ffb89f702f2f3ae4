"""Collections without a plain dense vector, which no selection works on, mirrored all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import run
from door import open_door
from mirrored import contents
from qdrant_client import QdrantClient, models

from tsds_qdrant import open_collection
from tsds_qdrant.collections.spaces import ANY_SPACE

ROWS = models.VectorParams(
    size=3,
    distance=models.Distance.DOT,
    multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
)
WORDS = {"sparse_vectors_config": {"words": models.SparseVectorParams()}}
KINDS: dict[str, dict[str, Any]] = {
    "sparse": {"vectors_config": {}, **WORDS},
    "late": {"vectors_config": {"late": ROWS}},
    "unnamed": {"vectors_config": ROWS},
    "both": {"vectors_config": {"late": ROWS}, **WORDS},
}


def put(client: QdrantClient, kind: str, numbers: range) -> None:
    words = {"words": models.SparseVector(indices=[1, 7], values=[0.5, 2.0])}
    for n in numbers:
        rows: Any = [[1.0, 2.0, float(n)], [3.0, 4.0, 5.0]]
        vectors: dict[str, Any] = {
            "sparse": words,
            "late": {"late": rows},
            "unnamed": rows,
            "both": {"late": rows, **words},
        }
        point = models.PointStruct(id=n, vector=vectors[kind], payload={"n": n})
        client.upsert("docs", [point])


@contextmanager
def place(where: str) -> Iterator[tuple[str, QdrantClient]]:
    """Where ``--qdrant`` looks, and what writes there; a folder is closed before it is read."""
    if where == "server":
        with open_door() as door:
            yield door.url, door.client
    else:
        client = QdrantClient(path="local")
        yield "local", client
        client.close()


@pytest.mark.parametrize("where", ["server", "folder"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_mirrored_and_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with place(where) as (location, client):
        client.create_collection("docs", **KINDS[kind])
        for numbers, words in ((range(20), "added 20"), (range(10, 30), "added 10, updated 0")):
            put(client, kind, numbers)
            if where == "folder":
                client.close()
            mirror = ("mirror", "--qdrant", location, "--collection", "docs", "--to", "mirror")
            assert words in run(*mirror).stderr
            with (
                open_collection(location, "docs", vector=ANY_SPACE) as source,
                open_collection("mirror", "docs", vector=ANY_SPACE) as copy,
            ):
                assert contents(copy) == contents(source)
                assert copy.count() == numbers.stop
            if where == "folder":
                client = QdrantClient(path="local")
        client.close()
    again = ("mirror", "--qdrant", "mirror", "--collection", "docs", "--to", "other")
    assert "30 points" in run(*again).stderr


def test_a_collection_without_any_vector_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with place("folder") as (_, client):
        client.create_collection("docs", vectors_config={})
    said = run("mirror", "--qdrant", "local", "--collection", "docs", "--to", "m", code=1).stderr
    assert said == (
        "error: collection 'docs' has no vector of any kind; give --collection one that has\n"
    )
    assert not Path("m").exists()
