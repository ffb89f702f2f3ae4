"""Recorded answers of real Qdrant servers (1.18.3): refusals, keys, clusters with dead nodes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from playback import Reply

FILES = Path(__file__).parent / "recorded"
NAMES = ("refusals", "access", "cluster")


@cache
def recordings(name: str) -> dict[str, dict[str, Any]]:
    """All answers of one file, by what was asked.

    Over REST ``status``, ``headers`` and ``body``; over gRPC ``code`` and ``details``.
    """
    read = json.loads((FILES / f"{name}.json").read_text(encoding="utf-8"))
    return {answer["what"]: answer for answer in read}


def recorded(name: str, what: str) -> Reply:
    """The answer over REST to ``what``, to be sent again."""
    answer = recordings(name)[what]
    body = answer["body"]
    content = body.encode() if isinstance(body, str) else {"time": 0.0, **body}
    return answer["status"], dict(answer.get("headers", {})), content
