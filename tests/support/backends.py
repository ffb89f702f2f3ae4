"""The Qdrant engines that the contract tests run on, and how to reach them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx
import pytest
from qdrant_client import QdrantClient

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.values import Metric

BACKENDS = ("edge", "memory", "server-rest", "server-grpc")
NO_SERVER = "no Qdrant server (set QDRANT_URL, or put 'qdrant' on PATH)"
"""Why a case is skipped; the end of a run counts the cases that say so."""


class Backend(Protocol):
    def create(
        self, name: str, *, dimension: int, metric: Metric, metadata: Mapping[str, Any] | None
    ) -> Collection: ...

    def open(self, name: str, *, vector: str | None = None) -> Collection: ...

    def close(self) -> None: ...


@dataclass
class EdgeBackend:
    directory: Path

    def create(
        self,
        name: str,
        *,
        dimension: int,
        metric: Metric,
        metadata: Mapping[str, Any] | None = None,
    ) -> Collection:
        return EdgeCollection.create(
            str(self.directory), name, dimension=dimension, metric=metric, metadata=metadata
        )

    def open(self, name: str, *, vector: str | None = None) -> Collection:
        return EdgeCollection.open(str(self.directory), name, vector=vector)

    def close(self) -> None:
        """Nothing is shared between collections."""


@dataclass
class ClientBackend:
    location: str
    client: QdrantClient
    grpc: bool = False
    prefix: str = ""
    names: list[str] = field(default_factory=list)

    def create(
        self,
        name: str,
        *,
        dimension: int,
        metric: Metric,
        metadata: Mapping[str, Any] | None = None,
    ) -> Collection:
        collection = ServerCollection.create(
            self.location,
            self.prefix + name,
            dimension=dimension,
            metric=metric,
            metadata=metadata,
            connection=Connection(client=self.client, grpc=self.grpc),
        )
        self.names.append(self.prefix + name)
        return collection

    def open(self, name: str, *, vector: str | None = None) -> Collection:
        return ServerCollection.open(
            self.location,
            self.prefix + name,
            vector=vector,
            connection=Connection(client=self.client, grpc=self.grpc),
        )

    def close(self) -> None:
        for name in self.names:
            self.client.delete_collection(name)
        self.client.close()


def make_backend(kind: str, directory: Path, request: pytest.FixtureRequest) -> Backend:
    if kind == "edge":
        return EdgeBackend(directory)
    if kind == "memory":
        return ClientBackend(":memory:", QdrantClient(":memory:"))
    url, grpc_port = request.getfixturevalue("qdrant_server")
    grpc = kind == "server-grpc"
    client = QdrantClient(
        url=url,
        grpc_port=grpc_port,
        prefer_grpc=grpc,
        api_key=os.environ.get("TSDS_QDRANT_API_KEY"),
        check_compatibility=False,
        timeout=60,
    )
    return ClientBackend(url, client, grpc, prefix=f"test-{uuid4().hex[:8]}-")


@contextmanager
def running_server(directory: Path) -> Iterator[tuple[str, int]]:
    """URL and gRPC port of a server: that of QDRANT_URL, or one started from PATH."""
    url = os.environ.get("QDRANT_URL")
    if url:
        yield url, int(os.environ.get("QDRANT_GRPC_PORT", "6334"))
        return
    binary = shutil.which("qdrant")
    if binary is None:
        pytest.skip(NO_SERVER)
    http_port, grpc_port = free_port(), free_port()
    settings = {
        "QDRANT__SERVICE__HOST": "127.0.0.1",
        "QDRANT__SERVICE__HTTP_PORT": str(http_port),
        "QDRANT__SERVICE__GRPC_PORT": str(grpc_port),
        "QDRANT__STORAGE__STORAGE_PATH": str(directory / "storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(directory / "snapshots"),
        "QDRANT__TELEMETRY_DISABLED": "true",
    }
    with (directory / "qdrant.log").open("wb") as log:
        server = subprocess.Popen(
            [binary], cwd=directory, env={**os.environ, **settings}, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{http_port}"
            wait_until_ready(url)
            yield url, grpc_port
        finally:
            server.terminate()
            server.wait(timeout=30)


def wait_until_ready(url: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=2.0).status_code == 200:
                return
        time.sleep(0.1)
    raise TimeoutError(f"Qdrant at {url} is not ready after {seconds} s")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
