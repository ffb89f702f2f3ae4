"""Messages in the spelling of Anthropic as messages in that of OpenAI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tsds_qdrant.records.dialogue import content_text, joined

_OWN = ("tool_use", "tool_result", "thinking")
"""Types of blocks that are no parts of a content there."""


def unblocked(item: Any) -> Iterator[Any]:
    """The messages that ``item`` stands for: itself, unless its content has such blocks.

    A ``tool_use`` becomes one of the ``tool_calls``, a ``tool_result`` a message of the role
    ``tool`` before what else was said, ``thinking`` the ``reasoning_content``.
    """
    content = item.get("content") if isinstance(item, Mapping) else None
    parts = content if isinstance(content, list) else [content]
    blocks = [part for part in parts if isinstance(part, Mapping) and part.get("type") in _OWN]
    if not blocks:
        yield item
        return
    calls, results, thoughts = (
        [block for block in blocks if block["type"] == kind] for kind in _OWN
    )
    for block in results:
        text = content_text(block.get("content"))
        yield {"role": "tool", "content": text, "tool_call_id": block.get("tool_use_id")}
    rest = [part for part in parts if part not in blocks]
    functions = [{"name": call.get("name"), "arguments": call.get("input") or {}} for call in calls]
    beside = {
        "reasoning_content": joined(tuple(str(block.get("thinking") or "") for block in thoughts)),
        "tool_calls": [
            {"id": call.get("id"), "type": "function", "function": function}
            for call, function in zip(calls, functions, strict=True)
        ],
    }
    if rest or calls or beside["reasoning_content"]:
        yield {**item, "content": rest or "", **{key: v for key, v in beside.items() if v}}
