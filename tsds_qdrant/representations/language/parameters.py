"""How many parameters a language model has, by its configuration alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.representations.loading import first_line, silence, silence_libraries
from tsds_qdrant.representations.model_names import language_model_place, remembered_model

EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
"""How a configuration calls the number of experts of a layer."""


def active_parameters(name: str) -> int:
    """Parameters that a token passes through: all, or of experts those that are chosen.

    The model is built without numbers, so its size does not matter, and no weights are needed.

    Args:
        name: what ``--train-model`` names: a model of the hub, a directory with a
            ``config.json``, a GGUF file, or ``package:NAME``.

    Raises:
        EmbeddingError: there is no configuration of a causal language model.
        MissingPackageError: a package is not installed.
    """
    silence()
    place, file = language_model_place(remembered_model(name), "--train-model")
    if Path(place).is_dir() and not file and not (Path(place) / "config.json").is_file():
        raise EmbeddingError(
            f"'{place}' holds no config.json that says how many parameters the model has; give "
            f"the directory that does, or the number with --train-params"
        )
    import torch
    import transformers

    silence_libraries()
    try:
        config = transformers.AutoConfig.from_pretrained(
            place, trust_remote_code=False, **({"gguf_file": file} if file else {})
        )
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # a configuration raises whatever its model's class raises
        raise EmbeddingError(
            f"the parameters of model '{name}' cannot be counted ({first_line(error)}); give "
            f"their number with --train-params"
        ) from error
    used = _used_experts(config.get_text_config())
    total = 0.0
    for path, one in model.named_parameters():
        total += one.numel() * (used if ".experts." in path else 1.0)
    return round(total)


def _used_experts(config: Any) -> float:
    """Which share of a layer's experts a token passes through."""
    there = next((found for key in EXPERTS if (found := getattr(config, key, None))), None)
    used = getattr(config, "num_experts_per_tok", None)
    return min(used / there, 1.0) if there and used else 1.0
