"""Per-example gradients of a language model as vectors.

- ``gradient``: one unit block per checkpoint, side by side; their dot product with weighted blocks
  of task examples is the influence of LESS (Xia et al. 2024, arXiv 2402.04333).
- ``loss-gradient``: gradients of the loss as they are (TRAK, Park et al. 2023, arXiv 2303.14186;
  DsDm, Engstrom et al. 2024, arXiv 2401.12926).
- ``margin-gradient``: gradients of the margin log(p / (1 - p)) as they are, and the margin (GradEx,
  Li et al. 2024, arXiv 2409.19458).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.representations.base import OK, Encoded, Examples, Kind, OnBatch, Plain, Shown
from tsds_qdrant.representations.derived.rows import numbers, unit
from tsds_qdrant.representations.gradients.objectives import Objective, Reduction
from tsds_qdrant.representations.gradients.passes import Found, Passes
from tsds_qdrant.representations.gradients.source import GradientSource
from tsds_qdrant.representations.language.tokens import BATCH_SIZE, tokenized

MASK = "answers"


class _Gradients(Plain):
    """What the three kinds have in common.

    An example without a supervised token, one whose gradient is 0 at a checkpoint, and one where
    something is no finite number, gets a status and no vector.

    Args:
        source: the model at its checkpoints.
        batch_size: most examples of a pass.
        batch_tokens: most tokens of a pass, padding among them; 1,024 on a processor and 4,096
            elsewhere by default.
        name: of the space; that of the kind by default.
    """

    kind: Kind = "dense"
    metric = "Dot"
    dialogues = True
    of_kind: ClassVar[str]
    objective: ClassVar[Objective] = "loss"
    unit_blocks: ClassVar[bool] = False

    def __init__(
        self,
        source: GradientSource,
        *,
        batch_size: int = BATCH_SIZE,
        batch_tokens: int | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or self.of_kind
        self._source = source
        self._passes = Passes(source, self.objective, batch_size, batch_tokens)

    @property
    def dimension(self) -> int:
        """C d: checkpoints times the projection's dimension."""
        return self._source.dimension

    def manifest(self) -> dict[str, Any]:
        """All that the values depend on; weights are hashed and not loaded.

        Raises:
            EmbeddingError: a checkpoint, configuration or tokenizer cannot be read.
        """
        return {
            "kind": self.of_kind,
            "objective": self.objective,
            "reduction": "mean",
            "mask": MASK,
            "normalised": self.unit_blocks,
            **self._source.manifest(),
        }

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """(n, C d) rows, and payload values.

        Raises:
            EmbeddingError: the model or a checkpoint cannot be loaded or fails.
        """
        return self._encoded(examples, on_batch, plain=False)

    def targets(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """The same as of candidates, but plain gradients whatever the optimizer."""
        return self._encoded(examples, on_batch, plain=True)

    def _encoded(self, examples: Examples, on_batch: OnBatch | None, *, plain: bool) -> Encoded:
        tokens = tokenized(self._source.language, cast("Sequence[Shown]", examples))
        found = self._passes.over(tokens, on_batch, "mean", plain=plain)
        status = found.statuses([one.status for one in tokens])
        columns = self._values(found)
        values: dict[str, Sequence[Any]] = {
            **{name: numbers(column, status) for name, column in columns.items()},
            "tokens": [len(one.ids) for one in tokens],
            "answer_tokens": [one.answer_tokens for one in tokens],
        }
        return Encoded(self._rows(found.blocks, status), status, values)

    def _values(self, found: Found) -> dict[str, FloatArray]:
        norms = np.linalg.norm(found.blocks.reshape(len(found.norms), -1), axis=1)
        return {"gradient_norm": norms}

    def _rows(self, blocks: FloatArray, status: Sequence[str]) -> Float32Array:
        """(n, C d) of (n, C, d) blocks; zeros where there is no vector."""
        count, moments, width = blocks.shape
        if self.unit_blocks:
            blocks = unit(blocks.reshape(-1, width)).reshape(blocks.shape)
        rows = blocks.reshape(count, moments * width).astype(np.float32)
        rows[[one != OK for one in status]] = 0
        return rows


class UnitGradients(_Gradients):
    """One block of unit length per checkpoint: the gradient of the loss, or the step of Adam.

    Values: ``loss`` and ``gradient_norm`` (that of the plain gradient), both as means over the
    checkpoints, ``tokens`` and ``answer_tokens``.
    """

    of_kind = "gradient"
    unit_blocks = True

    def _values(self, found: Found) -> dict[str, FloatArray]:
        return {"loss": found.losses.mean(axis=1), "gradient_norm": found.norms.mean(axis=1)}

    def contrasts(
        self,
        pairs: Sequence[tuple[Shown, Shown]],
        on_batch: OnBatch | None = None,
        reduction: Reduction = "sum",
    ) -> Encoded:
        """Queries of preferences, as ROSE makes them (Wang et al. 2024, arXiv 2412.00631).

        Each block is the unit row of grad log p(rejected) - grad log p(chosen): that of the DPO
        loss of one pair, whatever its reference model and its beta. A pair whose two sides have the
        same tokens has a gradient of 0.

        Args:
            pairs: chosen and rejected, with the same prompt.
            on_batch: called with the number of examples done, two a pair.
            reduction: of the log probabilities of an answer's tokens.

        Raises:
            EmbeddingError: the model or a checkpoint cannot be loaded or fails.
        """
        sides = [shown for pair in pairs for shown in pair]
        tokens = tokenized(self._source.language, sides)
        found = self._passes.over(tokens, on_batch, reduction, plain=True)
        blocks = found.blocks[0::2] - found.blocks[1::2]
        chosen, rejected = tokens[0::2], tokens[1::2]
        for row, (one, other) in enumerate(zip(chosen, rejected, strict=True)):
            if one.labels == other.labels and one.ids == other.ids:
                blocks[row] = 0
        contrast = Found(
            blocks,
            np.linalg.norm(blocks, axis=2),
            found.losses[0::2] + found.losses[1::2],
            found.margins[0::2] + found.margins[1::2],
        )
        sides_status = (
            one.status if one.status != OK else other.status
            for one, other in zip(chosen, rejected, strict=True)
        )
        status = contrast.statuses([*sides_status])
        return Encoded(self._rows(blocks, status), status)


class LossGradients(_Gradients):
    """Gradients of the loss as they are, those of several checkpoints side by side.

    Values: ``gradient_norm`` (of the row), ``tokens`` and ``answer_tokens``.
    """

    of_kind = "loss-gradient"


class MarginGradients(_Gradients):
    """Gradients of the margin as they are, those of several checkpoints side by side.

    The margin f is the mean of log(p / (1 - p)) over the supervised tokens. Values: ``margin`` (its
    mean over the checkpoints), ``gradient_norm`` (of the row), ``tokens`` and ``answer_tokens``.
    """

    of_kind = "margin-gradient"
    objective = "margin"

    def _values(self, found: Found) -> dict[str, FloatArray]:
        return {"margin": found.margins.mean(axis=1), **super()._values(found)}
