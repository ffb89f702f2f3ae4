"""Clients of qdrant-client: made for an address, and asked whether anybody is there."""

from __future__ import annotations

import re
import ssl
import warnings
from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages

from tsds_qdrant.collections.addresses import GRPC_PORT, proxy_of
from tsds_qdrant.collections.connection import Connection, Consistency
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.server.failures import explain, server_failures
from tsds_qdrant.errors import AccessDeniedError, SettingsError

CONNECTIONS = 8
TIMEOUT_S = 60
"""Seconds that Qdrant may take for one request, by default."""
GRACE_S = 5
"""Seconds that the client waits longer than Qdrant, so that Qdrant's own words arrive."""
CONNECT_S = 10
"""Seconds until a connection is there."""
PING_S = 5
RECONNECT_MS = {"initial": 500, "min": 1000 * CONNECT_S, "max": 2_000}
"""gRPC's own pauses between attempts to connect, which would otherwise grow to two minutes."""
READS = (
    *("count", "facet", "retrieve", "scroll"),
    *("query_batch_points", "query_points", "query_points_groups", "search_matrix_pairs"),
)
"""Methods of the client that read points."""


def connected(place: Place, connection: Connection, grpc_port: int | None) -> QdrantClient:
    """A client for ``place``, of gRPC if a port of it is given.

    Raises:
        AccessDeniedError: the API key cannot be sent.
        SettingsError: certificates that cannot be used, or a proxy of the environment.
    """
    if place.location == ":memory:":
        return QdrantClient(":memory:")
    key = connection.api_key
    if key is not None and not re.fullmatch(r"[!-~]+", key):
        raise AccessDeniedError(
            f"the API key for {place.location} is empty or holds a space, a line break or another "
            f"sign that cannot be sent; check TSDS_QDRANT_API_KEY"
        )
    trusted = _trusted(connection.ca_cert, place.location)
    options: dict[str, Any] = {
        f"grpc.{which}_reconnect_backoff_ms": pause for which, pause in RECONNECT_MS.items()
    }
    if connection.ca_cert is not None:
        options["root_certificates"] = Path(connection.ca_cert).read_bytes()
    with server_failures(place), warnings.catch_warnings():
        if urlsplit(place.location).hostname in ("localhost", "127.0.0.1", "::1"):
            warnings.filterwarnings("ignore", message="Api key is used with an insecure")
        client = _checked_way(
            place.location,
            lambda **spared: QdrantClient(
                url=place.location,
                api_key=key,
                prefer_grpc=grpc_port is not None,
                grpc_port=grpc_port or GRPC_PORT,
                grpc_options=dict(options),
                timeout=(connection.timeout or TIMEOUT_S) + GRACE_S,
                check_compatibility=False,
                limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=3.0),
                **{**spared, **trusted},
            ),
        )
    http = client.http.client._client
    http.event_hooks = {"request": [_connect_soon, partial(_end_with, http)]}
    if connection.consistency is not None:
        _agree(client, said(connection.consistency, grpc=grpc_port is not None))
    return client


def said(consistency: Consistency, *, grpc: bool) -> Any:
    """What the client takes for a consistency of reads."""
    if isinstance(consistency, int) or not grpc:
        return consistency
    return models.ReadConsistencyType(consistency)


def is_local(client: QdrantClient) -> bool:
    """Whether ``client`` runs in local mode, without a server."""
    try:
        return client.http is None
    except NotImplementedError:
        return True


def answers(client: QdrantClient, *, grpc: bool) -> bool:
    """Whether a server answers at once, whatever it says."""
    try:
        if grpc:
            asked = messages.CollectionExistsRequest(collection_name="tsds-qdrant")
            client.grpc_collections.CollectionExists(asked, timeout=PING_S)
        else:
            client.http.client.request(type_=object, method="GET", url="/", timeout=PING_S)
    except Exception as error:
        failure = explain(error, Place(""))
        return failure is not None and not failure.elsewhere and failure.course != "slow"
    return True


def _trusted(ca_cert: str | None, location: str) -> dict[str, Any]:
    """What httpx takes for certificates to trust.

    Raises:
        SettingsError: they cannot be used, or there is nothing to use them for.
    """
    if ca_cert is None:
        return {}
    if not location.startswith("https://"):
        raise SettingsError(
            f"--ca-cert '{ca_cert}' is for an encrypted line, and {location} is none; write "
            f"https://, or leave --ca-cert out"
        )
    try:
        return {"verify": ssl.create_default_context(cafile=ca_cert)}
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"--ca-cert '{ca_cert}' holds no certificates that can be read "
            f"({error.strerror or error}); give a file in PEM form"
        ) from None


def _checked_way(location: str, make: Callable[..., QdrantClient]) -> QdrantClient:
    """The client that ``make`` returns, where nothing of the environment is in its way.

    *subtle*: httpx refuses a proxy of a kind that it does not know even where the environment
    spares the server from it.

    Raises:
        SettingsError: a proxy that httpx cannot use, or certificates.
    """
    try:
        return make()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        unknown = isinstance(error, ImportError)
        if not unknown and not re.search("proxy", str(error), re.IGNORECASE):
            raise
        proxy = proxy_of(location, grpc=False)
        if not proxy:
            return make(trust_env=False, verify=httpx.create_ssl_context())
        spared = f"NO_PROXY={urlsplit(location).hostname}"
        cure = "pip install 'httpx[socks]'" if unknown else "give one as http://HOST:PORT"
        raise SettingsError(
            f"the proxy {proxy} of the environment cannot be used here; {cure}, or set {spared}"
        ) from None
    except OSError as error:  # SSL_CERT_FILE names none
        raise SettingsError(
            f"the certificates that the environment names cannot be read ({error}); check "
            f"SSL_CERT_FILE and SSL_CERT_DIR"
        ) from None


def _connect_soon(request: httpx.Request) -> None:
    """Wait for an answer, but not as long for a connection."""
    times = request.extensions.get("timeout") or {}
    times["connect"] = min(CONNECT_S, times.get("connect") or CONNECT_S)


def _end_with(client: httpx.Client, request: httpx.Request) -> None:
    """Give up ``request``, and with it its connection, if ``client`` is closed before it is sent.

    *subtle*: closing a client closes the connections that it has, and not those that other threads
    are about to open, which nobody would close then.
    """

    def check(event: str, _: Any) -> None:
        if event.endswith(".send_request_headers.started") and client.is_closed:
            raise httpx.ConnectError("the client is closed")

    request.extensions["trace"] = check


def _agree(client: QdrantClient, consistency: Any) -> None:
    """Let all reads of ``client`` ask for ``consistency``.

    *subtle*: the client's own ``count`` takes none, and what it hands that on to does.
    """
    for name in READS:
        for layer in (client, client._client):
            method = getattr(layer, name, None)
            if method is not None and "consistency" in signature(method).parameters:
                setattr(layer, name, partial(method, consistency=consistency))
                break
