"""How a server is reached: one value for everything that opens a collection."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from tsds_qdrant.collections.addresses import API_KEY_VARIABLE, GRPC_PORT, is_server
from tsds_qdrant.collections.cluster import ShardKey
from tsds_qdrant.collections.scanning import Scanning
from tsds_qdrant.collections.server.retries import DEFAULT_PATIENCE_S, Patience
from tsds_qdrant.errors import SettingsError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

Consistency = int | Literal["majority", "quorum", "all"]
"""How many replicas a read asks, and must hear the same from."""
HIGHEST_PORT = 65_535
REMEMBERED = ("others", "grpc_port", "consistency", "ca_cert", "timeout", "shard_key")
"""What a run keeps as it is; see :meth:`Connection.remembered`."""


@dataclass(frozen=True)
class Connection:
    """How a server is reached; what is None is as a run remembers it, or else the default.

    Attributes:
        api_key: for servers that ask for one; ``TSDS_QDRANT_API_KEY`` by default.
        grpc: speak gRPC, which is faster for large answers; a port alone means it too.
        grpc_port: where gRPC listens: one port for all nodes, or one for each.
        others: URLs of further nodes of the same server, asked when one gives no answer.
        consistency: what reads ask of a cluster.
        ca_cert: file (PEM) with the certificates that are trusted, of an https:// address.
        timeout: seconds that Qdrant may take for one request.
        patience: how to wait for a server that is busy or away.
        on_wait: called with a sentence when a wait begins, and every half minute of it.
        client: of qdrant-client, used instead of a new one and left open.
        shard_key: under custom sharding, the key whose points alone are read and written.
        scanning: how exact searches of embedded collections are computed; not remembered.
        optional_key: a collection that is not sharded by key is read whole, and no error.

    Raises:
        SettingsError: a value that cannot be right.
    """

    api_key: str | None = field(default=None, repr=False)
    grpc: bool | None = None
    grpc_port: int | tuple[int, ...] | None = None
    others: tuple[str, ...] | None = None
    consistency: Consistency | None = None
    ca_cert: str | None = None
    timeout: int | None = None
    patience: Patience | None = None
    on_wait: Callable[[str], object] | None = field(default=None, repr=False, compare=False)
    client: QdrantClient | None = field(default=None, repr=False, compare=False)
    shard_key: ShardKey | None = None
    optional_key: bool = False
    scanning: Scanning | None = None

    def __post_init__(self) -> None:
        for port in self._ports():
            if not 0 < port <= HIGHEST_PORT:
                raise SettingsError(f"--grpc-port is {port}; a port is 1 to {HIGHEST_PORT}")
        if isinstance(self.consistency, int) and self.consistency < 1:
            raise SettingsError(f"--consistency is {self.consistency}; ask 1 replica at least")
        if self.timeout is not None and self.timeout < 1:
            raise SettingsError(f"--timeout is {self.timeout}; give 1 second at least")

    @property
    def over_grpc(self) -> bool:
        """Whether gRPC is spoken."""
        return self.grpc_port is not None if self.grpc is None else self.grpc

    def nodes(self, location: str) -> list[tuple[str, int | None]]:
        """Address of each node, ``location`` first, and its port of gRPC where that is spoken.

        Raises:
            SettingsError: another node is no URL, or the number of ports is another.
        """
        addresses = list(dict.fromkeys([location, *(self.others or ())]))
        if len(addresses) > 1:
            for address in addresses:
                if address == ":memory:" or not is_server(address):
                    raise SettingsError(
                        f"--qdrant is given {len(addresses)} times, for the nodes of one server, "
                        f"and '{address}' is no URL; give one place, or URLs alone"
                    )
        if not self.over_grpc:
            return [(address, None) for address in addresses]
        ports = self._ports() or (GRPC_PORT,)
        if len(ports) not in (1, len(addresses)):
            raise SettingsError(
                f"--grpc-port is given {len(ports)} times for {len(addresses)} addresses; give "
                f"one for all of them, or one for each"
            )
        return list(zip(addresses, ports * (len(addresses) // len(ports)), strict=True))

    def with_key(self, api_key: str | None = None) -> Connection:
        """The same with ``api_key``, else its own, else that of the environment."""
        known = next((key for key in (api_key, self.api_key) if key is not None), None)
        return replace(self, api_key=os.environ.get(API_KEY_VARIABLE) if known is None else known)

    def beside(self) -> Connection:
        """The same for another collection there, which need not be sharded by key."""
        return replace(self, optional_key=True)

    def over(self, remembered: Connection) -> Connection:
        """``remembered``, except for what this one says otherwise."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        if self.grpc is False:
            said["grpc_port"] = None
        elif self.over_grpc:
            said.setdefault("grpc", True)
        return replace(remembered, **said)

    def elsewhere(self, location: str) -> Connection:
        """The same without what belongs to the nodes it was remembered with.

        A single port of gRPC stays, certificates where ``location`` is still encrypted, and the
        shard key where it is still a server.
        """
        return replace(
            self,
            others=None,
            grpc=self.over_grpc or None,
            grpc_port=self.grpc_port if isinstance(self.grpc_port, int) else None,
            ca_cert=self.ca_cert if location.startswith("https://") else None,
            shard_key=self.shard_key if is_server(location) else None,
        )

    def remembered(self) -> dict[str, Any]:
        """What a run keeps of it, as JSON has it; never a key."""
        patience = self.patience and self.patience.seconds
        kept = {
            **{name: getattr(self, name) for name in REMEMBERED},
            "grpc_port": (self.grpc_port or GRPC_PORT) if self.over_grpc else None,
            "patience": None if patience == DEFAULT_PATIENCE_S else patience,
        }
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in kept.items()
            if value not in (None, ())
        }

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Connection:
        """The connection that :meth:`remembered` gave ``kept`` of."""
        values = {name: _whole(kept.get(name)) for name in REMEMBERED}
        patience = kept.get("patience")
        return cls(**values, patience=None if patience is None else Patience.of(patience))

    def _ports(self) -> tuple[int, ...]:
        port = self.grpc_port
        if port is None:
            return ()
        return port if isinstance(port, tuple) else (port,)


def _whole(value: Any) -> Any:
    """Lists of JSON as the tuples that they were."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
