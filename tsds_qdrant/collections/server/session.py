"""A session with one Qdrant server: a client, whom it talks to, and how patiently."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient

from tsds_qdrant.collections.connection import GRPC_PORT, Connection
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.server.failures import server_failures
from tsds_qdrant.collections.server.retries import Patience, retrying
from tsds_qdrant.errors import AccessDeniedError, CollectionError, RequestRejectedError

T = TypeVar("T")
CONNECTIONS = 8
TIMEOUT_S = 60
"""Seconds that Qdrant may take for one request."""
GRACE_S = 5
"""Seconds that the client waits longer than Qdrant, so that Qdrant's own words arrive."""


class Session:
    """Sends requests for one collection and tries them again while that can help.

    Attributes:
        connection: how the server is reached.
        local: whether qdrant-client runs in local mode, without a server.
        grpc: whether searches go over gRPC.
    """

    def __init__(self, location: str, name: str = "", connection: Connection | None = None) -> None:
        self.connection = connection = connection or Connection()
        self.place = Place(location, name, connection.api_key or "")
        self.patience = connection.patience or Patience()
        self._own = connection.client is None
        self._client: QdrantClient | None = connection.client or _connect(self.place, connection)
        self.local = _is_local(self._client)
        self.grpc = connection.search_port is not None and not self.local

    @property
    def client(self) -> QdrantClient:
        """The client.

        Raises:
            CollectionError: the session is closed.
        """
        if self._client is None:
            raise CollectionError(f"{self.place} is closed; open it again")
        return self._client

    def send(self, call: Callable[[QdrantClient], T], *, attempts: int | None = None) -> T:
        """Return what ``call`` returns, after at most ``attempts``; see :func:`retrying`."""
        patience = self.patience
        if attempts is not None:
            patience = replace(patience, attempts=min(attempts, patience.attempts))
        return retrying(lambda: call(self.client), self.place, patience)

    def engine(self) -> str:
        """Name and version of what answers; without version where that is not known."""
        name = "qdrant-client local" if self.local else "qdrant"
        with suppress(CollectionError):
            return f"{name} {self.send(lambda client: client.info(), attempts=2).version}"
        return name

    def collection_names(self) -> list[str]:
        """Names of all collections of the server, and their aliases, sorted."""
        found = self.send(lambda client: client.get_collections(), attempts=2)
        names = {collection.name for collection in found.collections}
        with suppress(AccessDeniedError, RequestRejectedError):
            names |= self.aliases().keys()
        return sorted(names)

    def aliases(self) -> dict[str, str]:
        """Alias -> name of the collection that it stands for."""
        found = self.send(lambda client: client.get_aliases(), attempts=2)
        return {one.alias_name: one.collection_name for one in found.aliases}

    def alias_target(self) -> str | None:
        """The collection that the session's one is an alias of; None if it is none.

        That is not known either where the server does not say it.
        """
        with suppress(AccessDeniedError, RequestRejectedError):
            return self.aliases().get(self.place.collection)
        return None

    def close(self) -> None:
        """Close the client, unless it came from outside."""
        if self._own and self._client is not None:
            self._client.close()
        self._client = None

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the session if the block fails."""
        try:
            yield
        except BaseException:
            self.close()
            raise


def _connect(place: Place, connection: Connection) -> QdrantClient:
    api_key = connection.api_key
    if place.location == ":memory:":
        return QdrantClient(":memory:")
    if api_key is not None and not re.fullmatch(r"[!-~]+", api_key):
        raise AccessDeniedError(
            f"the API key for {place.location} is empty or holds a space, a line break or another "
            f"sign that cannot be sent; check TSDS_QDRANT_API_KEY"
        )
    with server_failures(place), warnings.catch_warnings():
        if urlsplit(place.location).hostname in ("localhost", "127.0.0.1", "::1"):
            warnings.filterwarnings("ignore", message="Api key is used with an insecure")
        return QdrantClient(
            url=place.location,
            api_key=api_key,
            prefer_grpc=connection.search_port is not None,
            grpc_port=connection.search_port or GRPC_PORT,
            timeout=TIMEOUT_S + GRACE_S,
            check_compatibility=False,
            limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=3.0),
        )


def _is_local(client: QdrantClient) -> bool:
    try:
        return client.http is None
    except NotImplementedError:
        return True
