"""From hidden states to logits, for as many positions as are wanted and no more."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from tsds_qdrant.errors import EmbeddingError

if TYPE_CHECKING:
    import torch

    from tsds_qdrant.representations.language.model import LanguageModel

TRIED = (1, 2, 3, 5, 7, 11)
"""Tokens whose logits are compared with those of the model itself."""
NEAR = {"float64": 1e-9, "float32": 1e-3}
"""How near they must be, in their standard deviations; others are coarser."""


class OutputLayer:
    """The last layer of a language model, with what the model does to its logits.

    Some models scale them, or bend them by a tanh. That this gives the model's own logits is tried
    once, so that a model of another kind is refused rather than misread.

    Raises:
        EmbeddingError: the logits of the model cannot be computed of its hidden states.
    """

    def __init__(self, language: LanguageModel) -> None:
        import torch

        self._layer: Any = language.model.get_output_embeddings()
        self._cap: float | None = getattr(
            language.config.get_text_config(), "final_logit_softcapping", None
        )
        self._scale = 1.0
        if self._layer is None or language.model.base_model is language.model:
            raise EmbeddingError(_refusal(language.name))
        ids = torch.tensor([TRIED]) % language.vocabulary
        given = language.inputs(ids, torch.ones_like(ids))
        with torch.inference_mode(), language.running(1, len(TRIED)):
            own = language.model(**given).logits.float().cpu()
            states = language.states(given)
            ours = self(states).float().cpu()
            scale = float((ours * own).sum() / (ours * ours).sum())
            if not self._cap and math.isfinite(scale) and abs(scale - 1) > NEAR["float32"]:
                self._scale = scale
                ours = self(states).float().cpu()
        near = NEAR.get(language.dtype, 0.1) * float(own.std())
        if not torch.allclose(ours, own, rtol=0.0, atol=near, equal_nan=True):
            raise EmbeddingError(_refusal(language.name))

    @property
    def vocabulary(self) -> int:
        """How many logits there are at a position."""
        return int(self._layer.weight.shape[0])

    def around(self, layer: Any) -> OutputLayer:
        """The same with another last ``layer``, such as one with adapters on it."""
        found = copy.copy(self)
        found._layer = layer
        return found

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """(.., V) logits of (.., D) last hidden states."""
        logits: torch.Tensor = self._layer(states)
        if self._scale != 1.0:
            logits = logits * self._scale
        if self._cap:
            logits = (logits / self._cap).tanh() * self._cap
        return logits


def _refusal(name: str) -> str:
    return (
        f"the logits of model '{name}' are no product of its last hidden states, so it gives no "
        f"losses here; give another --model"
    )
