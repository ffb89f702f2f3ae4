"""The text of a point, and how much of it is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import InputError
from tsds_qdrant.files.json_values import json_safe
from tsds_qdrant.pool.fields import check_template, sampled_payloads
from tsds_qdrant.progress import notice
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.usual import usual_template

LENGTH = 200
"""Maximum number of characters of a text that are shown."""
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Controls, halves of surrogate pairs, and what turns the direction of the text that follows."""


def point_template(
    collection: Collection, wanted: TextTemplate | None = None, *, shared: bool = False
) -> TextTemplate:
    """How the texts of a collection's points are made: the one rule for all that reads them.

    As ``wanted`` says, else as the collection's own metadata do, else by the usual shape that suits
    most of a few points (:data:`~tsds_qdrant.records.shapes.SHAPES`), which is said. Undecided
    where none of them has one.

    Args:
        collection: open; a few of its points are read where nothing says it.
        wanted: what a user says.
        shared: that is how the texts of task examples are made too. Then what the collection says
            comes first, and fields that no point has are those of the task examples alone.
    """
    own = own_template(collection.info())
    asked = wanted if wanted is not None and wanted.to_dict() else None
    if asked and not shared:
        return asked
    if own.to_dict():
        return own
    if asked and _has_some(collection, asked):
        return asked
    return assumed_template(collection)


def assumed_template(collection: Collection) -> TextTemplate:
    """The usual shape that suits most of a few points; said, but of a plain field ``text``."""
    payloads = sampled_payloads(collection)
    usual = usual_template(payloads)
    if usual.to_dict() and usual.in_words != "text":
        having = sum(usual.suits(payload) for payload in payloads)
        name = collection.info().name
        notice(
            f"texts of {name}",
            f"collection '{name}' does not say what the text of a point is: "
            f"'{usual.in_words}' is taken, which {having} of {len(payloads)} points looked at have",
        )
    return usual


def own_template(info: CollectionInfo) -> TextTemplate:
    """The template that the collection's own metadata name; undecided where they name none."""
    return TextTemplate.from_dict(info.metadata.get("text") or {})


def text_of(payload: Mapping[str, Any], template: TextTemplate) -> str:
    """The text of a point, whatever its payload looks like.

    By ``template``; else by its own usual shape; else the first field that holds text; else the
    payload as JSON.
    """
    for way in (template, TextTemplate()):
        if way.suits(payload):
            return way.render(payload)
    texts = (value for value in payload.values() if isinstance(value, str) and value.strip())
    return next(texts, json.dumps(json_safe(payload), ensure_ascii=False) if payload else "")


def _has_some(collection: Collection, template: TextTemplate) -> bool:
    try:
        check_template(collection, template)
    except InputError:
        return False
    return True


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
