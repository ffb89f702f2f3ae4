"""A language model at one moment of its training, of which gradients are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tsds_qdrant.representations.linear_layers import linear_layers
from tsds_qdrant.representations.objectives import Objective, Reduction, Values, backward
from tsds_qdrant.representations.per_example import Change, PerExample, Taken
from tsds_qdrant.representations.projection import Projection

if TYPE_CHECKING:
    import torch


class Differentiated:
    """A model, frozen, and the linear layers of it that gradients are taken of.

    Args:
        model: a transformers model, or a peft model on one; its parameters need no gradients
            afterwards.
        patterns: of layers' names; all by default, or those of adapters where there are any.

    Attributes:
        layers: parameter name -> linear layer.

    Raises:
        EmbeddingError: the model has no linear layers.
        SettingsError: a pattern fits none of them.
    """

    def __init__(self, model: Any, patterns: Sequence[str] = ()) -> None:
        self.layers: Mapping[str, Any] = linear_layers(model, patterns)
        model.requires_grad_(False)
        self._model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._parts: tuple[Any, Any] | None = None

    def take(
        self,
        inputs: Mapping[str, torch.Tensor],
        labels: torch.Tensor,
        projection: Projection,
        *,
        objective: Objective = "loss",
        reduction: Reduction = "mean",
        change: Change | None = None,
    ) -> tuple[Taken, Values]:
        """The projected gradients of each example of a batch, and what was differentiated.

        Args:
            inputs: of the model, padded on either side: ``input_ids`` and ``attention_mask`` of
                (B, T), and more.
            labels: (B, T) token ids, -100 where nothing is to be learnt.
            projection: what gradients are projected by.
            objective: what is differentiated.
            reduction: of an example's supervised tokens.
            change: what is done to whole gradients before they are projected.

        Raises:
            EmbeddingError: a layer does not see the examples one by one.
        """
        import torch

        body, head = self._body_and_head(inputs["input_ids"])
        taking = PerExample(self.layers, projection, change).taking(inputs["attention_mask"])
        with torch.enable_grad(), taking as taken:
            hidden = body(**inputs)[0]
            values = backward(hidden, head, labels.to(hidden.device), objective, reduction)
            return taken(), values

    def _body_and_head(self, ids: torch.Tensor) -> tuple[Any, Any]:
        """What makes hidden states, and what makes logits of them.

        A model that does more to its logits than its head (a cap, a scale) is one piece, and what
        it gives are logits already.
        """
        import torch

        if self._parts is None:
            body, head = self._model.base_model, self._model.get_output_embeddings()
            self._parts = (self._model, _same)
            with torch.no_grad():
                shown = ids[:1, :2]
                logits = self._model(input_ids=shown).logits
                if head is not None and body is not self._model:
                    apart = head(body(input_ids=shown)[0])
                    if torch.allclose(apart, logits, rtol=1e-3, atol=1e-3, equal_nan=True):
                        self._parts = (body, head)
        return self._parts


def _same(rows: Any) -> Any:
    return rows
