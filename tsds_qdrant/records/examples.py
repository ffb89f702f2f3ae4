"""Training examples: a dialogue, a single turn of prompt and completion, or text alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tsds_qdrant.records.dialogue import reasoning_of

Message = Mapping[str, Any]
"""An object with ``role`` and ``content``, and whatever else came with it. The content is a text,
or a list of parts where some hold a picture, a sound, a video or a file."""


class UnfitError(Exception):
    """No training example can be made of a payload; the message ends a sentence about it.

    Attributes:
        mendable: whether another field map or another form may help.
    """

    def __init__(self, reason: str, *, mendable: bool = True) -> None:
        super().__init__(reason)
        self.mendable = mendable


@dataclass(frozen=True)
class Turn:
    """One prompt and its completion; ``input`` and ``system`` are "" where there is none."""

    prompt: str
    completion: str
    input: str = ""
    system: str = ""

    @property
    def messages(self) -> tuple[Message, ...]:
        """System, user and assistant; the input follows the prompt on a line of its own."""
        asked = "\n".join(part for part in (self.prompt, self.input) if part)
        told = [("system", self.system)] if self.system else []
        told += [("user", asked), ("assistant", self.completion)]
        return tuple({"role": role, "content": content} for role, content in told)


@dataclass(frozen=True)
class Example:
    """What a payload shows a model.

    Attributes:
        shape: how the payload was recognised.
        messages: the dialogue; empty for text alone.
        asked: how many of the messages are the prompt; the rest is the one answer to learn; None
            for a dialogue, whose every answer is learnt.
        turn: the same, where it came as one turn of plain strings.
        text: the text, where it is text alone.
        tools: JSON text of the tools that the messages call, or "".
        media: ``images``, ``videos`` or ``audios`` -> what the payload holds beside the messages.
        used: names of the payload's fields that were read.
    """

    shape: str
    messages: tuple[Message, ...] = ()
    asked: int | None = None
    turn: Turn | None = None
    text: str = ""
    tools: str = ""
    media: Mapping[str, list[Any]] = field(default_factory=dict)
    used: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_text(self) -> bool:
        """Whether it is text alone."""
        return not self.messages

    @property
    def length(self) -> int:
        """Characters of all that it shows; pictures, sounds and files count as their JSON text."""
        said = [self.text, self.tools]
        for message in self.messages:
            content = message["content"]
            said += [content if isinstance(content, str) else json.dumps(content, default=str)]
            said += [reasoning_of(message)]
        return sum(map(len, said))

    @property
    def calls_tools(self) -> bool:
        """Whether it has tools, or calls one."""
        return bool(self.tools) or any("tool_calls" in message for message in self.messages)

    @property
    def shows_media(self) -> bool:
        """Whether it holds more than text: pictures, sounds, videos or files."""
        return bool(self.media) or any(isinstance(m["content"], list) for m in self.messages)


def single_turn(example: Example) -> Turn | None:
    """``example`` as one turn of plain strings, if it is one, with no tools and no media."""
    if example.calls_tools or example.shows_media:
        return None
    if example.turn is not None:
        return example.turn
    roles = [message["role"] for message in example.messages]
    if roles not in (["user", "assistant"], ["system", "user", "assistant"]):
        return None
    *told, asked, answer = map(reasoned, example.messages)
    return Turn(asked, answer, system=told[0] if told else "")


def masked(example: Example) -> int | None:
    """The first answer, counted from 1, that is marked as none to learn, if there is one.

    Marks are ``weight`` 0 (OpenAI) and ``train`` or ``training`` false (axolotl).
    """
    for number, message in enumerate(example.messages, start=1):
        marks = (message.get("weight"), message.get("train"), message.get("training"))
        if message["role"] == "assistant" and any(mark in (0, False) for mark in marks):
            return number
    return None


def reasoned(message: Message) -> str:
    """The text of a message, behind its reasoning in ``<think>`` where that is kept apart."""
    thought = reasoning_of(message)
    said: str = message["content"]
    return f"<think>\n{thought}\n</think>\n\n{said}" if thought.strip() else said
