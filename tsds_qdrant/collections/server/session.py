"""A session with one Qdrant server: its clients, whom they talk to, and how patiently."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from threading import Lock
from typing import TypeVar

from qdrant_client import QdrantClient

from tsds_qdrant.collections.addresses import way_to
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.server.clients import TIMEOUT_S, answers, connected, is_local
from tsds_qdrant.collections.server.line import Line, Node
from tsds_qdrant.collections.server.retries import Patience, retrying
from tsds_qdrant.errors import AccessDeniedError, CollectionError, RequestRejectedError

T = TypeVar("T")


class Session:
    """Sends requests for one collection and tries them again while that can help.

    Attributes:
        location: the address that was given, the first of several.
        connection: how the server is reached.
        line: which node is asked, and how long it is waited for.
        local: whether qdrant-client runs in local mode, without a server.
        grpc: whether gRPC is spoken.
        timeout: seconds that Qdrant may take for one request.
    """

    def __init__(self, location: str, name: str = "", connection: Connection | None = None) -> None:
        self.location = location
        self.connection = connection = connection or Connection()
        self.timeout = connection.timeout or TIMEOUT_S
        self._clients: dict[int, QdrantClient] = {}
        self._guard = Lock()
        self._closed = False
        self._nodes = connection.nodes(location)
        secret = connection.api_key or ""
        self.line = Line(
            [
                Node(
                    Place(address, name, secret, way_to(address, port)),
                    partial(self._answers, number),
                )
                for number, (address, port) in enumerate(self._nodes)
            ],
            connection.patience or Patience(),
            connection.on_wait,
        )
        with self.closed_on_error():
            self.local = is_local(self._client_of(0))
            self.grpc = connection.over_grpc and not self.local
            self.line.begin()

    @property
    def place(self) -> Place:
        """Where requests go now."""
        return self.line.place

    @property
    def client(self) -> QdrantClient:
        """The client of the node that is asked now.

        Raises:
            CollectionError: the session is closed.
        """
        return self._client_of(self.line.node)

    def send(
        self, call: Callable[[QdrantClient], T], *, once: bool = False, opening: bool = False
    ) -> T:
        """Return what ``call`` returns; see :func:`retrying`."""
        return retrying(lambda: call(self.client), self.line, once=once, opening=opening)

    def engine(self) -> str:
        """Name and version of what answers; without version where that is not known."""
        name = "qdrant-client local" if self.local else "qdrant"
        with suppress(CollectionError):
            return f"{name} {self.send(lambda client: client.info(), opening=True).version}"
        return name

    def collection_names(self) -> list[str]:
        """Names of all collections of the server, and their aliases, sorted."""
        found = self.send(lambda client: client.get_collections(), opening=True)
        names = {collection.name for collection in found.collections}
        with suppress(AccessDeniedError, RequestRejectedError):
            names |= self.aliases().keys()
        return sorted(names)

    def aliases(self) -> dict[str, str]:
        """Alias -> name of the collection that it stands for."""
        found = self.send(lambda client: client.get_aliases())
        return {one.alias_name: one.collection_name for one in found.aliases}

    def alias_target(self) -> str | None:
        """The collection that the session's one is an alias of; None if it is none.

        That is not known either where the server does not say it.
        """
        with suppress(AccessDeniedError, RequestRejectedError):
            return self.aliases().get(self.place.collection)
        return None

    def close(self) -> None:
        """Close the clients, unless they came from outside."""
        self._closed = True
        self.line.close()
        with self._guard:
            clients = list(self._clients.values()) if self.connection.client is None else []
            self._clients.clear()
        with ExitStack() as closing:  # all of them, whatever one raises
            for client in clients:
                closing.callback(client.close)

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the session if the block fails."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _client_of(self, number: int) -> QdrantClient:
        with self._guard:
            if self._closed:
                raise CollectionError(f"{self.place} is closed; open it again")
            if number not in self._clients:
                place, (_, port) = self.line.place_of(number), self._nodes[number]
                outside = self.connection.client
                self._clients[number] = outside or connected(place, self.connection, port)
            return self._clients[number]

    def _answers(self, number: int) -> bool:
        client = self._client_of(number)
        return self.local or answers(client, grpc=self.grpc)
