"""Which tokens of an example are learnt: those of its answers, or all where it is text alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsds_qdrant.representations.base import Shown
from tsds_qdrant.representations.language.chat_forms import Message, called, plain
from tsds_qdrant.representations.language.chats import ChatTemplate, Span

SAYING = ("content", "tool_calls", "reasoning_content", "reasoning", "thinking")
"""Keys of what a message says."""


@dataclass(frozen=True)
class Masked:
    """The text of an example, and which of its characters are learnt.

    Attributes:
        text: as the tokenizer reads it.
        spans: begin and end of what is learnt, in order; None where all is.
        special: whether the tokenizer adds its own tokens around it: a chat template wrote them.
    """

    text: str
    spans: Sequence[Span] | None
    special: bool


def masked(example: Shown, chat: ChatTemplate | None, eos: str) -> Masked:
    """The text of ``example`` and what is learnt of it.

    A dialogue is written by the chat template. Without one, its messages are written line by line,
    with ``eos`` behind each answer: the prompt, a line break, the answer. A message of an assistant
    whose ``weight`` is 0 or whose ``train`` or ``training`` is false is read and not learnt.

    Returns:
        the text; or, where the template says itself what is learnt, token ids and 1 for each that
        is.

    Raises:
        RefusedError: the template does not take the messages.
    """
    if not example.messages:
        return Masked(example.text, None, True)
    if chat is None:
        return _lines(example, eos)
    messages, asked, tools = chat.fitting(example.messages, example.asked, example.tools)
    numbers = _answers(messages, asked)
    whole = chat.written(messages, tools)
    if not chat.marks_answers:
        return Masked(whole, [chat.answer(whole, messages, k, tools) for k in numbers], False)
    generated = chat.generated(messages, tools)
    if len(numbers) == sum(message["role"] == "assistant" for message in messages):
        return Masked(whole, generated, False)
    spans = [chat.answer(whole, messages, number, tools) for number in numbers]
    return Masked(whole, _common(spans, generated), False)


def _common(some: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """What is in both, in order."""
    both = [(max(a, c), min(b, d)) for a, b in some for c, d in others]
    return [(start, end) for start, end in both if start < end]


def _answers(messages: Sequence[Message], asked: int | None) -> list[int]:
    """Which messages are learnt."""
    return [
        number
        for number, message in enumerate(messages)
        if message["role"] == "assistant"
        and number >= (asked or 0)
        and any(message.get(key) for key in SAYING)
        and not any(message.get(mark) in (0, False) for mark in ("weight", "train", "training"))
    ]


def _lines(example: Shown, eos: str) -> Masked:
    """A dialogue for a model without a chat template."""
    messages = [plain(message) for message in example.messages]
    learnt = set(_answers(messages, example.asked))
    text, spans = "", []
    for number, message in enumerate(messages):
        said = "\n".join(part for part in (message["content"], *called(message)) if part)
        start = len(text)
        text += said + (eos if message["role"] == "assistant" else "\n")
        if number in learnt:
            spans.append((start, len(text)))
        if message["role"] == "assistant" and number + 1 < len(messages):
            text += "\n"
    return Masked(text, spans, True)
