"""Points of a server in bare JSON: the same ids and vectors as qdrant-client's own models give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from door import Door, Request, open_door
from hypothesis import given, settings
from hypothesis import strategies as st
from playback import Reply
from qdrant_client import models

from tsds_qdrant.collections.ids import checked_ids, point_ids, point_keys
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.server.reads import ID_PAGE, SCROLL_PAGE
from tsds_qdrant.errors import CollectionError

COUNT = 50
ROWS = np.random.default_rng(4).normal(size=(COUNT, 3)).astype(np.float32)
IDS: list[Any] = [*range(0, 40, 2), 2**64 - 1, *(str(UUID(int=k << 60)) for k in range(1, 30))]
SOME = {"must": [{"key": "n", "range": {"gte": 7}}]}


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with open_door() as opened:
        params = models.VectorParams(size=3, distance=models.Distance.EUCLID)
        for name, vectors in (("plain", params), ("named", {"a": params, "b": params})):
            sparse = {"s": models.SparseVectorParams()} if name == "named" else None
            opened.client.create_collection(
                name, vectors_config=vectors, sparse_vectors_config=sparse
            )
            points = [
                models.PointStruct(id=i, vector=vector_of(name, k), payload={"n": k})
                for k, i in enumerate(IDS)
            ]
            opened.client.upsert(name, points)
        yield opened


def vector_of(name: str, k: int) -> Any:
    if name == "plain":
        return ROWS[k].tolist()
    sparse = models.SparseVector(indices=[k, k + 5], values=[0.5, -float(k)])
    return {"a" if k % 3 else "b": ROWS[k].tolist(), **({"s": sparse} if k % 2 else {})}


def pages(pool: ServerCollection, where: Any = None) -> list[list[Any]]:
    return list(pool.scroll_ids(where))


@pytest.mark.parametrize("where", [None, SOME], ids=["all", "filter"])
@pytest.mark.parametrize("most", [None, 7, 49, 50, 51])
def test_all_ids_come_once_and_in_order(door: Door, where: Any, most: int | None) -> None:
    door.limit("plain", max_query_limit=most)
    with ServerCollection.open(door.url, "plain") as pool:
        found = pages(pool, where)
    door.limit("plain", enabled=False)
    assert [i for page in found for i in page] == (IDS if where is None else IDS[7:])
    assert all(len(page) == most for page in found[:-1])


def test_pages_are_small_first_and_large_then(door: Door, monkeypatch: Any) -> None:
    assert SCROLL_PAGE < ID_PAGE
    for name, size in (("SCROLL_PAGE", 10), ("ID_PAGE", 25)):
        monkeypatch.setattr(f"tsds_qdrant.collections.server.reads.{name}", size)
    with ServerCollection.open(door.url, "plain") as pool:
        assert [len(page) for page in pages(pool)] == [10, 25, 15]


@pytest.mark.parametrize(("name", "space"), [("plain", ""), ("named", "a"), ("named", "s")])
def test_vectors_are_those_of_the_models(door: Door, name: str, space: str) -> None:
    wanted = [*IDS[::-1], 777]
    with ServerCollection.open(door.url, name, vector="a" if space else None) as pool:
        view = pool.at(space)
        bare = view.retrieve(wanted, payloads=False, vectors=True)
        modelled = view.retrieve(wanted, payloads=True, vectors=True)
        assert view.existing(wanted) == {*IDS}
    assert [one.id for one in bare] == [one.id for one in modelled] == IDS[::-1]
    for one, other in zip(bare, modelled, strict=True):
        assert one.payload == {}
        assert (one.vector is None) == (other.vector is None)
        assert one.vector is None or one.vector.tobytes() == other.vector.tobytes()
        mine, theirs = (x.sparse and list(x.sparse.pairs()) for x in (one, other))
        assert mine == theirs
    assert any(one.vector is not None or one.sparse for one in bare)


@pytest.mark.parametrize(
    "result",
    [None, [], {}, {"points": None}, {"points": [{}]}, {"points": [3]}, "ok"],
    ids=str,
)
def test_an_answer_that_is_not_qdrants_is_said(door: Door, result: Any) -> None:
    def other(request: Request) -> Reply | None:
        reads = request.path.endswith(("/points/scroll", "/points"))
        return (200, {}, {"result": result, "status": "ok", "time": 0.0}) if reads else None

    with ServerCollection.open(door.url, "plain") as pool:
        door.hook = other
        try:
            with pytest.raises(CollectionError, match="no answer with points"):
                pages(pool)
            if result != []:  # which says that none of them is stored
                with pytest.raises(CollectionError, match="no answer with points"):
                    pool.existing([1])
        finally:
            door.hook = lambda request: None


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1) | st.uuids().map(str), max_size=20))
def test_keys_and_back(ids: list[Any]) -> None:
    keys = point_keys(ids)
    assert keys.shape == (len(ids), 3)
    assert point_ids(keys) == ids == checked_ids(ids)
    for (kind, high, low), one in zip(keys.tolist(), ids, strict=True):
        assert kind == isinstance(one, str)
        assert (high << 64) | low == (UUID(one).int if kind else one)
