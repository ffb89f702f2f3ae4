"""Who may do what: the answers of Qdrant 1.18 to API keys and to tokens for single collections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from door_limits import RefusedError

Access = Literal["manage", "read", "expired"] | Mapping[str, Literal["r", "rw"]]
"""What a key gives: everything, reading, nothing any more, or rights on single collections."""
OPEN = ("/", "/healthz", "/readyz", "/livez")


def access_of(keys: Mapping[str, Access], path: str, headers: Mapping[str, str]) -> Access:
    """What the key of a request gives; without ``keys`` everybody may do everything.

    Raises:
        RefusedError: no key, a wrong one, or an expired token.
    """
    if not keys or path in OPEN:
        return "manage"
    key = headers.get("api-key") or headers.get("Authorization", "").removeprefix("Bearer ")
    if not key:
        text = "Must provide an API key or an Authorization bearer token"
        raise RefusedError(401, text, plain=True)
    if key not in keys:
        raise RefusedError(401, "Invalid API key or JWT", plain=True)
    if keys[key] == "expired":
        raise RefusedError(403, "ExpiredSignature", plain=True)
    return keys[key]


def check_global(access: Access, *, write: bool) -> None:
    """Check a request that concerns more than one collection's points and payload indexes."""
    if isinstance(access, Mapping):
        raise RefusedError(403, "Forbidden: Global access is required")
    if write and access != "manage":
        raise RefusedError(403, "Forbidden: Global manage access is required")


def check_collection(access: Access, name: str, *, write: bool) -> None:
    """Check a request that concerns points, payload or payload indexes of one collection."""
    if not isinstance(access, Mapping):
        check_global(access, write=write)
    elif name not in access:
        raise RefusedError(403, f"Forbidden: Access to collection {name} is required")
    elif write and access[name] != "rw":
        raise RefusedError(403, f"Forbidden: Write access to collection {name} is required")
