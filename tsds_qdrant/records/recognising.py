"""Recognising what a payload shows a model.

The usual shapes are known by their fields, in the order of
:data:`~tsds_qdrant.records.shapes.SHAPES`; a field map names the fields of all others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.records.dialogue import is_dialogue, is_message, parsed
from tsds_qdrant.records.examples import Example, Turn, UnfitError
from tsds_qdrant.records.fields import listed_fields, name_of, shown
from tsds_qdrant.records.messages import (
    checked_answer,
    earlier_turns,
    messages_of,
    spelt_by_roles,
    with_system,
)
from tsds_qdrant.records.shapes import (
    ALWAYS,
    PREFERENCE,
    SHAPES,
    STRINGS,
    Parts,
    begins_a_dialogue,
    held_parts,
    held_records,
    lacking,
)

FieldMap = Mapping[str, str]
"""Part of an example -> the field that holds it; dots reach into nested payloads."""
MAPPED = "as mapped"
_LABELS = ("label", "kto_tag")
_LABELLED = ("messages", "conversations", STRINGS)
"""Shapes where a label says whether the answer is good, even as a number; in others a number may
be a class."""
PARTS = ("prompt", "completion", "input", "system", "messages", "text")
_WHOLE = ({"messages"}, {"text"}, {"prompt", "completion"}, {"prompt", "completion", "input"})


def field_map_of(text: str, flag: str = "--map") -> dict[str, str]:
    """A field map from ``prompt=question,completion=answer.text``.

    Raises:
        SettingsError: a part without a field, or one that comes twice.
    """
    fields: dict[str, str] = {}
    for item in text.split(",") if text else []:
        part, equals, name = (piece.strip() for piece in item.partition("="))
        if not equals:
            raise SettingsError(f"{flag} has '{item}'; write PART=FIELD, prompt=question say")
        if part in fields:
            raise SettingsError(f"{flag} names {part} twice; keep one of them")
        fields[part] = name
    return fields


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
            f"the field map names {', '.join(sorted(parts))}, and that makes no example; map "
            "prompt and completion (and input), or messages, or text"
        )
    return fields


def recognised(payload: Mapping[str, Any], fields: FieldMap = MappingProxyType({})) -> Example:
    """What ``payload`` shows, by ``fields`` or by the first of ``SHAPES`` that it has.

    A row of a selection shows what its own payload does. Of preference rows it is the chosen
    answer that is shown, and of a list of right answers the first.

    Raises:
        UnfitError: it has no known shape, its values do not suit that shape, or its answer is
            labelled false.
    """
    given = {part: (path,) for part, path in fields.items()}
    mapped = bool(given.keys() - {"system"})
    shapes: Mapping[str, Parts] = {MAPPED: given} if mapped else SHAPES
    missing = ""
    for prefix, inside in [("", payload)] if mapped else held_records(payload):
        for shape, parts in shapes.items():
            found = {
                part: (path, value)
                for part, path, value in held_parts(
                    inside, {**ALWAYS, **parts, **given}, _is_given if mapped else _serves
                )
            }
            left = lacking(parts, found)
            if not left:
                example = _example(shape, {part: value for part, (_, value) in found.items()})
                used = {name_of(inside, path) for path, _ in found.values()} - {"rejected"}
                used |= set() if example.is_text else _checked_labels(shape, inside)
                return replace(example, used=frozenset({prefix[:-1]} if prefix else used))
            missing = parts[left[0]][0]
    fault = f"no '{missing}'" if mapped else "no shape that is known"
    raise UnfitError(f"has {fault} ({listed_fields(payload)})")


def _is_given(part: str, value: Any) -> bool:
    return value is not None


def _serves(part: str, value: Any) -> bool:
    return value is not None and not (part == "text" and isinstance(value, (list, Mapping)))


def _checked_labels(shape: str, payload: Mapping[str, Any]) -> set[str]:
    """The fields that say whether an answer is a good one.

    Raises:
        UnfitError: one of them says that it is not.
    """
    fields = set()
    for name in _LABELS:
        label = str(payload.get(name)).strip().lower()
        numbers = ("0", "0.0", "1", "1.0") if name != "label" or shape in _LABELLED else ()
        if label in ("false", "undesirable", *numbers[:2]):
            raise UnfitError("is labelled false, so its answer is none to learn", mendable=False)
        if label in ("true", "desirable", *numbers):
            fields.add(name)
    return fields


def _example(shape: str, values: Mapping[str, Any]) -> Example:
    if shape == PREFERENCE:
        values = _preferred(values)
    if "text" in values:
        return Example(shape, text=_text(values["text"], "text", needed=True))
    system = _text(values.get("system", ""), "system prompt")
    media = {
        column: value if isinstance(value, list) else [value]
        for column in ("images", "videos", "audios")
        if (value := values.get(column))
    }
    if "messages" in values:
        items = values["messages"]
        messages = checked_answer(with_system(messages_of(items), system))
        last = len(messages) - 1 if shape == PREFERENCE else None
        return Example(shape, messages, last, tools=_tools(values, items), media=media)
    prompt, completion = _alike(values)
    if isinstance(prompt, list) and isinstance(completion, list):
        before = with_system(messages_of(prompt), system)
        answer = checked_answer(messages_of(completion))
        tools = _tools(values, [*prompt, *completion])
        return Example(shape, before + answer, len(before), tools=tools, media=media)
    turn = Turn(
        _text(prompt, "prompt"),
        _text(_first_answer(completion), "completion", needed=True),
        _text(values.get("input", ""), "input"),
        system,
    )
    if not turn.prompt.strip() and not turn.input.strip():
        raise UnfitError("has an empty prompt")
    earlier = tuple(earlier_turns(values.get("history") or []))
    at = 1 if system else 0
    messages = (*turn.messages[:at], *earlier, *turn.messages[at:])
    single, tools = None if earlier else turn, _tools(values, [])
    return Example(shape, messages, len(messages) - 1, single, tools=tools, media=media)


def _preferred(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an example whose answer is the chosen one."""
    beside = {part: value for part, value in values.items() if part not in ("chosen", "rejected")}
    asked, chosen = beside.pop("asked", None), values["chosen"]
    chosen = [chosen] if is_message(chosen) else chosen
    if begins_a_dialogue(chosen):
        return {**beside, "messages": chosen}
    if asked is None:
        if not isinstance(chosen, str):
            raise UnfitError("has a chosen answer without a prompt")
        return {"text": chosen}
    return {**beside, "prompt": asked, "completion": chosen}


def _alike(values: Mapping[str, Any]) -> tuple[Any, Any]:
    """Prompt and completion, both as lists of messages if one of them is."""
    prompt, completion = values["prompt"], values["completion"]
    if is_dialogue(prompt) and isinstance(completion, str):
        return prompt, [{"role": "assistant", "content": completion}]
    if isinstance(prompt, str) and is_dialogue(completion):
        turn = Turn(prompt, "", _text(values.get("input", ""), "input"))
        return [*earlier_turns(values.get("history") or []), *turn.messages[:-1]], completion
    return prompt, completion


def _first_answer(completion: Any) -> Any:
    """The first of a list of right answers, as SQuAD has them."""
    if not isinstance(completion, list):
        return completion
    if not completion:
        raise UnfitError("has an empty list of answers", mendable=False)
    return completion[0] if all(isinstance(answer, str) for answer in completion) else completion


def _tools(values: Mapping[str, Any], items: list[Any]) -> str:
    """JSON text of the tools, each under ``function`` where LLaMA-Factory named it alone."""
    tools = values.get("tools") or ""
    listed = parsed(tools) if isinstance(tools, str) else tools
    if spelt_by_roles(items) and isinstance(listed, list):
        tools = [
            {"type": "function", "function": tool}
            if isinstance(tool, Mapping) and "function" not in tool
            else tool
            for tool in listed
        ]
    return tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False)


def _text(value: Any, part: str, *, needed: bool = False) -> str:
    """A string, or a number as JSON writes it."""
    text = json.dumps(value) if isinstance(value, (bool, int, float)) else value
    if not isinstance(text, str):
        raise UnfitError(f"holds {shown(value)} as its {part}, which is no text")
    if needed and not text.strip():
        raise UnfitError(f"has an empty {part}")
    return text
