"""An OpenAI-compatible endpoint of embeddings on the loopback, which fails as a test wants it to.

with serving() as api:
    api.failures = [(429, {"Retry-After": "0"}, b"slow down")]     # the next answers
    EndpointEmbedder(api.model).encode(["a text"])
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hashed_words import HashedWords
from playback import Reply, listening

from tsds_qdrant.representations.endpoint import KEY_VARIABLE

SECRET = "sk-very-secret-0123456789"


@dataclass
class Api:
    """What the endpoint was asked, and how it is to answer."""

    url: str = ""
    key: str = ""
    failures: list[Any] = field(default_factory=list)
    """Instead of the next answers: a reply, CUT, or a function of an answer that changes it."""
    most: int = 1_000
    """Texts of one request; of more it is 413."""
    texts: list[list[str]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def model(self) -> str:
        """The name of a model there."""
        return f"{self.url}/v1#hashed"

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer to a request."""
        self.headers.append(dict(headers))
        if (method, path) != ("POST", "/v1/embeddings"):
            return 404, {}, b"not found"
        if self.key and headers.get("Authorization") != f"Bearer {self.key}":
            sent = headers.get("Authorization", "")
            return 401, {}, {"error": {"message": f"Incorrect API key provided: {sent}"}}
        asked = json.loads(body)
        failure = self.failures.pop(0) if self.failures else None
        if failure is CUT:
            raise ConnectionAbortedError
        if isinstance(failure, tuple):
            return failure
        if asked["model"] != "hashed":
            return 404, {}, {"error": {"message": f"no model {asked['model']}"}}
        if len(asked["input"]) > self.most:
            return 413, {}, b"too large"
        self.texts.append(asked["input"])
        rows = HashedWords().encode(asked["input"]).tolist()
        data = [{"index": k, "embedding": row} for k, row in enumerate(rows)][::-1]
        made: dict[str, Any] = {"data": data, "usage": {"prompt_tokens": 3 * len(rows)}}
        return 200, {}, failure(made) if failure else made


CUT: Callable[..., Any] = len
"""Stands for a connection that ends without an answer."""


@contextmanager
def serving() -> Iterator[Api]:
    """An endpoint that knows the model ``hashed``: words in 32 bins."""
    api = Api()
    with listening(api.answer) as api.url:
        yield api


@contextmanager
def serving_with_key(patch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The same, for whoever has the key ``SECRET``, as the environment has; without proxies."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        patch.delenv(name, raising=False)
    patch.setenv(KEY_VARIABLE, SECRET)
    with serving() as api:
        api.key = SECRET
        yield api
