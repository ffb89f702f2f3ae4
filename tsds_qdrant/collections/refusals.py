"""What Qdrant says when it refuses something, and the error and next step that follow from it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from tsds_qdrant.errors import (
    CollectionError,
    CollectionExistsError,
    CollectionLockedError,
    CollectionMismatchError,
    CollectionNotFoundError,
    RequestRejectedError,
    SettingsError,
    TsdsError,
)

NO_ROOM = r"no space left|not enough (space|memory|disk)|insufficient|available disk|size limit of"
TOO_LARGE = r"larger than (allowed|max)|reached size limit|too large|try to split"
UNMENDED_LIMITS = {"limit", "timeout", "hnsw_ef", "oversampling"}
"""Strict-mode limits that a smaller batch does not satisfy."""


@dataclass(frozen=True)
class Place:
    """Where requests go, for messages; ``secret`` is the API key, which no message may hold."""

    location: str
    collection: str = ""
    secret: str = field(default="", repr=False)

    def __str__(self) -> str:
        if not self.collection:
            return self.location
        return f"collection '{self.collection}' at {self.location}"

    def clean(self, text: str) -> str:
        """``text`` on one line, shortened, without the API key."""
        for secret in filter(None, {self.secret, self.secret.strip()}):
            text = text.replace(repr(secret)[1:-1], "***").replace(secret, "***")
        text = " ".join(text.split()).rstrip(".")
        return text if len(text) <= 300 else text[:297] + ".."


def too_large(words: str) -> bool:
    """Whether a smaller batch would mend what Qdrant complains of."""
    limit = re.search(r'Limit exceeded [^"]*"([^"]*)"', words)
    if limit:
        return limit[1] not in UNMENDED_LIMITS and "condition" not in limit[1]
    return bool(re.search(TOO_LARGE, words))


def error_from_words(words: str, place: Place) -> TsdsError:
    """Find the error that Qdrant's own ``words`` describe."""
    for pattern, kind, text in WORDS:
        if re.search(pattern, words, re.IGNORECASE):
            return kind(f"{place} {text.format(words=words)}")
    return RequestRejectedError(
        f"{place} refuses the request ({words}); check the settings against its configuration"
    )


def reason(content: bytes) -> str:
    """Qdrant's explanation inside a response body, or the start of any other body."""
    try:
        return str(json.loads(content)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode("utf-8", "replace") or "no explanation"


WORDS: tuple[tuple[str, type[TsdsError], str], ...] = (
    (
        r"already accessed",
        CollectionLockedError,
        "is open in another process, or in another client of this one; close that, then try again",
    ),
    (
        r"already (exists|contains)",
        CollectionExistsError,
        "exists already ({words}); choose another name",
    ),
    (
        r"vector name|vector with name|vectors? .* not found|no vector",
        CollectionNotFoundError,
        "has no such vector ({words}); choose one with --vector",
    ),
    (
        r"collection.*(not found|doesn.t exist)|directory .* does not exist|no segments were load",
        CollectionNotFoundError,
        "does not exist ({words}); check --qdrant and --collection",
    ),
    (
        r"dimension error|incompatible",
        CollectionMismatchError,
        "does not fit ({words}); use the model that made its vectors",
    ),
    (
        r"index required",
        RequestRejectedError,
        "refuses that filter ({words}); create the payload index, or leave the filter out",
    ),
    (
        NO_ROOM,
        RequestRejectedError,
        "finds no room on its disk ({words}); make room, then run the same command again",
    ),
    (
        r"deserializing response|recursion limit",
        CollectionError,
        "has a payload nested deeper than gRPC carries, some 30 levels ({words}); leave --grpc out",
    ),
    (
        r"not initialized|closed",
        CollectionError,
        "is closed; open it again",
    ),
    (
        r"^404",
        RequestRejectedError,
        "is not known there ({words}); check that the address is Qdrant's",
    ),
    (
        r"failed to parse: ",
        SettingsError,
        "is no address ({words}); use http://HOST:PORT",
    ),
)
