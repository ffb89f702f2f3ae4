"""Messages of a dialogue, whichever way a payload spells them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tsds_qdrant.records.fields import shown
from tsds_qdrant.training.examples import Message, UnfitError

ROLES = {
    **{name: name for name in ("system", "developer", "user", "assistant", "tool")},
    **{"human": "user", "gpt": "assistant", "model": "assistant", "bot": "assistant"},
}
"""Role as a payload names it -> role as chat templates do."""


def messages_of(items: list[Any]) -> tuple[Message, ...]:
    """Messages from ``role`` (or ``from``) and ``content`` (or ``value``).

    Other keys (``name``, ``tool_calls``, ..) are kept unless they are null. A content that is a
    list of text parts becomes their joined text.

    Raises:
        UnfitError: an item is no object, has an unknown role, or holds no text.
    """
    messages = []
    for number, item in enumerate(items, start=1):
        if not isinstance(item, Mapping):
            raise UnfitError(f"holds {shown(item)} as message {number}, which is no object")
        said = item.get("role", item.get("from"))
        role = ROLES.get(said) if isinstance(said, str) else None
        if role is None:
            known = ", ".join(ROLES)
            raise UnfitError(f"has the role {shown(said)} in message {number}; known are {known}")
        content = item.get("content", item.get("value"))
        if content is None and item.get("tool_calls"):
            content = ""
        kept = {
            key: value
            for key, value in item.items()
            if key not in ("from", "value") and value is not None
        }
        messages.append({**kept, "role": role, "content": _text_of(content, number)})
    return tuple(messages)


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
        said = message["content"].strip() or message.get("tool_calls")
        if message["role"] == "assistant" and said:
            return messages
    raise UnfitError("has no answer of an assistant")


def alternating(messages: tuple[Message, ...]) -> bool:
    """Whether, after a system message, user and assistant take turns and the last answers."""
    roles = [message["role"] for message in messages]
    said = roles[1:] if roles[:1] == ["system"] else roles
    return bool(said) and said == ["user", "assistant"] * (len(said) // 2)


def _text_of(content: Any, number: int) -> str:
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") if isinstance(part, Mapping) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise UnfitError(f"holds {shown(content)} as content of message {number}, which is no text")
    return "".join(text for text in texts if text)
