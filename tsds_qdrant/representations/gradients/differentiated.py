"""A language model at one moment of its training, of which gradients are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tsds_qdrant.representations.gradients.linear_layers import linear_layers
from tsds_qdrant.representations.gradients.objectives import Objective, Reduction, Values, backward
from tsds_qdrant.representations.gradients.per_example import Change, PerExample, Taken
from tsds_qdrant.representations.gradients.projection import Projection

if TYPE_CHECKING:
    import torch

    from tsds_qdrant.representations.language.output_layer import OutputLayer


class Differentiated:
    """A frozen model, and the linear layers of it that gradients are taken of.

    Args:
        model: a transformers model, or a peft model on one; its parameters need no gradients
            afterwards.
        output: makes logits of the last hidden states.
        patterns: of layers' names; all by default, or those of adapters where there are any.

    Attributes:
        layers: parameter name -> linear layer.

    Raises:
        EmbeddingError: the model has no linear layers.
        SettingsError: a pattern fits none of them.
    """

    def __init__(self, model: Any, output: OutputLayer, patterns: Sequence[str] = ()) -> None:
        self.layers: Mapping[str, Any] = linear_layers(model, patterns)
        model.requires_grad_(False)
        plain = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._body = plain.base_model
        self._output = output.around(plain.get_output_embeddings())

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

        taking = PerExample(self.layers, projection, change).taking(inputs["attention_mask"])
        with torch.enable_grad(), taking as taken:
            states = self._body(**inputs).last_hidden_state
            values = backward(states, self._output, labels.to(states.device), objective, reduction)
            return taken(), values
