"""Messages in the forms that chat templates take: each says the same with fewer roles and keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]
MARK = "q7zanswerz7q"
"""A text that stands in no template."""


def plain(message: Message) -> dict[str, Any]:
    """A message whose content is a text, and whose calls have arguments that are no JSON text."""
    content = message.get("content")
    if isinstance(content, (list, tuple)):
        content = "".join(str(part.get("text") or "") for part in content if _is_object(part))
    made = {**message, "content": "" if content is None else str(content)}
    calls = message.get("tool_calls")
    if isinstance(calls, (list, tuple)):
        made["tool_calls"] = [_call(call) for call in calls]
    return made


def called(message: Message) -> list[str]:
    """The calls of a message, each as JSON text with ``name`` and ``arguments``."""
    calls = [call.get("function", call) for call in message.get("tool_calls") or [] if call]
    return [json.dumps(call, ensure_ascii=False) for call in calls]


def _call(call: Any) -> Any:
    if not _is_object(call) or not _is_object(call.get("function")):
        return call
    function = call["function"]
    arguments = function.get("arguments")
    if isinstance(arguments, str) and _is_object(parsed := _parsed(arguments)):
        return {**call, "function": {**function, "arguments": parsed}}
    return call


def forms(
    messages: Sequence[Message], asked: int | None
) -> Iterator[tuple[list[Message], int | None]]:
    """Ways to say the same, each for a template that refuses those before it.

    Args:
        messages: with ``role`` and ``content``.
        asked: how many of them are the prompt; None where every answer is learnt.

    Yields:
        messages, and how many of them are the prompt then.
    """
    parts = [plain(message) for message in messages]
    yield list(parts), asked
    said = [_spoken(message) for message in parts]
    yield list(said), asked
    yield _joined(said, asked, systems_alone=True)
    users = [{**m, "role": "user"} if m["role"] in ("tool", "system") else m for m in said]
    yield _joined(users, asked, systems_alone=False)


def _spoken(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose calls are part of its content, and whose role is a usual one."""
    kept = {key: value for key, value in message.items() if key != "tool_calls"}
    kept["content"] = "\n".join(part for part in (message["content"], *called(message)) if part)
    return {**kept, "role": "system" if message["role"] == "developer" else message["role"]}


def _joined(
    messages: list[dict[str, Any]], asked: int | None, *, systems_alone: bool
) -> tuple[list[Message], int | None]:
    """Neighbours of one role as one message, but across the border of what is asked.

    Where ``systems_alone``, only system messages are joined, with the user message behind them.
    """
    made: list[dict[str, Any]] = []
    boundary = asked
    for number, message in enumerate(messages):
        last = made[-1] if made and number != asked else None
        if systems_alone:
            joins = last is not None and (last["role"], message["role"]) == ("system", "user")
        else:
            joins = last is not None and last["role"] == message["role"]
        if last is not None and joins:
            content = "\n\n".join(part for part in (last["content"], message["content"]) if part)
            made[-1] = {**message, "content": content}
            if boundary is not None and asked is not None and number < asked:
                boundary -= 1
        else:
            made.append(message)
    return list(made), boundary


def signed(messages: Sequence[Message]) -> tuple[list[Message], list[str]]:
    """Messages whose easily lost parts are signs, and those signs: a template has to write them.

    These are the contents of the roles that some templates leave out, and names of functions.
    """
    signs: list[str] = []

    def sign() -> str:
        signs.append(f"{MARK}{len(signs)}s")
        return signs[-1]

    made: list[Message] = []
    for message in messages:
        changed = dict(message)
        if message["role"] in ("system", "developer", "tool") and message["content"].strip():
            changed["content"] = sign()
        if message.get("tool_calls"):
            changed["tool_calls"] = [_renamed(call, sign) for call in message["tool_calls"]]
        made.append(changed)
    return made, signs


def _renamed(call: Any, sign: Callable[[], str]) -> Any:
    if not _is_object(call):
        return call
    if _is_object(call.get("function")):
        return {**call, "function": {**call["function"], "name": sign()}}
    return {**call, "name": sign()}


def listed_tools(tools: str) -> list[Any] | None:
    """The tools that a JSON text lists; None where it lists none."""
    known = _parsed(tools) if tools else None
    return known if isinstance(known, list) and known and all(map(_is_object, known)) else None


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
