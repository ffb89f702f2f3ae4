"""Recognising what a payload shows a model.

The usual shapes are known by their fields, in the order of ``SHAPES``; a field map names the
fields of all others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.records.fields import field_values, listed_fields, shown
from tsds_qdrant.training.examples import Example, Turn, UnfitError
from tsds_qdrant.training.messages import checked_answer, earlier_turns, messages_of, with_system

FieldMap = Mapping[str, str]
"""Part of an example -> the field that holds it; dots reach into nested payloads."""
Parts = Mapping[str, tuple[str, ...]]
"""Part of an example -> the fields that may hold it; the first that does is taken."""

STRINGS = "prompt and completion"
SHAPES: Mapping[str, Parts] = MappingProxyType(
    {
        "messages": {"messages": ("messages",)},
        "conversations": {"messages": ("conversations",)},
        "instruction and output": {
            "prompt": ("instruction",),
            "completion": ("output", "response"),
            "input": ("input", "context"),
            "history": ("history",),
        },
        STRINGS: {"prompt": ("prompt",), "completion": ("completion", "response")},
        "question and answer": {
            "prompt": ("question",),
            "completion": ("answer",),
            "input": ("context",),
        },
        "text": {"text": ("text",)},
    }
)
MAPPED = "as mapped"
ALWAYS: Parts = MappingProxyType({"system": ("system", "system_prompt"), "tools": ("tools",)})
PARTS = ("prompt", "completion", "input", "system", "messages", "text")
_NEEDED = ("messages", "prompt", "completion", "text")
_WHOLE = ({"messages"}, {"text"}, {"prompt", "completion"}, {"prompt", "completion", "input"})


def checked_field_map(fields: FieldMap) -> FieldMap:
    """``fields`` if it names one whole example, or just its system prompt.

    Raises:
        SettingsError: an unknown part, no field, or parts that make no example.
    """
    for part, path in fields.items():
        if part not in PARTS:
            raise SettingsError(f"'{part}' is no part of an example; map {', '.join(PARTS)}")
        if not path:
            raise SettingsError(f"'{part}' is mapped to no field; write {part}=FIELD")
    parts = set(fields) - {"system"}
    if parts and parts not in _WHOLE:
        raise SettingsError(
            f"the field map names {', '.join(sorted(parts))}, which make no example; map prompt "
            "and completion (and input), or messages, or text"
        )
    return fields


def recognised(payload: Mapping[str, Any], fields: FieldMap = MappingProxyType({})) -> Example:
    """What ``payload`` shows, by ``fields`` or by the first of ``SHAPES`` that it has.

    Raises:
        UnfitError: it has no known shape, or its values do not suit that shape.
    """
    given = {part: (path,) for part, path in fields.items()}
    mapped = bool(given.keys() - {"system"})
    shapes = {MAPPED: given} if mapped else SHAPES
    missing = ""
    for shape, parts in shapes.items():
        found = dict(_found(payload, {**ALWAYS, **parts, **given}))
        lacking = [part for part in parts if part in _NEEDED and part not in found]
        if not lacking:
            values = {part: value for part, (_, value) in found.items()}
            return _example(shape, values, frozenset(name for name, _ in found.values()))
        missing = parts[lacking[0]][0]
    fault = f"no '{missing}'" if mapped else "no shape that is known"
    raise UnfitError(f"has {fault} ({listed_fields(payload)})")


def _found(payload: Mapping[str, Any], parts: Parts) -> Iterator[tuple[str, tuple[str, Any]]]:
    """The parts that the payload has: each with the name of the field and the value."""
    for part, paths in parts.items():
        for path in paths:
            values = field_values(payload, path)
            fitting = part != "messages" or isinstance(values and values[0], list)
            if len(values) == 1 and values[0] is not None and fitting:
                yield part, (path if path in payload else path.partition(".")[0], values[0])
                break


def _example(shape: str, values: Mapping[str, Any], used: frozenset[str]) -> Example:
    if "text" in values:
        return Example(shape, text=_text(values["text"], "text", needed=True), used=used)
    system = _text(values.get("system", ""), "system prompt")
    tools = values.get("tools") or ""
    tools = tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False)
    if "messages" in values:
        messages = checked_answer(with_system(messages_of(values["messages"]), system))
        return Example(shape, messages, tools=tools, used=used)
    prompt, completion = values["prompt"], values["completion"]
    if isinstance(prompt, list) and isinstance(completion, list):
        asked = with_system(messages_of(prompt), system)
        answer = checked_answer(messages_of(completion))
        return Example(shape, asked + answer, len(asked), tools=tools, used=used)
    turn = Turn(
        _text(prompt, "prompt"),
        _text(completion, "completion", needed=True),
        _text(values.get("input", ""), "input"),
        system,
    )
    if not turn.prompt.strip() and not turn.input.strip():
        raise UnfitError("has an empty prompt")
    earlier = tuple(earlier_turns(values.get("history") or []))
    at = 1 if system else 0
    messages = (*turn.messages[:at], *earlier, *turn.messages[at:])
    return Example(
        shape, messages, len(messages) - 1, None if earlier else turn, tools=tools, used=used
    )


def _text(value: Any, part: str, *, needed: bool = False) -> str:
    """A string, or a number as JSON writes it."""
    text = json.dumps(value) if isinstance(value, (bool, int, float)) else value
    if not isinstance(text, str):
        raise UnfitError(f"holds {shown(value)} as its {part}, which is no text")
    if needed and not text.strip():
        raise UnfitError(f"has an empty {part}")
    return text
