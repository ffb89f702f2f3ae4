"""The flags that say how a server is reached, and where a run's collection is now."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsds_qdrant.cli.options import api_key
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting

if TYPE_CHECKING:
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.runs.state import RunState

HIGHEST_PORT = 65_535


def checked_location(location: str, flag: str = "--qdrant") -> str:
    """``location``, unless it is one that would silently mean a directory.

    Raises:
        SettingsError: it is empty, a host without a scheme, or ``:memory:``.
    """
    if not location.strip():
        raise SettingsError(f"{flag} is empty; give a directory or the URL of a server")
    if location.strip() == ":memory:":
        raise SettingsError(
            f"{flag} is ':memory:', which holds nothing once the command ends; give a directory, "
            f"which is made if it does not exist"
        )
    if location == "localhost" and not Path(location).exists():
        raise SettingsError(f"{flag} is '{location}'; write http://localhost:6333 for a server")
    if re.fullmatch(r"[A-Za-z0-9.-]+:[0-9]+", location) and not Path(location).exists():
        raise SettingsError(f"{flag} is '{location}'; write http://{location} for a server")
    return location


@dataclass(frozen=True)
class Reached:
    """How the server is reached

    Attributes:
        ask_api_key: ask for the server's API key.
        grpc: speak gRPC to the server.
        grpc_port: where it listens.
        shard_key: which points, where the collection is sharded by key.
    """

    ask_api_key: bool = setting(
        False, "Ask for the server's API key; otherwise TSDS_QDRANT_API_KEY is used if set."
    )
    grpc: bool | None = setting(
        None, "Speak gRPC to the server: faster for large answers.", "--grpc/--no-grpc"
    )
    grpc_port: int | None = setting(
        None, "Where gRPC listens (6334); means --grpc.", metavar="PORT", least=1, hidden=True
    )
    shard_key: str | None = setting(
        None,
        "Under custom sharding: the key (a tenant, say) whose points alone count.",
        metavar="KEY",
        hidden=True,
    )

    def __post_init__(self) -> None:
        port = self.grpc_port
        if port is not None and port > HIGHEST_PORT:
            raise SettingsError(f"--grpc-port is {port}; a port is at most {HIGHEST_PORT}")
        if port is not None and self.grpc is False:
            raise SettingsError(f"--grpc-port {port} means gRPC; leave it or --no-grpc out")

    @cached_property
    def connection(self) -> Connection:
        """As the flags say; the API key is asked for once."""
        return Connection(
            api_key=api_key(self.ask_api_key),
            grpc=self.grpc,
            grpc_port=self.grpc_port,
            shard_key=self.shard_key,
        )


@dataclass(frozen=True)
class Moved:
    """Where the run's collection is

    Attributes:
        qdrant: where it is now; where it was by default.
        reached: how, where that is not as the run did.
    """

    qdrant: str | None = setting(
        None,
        "Where the run's collection is now, if it was moved.",
        metavar="PATH|URL",
        parse=checked_location,
    )
    reached: Reached = field(default_factory=Reached)

    @property
    def where(self) -> dict[str, Any]:
        """What :func:`~tsds_qdrant.runs.address.open_of_run` takes beside the state."""
        return {"location": self.qdrant, "connection": self.reached.connection}

    def connection(self, state: RunState) -> Connection:
        """How the run in ``state`` reaches its collection, but for what the flags say."""
        from tsds_qdrant.runs.address import reached_as

        return reached_as(state.fact("collection"), self.reached.connection)

    def open(self, state: RunState | Path) -> Collection:
        """Open the collection of the run in ``state``.

        Raises:
            TsdsError: see :func:`~tsds_qdrant.runs.address.open_of_run`.
        """
        from tsds_qdrant.runs.address import open_of_run

        return open_of_run(state, **self.where)
