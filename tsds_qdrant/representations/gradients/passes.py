"""Passes of a language model over examples, at each of its checkpoints, for their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import BoolArray, FloatArray
from tsds_qdrant.representations.base import NONFINITE, OK, ZERO_GRADIENT, OnBatch
from tsds_qdrant.representations.gradients.objectives import Objective, Reduction
from tsds_qdrant.representations.gradients.source import GradientSource
from tsds_qdrant.representations.language.tokens import Side, Tokens, batches

CPU_TOKENS = 1_024
"""Tokens of one pass on a processor: what the backward pass needs of each is held."""
DEVICE_TOKENS = 4_096


@dataclass(frozen=True)
class Found:
    """Of n examples at C checkpoints; NaN where an example has no supervised token.

    Attributes:
        blocks: (n, C, d).
        norms: (n, C) of the plain gradients.
        losses: (n, C) means over the supervised tokens.
        margins: (n, C) means over the supervised tokens.
    """

    blocks: FloatArray
    norms: FloatArray
    losses: FloatArray
    margins: FloatArray

    def statuses(self, before: Sequence[str]) -> list[str]:
        """(n,) ``ok``, or why an example has no vector.

        Args:
            before: what is known of the examples without their gradients.
        """
        columns = (self.norms, self.losses, self.margins)
        fine: BoolArray = np.all([np.isfinite(column).all(axis=1) for column in columns], axis=0)
        fine &= np.isfinite(self.blocks).all(axis=(1, 2))
        longer = np.logical_and(self.norms > 0, self.blocks.any(axis=2))
        some: BoolArray = np.all(longer, axis=1)
        return [
            word if word != OK else NONFINITE if not finite else OK if nonzero else ZERO_GRADIENT
            for word, finite, nonzero in zip(before, fine.tolist(), some.tolist(), strict=True)
        ]


class Passes:
    """Takes gradients of any number of examples.

    Args:
        source: the model at its checkpoints.
        objective: what is differentiated.
        batch_size: most examples of a pass.
        batch_tokens: most tokens of a pass; 1,024 on a processor and 4,096 elsewhere if None.
        side: where padding goes.
    """

    def __init__(
        self,
        source: GradientSource,
        objective: Objective,
        batch_size: int,
        batch_tokens: int | None,
        side: Side = "right",
    ) -> None:
        self._source = source
        self._objective = objective
        self._batch_size = batch_size
        self._batch_tokens = batch_tokens
        self._side = side

    def over(
        self,
        tokens: Sequence[Tokens],
        on_batch: OnBatch | None,
        reduction: Reduction,
        *,
        plain: bool,
    ) -> Found:
        """What the gradients of ``tokens`` (n examples) are.

        Args:
            tokens: of the examples.
            on_batch: called with the number of examples done, batch by batch.
            reduction: of the supervised tokens of an example.
            plain: whether gradients stay as they are though there are steps of Adam.
        """
        source = self._source
        shape = len(tokens), source.moment_count
        blocks = np.zeros((*shape, source.projection.dimension))
        norms, losses, margins = (np.full(shape, np.nan) for _ in range(3))
        if on_batch and (left_out := sum(one.status != OK for one in tokens)):
            on_batch(left_out)
        usual = CPU_TOKENS if source.language.device == "cpu" else DEVICE_TOKENS
        for batch in batches(
            tokens,
            source.language,
            batch_size=self._batch_size,
            batch_tokens=self._batch_tokens or usual,
            side=self._side,
        ):
            for number, moment in enumerate(source.moments):
                taken, values = source.take(moment, batch, self._objective, reduction, plain=plain)
                place = batch.rows, number
                blocks[place] = taken.block.cpu().numpy()
                norms[place] = taken.squares.sqrt().cpu().numpy()
                losses[place] = values.loss.cpu().numpy()
                margins[place] = values.margin.cpu().numpy()
            if on_batch:
                on_batch(len(batch.rows))
        return Found(blocks, norms, losses, margins)
