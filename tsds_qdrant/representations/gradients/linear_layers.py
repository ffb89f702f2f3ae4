"""The linear layers of a language model whose gradients represent an example."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from tsds_qdrant.errors import EmbeddingError, SettingsError

ADAPTER = ("lora_A", "lora_B")
SHOWN = 4
"""Names of layers in a message."""


def linear_layers(model: Any, patterns: Sequence[str] = ()) -> dict[str, Any]:
    """Parameter name -> the linear layer whose weight it is, in the order of the model.

    Those of adapters alone, where the model has any. The output head and the embeddings are none of
    them; neither are biases and the weights of norms.

    Args:
        model: a transformers model, or a peft model on one.
        patterns: of layers' names, with ``*`` and ``?``; all layers without any.

    Raises:
        EmbeddingError: the model has no linear layers.
        SettingsError: a pattern fits none of them.
    """
    head = model.get_output_embeddings()
    inside = () if head is None else tuple(head.modules())
    found = {
        f"{name}.weight": layer
        for name, layer in model.named_modules()
        if _is_linear(layer) and not any(layer is part for part in inside)
    }
    adapters = {name: layer for name, layer in found.items() if _of_adapter(name)}
    found = adapters or found
    if not found:
        raise EmbeddingError("the model has no linear layers to take gradients of; give another")
    for pattern in patterns:
        if not any(_fits(name, pattern) for name in found):
            some = ", ".join(f"'{_layer(name)}'" for name in [*found][:SHOWN])
            raise SettingsError(
                f"--layers '{pattern}' fits no linear layer; there are {some} and so on: "
                f"give a pattern such as '*{_layer(next(iter(found))).rpartition('.')[2]}'"
            )
    chosen = [name for name in found if not patterns or any(_fits(name, p) for p in patterns)]
    return {name: found[name] for name in chosen}


def is_turned(layer: Any) -> bool:
    """Whether the layer keeps its weight as (in, out), as those of GPT-2 do."""
    return type(layer).__name__ == "Conv1D"


def _is_linear(layer: Any) -> bool:
    import torch

    return isinstance(layer, torch.nn.Linear) or (is_turned(layer) and hasattr(layer, "nf"))


def _of_adapter(name: str) -> bool:
    return any(part in ADAPTER for part in name.split("."))


def _layer(name: str) -> str:
    return name.removesuffix(".weight")


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(_layer(name), pattern)
