"""Examples as tokens of a language model, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.representations.base import NO_SUPERVISED_TOKENS, OK, REFUSED, Shown
from tsds_qdrant.representations.batches import CPU_TOKENS, batches_by_length
from tsds_qdrant.representations.language.chats import ChatTemplate, RefusedError, shared_length
from tsds_qdrant.representations.language.masks import Masked, masked

if TYPE_CHECKING:
    import torch

    from tsds_qdrant.representations.language.model import LanguageModel

NOT_LEARNT = -100
"""The label of a token that is read and not learnt, as torch's losses have it."""
BATCH_SIZE = 64
DEVICE_TOKENS = 16_384
"""Tokens of one pass on an accelerator."""
AT_ONCE = 1_000
"""Texts that are tokenized in one call."""
Side = Literal["right", "left"]


@dataclass(frozen=True)
class Tokens:
    """An example as a language model reads it.

    Attributes:
        ids: of its tokens, those that begin and end it among them.
        learnt: for each whether it is to be learnt; never the first, which nothing predicts.
        truncated: whether it has more tokens than the model reads.
        refused: whether the chat template takes it in no form; it has no tokens then.
    """

    ids: Sequence[int]
    learnt: Sequence[bool]
    truncated: bool = False
    refused: bool = False

    @property
    def answer_tokens(self) -> int:
        """How many are learnt."""
        return sum(self.learnt)

    @property
    def labels(self) -> list[int]:
        """Its ids, and -100 in the place of those that are not learnt."""
        pairs = zip(self.ids, self.learnt, strict=True)
        return [token if learnt else NOT_LEARNT for token, learnt in pairs]

    @property
    def status(self) -> str:
        """``ok``, or why it has no loss."""
        if self.refused:
            return REFUSED
        return OK if any(self.learnt) else NO_SUPERVISED_TOKENS


@dataclass(frozen=True)
class TokenBatch:
    """Examples of one pass, padded to the longest.

    Attributes:
        rows: numbers of the examples, B of them.
        ids: (B, T) token ids.
        attention: (B, T) 1 for a real token, 0 for padding.
        labels: (B, T) ids of the tokens that are learnt, -100 for all others.
    """

    rows: list[int]
    ids: torch.Tensor
    attention: torch.Tensor
    labels: torch.Tensor


def tokenized(model: LanguageModel, examples: Sequence[Shown]) -> list[Tokens]:
    """The tokens of each example, cut behind as many as the model reads.

    A dialogue has the tokens of its chat template; a text, and a dialogue for a model without one,
    gets those that the tokenizer itself puts around a text.

    Raises:
        EmbeddingError: the model cannot be loaded, or its tokenizer does not fit it.
    """
    tokenizer = model.tokenizer
    chat = None
    if getattr(tokenizer, "chat_template", None) and any(shown.messages for shown in examples):
        chat = ChatTemplate(tokenizer, model.name)
    found: list[Tokens] = []
    for start in range(0, len(examples), AT_ONCE):
        texts = [_masked(shown, chat, tokenizer) for shown in examples[start : start + AT_ONCE]]
        found += _encoded(model, texts)
    return found


def batches(
    tokens: Sequence[Tokens],
    model: LanguageModel,
    *,
    batch_size: int = BATCH_SIZE,
    batch_tokens: int | None = None,
    side: Side = "right",
) -> Iterator[TokenBatch]:
    """The examples that have something to be learnt, in batches of like length, longest first.

    Args:
        tokens: of all examples.
        model: that reads them.
        batch_size: most examples of a batch.
        batch_tokens: most tokens of a batch, padding among them, unless one example has more;
            4,096 on a processor and 16,384 elsewhere by default.
        side: where padding goes.
    """
    rows = [row for row, one in enumerate(tokens) if one.status == OK]
    lengths = [len(tokens[row].ids) for row in rows]
    most = batch_tokens or (CPU_TOKENS if model.device == "cpu" else DEVICE_TOKENS)
    for batch in batches_by_length(lengths, batch_size, most):
        chosen = [rows[number] for number in batch]
        yield padded([tokens[row] for row in chosen], chosen, model.padding, side)


def answer_alone(tokens: Tokens, start: int) -> Tokens:
    """What is learnt of an example, behind the token ``start`` and without its prompt."""
    pairs = zip(tokens.ids, tokens.learnt, strict=True)
    ids = [token for token, learnt in pairs if learnt]
    return Tokens([start, *ids], [False, *[True] * len(ids)])


def padded(
    tokens: Sequence[Tokens], rows: list[int], padding: int, side: Side = "right"
) -> TokenBatch:
    """Examples as one batch, filled up with the token ``padding``."""
    import torch

    shape = len(tokens), max(len(one.ids) for one in tokens)
    ids, labels = np.full(shape, padding), np.full(shape, NOT_LEARNT)
    attention = np.zeros(shape, dtype=np.int64)
    for row, one in enumerate(tokens):
        length = len(one.ids)
        place = slice(0, length) if side == "right" else slice(shape[1] - length, None)
        ids[row, place], labels[row, place], attention[row, place] = one.ids, one.labels, 1
    return TokenBatch(rows, *map(torch.from_numpy, (ids, attention, labels)))


def _masked(example: Shown, chat: ChatTemplate | None, tokenizer: Any) -> Masked | None:
    try:
        return masked(example, chat, tokenizer.eos_token or "")
    except RefusedError:
        return None


def _encoded(model: LanguageModel, texts: Sequence[Masked | None]) -> list[Tokens]:
    found = [Tokens([], [], refused=True)] * len(texts)
    for special in (True, False):
        rows = [row for row, one in enumerate(texts) if one and one.special == special]
        chosen = [one for one in texts if one and one.special == special]
        for row, one, (ids, learnt) in zip(
            rows, chosen, _ids_of(model.tokenizer, chosen, special=special), strict=True
        ):
            ids, learnt = _with_one_end(ids, learnt, model.eos, one)
            if ids and max(ids) >= model.vocabulary:
                raise EmbeddingError(
                    f"the tokenizer of model '{model.name}' makes the token {max(ids)}, but the "
                    f"model knows {model.vocabulary}; give --model a directory where both fit"
                )
            most = model.max_length
            learnt = [False, *learnt[1:most]] if ids else []
            found[row] = Tokens(ids[:most], learnt, truncated=len(ids) > most)
    return found


def _ids_of(
    tokenizer: Any, texts: Sequence[Masked], *, special: bool
) -> Iterator[tuple[list[int], list[bool]]]:
    """Ids of each text, and for each whether it is learnt."""
    if not texts:
        return
    fast = bool(getattr(tokenizer, "is_fast", False))
    made = tokenizer(
        [one.text for one in texts],
        add_special_tokens=special,
        return_offsets_mapping=fast,
        truncation=False,
        verbose=False,
    )
    for number, one in enumerate(texts):
        ids = list(made["input_ids"][number])
        if one.spans is None:
            yield ids, [True] * len(ids)
        elif fast:
            yield ids, _inside(made["offset_mapping"][number], one)
        else:
            yield ids, _inside_by_prefixes(tokenizer, ids, one, special=special)


def _inside(offsets: Sequence[tuple[int, int]], one: Masked) -> list[bool]:
    """Which tokens hold a character that is learnt."""
    learnt = np.zeros(len(one.text) + 1, dtype=np.int64)
    for start, end in one.spans or ():
        learnt[start:end] = 1
    before = np.concatenate([[0], np.cumsum(learnt)])
    starts, ends = np.array(offsets, dtype=np.int64).reshape(-1, 2).T
    # Some tokenizers count no white space, so that a token of nothing else has no width.
    wide = np.maximum(ends, starts + 1)
    return [bool(held) for held in before[wide] > before[starts]]


def _inside_by_prefixes(
    tokenizer: Any, ids: list[int], one: Masked, *, special: bool
) -> list[bool]:
    """The same for a tokenizer that does not say where its tokens stand."""

    def tokens_before(character: int) -> int:
        text = one.text[:character]
        prefix = tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        return shared_length(prefix, ids)

    learnt = [False] * len(ids)
    for start, end in one.spans or ():
        first, last = tokens_before(start), tokens_before(end)
        learnt[first:last] = [True] * len(learnt[first:last])
    return learnt


def _with_one_end(
    ids: list[int], learnt: list[bool], eos: int | None, one: Masked
) -> tuple[list[int], list[bool]]:
    """Without the end that the tokenizer puts behind the one of the last answer."""
    twice = one.special and one.spans is not None and ids[-2:] == [eos, eos]
    return (ids[:-1], learnt[:-1]) if twice else (ids, learnt)
