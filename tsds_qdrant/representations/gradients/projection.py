"""Gradients of weight matrices are projected from both sides, so that none of them is ever formed.

The gradient of an example in a linear layer is a sum over its tokens of g_t a_t', where a_t is the
layer's input (in) and g_t the gradient at its output (out). With matrices of random signs S
(out, P) and T (in, Q) its projection is S' G' A T / sqrt(P Q): each token is projected before the
product. Its entries are unrelated to each other and to those of other layers, and their dot
products are right in the mean: E<u_a, u_b> = <g_a, g_b> in each layer and, as the layers' signs are
independent, for their sum too.

The variance of <u_a, u_b> for P Q entries is

    (|a|^2 |b|^2 + <a, b>^2) / (P Q) + sum over layers of [ (|A B'|^2 + tr (A B')^2) / P
                                                          + (|A' B|^2 + tr (A' B)^2) / Q ]

at most (A, B: the layer's gradients). The first term is that of a dense projection. Inputs of
different examples are alike (the first token's above all) and output gradients are not, so the
term in P is by far the larger one: P is large and Q is small. Layers are summed rather than put
side by side: side by side each would have d / layers entries, and terms in P and Q as many times
larger. P Q is more than d where d is small, and rows are then added up, each turned by another
number of columns, which costs no more than the first term with d in place of P Q.
"""

from __future__ import annotations

from typing import Any

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.representations.gradients.signs import VERSION, key_of, torch_signs

NAME = "two-sided-signs"
UNIT = 32
"""Dimensions are multiples of it, and it is the smallest Q."""
OUTPUTS = 256
"""P is at least this."""
USUAL_DIMENSION = 2_048


class Projection:
    """A random projection of the gradients of linear layers into one block.

    Args:
        dimension: d, entries of the block.
        seed: of the signs.

    Attributes:
        outputs: P, what the output side is projected to.
        inputs: Q, what the input side is projected to.

    Raises:
        SettingsError: a dimension that is no positive multiple of 32.
    """

    def __init__(self, dimension: int = USUAL_DIMENSION, seed: int = 0) -> None:
        if dimension < UNIT or dimension % UNIT:
            nearest = max(UNIT, round(dimension / UNIT) * UNIT)
            raise SettingsError(
                f"--dimension is {dimension}, and projections have a multiple of {UNIT} entries; "
                f"give {nearest}"
            )
        self.dimension = dimension
        self.seed = seed
        self.inputs = UNIT
        while dimension % (2 * self.inputs) == 0 and dimension // self.inputs > OUTPUTS:
            self.inputs *= 2
        self._rows = dimension // self.inputs
        self._turns = -(-OUTPUTS // self._rows)
        self.outputs = self._rows * self._turns
        self._sides: dict[tuple[str, str, str], Any] = {}

    def manifest(self) -> dict[str, Any]:
        """What the projection depends on, as JSON values."""
        return {
            "name": NAME,
            "version": 1,
            "signs": VERSION,
            "seed": self.seed,
            "dimension": self.dimension,
            "outputs": self.outputs,
            "inputs": self.inputs,
        }

    def of_inputs(self, layer: str, rows: Any) -> Any:
        """(.., in) inputs of ``layer``, or anything on that side, as (.., Q)."""
        return rows @ self._side(layer, "in", self.inputs, rows)

    def of_outputs(self, layer: str, rows: Any) -> Any:
        """(.., out) gradients at the output of ``layer`` as (.., P)."""
        return rows @ self._side(layer, "out", self.outputs, rows)

    def folded(self, entries: Any) -> Any:
        """(B, P, Q) sums over layers as (B, d) projections."""
        count = len(entries)
        parts = entries.reshape(count, self._turns, self._rows, self.inputs)
        block = sum(parts[:, turn].roll(turn, dims=-1) for turn in range(self._turns))
        return block.reshape(count, self.dimension) / (self.outputs * self.inputs) ** 0.5

    def _side(self, layer: str, side: str, columns: int, like: Any) -> Any:
        """Signs in the type and on the device of ``like``; a byte each is kept."""
        place = (layer, side, str(like.device))
        if place not in self._sides:
            key = key_of(self.seed, layer, side)
            self._sides[place] = torch_signs(key, like.shape[-1], columns, like.device)
        return self._sides[place].to(like.dtype)
