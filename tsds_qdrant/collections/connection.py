"""How a server is reached: one value for everything that opens a collection."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tsds_qdrant.collections.cluster import ShardKey
from tsds_qdrant.collections.server.retries import Patience

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

API_KEY_VARIABLE = "TSDS_QDRANT_API_KEY"
GRPC_PORT = 6334
"""Where Qdrant listens for gRPC by default."""


@dataclass(frozen=True)
class Connection:
    """How a server is reached; what is None is as a run remembers it, or else the default.

    Attributes:
        api_key: for servers that ask for one; ``TSDS_QDRANT_API_KEY`` by default.
        grpc: search over gRPC, which is faster for large answers; a port alone means it too.
        grpc_port: where gRPC listens.
        patience: how to wait for a server that is busy or away.
        client: of qdrant-client, used instead of a new one and left open.
        shard_key: under custom sharding, the key whose points alone are read and written.
        optional_key: a collection that is not sharded by key is read whole, and no error.
    """

    api_key: str | None = field(default=None, repr=False)
    grpc: bool | None = None
    grpc_port: int | None = None
    patience: Patience | None = None
    client: QdrantClient | None = field(default=None, repr=False, compare=False)
    shard_key: ShardKey | None = None
    optional_key: bool = False

    @property
    def search_port(self) -> int | None:
        """Where searches go over gRPC; None where they go over REST."""
        wanted = self.grpc_port is not None if self.grpc is None else self.grpc
        return (self.grpc_port or GRPC_PORT) if wanted else None

    def with_key(self, api_key: str | None = None) -> Connection:
        """The same with ``api_key``, else its own, else that of the environment."""
        known = next((key for key in (api_key, self.api_key) if key is not None), None)
        return replace(self, api_key=os.environ.get(API_KEY_VARIABLE) if known is None else known)

    def elsewhere(self) -> Connection:
        """The same for another collection, which need not be sharded by key."""
        return replace(self, optional_key=True)

    def over(self, remembered: Connection) -> Connection:
        """``remembered``, except for what this one says otherwise."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        if self.grpc_port is not None:
            said.setdefault("grpc", True)
        return replace(remembered, **said)

    def remembered(self) -> dict[str, Any]:
        """What a run keeps of it, as JSON has it; never a key."""
        kept = {"grpc_port": self.search_port, "shard_key": self.shard_key}
        return {name: value for name, value in kept.items() if value is not None}

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Connection:
        """The connection that :meth:`remembered` gave ``kept`` of."""
        return cls(grpc_port=kept.get("grpc_port"), shard_key=kept.get("shard_key"))
