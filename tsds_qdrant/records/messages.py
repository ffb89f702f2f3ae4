"""Messages of a dialogue as chat templates take them, whichever way a payload spells them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

from tsds_qdrant.records.blocks import unblocked
from tsds_qdrant.records.dialogue import (
    CALL_ROLES,
    CONTENT_KEYS,
    MEDIA,
    ROLE_KEYS,
    ROLES,
    calls_in,
    first_of,
    part_text,
    role_of,
    scalar_text,
)
from tsds_qdrant.records.examples import Message, UnfitError
from tsds_qdrant.records.fields import shown

_RESPELT = (*ROLE_KEYS, "content", "value", "tool_calls", "function_call")


def messages_of(items: list[Any]) -> tuple[Message, ...]:
    """Messages with ``role``, ``content`` and ``tool_calls`` from any known spelling.

    Other keys (``name``, ``reasoning_content``, ..) are kept unless they are null. A content that
    is a list of text parts becomes their joined text; one with pictures, sounds or files stays a
    list of parts. The roles ``function_call`` and ``observation``, and blocks ``tool_use`` and
    ``tool_result``, become calls of the assistant and messages of a tool. Where all items are
    texts, user and assistant take turns.

    Raises:
        UnfitError: an item is no object, has an unknown role, or holds no text.
    """
    if all(isinstance(item, str) for item in items):
        roles = cycle(("user", "assistant"))
        return tuple(
            {"role": role, "content": text} for role, text in zip(roles, items, strict=False)
        )
    return tuple(
        _message(message, number)
        for number, item in enumerate(items, start=1)
        for message in unblocked(item)
    )


def spelt_by_roles(items: list[Any]) -> bool:
    """Whether tools are called by roles of their own, as LLaMA-Factory has them."""
    return any(
        isinstance(item, Mapping) and first_of(item, ROLE_KEYS) in CALL_ROLES for item in items
    )


def earlier_turns(history: Any) -> Iterator[Message]:
    """The messages of a list of pairs: what the user said, what the assistant answered.

    Raises:
        UnfitError: it is no such list.
    """
    for pair in history if isinstance(history, list) else [history]:
        if not (
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)
        ):
            raise UnfitError(f"holds {shown(pair)} in its history, which is no pair of texts")
        yield {"role": "user", "content": pair[0]}
        yield {"role": "assistant", "content": pair[1]}


def with_system(messages: tuple[Message, ...], system: str) -> tuple[Message, ...]:
    """``messages`` behind a system message, unless they begin with one."""
    if not system or (messages and messages[0]["role"] in ("system", "developer")):
        return messages
    return ({"role": "system", "content": system}, *messages)


def checked_answer(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """``messages`` if an assistant says something in them.

    Raises:
        UnfitError: none does, so there is nothing to learn.
    """
    for message in messages:
        said = text_in(message).strip() or message.get("tool_calls")
        if message["role"] == "assistant" and said:
            return messages
    raise UnfitError("has no answer of an assistant")


def text_in(message: Message) -> str:
    """The text of a message: of a list of parts, those that are text, joined."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part_text(part) or "" for part in content)


def is_medium(part: Any) -> bool:
    """Whether a part of a content is a picture, a sound, a video or a file."""
    return isinstance(part, Mapping) and part.get("type") in MEDIA


def _message(item: Any, number: int) -> Message:
    if not isinstance(item, Mapping):
        raise UnfitError(f"holds {shown(item)} as message {number}, which is no object")
    said, role = first_of(item, ROLE_KEYS), role_of(item)
    if role is None:
        known = ", ".join(ROLES)
        raise UnfitError(f"has the role {shown(said)} in message {number}; known are {known}")
    content, calls = first_of(item, CONTENT_KEYS), _calls(item)
    if said in CALL_ROLES and not calls:
        calls = _called(content, number)
        content = None
    spoken = next((key for key in CONTENT_KEYS if item.get(key) is not None), "")
    kept = {
        key: value
        for key, value in item.items()
        if key not in (*_RESPELT, spoken) and value is not None
    }
    content = "" if content is None and calls else _content(content, number)
    message = {"role": role, "content": content, **kept}
    return {**message, "tool_calls": calls} if calls else message


def _calls(item: Mapping[str, Any]) -> list[Any]:
    """Tool calls, each under ``function``; the older ``function_call`` is one of them."""
    calls = item.get("tool_calls") or []
    calls = list(calls) if isinstance(calls, list) else [calls]
    if not calls and item.get("function_call"):
        calls = [item["function_call"]]
    bare = [isinstance(call, Mapping) and "function" not in call for call in calls]
    return [
        {"type": "function", "function": call} if unwrapped else call
        for unwrapped, call in zip(bare, calls, strict=True)
    ]


def _called(content: Any, number: int) -> list[Any]:
    calls = calls_in(content) if isinstance(content, str) else None
    if calls is None:
        raise UnfitError(
            f"holds {shown(content)} as the call of message {number}, which is no JSON text of "
            "a name and arguments"
        )
    return [{"type": "function", "function": call} for call in calls]


def _content(content: Any, number: int) -> str | list[Any]:
    if isinstance(content, (str, bool, int, float)):
        return scalar_text(content)
    parts = content if isinstance(content, list) else [content]
    shaped = [_part(part) for part in parts]
    if None in shaped:
        raise UnfitError(f"holds {shown(content)} as content of message {number}, which is no text")
    if any(is_medium(part) for part in shaped):
        return shaped
    return "".join(part["text"] for part in shaped if part)


def _part(part: Any) -> dict[str, Any] | None:
    """A part with ``type``, and ``text`` where it is text; None if it is of no known kind."""
    if is_medium(part):
        return {key: value for key, value in part.items() if value is not None}
    text = None if part is None else part_text(part)
    return None if text is None else {"type": "text", "text": text}
