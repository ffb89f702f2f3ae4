"""Texts to vectors by an endpoint that speaks OpenAI's API of embeddings.

``POST URL/embeddings`` with ``{"model": NAME, "input": [texts]}`` answers with
``{"data": [{"index": 0, "embedding": [..]}, ..]}`` (OpenAI's API reference, "Create embeddings");
vLLM, Ollama, llama.cpp, LiteLLM, TEI and others answer in the same way. The key is only ever sent
as a header.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.errors import EmbeddingError, ModelUnreachableError
from tsds_qdrant.progress import notice
from tsds_qdrant.representations.model_names import endpoint_of
from tsds_qdrant.representations.prompts import passage_prompts

KEY_VARIABLE = "TSDS_QDRANT_MODEL_KEY"
PATIENCE_S = 120.0
"""From the first failure of a request to the last attempt."""
TIMEOUT_S, CONNECT_TIMEOUT_S = 60.0, 10.0
SAID_EVERY_S = 30.0
"""At the latest, while an endpoint is waited for."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 20.0
AGAIN = (408, 425, 429, 500, 502, 503, 504, 529)
"""Answers after which the same request may succeed."""
SMALLER = (400, 413, 422)
"""Answers after which a smaller request may succeed."""
MOST_SAID = 160


@dataclass(frozen=True)
class _Failure:
    """Why a request failed.

    Attributes:
        reason: in words.
        again: whether the same request may succeed, though the endpoint is there.
        smaller: whether a smaller one may.
        away: whether the endpoint is not there, or too busy; the same request may succeed then.
        wait: seconds that the endpoint asks to wait.
        advice: what helps.
    """

    reason: str
    again: bool = False
    smaller: bool = False
    away: bool = False
    wait: float = 0.0
    advice: str = ""


class EndpointEmbedder:
    """A model behind an endpoint.

    Args:
        name: ``http://host/v1#NAME``.
        batch_size: texts of one request.
        prompt: before each text; None or "" for none.
        sleep: waits.
        clock: the time in seconds, from any start.

    Attributes:
        tokens: how many the endpoint says to have read so far.

    Raises:
        SettingsError: the URL names no model, or holds what is to stay secret.
    """

    def __init__(
        self,
        name: str,
        *,
        batch_size: int = 64,
        prompt: str | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.tokens = 0
        self._url, self._model = endpoint_of(name)
        self._batch_size = batch_size
        self._prompt = prompt
        self._sleep, self._clock = sleep, clock
        self._said = -math.inf

    @property
    def made_with(self) -> dict[str, Any]:
        """What vectors depend on besides the name."""
        return {} if self._prompt is None else {"prompt": self._prompt}

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for all that make the same vectors in the same place."""
        return self.name, self._batch_size, self._prompt

    def passage_prompts(self) -> tuple[str, ...]:
        """What the model may want before passages."""
        return passage_prompts(self._model)

    def with_prompt(self, prompt: str | None) -> EndpointEmbedder:
        """The same model with another prompt."""
        other = copy(self)
        other._prompt = prompt
        return other

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> Float32Array:
        """(n, D) float32 vectors of ``texts``, as the endpoint gives them.

        Raises:
            EmbeddingError: the endpoint refuses.
            ModelUnreachableError: it stays away for longer than two minutes.
        """
        import httpx

        shown = [(self._prompt or "") + text for text in texts]
        parts: list[Float32Array] = []
        limits = httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        with httpx.Client(timeout=limits) as client:
            for start in range(0, len(shown), self._batch_size):
                batch = shown[start : start + self._batch_size]
                parts.append(self._made(client, batch, start, len(shown)))
                if len({part.shape[1] for part in parts}) > 1:
                    raise EmbeddingError(
                        f"{self._named} gives vectors of {parts[0].shape[1]} and of "
                        f"{parts[-1].shape[1]} dimensions; let it use one model"
                    )
                if on_batch:
                    on_batch(len(batch))
        return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)

    @property
    def _named(self) -> str:
        return f"the endpoint '{self.name}'"

    def _made(self, client: Any, batch: list[str], start: int, total: int) -> Float32Array:
        """Vectors of texts ``start`` and following, asked for again, or in halves."""
        began, failures = self._clock(), 0
        while True:
            found = self._asked(client, batch)
            if not isinstance(found, _Failure):
                return found
            if found.smaller and len(batch) > 1:
                half = len(batch) // 2
                first = self._made(client, batch[:half], start, total)
                second = self._made(client, batch[half:], start + half, total)
                return np.concatenate([first, second])
            failures += 1
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10))
            pause = max(pause, found.wait)
            left = PATIENCE_S - (self._clock() - began)
            if not (found.again or found.away) or pause > left:
                kind = ModelUnreachableError if found.away else EmbeddingError
                raise kind(self._given_up(found, failures, start, len(batch), total))
            self._waiting(found, pause, left)
            self._sleep(pause)

    def _waiting(self, found: _Failure, pause: float, left: float) -> None:
        """Say that the endpoint is waited for, if ``pause`` makes the silence a long one."""
        now = self._clock()
        if now + pause - self._said > SAID_EVERY_S:
            self._said = now
            text = f"{self._named} {found.reason}; asked again in {pause:.3g} s"
            notice(f"endpoint {now}", f"{text}, for {left:.0f} s more at most")

    def _given_up(self, found: _Failure, failures: int, start: int, size: int, total: int) -> str:
        which = f"text {start}" if size == 1 else f"texts {start} to {start + size - 1}"
        times = f", {failures} times" if failures > 1 else ""
        wait = f" and asks to wait {found.wait:.0f} s" if found.wait > PATIENCE_S else ""
        again = "run the same command again when it answers; what is embedded stays so"
        return (
            f"{self._named} {found.reason}{wait} for {which} of {total}{times}; "
            f"{found.advice or again}"
        )

    def _asked(self, client: Any, batch: list[str]) -> Float32Array | _Failure:
        """Ask once."""
        import httpx

        secret = os.environ.get(KEY_VARIABLE, "")
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        body = {"model": self._model, "input": batch, "encoding_format": "float"}
        try:
            answer = client.post(f"{self._url}/embeddings", json=body, headers=headers)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeEncodeError):
            return _Failure("cannot be asked", advice=f"check its URL, and {KEY_VARIABLE}")
        except httpx.ConnectTimeout:
            return _Failure(f"cannot be reached within {CONNECT_TIMEOUT_S:.0f} s", away=True)
        except httpx.TimeoutException:
            return _Failure(f"gives no answer within {TIMEOUT_S:.0f} s", away=True)
        except httpx.HTTPError as error:
            return _Failure(f"cannot be reached ({_first_line(str(error), secret)})", away=True)
        if answer.status_code != 200:
            return _refusal(answer, secret)
        try:
            found = answer.json()
            ordered = sorted(found["data"], key=lambda one: int(one["index"]))
            with np.errstate(over="ignore"):
                rows = np.array([one["embedding"] for one in ordered], dtype=np.float32)
        except (ValueError, KeyError, TypeError):
            return _Failure("gives an answer that is cut or of another form", again=True)
        if rows.ndim != 2 or len(rows) != len(batch) or not rows.shape[1]:
            return _Failure(f"gives {len(ordered)} vectors for {len(batch)} texts", again=True)
        if not np.isfinite(rows).all():
            return _Failure("gives numbers that are not finite", smaller=True, advice="drop it")
        usage = found.get("usage") if isinstance(found, dict) else None
        counted = usage.get("prompt_tokens") if isinstance(usage, dict) else 0
        self.tokens += counted if isinstance(counted, int) else 0
        return rows


def _refusal(answer: Any, secret: str) -> _Failure:
    status = answer.status_code
    said = _first_line(answer.text, secret)
    reason = f"answers with HTTP {status}" + (f" ({said})" if said else "")
    if status in (401, 403):
        what = "another key" if secret else "a key"
        return _Failure(reason, advice=f"set {KEY_VARIABLE} to {what}")
    if status in AGAIN:
        return _Failure(reason, away=True, wait=_wait(answer.headers.get("Retry-After")))
    if status in SMALLER:
        return _Failure(reason, smaller=True, advice="check --model, or shorten or drop that text")
    return _Failure(reason, advice="check the URL and the name behind # in --model")


def _wait(asked: str | None) -> float:
    """Seconds of a ``Retry-After``, which are given as such or as a date; 0 where it says none."""
    if not asked:
        return 0.0
    try:
        return max(0.0, float(asked))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=timezone.utc)
    return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())


def _first_line(text: str, secret: str) -> str:
    """The beginning of what was said, without the key: some endpoints repeat it."""
    shown = text.replace(secret, "***") if secret else text
    line = " ".join(shown.split())
    return line if len(line) <= MOST_SAID else f"{line[:MOST_SAID]}.."
