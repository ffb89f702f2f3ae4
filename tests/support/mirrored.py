"""Collections to be mirrored, of every kind of source, and all that a mirror must have of them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from tsds_qdrant import open_collection
from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.edge.cloning import made_of_settings, opened_at
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.whole import Index, Whole
from tsds_qdrant.sparse import SparseRows

NAME = "pool"
CONFIG: dict[str, Any] = {
    "vectors": {
        "dense": {"size": 8, "distance": "Cosine"},
        "flat": {
            "size": 4,
            "distance": "Euclid",
            "hnsw_config": {"m": 8, "ef_construct": 60, "full_scan_threshold": 10},
        },
        "late": {"size": 3, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}},
    },
    "sparse_vectors": {"words": {"modifier": "idf"}},
    "hnsw_config": {"m": 12, "ef_construct": 80, "full_scan_threshold": 10},
    "quantization_config": {"scalar": {"type": "int8", "quantile": 0.99}},
}
INDEXES = {
    "kind": Index("keyword"),
    "n": Index("integer", {"lookup": True, "range": True}),
    "text": Index("text", {"tokenizer": "word", "min_token_len": 2, "stopwords": "english"}),
}


def points(ids: Sequence[int], seed: int = 0) -> list[Whole]:
    """Points of all kinds of vectors, of which some lack one."""
    made = []
    for n in ids:
        rng = np.random.default_rng([seed, n])
        dense = rng.normal(size=8).astype(np.float32)
        vectors: dict[str, Any] = {
            "dense": (dense / np.linalg.norm(dense)).tolist(),
            "flat": rng.normal(size=4).astype(np.float32).tolist(),
            "late": rng.normal(size=(2, 3)).astype(np.float32).tolist(),
            "words": {"indices": [n % 7, 9], "values": [1.5, float(np.float32(rng.random()))]},
        }
        if n % 5 == 0:
            del vectors["flat"]
        payload = {
            "n": n,
            "kind": "odd" if n % 2 else "even",
            "text": f"text number {n}",
            "inner": {"list": [n, None, {"deep": n / 7}]},
        }
        made.append(Whole(n, payload, vectors))
    return made


def edge_source(directory: Path, made: Sequence[Whole]) -> EdgeCollection:
    """An embedded collection of ``made``, open."""
    made_of_settings(directory / NAME, CONFIG, {"model": "tiny", "identity": "one"})
    opened = opened_at(directory / NAME)
    for field, index in INDEXES.items():
        opened.index_as(field, index)
    opened.put_whole(made)
    return opened


def client_source(client: QdrantClient, made: Sequence[Whole]) -> None:
    """The same in a collection of ``client``."""
    params = models.CreateCollection.model_validate(
        {
            "vectors": CONFIG["vectors"],
            "sparse_vectors": CONFIG["sparse_vectors"],
            "hnsw_config": CONFIG["hnsw_config"],
            "quantization_config": CONFIG["quantization_config"],
        }
    )
    client.create_collection(
        NAME,
        vectors_config=params.vectors,
        sparse_vectors_config=params.sparse_vectors,
        hnsw_config=params.hnsw_config,
        quantization_config=params.quantization_config,
        metadata={"tsds_qdrant": {"model": "tiny", "identity": "one"}},
    )
    put(client, made)


def put(client: QdrantClient, made: Sequence[Whole]) -> None:
    """Upsert points by ``client``."""
    client.upsert(
        NAME,
        [
            models.PointStruct.model_validate(
                {"id": point.id, "vector": dict(point.vectors), "payload": point.payload}
            )
            for point in made
        ],
        wait=True,
    )


def contents(collection: Collection, *, spaces: Sequence[str] | None = None) -> dict[Any, Any]:
    """Payload and vectors of every point, in a form that can be compared."""
    found = {}
    for page in collection.scroll_whole():
        for point in page.points:
            vectors = {
                name: comparable(vector)
                for name, vector in point.vectors.items()
                if spaces is None or name in spaces
            }
            found[point.id] = (point.payload, vectors)
    return found


def comparable(vector: Any) -> Any:
    if isinstance(vector, dict):
        values = np.asarray(vector["values"], dtype=np.float32).tolist()
        return dict(zip(vector["indices"], values, strict=True))
    return np.asarray(vector, dtype=np.float32).tolist()


def searched(collection: Collection) -> tuple[list[Any], Float32Array]:
    """Answers to 100 exact searches: ids of dense ones, and distances and scores of all."""
    rng = np.random.default_rng(7)
    ids: list[Any] = []
    numbers = []
    for name, size, count in (("dense", 8, 50), ("flat", 4, 30)):
        rows = rng.normal(size=(count, size)).astype(np.float32)
        hits = collection.at(name).search(rows, limit=10, exact=True)
        ids += hits.ids
        numbers.append(hits.distances)
    sparse = SparseRows.of([{int(k): 1.0, 9: 0.5} for k in rng.integers(0, 7, 20)])
    numbers.append(collection.at("words").search_sparse(sparse, limit=10).scores)
    return ids, np.concatenate(numbers).astype(np.float32)


def assert_near(ours: Collection, theirs: Collection) -> None:
    """Both have the same points, but for the last bits of their vectors."""
    mine, others = contents(ours), contents(theirs)
    assert mine.keys() == others.keys()
    for point, (payload, vectors) in mine.items():
        their_payload, their_vectors = others[point]
        assert payload == their_payload
        assert {n for n in vectors if n in theirs.spaces} == their_vectors.keys()
        for name, vector in their_vectors.items():
            if isinstance(vector, dict):
                assert vectors[name] == vector
            else:
                np.testing.assert_allclose(vectors[name], vector, atol=1e-6)


def pack(packed: Path, folder: Path, *names: str) -> None:
    """A tar of files in ``folder``, without the holes in them, as Qdrant makes it."""
    subprocess.run(["tar", "-cSf", packed, *names], cwd=folder, check=True)


def reopened(directory: Path) -> Collection:
    """The mirror in ``directory``."""
    return open_collection(directory, NAME, vector="dense")
