"""Gradients of linear layers, text by text, projected from both sides while they are made.

The gradient of a weight (d_out, d_in) for one text is the sum over its tokens of d (d_out,) times
x (d_in,), what comes back to the layer's output and what went into it. With random matrices P
(k, d_out) and A (k, d_in) the features are P times the gradient times A transposed: inner products
stay what they were, on average, and no gradient of full size is ever held.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

SIDE = 12
"""k: features of a layer are k times k."""


class ProjectedGradients:
    """Collects the features of one backward pass.

    Args:
        layers: module in which linear layers are looked for.
        seed: of the random matrices.
    """

    def __init__(self, layers: Any, seed: int = 0) -> None:
        self._linears = [one for one in layers.modules() if isinstance(one, torch.nn.Linear)]
        draw = torch.Generator().manual_seed(seed)

        def matrix(size: int, device: Any) -> Any:
            return (torch.randn(size, SIDE, generator=draw) / math.sqrt(SIDE)).to(device)

        self._matrices = [
            (
                matrix(one.out_features, one.weight.device),
                matrix(one.in_features, one.weight.device),
            )
            for one in self._linears
        ]
        self._inputs: dict[int, Any] = {}
        self._found: dict[int, Any] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Forward and backward passes inside of this are collected."""
        handles = []
        for number, linear in enumerate(self._linears):
            handles.append(linear.register_forward_pre_hook(self._came_in(number)))
            handles.append(linear.register_full_backward_hook(self._came_back(number)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def taken(self) -> Any:
        """(B, F) features of the last backward pass, whose batch had B texts."""
        parts = [self._found.pop(number) for number in range(len(self._linears))]
        return torch.cat([part.flatten(1) for part in parts], dim=1)

    def _came_in(self, number: int) -> Any:
        def hook(_: Any, given: Any) -> None:
            self._inputs[number] = given[0].detach()

        return hook

    def _came_back(self, number: int) -> Any:
        def hook(_: Any, __: Any, given: Any) -> None:
            rows, columns = self._matrices[number]
            back = given[0].detach().float() @ rows
            came = self._inputs.pop(number).float() @ columns
            self._found[number] = torch.einsum("bto,bti->boi", back, came)

        return hook
