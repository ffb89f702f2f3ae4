"""What the server adapter sends for spaces, and what it makes of servers that refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from playback import Clock, Reply, failed, http_server
from qdrant_client import QdrantClient, models

from tsds_qdrant.collections.reserved import REPRESENTATION
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.errors import (
    AccessDeniedError,
    RequestRejectedError,
    UnsupportedCollectionError,
)
from tsds_qdrant.sparse import SparseRows

GRAD = Space.dense("grad", 3, "Dot")
DONE = {"operation_id": 1, "status": "completed"}
Sent = list[tuple[str, str, Any]]


def description(*names: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    """As a server describes a collection of the unnamed vector and of dense ones of ``names``."""
    client = QdrantClient(":memory:")
    params = {name: models.VectorParams(size=2, distance=models.Distance.DOT) for name in names}
    params[""] = models.VectorParams(size=2, distance=models.Distance.EUCLID)
    client.create_collection(
        "texts",
        vectors_config=params if names else params[""],
        metadata=metadata,
    )
    described: dict[str, Any] = json.loads(client.get_collection("texts").model_dump_json())
    client.close()
    return described


class Recorder:
    """A server that keeps what it is sent, knows the point 1, and refuses what is listed."""

    def __init__(
        self, described: dict[str, Any], version: str = "1.18.3", **refused: Reply
    ) -> None:
        self.described, self.version, self.refused = described, version, refused
        self.sent: Sent = []

    def __call__(self, method: str, path: str, body: bytes) -> Reply:
        path = path.split("?")[0]
        if path == "/":
            return 200, {}, {"title": "qdrant", "version": self.version}
        if method == "GET":
            return self.answer(self.described)
        content = json.loads(body)
        if path == "/collections/texts/points" and method == "POST":
            return self.answer([{"id": 1}] if 1 in content["ids"] else [])
        self.sent.append((method, path.removeprefix("/collections/texts"), content))
        last = path.rsplit("/", 1)[-1]
        if last in self.refused:
            return self.refused[last]
        if last == "scroll":
            return self.answer({"points": [], "next_page_offset": None})
        if last == "texts":
            return self.answer(True)
        operations = content.get("operations") if isinstance(content, dict) else None
        return self.answer(DONE if operations is None else [DONE] * len(operations))

    @staticmethod
    def answer(result: Any) -> Reply:
        return 200, {}, {"result": result, "status": "ok", "time": 0.0}


@contextmanager
def opened(server: Recorder) -> Iterator[ServerCollection]:
    with (
        http_server(server) as url,
        ServerCollection.open(url, "texts", connection=Clock().reach()) as collection,
    ):
        yield collection


def test_a_space_and_the_default_are_sent() -> None:
    server = Recorder(description(metadata={"owner": "x", "tsds_qdrant": {"model": "m"}}))
    with opened(server) as collection:
        collection.add_space(GRAD)
        collection.at("grad").add_space(Space.sparse("words"))
        collection.add_space(Space.sparse("bm25", idf=True))
    metadata, dense, _, sparse, _, weighed = server.sent
    assert metadata[:2] == ("PATCH", "")
    assert metadata[2]["metadata"] == {"tsds_qdrant": {"model": "m", REPRESENTATION: ""}}
    assert (dense[0], dense[1]) == ("PUT", "/vectors/grad")
    assert dense[2]["dense"]["size"] == 3
    assert dense[2]["dense"]["distance"] == "Dot"
    assert (sparse[1], "sparse" in sparse[2]) == ("/vectors/words", True)
    assert not sparse[2]["sparse"].get("modifier")
    assert weighed == ("PUT", "/vectors/bm25", {"sparse": {"modifier": "idf"}})


def test_a_default_that_is_there_is_left_alone() -> None:
    server = Recorder(description(metadata={"tsds_qdrant": {REPRESENTATION: "other"}}))
    with opened(server) as collection:
        collection.add_space(GRAD)
    assert [path for _, path, _ in server.sent] == ["/vectors/grad"]


def test_a_token_that_may_not_write_metadata_adds_spaces() -> None:
    refusal = failed(403, "Forbidden: Global access is required")
    server = Recorder(description(), texts=refusal)
    with opened(server) as collection:
        collection.add_space(GRAD)
        assert "grad" in collection.spaces
    assert [path for _, path, _ in server.sent] == ["", "/vectors/grad"]
    server = Recorder(description(), grad=refusal)
    with opened(server) as collection, pytest.raises(AccessDeniedError):
        collection.add_space(GRAD)


def test_an_older_server_adds_no_space() -> None:
    server = Recorder(description(), version="1.17.4")
    with opened(server) as collection:
        with pytest.raises(
            UnsupportedCollectionError, match=r"qdrant 1\.17\.4, which adds no .*use Qdrant 1\.18"
        ):
            collection.add_space(GRAD)
        collection.add_space(Space.dense("", 2, "Euclid"))
    assert server.sent == []


def test_one_space_takes_one_request() -> None:
    server = Recorder(description())
    with opened(server) as collection:
        collection.upsert([1, 2], np.ones((2, 2), np.float32), [{"a": 1}, {"a": 2}])
    ((method, path, content),) = server.sent
    assert (method, path) == ("PUT", "/points")
    assert content["batch"]["vectors"] == [[1.0, 1.0]] * 2


def test_old_points_of_several_spaces_are_updated() -> None:
    described = description("a", metadata={"tsds_qdrant": {REPRESENTATION: ""}})
    with opened(server := Recorder(described)) as collection:
        collection.upsert([1, 2], np.ones((2, 2), np.float32), [{"a": 1}, {"a": 2}])
    ((_, path, content),) = server.sent
    assert path == "/points/batch"
    new, vectors, payload = content["operations"]
    batch = new["upsert"]["batch"]
    assert (batch["ids"], batch["payloads"]) == ([2], [{"a": 2}])
    assert vectors["update_vectors"]["points"] == [{"id": 1, "vector": {"": [1.0, 1.0]}}]
    assert payload["overwrite_payload"]["payload"] == {"a": 1}
    assert payload["overwrite_payload"]["points"] == [1]


def test_points_that_are_gone_are_left_out_of_a_second_try() -> None:
    class Strict(Recorder):
        def __call__(self, method: str, path: str, body: bytes) -> Reply:
            reply = super().__call__(method, path, body)
            gone = b'"id":9' in body.replace(b" ", b"")
            return failed(404, "Not found: No point with id 9 found") if gone else reply

    described = description("a", metadata={"tsds_qdrant": {REPRESENTATION: "a"}})
    with opened(server := Strict(described)) as collection:
        collection.set_vectors([9, 1], np.array([[1, 2], [3, 4]], np.float32), space="a")
    (_, _, both), (_, path, one) = server.sent
    assert path == "/points/batch"
    assert len(both["operations"][0]["update_vectors"]["points"]) == 2
    (point,) = one["operations"][0]["update_vectors"]["points"]
    assert point == {"id": 1, "vector": {"a": [3.0, 4.0]}}


def test_ordering_without_an_index_is_one_sentence() -> None:
    words = "Wrong input: No range index for `order_by` key: `n`. Please create one to use"
    server = Recorder(description(), scroll=failed(400, words))
    with opened(server) as collection:
        for call in (lambda: list(collection.scroll_ordered("n")), lambda: collection.largest("n")):
            with pytest.raises(RequestRejectedError, match=r"no range index on .* field 'n'"):
                call()


def test_the_order_and_its_start_are_sent() -> None:
    class Ordered(Recorder):
        """Orders three points; two of them share the number 5."""

        def __call__(self, method: str, path: str, body: bytes) -> Reply:
            reply = super().__call__(method, path, body)
            if not path.split("?")[0].endswith("scroll"):
                return reply
            points = [{"id": k, "order_value": value} for k, value in ((0, 7), (1, 5), (2, 5))]
            first = json.loads(body)["order_by"].get("start_from") or 7
            kept = [point for point in points if point["order_value"] <= first]
            return self.answer({"points": kept[: json.loads(body)["limit"]]})

    described = description()
    described["config"]["strict_mode_config"] = {"enabled": True, "max_query_limit": 2}
    with opened(server := Ordered(described)) as collection:
        pages = list(collection.scroll_ordered("n", descending=True, limit=3))
    assert pages == [[(0, 7), (1, 5)], [(2, 5)]]
    asked = [(content["limit"], content["order_by"]) for _, _, content in server.sent]
    order = {"key": "n", "direction": "desc"}
    assert asked == [(2, order), (2, {**order, "start_from": 5})]


def test_a_sparse_vector_is_sent_as_one() -> None:
    described = description(metadata={"tsds_qdrant": {REPRESENTATION: ""}})
    described["config"]["params"]["sparse_vectors"] = {"words": {}}
    with opened(server := Recorder(described)) as collection:
        assert collection.spaces["words"] == Space.sparse("words")
        collection.set_vectors([1], SparseRows.of([{7: 1.5, 2: -1.0}]), space="words")
    ((_, _, content),) = server.sent
    (point,) = content["operations"][0]["update_vectors"]["points"]
    assert point["vector"] == {"words": {"indices": [7, 2], "values": [1.5, -1.0]}}
