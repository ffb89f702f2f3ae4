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
                  ``text`` for pre-training (data/README.md of LLaMA-Factory);
``dataflex``      no rows: a probability for each row of the pool.

Tools are JSON text, which both TRL and axolotl parse. ``instruction`` and ``llamafactory`` hold
the text of messages alone, the others whatever keys a message has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.training.examples import Example, Turn, UnfitError, single_turn
from tsds_qdrant.training.messages import alternating
from tsds_qdrant.training.shapes import STRINGS

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
    """

    name: str
    columns: tuple[str, ...]
    row: Callable[[Example], dict[str, Any]]


class Survey:
    """What the examples of one export have in common, which settles their layout.

    Attributes:
        shapes: how many have which shape.
        dialogues: whether any has several answers to learn.
        strings: whether all are a prompt and a completion as plain strings, and nothing else.
        single: whether all are one turn of plain strings.
        system: whether any single turn has a system prompt.
        tools: whether any has tools.
        texts: whether all are text alone.
    """

    def __init__(self) -> None:
        self.shapes: Counter[str] = Counter()
        self.texts = self.strings = self.single = True
        self.dialogues = self.system = self.tools = False

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


def check_fit(form: str, example: Example) -> None:
    """Check that ``form`` can hold ``example``.

    Raises:
        UnfitError: it cannot; the message says why.
    """
    if example.is_text and form not in TEXT_FORMS:
        raise UnfitError("is text alone, without an answer to learn")
    if form in ("instruction", "llamafactory") and example.calls_tools:
        raise UnfitError("calls tools, which this form does not hold")
    if form == "instruction" and single_turn(example) is None:
        raise UnfitError(f"has {len(example.messages)} messages, which are more than one turn")
    if form == "llamafactory" and not example.is_text and not alternating(example.messages):
        said = ", ".join(message["role"] for message in example.messages[:6])
        raise UnfitError(f"has messages of {said}, where user and assistant must take turns")


def layout_of(form: str, survey: Survey) -> Layout:
    """The layout of a file in ``form`` for the examples that ``survey`` saw."""
    tools = ("tools",) if survey.tools else ()
    if survey.texts:
        return Layout("text", ("text",), lambda example: {"text": example.text})
    if form == "instruction" or (form == "llamafactory" and survey.single):
        system = ("system",) if survey.system else ()
        return Layout("alpaca", ("instruction", "input", "output", *system), _alpaca)
    if form == "trl" and survey.strings:
        return Layout("strings", ("prompt", "completion"), _strings)
    if form == "trl" and not survey.dialogues:
        return Layout("answers", ("prompt", "completion", *tools), _answers)
    if form == "llamafactory":
        return Layout("messages", ("messages",), _plain_messages)
    return Layout("messages", ("messages", *tools), _messages)


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


def _answers(example: Example) -> dict[str, Any]:
    cut = example.asked
    prompt, completion = list(example.messages[:cut]), list(example.messages[cut:])
    return {"prompt": prompt, "completion": completion, "tools": example.tools or None}


def _messages(example: Example) -> dict[str, Any]:
    return {"messages": list(example.messages), "tools": example.tools or None}


def _plain_messages(example: Example) -> dict[str, Any]:
    kept = [{"role": m["role"], "content": m["content"]} for m in example.messages]
    return {"messages": kept}
