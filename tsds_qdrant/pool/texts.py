"""The text of a point, and how much of it is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import InputError
from tsds_qdrant.files.json_values import json_safe
from tsds_qdrant.records import TextTemplate

LENGTH = 200
"""Maximum number of characters of a text that are shown."""
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Controls, halves of surrogate pairs, and what turns the direction of the text that follows."""


def own_template(info: CollectionInfo, wanted: TextTemplate | None = None) -> TextTemplate:
    """The template ``wanted``, where it says anything; else that of the collection."""
    if wanted is not None and wanted.to_dict():
        return wanted
    return TextTemplate.from_dict(info.metadata.get("text") or {})


def text_of(payload: Mapping[str, Any], template: TextTemplate) -> str:
    """The text of a point, whatever its payload looks like.

    By ``template``; else the first field that holds text; else the payload as JSON.
    """
    try:
        return template.render(payload)
    except InputError:
        texts = (value for value in payload.values() if isinstance(value, str) and value.strip())
        return next(texts, json.dumps(json_safe(payload), ensure_ascii=False) if payload else "")


def shortened(text: str, length: int = LENGTH) -> str:
    """``text`` in one line of at most about ``length`` characters.

    Control characters, halves of surrogate pairs, and characters that would turn the direction
    of what follows become spaces.
    """
    line = " ".join(_HARMFUL.sub(" ", text[: 8 * length]).split())
    if len(line) <= length and len(text) <= 8 * length:
        return line
    head = line[:length]
    words = head.rsplit(" ", 1)
    return (words[0] if len(words) == 2 and len(words[0]) > length // 2 else head) + " …"
