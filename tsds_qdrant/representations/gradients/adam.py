"""The step that Adam would take after one more example, in place of the example's gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from tsds_qdrant.representations.checkpoints.optimizer_state import Adam

if TYPE_CHECKING:
    import torch

AdamForm = Literal["less", "torch"]
ADAM_FORMS: tuple[AdamForm, ...] = ("less", "torch")


class AdamStep:
    """Turns gradients into steps of Adam, parameter by parameter.

    With m' = b1 m + (1 - b1) g and v' = b2 v + (1 - b2) g^2 the step is

    - ``less``: m' / sqrt(v' + eps), as the code of LESS computes it (Xia et al., "LESS: Selecting
      influential data for targeted instruction tuning", ICML 2024);
    - ``torch``: with m' and v' divided by 1 - b^t, m' / (sqrt(v') + eps): what ``torch.optim.Adam``
      subtracts, divided by the learning rate.

    Args:
        state: of the optimizer, by the names of parameters.
        form: which of the two.
    """

    def __init__(self, state: Mapping[str, Adam], form: AdamForm = "less") -> None:
        self._state = state
        self._form = form
        self._held: dict[str, tuple[Adam, Any, Any]] = {}

    def __call__(self, name: str, gradients: torch.Tensor) -> torch.Tensor:
        """(B, ..) steps for the (B, ..) gradients of the parameter ``name``."""
        known, first, second = self._moments(name, gradients)
        decay, decay_square = known.betas
        mean = decay * first + (1 - decay) * gradients
        square = decay_square * second + (1 - decay_square) * gradients.square()
        if self._form == "less":
            return mean / (square + known.eps).sqrt()
        step = known.step + 1
        mean, square = mean / (1 - decay**step), square / (1 - decay_square**step)
        return mean / (square.sqrt() + known.eps)

    def _moments(self, name: str, like: torch.Tensor) -> tuple[Adam, Any, Any]:
        if name not in self._held:
            known = self._state[name]
            moments = (known.exp_avg.to(like), known.exp_avg_sq.to(like))
            self._held[name] = (known, *moments)
        return self._held[name]
