"""gRPC as users get it: agreement asked for, encrypted lines, servers that start again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from backends import free_port
from playback import GrpcMethod, GrpcPlayback, described_by, grpc_listening
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import RestToGrpc
from standby import certified, silent_server

from tsds_qdrant import errors
from tsds_qdrant.collections import open_collection
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.server import clients, wire
from tsds_qdrant.collections.server.retries import Patience

QUERIES = np.array([[3, 0.5], [7, 0.25]], dtype=np.float32)


class Asked(GrpcPlayback):
    """Keeps all requests, and answers reads with nothing and searches as its base does."""

    def __init__(self, description: messages.CollectionInfo) -> None:
        super().__init__()
        self.description = description
        self.requests: list[Any] = []

    def keeping(self, reply: Any) -> Any:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            self.requests.append(request)
            return reply(request, context) if callable(reply) else reply

        return call

    def methods(self) -> tuple[GrpcMethod, ...]:
        counted = messages.CountResponse(result=messages.CountResult(count=9))
        rows = (
            ("QueryBatch", self, messages.QueryBatchPoints),
            ("Count", counted, messages.CountPoints),
            ("Get", messages.GetResponse(), messages.GetPoints),
            ("Scroll", messages.ScrollResponse(), messages.ScrollPoints),
        )
        points = [("qdrant.Points", name, self.keeping(reply), of) for name, reply, of in rows]
        return (*points, *described_by(self.description))


@pytest.fixture(scope="module")
def description() -> messages.CollectionInfo:
    """What a server says of an empty collection."""
    client = QdrantClient(":memory:")
    params = models.VectorParams(size=2, distance=models.Distance.EUCLID)
    client.create_collection("s", vectors_config=params)
    found = client.get_collection("s")
    client.close()
    return RestToGrpc.convert_collection_info(found)


@pytest.fixture
def asked(description: messages.CollectionInfo) -> Asked:
    return Asked(description)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (clients, wire):
        monkeypatch.setattr(module, "GRACE_S", -0.6)
    monkeypatch.setattr(clients, "PING_S", 0.4)


def found(location: str, connection: Connection) -> list[Any]:
    with open_collection(location, "s", connection=connection) as collection:
        return list(collection.search(QUERIES, limit=1).ids)


@pytest.mark.parametrize(
    ("consistency", "said"),
    [
        (None, None),
        (3, {"factor": 3}),
        ("majority", {"type": messages.Majority}),
        ("quorum", {"type": messages.Quorum}),
        ("all", {"type": messages.All}),
    ],
)
def test_every_read_asks_for_agreement(asked: Asked, consistency: Any, said: Any) -> None:
    with grpc_listening(*asked.methods()) as port:
        connection = Connection(grpc_port=port, consistency=consistency)
        with open_collection("http://127.0.0.1:9", "s", connection=connection) as collection:
            collection.search(QUERIES, limit=1)
            assert collection.count() == 9
            assert collection.existing([1]) == set()
            assert list(collection.scroll_ids()) == []
    kinds = {type(request) for request in asked.requests}
    assert len(kinds) == 4
    expected = None if said is None else messages.ReadConsistency(**said)
    for request in asked.requests:
        assert request.HasField("read_consistency") == (said is not None)
        assert expected is None or request.read_consistency == expected


def test_nodes_have_ports_of_their_own(asked: Asked, brief: None) -> None:
    said: list[str] = []
    with silent_server() as url, grpc_listening(*asked.methods()) as port:
        silent = int(url.rpartition(":")[2])
        connection = Connection(
            grpc_port=(silent, port),
            others=("http://127.0.0.1:10",),
            timeout=1,
            on_wait=said.append,
        )
        assert found("http://127.0.0.1:9", connection) == [3, 7]
    assert said == [
        f"collection 's' at http://127.0.0.1:9 (gRPC port {silent}) gives no answer; "
        f"going on with http://127.0.0.1:10"
    ]


def test_a_port_for_each_address() -> None:
    for ports in ((1, 2), (1, 2, 3, 4)):
        connection = Connection(grpc_port=ports, others=("http://b", "http://c"))
        with pytest.raises(errors.SettingsError, match="--grpc-port is given"):
            open_collection("http://a", "s", connection=connection)


def test_a_server_that_starts_again_is_found_again(asked: Asked) -> None:
    port = free_port()
    said: list[str] = []
    connection = Connection(grpc_port=port, patience=Patience.of(20.0), on_wait=said.append)
    with ExitStack() as stack:
        first = ExitStack()
        first.enter_context(grpc_listening(*asked.methods(), port=port))
        collection = open_collection("http://127.0.0.1:9", "s", connection=connection)
        stack.callback(collection.close)
        assert collection.count() == 9
        first.close()

        def start_again() -> None:
            stack.enter_context(grpc_listening(*asked.methods(), port=port))

        timer = threading.Timer(0.7, start_again)
        timer.start()
        assert collection.search(QUERIES, limit=1).ids == [3, 7]
        timer.join()
    assert "gives no answer" in said[0]
    assert said[-1].endswith("answers again")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return certified(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def encrypted(asked: Asked, certificates: tuple[Path, Path, Path]) -> Iterator[int]:
    _, key, chain = certificates
    pair = (key.read_bytes(), chain.read_bytes())
    with grpc_listening(*asked.methods(), credentials=grpc.ssl_server_credentials([pair])) as port:
        yield port


def test_an_encrypted_line(encrypted: int, certificates: tuple[Path, Path, Path]) -> None:
    root = str(certificates[0])
    said: list[str] = []
    for host in ("127.0.0.1", "localhost"):
        connection = Connection(grpc_port=encrypted, ca_cert=root, on_wait=said.append)
        assert found(f"https://{host}:9", connection) == [3, 7]
    with pytest.raises(errors.UnreachableError, match=r"cannot be trusted.*; .*--ca-cert"):
        found("https://127.0.0.1:9", Connection(grpc_port=encrypted, on_wait=said.append))
    assert said == []


def test_other_certificates(
    encrypted: int, tmp_path: Path, asked: Asked, certificates: tuple[Path, Path, Path]
) -> None:
    other, _, _ = certified(tmp_path)
    with pytest.raises(errors.UnreachableError, match="cannot be trusted"):
        found("https://127.0.0.1:9", Connection(grpc_port=encrypted, ca_cert=str(other)))
    with grpc_listening(*asked.methods()) as plain:
        connection = Connection(grpc_port=plain, ca_cert=str(certificates[0]))
        with pytest.raises(errors.UnreachableError, match="write http://"):
            found("https://127.0.0.1:9", connection)
