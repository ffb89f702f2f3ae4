"""The flags that say how a server is reached, and where a run's collection is now."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsds_qdrant.cli.options import api_key
from tsds_qdrant.cli.terminal import say
from tsds_qdrant.collections.addresses import checked_location, is_server
from tsds_qdrant.collections.connection import Connection, Consistency
from tsds_qdrant.collections.scanning import Scanning
from tsds_qdrant.collections.server.retries import Patience
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.paths import absolute
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import seconds_of

if TYPE_CHECKING:
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.runs.state import RunState


def consistency_of(text: str, flag: str) -> Consistency:
    """A number of replicas, or which of them must agree.

    Raises:
        SettingsError: neither.
    """
    known: dict[str, Consistency] = {"majority": "majority", "quorum": "quorum", "all": "all"}
    if text.lower() in known:
        return known[text.lower()]
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise SettingsError(
            f"{flag} is '{text}'; give a number of replicas, majority, quorum or all"
        )
    return int(text)


def whole_seconds(text: str, flag: str) -> int:
    """Seconds, rounded up, from ``30``, ``30s`` or ``2m``.

    Raises:
        SettingsError: something else.
    """
    return math.ceil(seconds_of(text, flag))


def certificates(text: str, flag: str) -> str:
    """The absolute path of a file.

    Raises:
        SettingsError: there is none.
    """
    if not Path(absolute(text)).is_file():
        raise SettingsError(f"{flag} is '{text}', which is no file; give one with certificates")
    return absolute(text)


@dataclass(frozen=True)
class Reached:
    """How the server is reached

    Attributes:
        ask_api_key: ask for the server's API key.
        grpc: speak gRPC to the server.
        grpc_port: where it listens, on all nodes or on each.
        consistency: what reads ask of a cluster.
        ca_cert: certificates that are trusted.
        timeout: seconds for one request.
        patience: seconds to wait for a server that is away.
        shard_key: which points, where the collection is sharded by key.
        scan_device: what scans an embedded collection.
        scan_memory: share of the memory in which its vectors stay.
    """

    ask_api_key: bool = setting(
        False, "Ask for the server's API key; otherwise TSDS_QDRANT_API_KEY is used if set."
    )
    grpc: bool | None = setting(
        None, "Speak gRPC to the server: faster for large answers.", "--grpc/--no-grpc"
    )
    grpc_port: tuple[int, ...] = setting(
        (),
        "Where gRPC listens (6334), and so --grpc; given for each --qdrant if it differs.",
        metavar="PORT",
        repeated=True,
        least=1,
        hidden=True,
    )
    consistency: Consistency | None = setting(
        None,
        "In a cluster: how many replicas a read asks and must hear the same from.",
        metavar="N|majority|quorum|all",
        parse=consistency_of,
        hidden=True,
    )
    ca_cert: str | None = setting(
        None,
        "Trust the certificates in this file (PEM) alone, for https://.",
        metavar="FILE",
        parse=certificates,
        hidden=True,
    )
    timeout: int | None = setting(
        None,
        "How long Qdrant may take for one request: 60s if unset.",
        metavar="TIME",
        parse=whole_seconds,
        hidden=True,
    )
    patience: float | None = setting(
        None,
        "How long a server that is away or busy is waited for: 10m, 90s; 2m if unset, and not "
        "at the start.",
        metavar="TIME",
        parse=seconds_of,
        hidden=True,
    )
    shard_key: str | None = setting(
        None,
        "Under custom sharding: the key (a tenant, say) whose points alone count.",
        metavar="KEY",
        hidden=True,
    )
    scan_device: str | None = setting(
        None,
        "What scans an embedded collection: cpu; cuda, cuda:1, mps by torch; engine, Qdrant's own "
        "exact search; auto (if unset), a GPU for the longest scans and else the CPU.",
        metavar="DEVICE",
        hidden=True,
    )
    scan_memory: float | None = setting(
        None,
        "Share of the memory up to which its vectors stay mapped: .05 if unset.",
        metavar="SHARE",
        hidden=True,
    )

    def __post_init__(self) -> None:
        self.connection_of(None, ())
        if self.grpc_port and self.grpc is False:
            raise SettingsError(
                f"--grpc-port {self.grpc_port[0]} means gRPC; leave it or --no-grpc out"
            )

    def connection_of(self, key: str | None, others: tuple[str, ...]) -> Connection:
        """As the flags say, with an API key and further nodes.

        Raises:
            SettingsError: they cannot be right.
        """
        ports = self.grpc_port
        return Connection(
            api_key=key,
            grpc=self.grpc,
            grpc_port=ports[0] if len(ports) == 1 else ports or None,
            others=others or None,
            consistency=self.consistency,
            ca_cert=self.ca_cert,
            timeout=self.timeout,
            patience=None if self.patience is None else Patience.of(self.patience),
            on_wait=say,
            shard_key=self.shard_key,
            scanning=self._scanning(),
        )

    def _scanning(self) -> Scanning | None:
        given: dict[str, Any] = {"device": self.scan_device, "memory": self.scan_memory}
        given = {name: value for name, value in given.items() if value is not None}
        return Scanning(**given) if given else None

    @cached_property
    def api_key(self) -> str | None:
        """The API key, asked for once."""
        return api_key(self.ask_api_key)


def check_nodes(reached: Reached, places: tuple[str, ...]) -> None:
    """Check that several ``places`` can be the nodes of one server.

    Raises:
        SettingsError: they cannot.
    """
    if places and (len(places) > 1 or is_server(places[0])):
        reached.connection_of(None, places[1:]).nodes(places[0])


@dataclass(frozen=True)
class Moved:
    """Where the run's collection is

    Attributes:
        qdrant: where it is now; where it was by default. Several are nodes of one server.
        reached: how, where that is not as the run did.
    """

    qdrant: tuple[str, ...] = setting(
        (),
        "Where the run's collection is now, if it was moved.",
        metavar="PATH|URL",
        repeated=True,
        parse=checked_location,
    )
    reached: Reached = field(default_factory=Reached)

    def __post_init__(self) -> None:
        check_nodes(self.reached, self.qdrant)

    @property
    def where(self) -> dict[str, Any]:
        """What :func:`~tsds_qdrant.runs.address.open_of_run` takes beside the state."""
        given = self.reached.connection_of(self.reached.api_key, self.qdrant[1:])
        return {"location": self.qdrant[0] if self.qdrant else None, "connection": given}

    def connection(self, state: RunState) -> Connection:
        """How the run in ``state`` reaches its collection, but for what the flags say."""
        from tsds_qdrant.runs.address import reached_as

        return reached_as(state.fact("collection"), **self.where)

    def open(self, state: RunState | Path) -> Collection:
        """Open the collection of the run in ``state``.

        Raises:
            TsdsError: see :func:`~tsds_qdrant.runs.address.open_of_run`.
        """
        from tsds_qdrant.runs.address import open_of_run

        return open_of_run(state, **self.where)
