"""Gradients of each example of a batch in one pass, of which only projections are kept.

Hooks on linear layers take their inputs and the gradients at their outputs. No weight needs a
gradient, so that none is computed: a pass costs a forward and the backward of the activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.representations.checkpoints.optimizer_state import bare
from tsds_qdrant.representations.gradients.linear_layers import is_turned
from tsds_qdrant.representations.gradients.projection import Projection

if TYPE_CHECKING:
    import torch

Change = Callable[[str, "torch.Tensor"], "torch.Tensor"]
"""(B, ..) gradients of the parameter of that name as what is to be projected in their place."""


@dataclass
class Taken:
    """What was taken of a batch of B examples.

    Attributes:
        block: (B, d) projections, float32 at least.
        squares: (B,) squared norms of the gradients: exact where whole gradients were formed, those
            of the projections otherwise.
    """

    block: Any
    squares: Any


class _Layer:
    """One linear layer during a pass; it may be called several times."""

    def __init__(self, name: str, module: Any) -> None:
        self.name = name
        self.signs = bare(name)
        self.turned = is_turned(module)
        self.calls = 0
        self.whole: Any = None


class PerExample:
    """Takes the projected gradients of each example of a batch.

    Args:
        layers: parameter name -> linear layer.
        projection: what they are projected by.
        change: what is done to whole gradients before; they are formed for it, a layer at a time.
    """

    def __init__(
        self, layers: Mapping[str, Any], projection: Projection, change: Change | None = None
    ) -> None:
        self._layers = layers
        self._projection = projection
        self._change = change

    @contextmanager
    def taking(self, attention: torch.Tensor) -> Iterator[Callable[[], Taken]]:
        """Take gradients of what runs forward and backward inside the block, once.

        Args:
            attention: (B, T) 1 for a real token, 0 for padding.

        Gives a function that, after the backward pass, returns what was taken.

        Raises:
            EmbeddingError: a layer does not see the examples one by one.
        """
        running = _Pass(self._projection, self._change, attention)
        hooks = [
            module.register_forward_hook(running.hook(_Layer(name, module)))
            for name, module in self._layers.items()
        ]
        try:
            yield running.taken
        finally:
            for hook in hooks:
                hook.remove()


class _Pass:
    """One forward and backward pass over a batch."""

    def __init__(
        self, projection: Projection, change: Change | None, attention: torch.Tensor
    ) -> None:
        self._projection = projection
        self._change = change
        self._shape = tuple(attention.shape)
        padding = attention == 0
        self._padding = padding[:, :, None] if bool(padding.any()) else None
        self._open: dict[str, _Layer] = {}
        self._sum: Any = None
        self._squares: Any = None

    def hook(self, layer: _Layer) -> Callable[[Any, Any, Any], None]:
        """What a layer calls behind its forward pass."""

        def forward(module: Any, given: Any, output: Any) -> None:
            kept = self._rows(layer, given[0].detach())
            if self._change is None:
                kept = self._shown(self._projection.of_inputs(layer.signs, kept))
            else:
                kept = self._shown(kept)
            layer.calls += 1
            if not output.requires_grad:
                output.requires_grad_(True)
            output.register_hook(lambda gradient: self._receive(layer, kept, gradient))

        return forward

    def taken(self) -> Taken:
        """What the pass has given."""
        import torch

        for layer in list(self._open.values()):
            self._finish(layer)
        if self._sum is None:
            raise EmbeddingError(
                "no gradient reached a linear layer of the model; give other --layers"
            )
        block = self._projection.folded(self._sum)
        squares = self._squares
        if squares is None:
            squares = torch.linalg.vector_norm(block.cpu().double(), dim=1) ** 2
        return Taken(block, squares)

    def _rows(self, layer: _Layer, rows: torch.Tensor) -> torch.Tensor:
        """(B, T, width) of a layer's rows, in float32 at least."""
        import torch

        count, length = self._shape
        if rows.dim() == 2 and len(rows) == count * length:
            rows = rows.view(count, length, -1)
        if tuple(rows.shape[:-1]) != self._shape:
            raise EmbeddingError(
                f"the layer '{layer.name}' sees {tuple(rows.shape)} for a batch of {count} "
                f"examples with {length} tokens, so gradients of single examples cannot be taken "
                "there; leave it out of --layers"
            )
        return rows if rows.dtype == torch.float64 else rows.float()

    def _shown(self, rows: torch.Tensor) -> torch.Tensor:
        """Zero in the place of padding, whatever a model computes there."""
        return rows if self._padding is None else rows.masked_fill(self._padding, 0)

    def _receive(self, layer: _Layer, kept: torch.Tensor, gradient: torch.Tensor) -> None:
        rows = self._rows(layer, gradient.detach())
        if self._change is None:
            shown = self._shown(self._projection.of_outputs(layer.signs, rows))
            self._add(shown.transpose(1, 2), kept)
            return
        whole = self._shown(rows).transpose(1, 2) @ kept
        layer.whole = whole if layer.whole is None else layer.whole + whole
        self._open[layer.name] = layer
        layer.calls -= 1
        if not layer.calls:
            self._finish(layer)

    def _add(self, left: torch.Tensor, right: torch.Tensor) -> None:
        """Add (B, P, n) times (B, n, Q) to the sum over layers."""
        if self._sum is None:
            self._sum = left @ right
        else:
            self._sum.baddbmm_(left, right)

    def _finish(self, layer: _Layer) -> None:
        """Project the whole gradients of a layer, changed."""
        assert self._change is not None
        whole, layer.whole = layer.whole, None
        del self._open[layer.name]
        squares = whole.square().sum((1, 2))
        self._squares = squares if self._squares is None else self._squares + squares
        if layer.turned:
            whole = self._change(layer.name, whole.transpose(1, 2)).transpose(1, 2)
        else:
            whole = self._change(layer.name, whole)
        half = self._projection.of_outputs(layer.signs, whole.transpose(1, 2)).transpose(1, 2)
        entries = self._projection.of_inputs(layer.signs, half)
        self._sum = entries if self._sum is None else self._sum + entries
