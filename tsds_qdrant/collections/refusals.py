"""What Qdrant says when it refuses something, and the error and next step that follow from it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tsds_qdrant.collections.meanings import ACCESS, WORDS, Row
from tsds_qdrant.errors import RequestRejectedError, TsdsError

LONGEST = 300
"""Signs of Qdrant's words that a message holds."""
TOO_LARGE = r"larger than (allowed|max)|reached size limit|too large|try to split"
UNMENDED_LIMITS = {"limit", "timeout", "hnsw_ef", "oversampling"}
"""Strict-mode limits that a smaller batch does not satisfy."""
STRICT_NAMES = {
    "limit": "max_query_limit",
    "timeout": "max_timeout",
    "hnsw_ef": "search_max_hnsw_ef",
    "oversampling": "search_max_oversampling",
    "search batch size": "search_max_batchsize",
    "upsert limit": "upsert_max_batchsize",
    "update limit": "upsert_max_batchsize",
}
"""What the limits of Qdrant's words are called in the strict mode of a collection."""
LIMIT = r'Limit exceeded (\S+) > (\S+) for "([^"]*)"'
KINDS = (
    r"(Service internal error|Bad request|Wrong input|Forbidden|Not found|Rate limiting exceeded): "
)
"""Qdrant's kinds of errors, which say no more than the status."""
ADVICE = r" Help: .*|\. Retry after \d+s$"


@dataclass(frozen=True)
class Place:
    """Where requests go, for messages; ``secret`` is the API key, which no message may hold.

    ``way`` is what the location leaves unsaid: ports, and a proxy.
    """

    location: str
    collection: str = ""
    secret: str = field(default="", repr=False)
    way: str = ""

    def __str__(self) -> str:
        where = f"{self.location} ({self.way})" if self.way else self.location
        return f"collection '{self.collection}' at {where}" if self.collection else where

    def sentence(self, fault: str, words: str, remedy: str) -> str:
        """What is at fault here, in Qdrant's ``words``, and the next step."""
        return f"{self} {fault} ({self.clean(words)}); {remedy}"

    def clean(self, text: str) -> str:
        """``text`` on one line, shortened, without the API key."""
        for secret in filter(None, {self.secret, self.secret.strip()}):
            text = text.replace(repr(secret)[1:-1], "***").replace(secret, "***")
        text = " ".join(text.split()).rstrip(".")
        return text if len(text) <= LONGEST else text[: LONGEST - 3] + ".."


def too_large(words: str) -> bool:
    """Whether a smaller batch would mend what Qdrant complains of."""
    limit = re.search(LIMIT, words)
    if limit:
        return limit[3] not in UNMENDED_LIMITS
    return bool(re.search(TOO_LARGE, words))


def reason(content: bytes) -> str:
    """Qdrant's explanation inside a response body, or the start of any other body."""
    try:
        return str(json.loads(content)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode("utf-8", "replace") or "no explanation"


def briefly(words: str) -> str:
    """Qdrant's ``words`` on one line without what does not help: its kinds, advice and types."""
    words = re.sub(ADVICE, "", words, flags=re.DOTALL)
    words = re.sub(r"(apply operation) \w+\(.*\) (after)", r"\1 \2", words, flags=re.DOTALL)
    words = re.sub(r"Tonic status error: .*", lambda found: _of_a_node(found[0]), words)
    words = re.sub(KINDS, "", words.replace(". First error captured:", ":"))
    return " ".join(words.split())


def _of_a_node(words: str) -> str:
    """What one node said of another."""
    address = re.search(
        r'Failed to connect to (?:\w+://)?([^/\s,"]+)|ConnectError\("[^"]*", ([^\s,]+)', words
    )
    if address:
        return f"no connection to {address[1] or address[2]}"
    said = re.search(r"(?:code: '([^']*)'|status: (\w+)), message: \"(.*?)\"(?:,|$)", words)
    return f"{said[1] or said[2]}: {said[3]}" if said else words


def access_error(words: str, place: Place) -> TsdsError:
    """The error of a request that the API key does not allow, or the lack of one."""
    return _first(words, place, ACCESS)


def error_from_words(words: str, place: Place) -> TsdsError:
    """Find the error that Qdrant's own ``words`` describe."""
    limit = re.search(LIMIT, words)
    if limit:
        name = STRICT_NAMES.get(limit[3], limit[3])
        return RequestRejectedError(
            f'{place} allows at most {limit[2]} for "{limit[3]}" and was asked for {limit[1]} '
            f"(strict mode); have {name} raised to {limit[1]}"
        )
    return _first(words, place, WORDS)


def _first(words: str, place: Place, rows: Sequence[Row]) -> TsdsError:
    """The error of the first row that fits; the last one always does."""
    for pattern, kind, text in rows:
        found = re.search(pattern, words, re.IGNORECASE)
        if found:
            groups = (place.clean(group) for group in found.groups(""))
            return kind(f"{place} {text.format(*groups, words=place.clean(words))}")
    raise AssertionError(words)
