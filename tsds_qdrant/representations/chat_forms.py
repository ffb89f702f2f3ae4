"""Messages in the forms that chat templates take: each says the same with fewer roles and keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]


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


def must_be_said(message: Message) -> list[str]:
    """What has to stand in the text of a dialogue, in whichever way a template writes it.

    Of contents it is their longest word, as some templates write contents as JSON texts.
    """
    names = [json.loads(call).get("name") for call in called(message)]
    said = [name for name in names if isinstance(name, str)]
    if message["role"] in ("system", "developer", "tool"):
        said.append(max(re.findall(r"\w+", message["content"]), key=len, default=""))
    return said


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
