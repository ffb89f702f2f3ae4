"""Addresses of servers: what may stand in one, and the way that requests take to it."""

from __future__ import annotations

import os
import re
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.paths import Location

API_KEY_VARIABLE = "TSDS_QDRANT_API_KEY"
REST_PORT = 6333
GRPC_PORT = 6334
"""Where Qdrant listens by default."""
GRPC_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
GRPC_WITHOUT = ("no_grpc_proxy", "no_proxy")
"""Variables that gRPC reads, the first one that is set."""
LISTENS = re.compile(r"(localhost|[A-Za-z0-9.-]+:[0-9]+)([/?#].*)?")
"""A server without a scheme."""


def is_server(location: Location) -> bool:
    """Whether ``location`` is a URL (or ``:memory:``) rather than a path.

    Raises:
        SettingsError: a URL of another scheme, one that a path was made of, or one that may carry
            a password or a key; the message shows neither.
    """
    if not isinstance(location, str):
        location = os.fspath(location)
        if re.match(r"https?:/", location):
            raise SettingsError(
                "the URL of a server was made a path, which loses a slash; give it as a text"
            )
    if location == ":memory:":
        return True
    scheme, separator, rest = location.partition("://")
    if not separator:
        return False
    if scheme not in ("http", "https"):
        raise SettingsError(
            f"'{scheme}://' is no Qdrant address; use http://, https:// or a path"
            if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme)
            else "an address begins with neither http:// nor https://; write http://HOST:PORT"
        )
    for sign, what in (("@", "a password (@)"), ("?", "a query (?)"), ("#", "a fragment (#)")):
        if sign in rest:
            raise SettingsError(
                f"the {scheme}:// address holds {what}, where a secret may be, and is not shown; "
                f"give {scheme}://HOST:PORT and set {API_KEY_VARIABLE}"
            )
    return True


def checked_location(location: str, flag: str = "--qdrant") -> str:
    """``location``, unless it is one that would silently mean a directory.

    Raises:
        SettingsError: it is empty, a host without a scheme, ``:memory:``, or a URL that holds
            what it must not.
    """
    if not location.strip():
        raise SettingsError(f"{flag} is empty; give a directory or the URL of a server")
    if location.strip() == ":memory:":
        raise SettingsError(
            f"{flag} is ':memory:', which holds nothing once the command ends; give a directory, "
            f"which is made if it does not exist"
        )
    if (server := LISTENS.fullmatch(location)) and not Path(location).exists():
        host = server[1] if ":" in server[1] else f"{server[1]}:6333"
        raise SettingsError(f"{flag} is '{server[1]}'; write http://{host} for a server")
    is_server(location)
    return location


def way_to(location: str, grpc_port: int | None) -> str:
    """What the address of a server leaves unsaid: the ports in use, and a proxy on the way."""
    if "://" not in location:
        return ""
    said = [] if re.search(r":\d+(/|$)", location.partition("://")[2]) else [f"port {REST_PORT}"]
    if grpc_port is not None:
        said = [f"gRPC port {grpc_port}"]
    if proxy := proxy_of(location, grpc=grpc_port is not None):
        said.append(f"through the proxy {proxy}")
    return ", ".join(said)


def proxy_of(location: str, *, grpc: bool) -> str:
    """The proxy that the environment names for a server, without its password; "" for none."""
    try:
        parts = urlsplit(location)
    except ValueError:  # it is refused as no address
        return ""
    host = parts.hostname or ""
    if grpc:
        named, without = (_first_set(names) for names in (GRPC_PROXIES, GRPC_WITHOUT))
    else:
        proxies = urllib.request.getproxies()
        named = proxies.get(parts.scheme) or proxies.get("all") or ""
        without = proxies.get("no", "")
    spared = [name.strip().lstrip(".").lower() for name in without.split(",")]
    if not named or any(name in ("*", host) or host.endswith(f".{name}") for name in spared):
        return ""
    scheme, separator, rest = named.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _first_set(names: tuple[str, ...]) -> str:
    return next(filter(None, map(os.environ.get, names)), "")
