"""Dialogues as LLaMA-Factory reads them: roles that take turns, tokens for pictures.

Its data/README.md and src/llamafactory/data/converter.py say how: after a system prompt, ``user``
or ``observation`` and then ``assistant`` or ``function_call``, in turn; a call is JSON text of
``name`` and ``arguments``, several are a list; ``tools`` is JSON text; there are as many
``<image>`` as images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tsds_qdrant.records.dialogue import calls_of, parsed, reasoning_of
from tsds_qdrant.records.examples import Example, Message, UnfitError, reasoned
from tsds_qdrant.records.fields import shown
from tsds_qdrant.training.media import with_tokens

CALL, RESULT = "function_call", "observation"
RESULTS_APART = "\n</tool_response>\n<tool_response>\n"
"""Between the results of calls that were made at once, as its converter joins them."""
_ROLES = MappingProxyType({"developer": "system", "tool": RESULT})


def dialogue_row(example: Example) -> dict[str, Any]:
    """``messages``, ``tools`` ("" if there are none) and the columns of media.

    Raises:
        UnfitError: roles that do not take turns, a call that is no JSON or that comes with text,
            tools that are no list, or tokens that do not match the media.
    """
    messages, media = with_tokens(example)
    rows: list[dict[str, Any]] = []
    for number, message in enumerate(messages, start=1):
        row = _row(message, number)
        if row["role"] == RESULT and rows and rows[-1]["role"] == RESULT:
            rows[-1]["content"] += RESULTS_APART + row["content"]
        else:
            rows.append(row)
    if not alternating(rows):
        said = ", ".join(row["role"] for row in rows[:6])
        raise UnfitError(f"has messages of {said}, where user and assistant must take turns")
    return {"messages": rows, "tools": _tools(example.tools), **media}


def alternating(messages: tuple[Message, ...] | list[dict[str, Any]]) -> bool:
    """Whether, after a system message, user and assistant take turns and the last answers.

    A result of a tool stands for the user, a call for the assistant.
    """
    roles = [message["role"] for message in messages]
    said = roles[1:] if roles[:1] == ["system"] else roles
    asking, answering = {"user", RESULT}, {"assistant", CALL}
    return (
        bool(said)
        and len(said) % 2 == 0
        and set(said[::2]) <= asking
        and set(said[1::2]) <= answering
    )


def _row(message: Message, number: int) -> dict[str, Any]:
    role = _ROLES.get(message["role"], message["role"])
    calls = calls_of(message)
    if not calls:
        return {"role": role, "content": reasoned(message)}
    if message["content"].strip() or reasoning_of(message).strip():
        raise UnfitError(f"says something beside the call of message {number}, which has no place")
    for call in calls:
        if not isinstance(call["name"], str) or not isinstance(call["arguments"], Mapping):
            raise UnfitError(f"calls {shown(call)} in message {number}, without name and arguments")
    return {
        "role": CALL,
        "content": json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False),
    }


def _tools(tools: str) -> str:
    """JSON text of a list of functions, each by itself rather than under ``function``."""
    if not tools:
        return ""
    listed = parsed(tools)
    if not isinstance(listed, list) or not all(isinstance(tool, Mapping) for tool in listed):
        raise UnfitError(f"holds {shown(tools)} as its tools, which is no list of functions")
    return json.dumps([tool.get("function", tool) for tool in listed], ensure_ascii=False)
