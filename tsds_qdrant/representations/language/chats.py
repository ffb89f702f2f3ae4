"""Dialogues as the chat template of a model writes them, and where the answers stand in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.representations.language.chat_forms import (
    MARK,
    Message,
    forms,
    listed_tools,
    signed,
)
from tsds_qdrant.representations.loading import first_line

Span = tuple[int, int]
"""Where characters of a text begin and end."""
FIXED_DAY = (
    "{%- macro strftime_now(format) -%}"
    "{{- format | replace('%d', '26') | replace('%m', '07') | replace('%Y', '2024')"
    " | replace('%y', '24') | replace('%b', 'Jul') | replace('%B', 'July')"
    " | replace('%A', 'Friday') | replace('%a', 'Fri') | replace('%H', '12')"
    " | replace('%M', '00') | replace('%S', '00') -}}"
    "{%- endmacro -%}"
)
"""Some templates write the day of today, and tokens would be others tomorrow."""


class RefusedError(Exception):
    """A template cannot write these messages."""


class ChatTemplate:
    """The chat template of a tokenizer.

    Raises:
        EmbeddingError: it cannot write a question and its answer.
    """

    def __init__(self, tokenizer: Any, model: str) -> None:
        self._tokenizer = tokenizer
        try:
            self._written([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
        except RefusedError as error:
            raise EmbeddingError(
                f"the chat template of model '{model}' cannot be used ({error}); mend it, or give "
                f"another --model"
            ) from error

    @cached_property
    def marks_answers(self) -> bool:
        """Whether it says by ``{% generation %}`` itself what an assistant generates."""
        # Where those tokens stand is known of fast tokenizers alone.
        return self._tokenizer.is_fast and bool(
            re.search(r"\{%-?\s*generation\s*-?%\}", self._template(None))
        )

    def fitting(
        self, messages: Sequence[Message], asked: int | None, tools: str
    ) -> tuple[list[Message], int | None, list[Any] | None]:
        """Messages, how many of them are asked, and tools, as the template takes them.

        Where it refuses a role, or leaves out what a message says: the system message becomes part
        of the first user message, calls become JSON text, a tool speaks as a user, and neighbours
        of one role become one message.

        Raises:
            RefusedError: it takes them in no form.
        """
        listed = listed_tools(tools)
        refusal: RefusedError | None = None
        for form, boundary in forms(messages, asked):
            changed, signs = signed(form)
            try:
                self._written(form, listed)
                text = self._written(changed, listed) if signs else ""
            except RefusedError as error:
                refusal = refusal or error
                continue
            if all(sign in text for sign in signs):
                return form, boundary, listed
        raise refusal or RefusedError("it leaves out what messages say")

    def written(self, messages: Sequence[Message], tools: list[Any] | None) -> str:
        """The dialogue.

        Raises:
            RefusedError: the template does not take it.
        """
        return self._written(messages, tools)

    def generated(self, messages: Sequence[Message], tools: list[Any] | None) -> list[Span]:
        """What the template says the assistant generates, token by token.

        Raises:
            RefusedError: the template does not take the messages.
        """
        try:
            made = self._tokenizer.apply_chat_template(
                list(messages),
                tools=tools,
                chat_template=self._template(tools),
                return_dict=True,
                return_assistant_tokens_mask=True,
                tokenizer_kwargs={"return_offsets_mapping": True},
            )
        except Exception as error:
            raise RefusedError(first_line(error)) from error
        pairs = zip(made["offset_mapping"], made["assistant_masks"], strict=True)
        return [(start, end) for (start, end), learnt in pairs if learnt]

    def answer(
        self, whole: str, messages: Sequence[Message], number: int, tools: list[Any] | None
    ) -> Span:
        """Where the answer ``messages[number]`` stands in ``whole``, the text of all messages.

        It begins behind what the template writes to ask for an answer, and ends with the token that
        ends it: white space that follows is the template's.

        Raises:
            RefusedError: the template does not show it.
        """
        start = self._start(whole, messages, number, tools)
        last = number + 1 == len(messages)
        upto = whole if last else self._attempt(messages[: number + 1], tools)
        if start is not None and upto is not None and whole.startswith(upto):
            end = len(upto)
        else:
            first, end = self._marked(whole, messages, number, tools)
            start = first if start is None or start > first else start
        return start, self._ended(whole, start, end)

    def _start(
        self, whole: str, messages: Sequence[Message], number: int, tools: list[Any] | None
    ) -> int | None:
        before = self._attempt(messages[:number], tools, ask=True)
        if before is None or whole.startswith(before):
            return None if before is None else len(before)
        # Some ask for more than an answer has, as for "<think>".
        told = self._attempt(messages[:number], tools)
        shared = shared_length(before, whole)
        return shared if told is not None and shared > len(told) else None

    def _marked(
        self, whole: str, messages: Sequence[Message], number: int, tools: list[Any] | None
    ) -> Span:
        """Where the content of a message stands, found by writing another one in its place."""
        other = list(messages)
        other[number] = {**other[number], "content": MARK}
        before, mark, after = self._written(other, tools).partition(MARK)
        end = len(whole) - len(after)
        if not mark or not whole.startswith(before) or not whole.endswith(after):
            raise RefusedError(f"it does not show where message {number + 1} stands")
        closing = re.compile(rf"\s*(?:{self._special})").match(whole, end)
        return len(before), closing.end() if closing else end

    def _ended(self, whole: str, start: int, end: int) -> int:
        closing = re.compile(rf"(?:{self._special})(?=\s*\Z)").search
        found = closing(whole[start:end])
        return end if found is None else start + found.end()

    @cached_property
    def _special(self) -> str:
        known = {*self._tokenizer.all_special_tokens, *self._tokenizer.get_added_vocab()}
        return (
            "|".join(re.escape(token) for token in sorted(known, key=len, reverse=True)) or "(?!)"
        )

    def _template(self, tools: list[Any] | None) -> str:
        own = str(self._tokenizer.get_chat_template(None, tools))
        return FIXED_DAY + own if "strftime_now" in own else own

    def _attempt(
        self, messages: Sequence[Message], tools: list[Any] | None, *, ask: bool = False
    ) -> str | None:
        """What the template writes; None where it refuses."""
        try:
            return self._written(messages, tools, ask=ask) if messages else None
        except RefusedError:
            return None

    def _written(
        self, messages: Sequence[Message], tools: list[Any] | None = None, *, ask: bool = False
    ) -> str:
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    list(messages),
                    tools=tools,
                    chat_template=self._template(tools),
                    add_generation_prompt=ask,
                    tokenize=False,
                )
            )
        except Exception as error:  # a template can raise whatever its expressions do
            raise RefusedError(first_line(error)) from error


def shared_length(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many items two sequences begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((k for k, (a, b) in pairs if a != b), min(len(one), len(other)))
