"""Messages of a dialogue, whichever way a record spells them: roles, parts, tool calls.

Known are the spellings of OpenAI (``role`` and ``content``, a text or a list of parts,
``tool_calls``, the older ``function_call``), of ShareGPT (``from`` and ``value``), of
LLaMA-Factory (the roles ``function_call`` and ``observation``), and the parts of Anthropic.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

CALL_ROLES = ("function_call", "tool_call")
"""Roles of messages whose text is the JSON of one tool call, or of a list of them."""
ROLES: Mapping[str, str] = MappingProxyType(
    {
        **{name: name for name in ("system", "developer", "user", "assistant", "tool")},
        **{"human": "user", "prompter": "user"},
        **dict.fromkeys(("gpt", "model", "bot", "chatgpt", "ai", *CALL_ROLES), "assistant"),
        **dict.fromkeys(
            ("observation", "function", "tool_response", "tool_result", "ipython"), "tool"
        ),
    }
)
"""Role as a record names it -> role as chat templates do."""
ROLE_KEYS = ("role", "from")
CONTENT_KEYS = ("content", "value", "text", "parts")
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
MEDIA: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("image", "image_url", "input_image"), "image"),
        **dict.fromkeys(("video", "video_url", "input_video"), "video"),
        **dict.fromkeys(("audio", "audio_url", "input_audio"), "audio"),
        **dict.fromkeys(("file", "input_file"), "file"),
    }
)
"""Type of a part that holds no text -> what it holds."""


def first_of(item: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """The value of the first key that holds one; None if all are missing or null."""
    return next((item[key] for key in keys if item.get(key) is not None), None)


def is_message(value: Any) -> bool:
    """Whether ``value`` is an object with a role and with something that was said or called."""
    if not isinstance(value, Mapping) or not isinstance(first_of(value, ROLE_KEYS), str):
        return False
    return any(key in value for key in (*CONTENT_KEYS, "tool_calls", "function_call"))


def is_dialogue(value: Any) -> bool:
    """Whether ``value`` is a list of messages, and not an empty one."""
    return isinstance(value, list) and bool(value) and all(map(is_message, value))


def role_of(message: Mapping[str, Any]) -> str | None:
    """The role of a message as chat templates name it; None if it is unknown."""
    said = first_of(message, ROLE_KEYS)
    return ROLES.get(said) if isinstance(said, str) else None


def dialogue_text(messages: list[Any]) -> str:
    """The texts of all messages, one a line; roles and empty messages are left out."""
    return joined(message_text(message) for message in messages)


def message_text(message: Mapping[str, Any]) -> str:
    """All that a message says: its reasoning, its content, and the tools that it calls.

    Each comes on a line of its own, in the order in which models write them. A call is JSON text
    with ``name`` and ``arguments``; a content that is no text is JSON text too.
    """
    content = first_of(message, CONTENT_KEYS)
    said = content_text(content)
    if said is None:
        said = json.dumps(content, ensure_ascii=False)
    return joined((reasoning_of(message), said, *map(call_text, calls_of(message))))


def reasoning_of(message: Mapping[str, Any]) -> str:
    """What a model thought before it answered, where a message keeps that apart; else ""."""
    reasoning = first_of(message, REASONING_KEYS)
    return "" if isinstance(reasoning, (bool, int, float)) else content_text(reasoning) or ""


def content_text(content: Any) -> str | None:
    """The text of a content: a text, a number, or the text parts of a list, one a line.

    Returns:
        the text, "" where there is none; None where ``content`` is nothing of that kind.
    """
    if isinstance(content, (str, int, float)) or content is None:
        return scalar_text(content)
    parts = content if isinstance(content, list) else [content]
    texts = [part_text(part) for part in parts]
    return None if None in texts else joined(text for text in texts if text)


def part_text(part: Any) -> str | None:
    """The text of one part of a content: "" for a picture, a sound or a file; None if unknown."""
    if isinstance(part, str) or part is None:
        return part or ""
    if not isinstance(part, Mapping):
        return None
    kind = part.get("type")
    if kind == "tool_use":
        return call_text({"name": part.get("name"), "arguments": part.get("input")})
    if kind == "tool_result":
        return content_text(part.get("content"))
    if not isinstance(kind, str):
        alone = [key for key, value in part.items() if value is not None] == ["text"]
        return part["text"] if alone and isinstance(part["text"], str) else None
    text = first_of(part, ("text", kind)) if kind in ("thinking", "refusal") else part.get("text")
    if isinstance(text, str):
        return text
    return "" if text is None and (kind in MEDIA or kind == "text") else None


def scalar_text(value: str | int | float | None) -> str:
    """A text as it is, a number as JSON writes it, "" for null."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a message, each with ``name`` and ``arguments``.

    Arguments that are JSON text are parsed; other text stays.
    """
    given = message.get("tool_calls") or []
    calls = list(given) if isinstance(given, list) else [given]
    if message.get("function_call"):
        calls.append(message["function_call"])
    return [_call(call) for call in calls]


def calls_in(text: str) -> list[dict[str, Any]] | None:
    """The calls that the text of a message in one of ``CALL_ROLES`` holds; None if it is none."""
    value = parsed(text)
    calls = value if isinstance(value, list) else [value]
    if not calls or not all(isinstance(call, Mapping) and call.get("name") for call in calls):
        return None
    return [_call(call) for call in calls]


def call_text(call: Mapping[str, Any]) -> str:
    """JSON text of a call."""
    return json.dumps(call, ensure_ascii=False)


def parsed(text: Any) -> Any:
    """The object or the list that is written in ``text`` as JSON; None if there is none."""
    if not isinstance(text, str) or not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def joined(texts: Iterator[str] | tuple[str, ...]) -> str:
    """``texts`` one a line, without the blank ones."""
    return "\n".join(text for text in texts if text.strip())


def _call(call: Any) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, Mapping) else {"name": call}
    function = function if isinstance(function, Mapping) else {"name": function}
    arguments = first_of(function, ("arguments", "parameters", "input"))
    if isinstance(arguments, str):
        value = parsed(arguments)
        arguments = arguments if value is None else value
    return {"name": function.get("name"), "arguments": {} if arguments in (None, "") else arguments}
