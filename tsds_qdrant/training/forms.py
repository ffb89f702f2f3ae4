"""The forms of training files, and the columns that an example becomes in each.

``plain``         payloads as they are;
``chat``          ``messages``, each with ``role`` and ``content``;
``instruction``   ``instruction``, ``input``, ``output`` (and ``system`` if any record has one);
``trl``           what TRL's SFTTrainer takes as it is: a prompt and its completion where there is
                  one answer to learn, ``messages`` for dialogues, ``text``
                  (huggingface.co/docs/trl, "Dataset formats and types");
``axolotl``       ``messages`` for ``type: chat_template``, ``text`` for ``type: completion``
                  (docs.axolotl.ai, "Dataset Formats");
``llamafactory``  alpaca columns for single turns, ``messages`` in alternating roles for dialogues,
                  with ``tools``, ``images``, ``videos`` and ``audios`` where any has them, ``text``
                  for pre-training (data/README.md of LLaMA-Factory);
``dataflex``      no rows: a probability for each row of the pool.

Tools are JSON text, which both TRL and axolotl parse. ``instruction`` and ``llamafactory`` hold
the text of messages alone, reasoning that is kept apart in ``<think>`` before it; the others hold
whatever keys a message has. Where any example shows pictures, sounds or files, contents are lists
of parts in all rows of ``chat``, ``trl`` and ``axolotl``, so that tables of them have one type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.records.examples import Example, Turn, UnfitError, masked, single_turn
from tsds_qdrant.records.shapes import STRINGS
from tsds_qdrant.training.llamafactory import dialogue_row
from tsds_qdrant.training.media import KINDS, NO_MEDIA, check_places, shown_in

PLAIN, DATAFLEX = "plain", "dataflex"
FORMS = (PLAIN, "chat", "instruction", "trl", "axolotl", "llamafactory", DATAFLEX)
TEXT_FORMS = ("trl", "axolotl", "llamafactory")
"""Forms that can hold text alone."""


@dataclass(frozen=True)
class Layout:
    """Columns of a training file, and how an example fills them.

    Attributes:
        name: ``messages``, ``alpaca``, ``strings``, ``answers`` or ``text``.
        columns: their names, in order.
        row: the values of an example by column.
        calls: whether tools are called by roles of their own.
    """

    name: str
    columns: tuple[str, ...]
    row: Callable[[Example], dict[str, Any]]
    calls: bool = False


class Survey:
    """What the examples of one export have in common, which settles their layout.

    Attributes:
        form: of the export.
        shapes: how many have which shape.
        dialogues: whether any has several answers to learn.
        strings: whether all are a prompt and a completion as plain strings, and nothing else.
        single: whether all are one turn of plain strings.
        system: whether any single turn has a system prompt.
        tools: whether any has tools.
        calls: whether any calls one, or shows a result.
        parts: whether any shows pictures, sounds or files.
        media: the columns of media that the rows need.
        texts: whether all are text alone.
    """

    def __init__(self, form: str = PLAIN) -> None:
        self.form = form
        self.shapes: Counter[str] = Counter()
        self.media: set[str] = set()
        self.texts = self.strings = self.single = True
        self.dialogues = self.system = self.tools = self.calls = self.parts = False

    def see(self, example: Example) -> None:
        """Take one more example into account."""
        self.shapes[example.shape] += 1
        turn = single_turn(example)
        self.texts &= example.is_text
        self.dialogues |= example.asked is None
        self.strings &= example.shape == STRINGS and example.turn == turn == _bare(turn)
        self.single &= turn is not None
        self.system |= turn is not None and bool(turn.system)
        self.tools |= bool(example.tools)
        self.calls |= any(m["role"] == "tool" or "tool_calls" in m for m in example.messages)
        self.parts |= example.shows_media
        if example.shows_media:
            row = (
                dialogue_row(example)
                if self.form == "llamafactory"
                else shown_in(self.form, example, parts=True)[1]
            )
            self.media |= {column for column in KINDS if row.get(column)}


def check_fit(form: str, example: Example) -> None:
    """Check that ``form`` can hold ``example``.

    Raises:
        UnfitError: it cannot; the message says why.
    """
    if example.is_text and form not in TEXT_FORMS:
        raise UnfitError("is text alone, without an answer to learn")
    if form in ("instruction", "llamafactory") and (number := masked(example)):
        raise UnfitError(f"masks message {number} from the loss, which this form cannot say")
    if form == "instruction" and example.calls_tools:
        raise UnfitError("calls tools, which this form does not hold")
    if form == "instruction" and example.shows_media:
        raise UnfitError("shows pictures, sounds or files, which this form does not hold")
    if form == "instruction" and single_turn(example) is None:
        raise UnfitError(f"has {len(example.messages)} messages, which are more than one turn")
    if form == "llamafactory" and not example.is_text:
        dialogue_row(example)
    elif not example.is_text:
        check_places(example)


def layout_of(survey: Survey) -> Layout:
    """The layout of a file for the examples that ``survey`` saw."""
    form = survey.form
    tools = ("tools",) if survey.tools else ()
    if survey.texts:
        return Layout("text", ("text",), lambda example: {"text": example.text})
    if form == "instruction" or (form == "llamafactory" and survey.single):
        system = ("system",) if survey.system else ()
        return Layout("alpaca", ("instruction", "input", "output", *system), _alpaca)
    if form == "trl" and survey.strings:
        return Layout("strings", ("prompt", "completion"), _strings)
    beside = (*tools, *(column for column in KINDS if column in survey.media))
    if form == "llamafactory":
        return Layout("messages", ("messages", *beside), dialogue_row, survey.calls)
    if form == "trl" and not survey.dialogues:
        return Layout("answers", ("prompt", "completion", *beside), _answers(survey))
    return Layout("messages", ("messages", *beside), _dialogues(survey))


def _bare(turn: Turn | None) -> Turn | None:
    return turn and Turn(turn.prompt, turn.completion)


def _alpaca(example: Example) -> dict[str, Any]:
    turn = single_turn(example)
    assert turn is not None
    asked = {"instruction": turn.prompt, "input": turn.input}
    return {**asked, "output": turn.completion, "system": turn.system}


def _strings(example: Example) -> dict[str, Any]:
    assert example.turn is not None
    return {"prompt": example.turn.prompt, "completion": example.turn.completion}


def _answers(survey: Survey) -> Callable[[Example], dict[str, Any]]:
    def row(example: Example) -> dict[str, Any]:
        messages, media = shown_in(survey.form, example, parts=survey.parts)
        prompt, completion = list(messages[: example.asked]), list(messages[example.asked :])
        beside = {"tools": example.tools or None, **NO_MEDIA, **media}
        return {"prompt": prompt, "completion": completion, **beside}

    return row


def _dialogues(survey: Survey) -> Callable[[Example], dict[str, Any]]:
    def row(example: Example) -> dict[str, Any]:
        messages, media = shown_in(survey.form, example, parts=survey.parts)
        return {
            "messages": list(messages),
            **{"tools": example.tools or None, **NO_MEDIA, **media},
        }

    return row
