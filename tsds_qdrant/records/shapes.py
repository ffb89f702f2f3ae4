"""The usual shapes of records, by their fields: what ingest embeds and what export writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tsds_qdrant.records.dialogue import is_dialogue, is_message, parsed, role_of
from tsds_qdrant.records.fields import field_values
from tsds_qdrant.records.values import value_text

Parts = Mapping[str, tuple[str, ...]]
"""Part of an example -> the fields that may hold it; the first that does is taken."""

PREFERENCE = "preference rows by their chosen answer"
STRINGS = "prompt and completion"
TEXT = "text"
SHAPES: Mapping[str, Parts] = MappingProxyType(
    {
        PREFERENCE: {
            "asked": ("prompt", "question", "instruction", "messages", "conversations"),
            "history": ("history",),
            "input": ("input", "context"),
            "chosen": ("chosen",),
            "rejected": ("rejected",),
        },
        "messages": {"messages": ("messages",)},
        "conversations": {"messages": ("conversations", "conversation")},
        "instruction and output": {
            "prompt": ("instruction",),
            "completion": ("output", "response"),
            "input": ("input", "context"),
            "history": ("history",),
        },
        STRINGS: {"prompt": ("prompt",), "completion": ("completion", "response")},
        "question and answer": {
            "prompt": ("question",),
            "completion": ("answer.value", "answer", "response", "answers.text", "answers"),
            "input": ("context", "passage"),
        },
        "inputs and targets": {"prompt": ("inputs",), "completion": ("targets",)},
        "query and response": {"prompt": ("query",), "completion": ("response", "answer")},
        "problem and solution": {"prompt": ("problem",), "completion": ("solution",)},
        "input and output": {"prompt": ("input",), "completion": ("output",)},
        TEXT: {
            "text": (
                *("text", "content", "page_content", "document", "data", "doc_content", "chunk"),
                *("chunk_content.content", "_node_content.text"),
                *("_node_content.text_resource.text", "_node_content", "body"),
            )
        },
    }
)
"""Name of a shape -> its parts, in the order in which they are tried."""
ALWAYS: Parts = MappingProxyType(
    {
        "system": ("system", "system_prompt"),
        "tools": ("tools", "functions"),
        "images": ("images", "image"),
        "videos": ("videos", "video"),
        "audios": ("audios", "audio"),
    }
)
"""Parts that an example of any shape but text may have."""
NEEDED = ("messages", "prompt", "completion", "text", "chosen", "rejected")
HOLDERS = ("payload", "payload_json")
"""Fields that hold a whole record: rows of a selection have them."""

_WRITTEN = ("system", "history", "asked", "messages", "prompt", "input", "chosen", "completion")
_OPTIONAL = ("system", "history", "asked", "input")
_LISTS = ("answers.text", "answers")
"""Answers of SQuAD: none where a question cannot be answered."""
_PLAIN = ("text", "content")
"""Fields that are the text of a record whatever else it has."""


def held_parts(
    record: Mapping[str, Any],
    parts: Parts,
    fits: Callable[[str, Any], bool],
) -> Iterator[tuple[str, str, Any]]:
    """The parts that ``record`` has: each with the path of its field, and the value.

    Messages must be a list, or JSON text of one.

    Args:
        record: any record.
        parts: what is looked for.
        fits: whether a value serves as a part.
    """
    for part, paths in parts.items():
        for path in paths:
            values = field_values(record, path)
            if len(values) != 1:
                continue
            value = values[0]
            if part == "messages" and isinstance(value, str):
                value, path = parsed(value) or value, f"{path}.*"
            listed = part != "messages" or value is None or isinstance(value, list)
            if listed and fits(part, value):
                yield part, path, value
                break


def lacking(parts: Collection[str], found: Collection[str]) -> list[str]:
    """The parts that a shape needs and that are not among ``found``."""
    return [part for part in parts if part in NEEDED and part not in found]


def held_records(record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """``record`` itself, and the whole records that it holds: each with the path to its fields."""
    yield "", record
    for holder in HOLDERS:
        value = record.get(holder)
        inside = parsed(value) if isinstance(value, str) else value
        if isinstance(inside, Mapping):
            yield f"{holder}.", inside


def template_for(record: Mapping[str, Any]) -> str | None:
    """The template of the first usual shape whose fields ``record`` has with text; else None.

    ``text`` and ``content`` come first, then ``SHAPES`` in order, then a ``prompt`` alone. Of
    preference rows the chosen answer is taken. A field that is null counts only if nothing else
    fits.
    """
    for fits in (_has_text, _has_text_or_null):
        for prefix, inside in held_records(record):
            for parts in _tried():
                template = _template(inside, parts, prefix, fits)
                if template is not None:
                    return template
    return None


def begins_a_dialogue(chosen: Any) -> bool:
    """Whether a chosen answer is a whole dialogue, its prompt included."""
    return is_dialogue(chosen) and role_of(chosen[0]) != "assistant"


def _tried() -> Iterator[Parts]:
    yield {"text": _PLAIN}
    for name, parts in SHAPES.items():
        if name == TEXT:
            yield {"prompt": ("prompt",)}
        yield parts


def _template(
    record: Mapping[str, Any], parts: Parts, prefix: str, fits: Callable[[str, Any], bool]
) -> str | None:
    if "text" not in parts:
        parts = {"system": ALWAYS["system"], **parts}
    held = {part: (path, value) for part, path, value in held_parts(record, parts, fits)}
    found = {part: path for part, (path, _) in held.items()}
    if lacking(parts, found):
        return None
    if begins_a_dialogue(held.get("chosen", ("", None))[1]):
        found = {part: path for part, path in found.items() if part in ("system", "chosen")}
    if parts.get("prompt") == ("instruction",):
        found.setdefault("input", "input")  # many records of Alpaca leave an empty one out
    written = [part for part in ("text", *_WRITTEN) if part in found]
    return "\n".join(
        f"{{{prefix}{found[part]}{'?' if part in _OPTIONAL or found[part] in _LISTS else ''}}}"
        for part in written
    )


def _has_text(part: str, value: Any) -> bool:
    if part == "text" or value is None:
        return isinstance(value, str)
    if part == "messages":
        return all(map(is_message, value)) or all(isinstance(item, str) for item in value)
    return value_text(value) is not None


def _has_text_or_null(part: str, value: Any) -> bool:
    return value is None or _has_text(part, value)
