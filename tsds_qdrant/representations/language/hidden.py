"""Hidden states of a language model as vectors (RDS+), and its predictions as scores.

RDS+ (Ivison et al. 2025, arXiv 2503.01807) represents an example by the mean of the last hidden
states of its tokens, weighted by their positions: e = sum_l w_l h_l with w_l = l / (L (L + 1) / 2)
for l = 1 .. L. Later tokens have read more of the example, so they count more. Vectors have unit
length, and are compared by their cosine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.representations.base import (
    NONFINITE,
    OK,
    Encoded,
    Examples,
    Kind,
    OnBatch,
    Plain,
    Shown,
)
from tsds_qdrant.representations.derived.rows import directions, numbers, statuses
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.representations.language.output_layer import OutputLayer
from tsds_qdrant.representations.language.scores import Scores, scores
from tsds_qdrant.representations.language.tokens import (
    BATCH_SIZE,
    TokenBatch,
    Tokens,
    answer_alone,
    batches,
    tokenized,
)

if TYPE_CHECKING:
    import torch

POOLING = "position-weighted-mean"
MASK = "answers"
SCORES = ("loss", "entropy", "el2n")


class Hidden(Plain):
    """Position-weighted means of last hidden states, and scores of the same forward pass.

    An example of which nothing is learnt gets no vector: it has no answer, or its answer stands
    behind all that the model reads. All else gets, as values: ``loss`` (mean over the tokens that
    are learnt, in nats), ``perplexity`` (its exponential), ``entropy`` and ``el2n`` (see
    :mod:`tsds_qdrant.representations.language.scores`), ``tokens`` (that are read),
    ``answer_tokens`` (that are learnt) and ``truncated`` (whether there are more than are read).

    Args:
        model: that reads the examples.
        batch_size: most examples of a pass.
        batch_tokens: most tokens of a pass, padding among them.
        without_prompt: read the answers once more, alone, for ``loss_without_prompt`` and ``ifd``:
            loss / loss_without_prompt (Li et al. 2024, arXiv 2308.12032). Both losses are of the
            same tokens: what is learnt stands behind the token that begins a text, or where the
            tokenizer has none, behind the one that ends it. Below 1 the prompt helps. A text alone
            has neither.
        name: of the space.
    """

    kind: Kind = "dense"
    metric = "Cosine"
    dialogues = True

    def __init__(
        self,
        model: LanguageModel,
        *,
        batch_size: int = BATCH_SIZE,
        batch_tokens: int | None = None,
        without_prompt: bool = False,
        name: str = "hidden",
    ) -> None:
        self.name = name
        self._model = model
        self._batch_size = batch_size
        self._batch_tokens = batch_tokens
        self._without_prompt = without_prompt
        self._output: OutputLayer | None = None

    @property
    def dimension(self) -> int:
        """D: of a state."""
        return self._model.width

    def manifest(self) -> dict[str, Any]:
        """All that the values depend on.

        Raises:
            EmbeddingError: configuration or tokenizer of the model cannot be loaded.
        """
        return {
            "kind": "hidden",
            "pooling": POOLING,
            "mask": MASK,
            "without_prompt": self._without_prompt,
            **self._model.manifest(),
        }

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """(n, D) rows of unit length, and scores.

        Raises:
            EmbeddingError: the model cannot be loaded or fails.
        """
        shown = cast("Sequence[Shown]", examples)
        tokens = tokenized(self._model, shown)
        rows = np.zeros((len(tokens), self.dimension), dtype=np.float32)
        found = {name: np.full(len(tokens), np.nan) for name in SCORES}
        if on_batch and (left_out := sum(one.status != OK for one in tokens)):
            on_batch(left_out)
        for batch in self._batches(tokens):
            rows[batch.rows], made = self._pass(batch)
            for name in SCORES:
                found[name][batch.rows] = getattr(made, name)
            if on_batch:
                on_batch(len(batch.rows))
        status = _statuses(tokens, rows, found)
        values: dict[str, Sequence[Any]] = {
            "perplexity": numbers(_exponential(found["loss"]), status),
            **{name: numbers(column, status) for name, column in found.items()},
            "tokens": [len(one.ids) for one in tokens],
            "answer_tokens": [one.answer_tokens for one in tokens],
            "truncated": [one.truncated for one in tokens],
        }
        if self._without_prompt:
            alone = self._losses_without_prompt(shown, tokens)
            with np.errstate(invalid="ignore", divide="ignore"):
                values["loss_without_prompt"] = numbers(alone, status)
                values["ifd"] = numbers(found["loss"] / alone, status)
        return Encoded(directions(rows), status, values)

    def targets(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """The same as of candidates."""
        return self.candidates(examples, on_batch)

    def _losses_without_prompt(
        self, shown: Sequence[Shown], tokens: Sequence[Tokens]
    ) -> FloatArray:
        """(n,) mean losses of the answers alone; NaN for texts alone."""
        start = self._model.start
        alone = [
            answer_alone(one, start) if example.messages else Tokens([], [])
            for example, one in zip(shown, tokens, strict=True)
        ]
        losses = np.full(len(tokens), np.nan)
        for batch in self._batches(alone):
            losses[batch.rows] = self._pass(batch)[1].loss
        return losses

    def _batches(self, tokens: Sequence[Tokens]) -> Iterator[TokenBatch]:
        return batches(
            tokens,
            self._model,
            batch_size=self._batch_size,
            batch_tokens=self._batch_tokens,
        )

    def _pass(self, batch: TokenBatch) -> tuple[Float32Array, Scores]:
        """(B, D) means of states, and scores, of one forward pass."""
        import torch

        given = self._model.inputs(batch.ids, batch.attention)
        with torch.inference_mode(), self._model.running(*batch.ids.shape):
            if self._output is None:
                self._output = OutputLayer(self._model)
            states = self._model.states(given)
            means = weighted_means(states, given["attention_mask"])
            return means.cpu().numpy(), scores(states, batch.labels, self._output)


def weighted_means(states: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """(B, D) float32 means of (B, T, D) states, weighted by the positions of real tokens.

    Args:
        states: of all positions.
        attention: (B, T) 1 for a real token, 0 for padding, which counts nowhere.
    """
    import torch

    places = attention.cumsum(1) * attention
    wide = states.dtype if states.dtype == torch.float64 else torch.float32
    weights = places.to(wide) / places.sum(1, keepdim=True)
    if not attention.all():
        # Padding may hold NaN, which no weight takes away.
        states = states.masked_fill(attention[:, :, None] == 0, 0)
    return torch.bmm(weights[:, None], states.to(wide))[:, 0].float()


def _statuses(
    tokens: Sequence[Tokens], rows: Float32Array, found: Mapping[str, FloatArray]
) -> list[str]:
    finite = np.all([np.isfinite(column) for column in found.values()], axis=0)
    status = [
        one.status if one.status != OK else vector if fine else NONFINITE
        for one, vector, fine in zip(tokens, statuses(rows), finite, strict=True)
    ]
    rows[[one != OK for one in status]] = 0
    return status


def _exponential(column: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):
        raised: FloatArray = np.exp(column)
    return raised
