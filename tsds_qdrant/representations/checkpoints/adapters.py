"""LoRA adapters on a language model, by peft."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import EmbeddingError, MissingPackageError
from tsds_qdrant.representations.checkpoints.lora_settings import ALL_LINEAR, LoraSettings
from tsds_qdrant.representations.checkpoints.model_files import ADAPTER_CONFIG
from tsds_qdrant.representations.loading import first_line

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
"""Projections of attention, as most architectures name them."""


def fresh_adapters(model: Any, name: str, settings: LoraSettings) -> Any:
    """``model`` with new LoRA adapters, which alone need gradients; a peft model.

    Args:
        model: a transformers model; the adapters are put into it.
        name: what the adapters remember of it.
        settings: their rank, scale, dropout and layers.

    Raises:
        EmbeddingError: the model has no such layers.
        MissingPackageError: peft is not installed.
    """
    peft = import_peft()
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=_targets(model, settings),
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = peft.get_peft_model(model, config)
    except Exception as error:  # whatever peft raises of a layer that it does not know
        raise EmbeddingError(
            f"adapters cannot be put on model '{name}' ({first_line(error)}); name other layers "
            f"with --targets, {ALL_LINEAR} say"
        ) from error
    made.peft_config["default"].base_model_name_or_path = name
    return made


def _targets(model: Any, settings: LoraSettings) -> Any:
    """The layers that get adapters, as peft takes them."""
    if settings.targets:
        return ALL_LINEAR if ALL_LINEAR in settings.targets else list(settings.targets)
    ends = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    return [name for name in ATTENTION if name in ends] or ALL_LINEAR


def save_adapters(model: Any, directory: Path) -> None:
    """Write the adapters of a peft ``model`` as peft does; equal ones give equal bytes."""
    model.save_pretrained(str(directory), save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)
    path = directory / ADAPTER_CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def restore_adapters(model: Any, directory: Path) -> None:
    """Take the weights in ``directory`` for the adapters of a peft ``model``.

    Raises:
        EmbeddingError: they cannot be read, or do not fit.
    """
    peft = import_peft()
    try:
        weights = peft.load_peft_weights(str(directory), device="cpu")
        peft.set_peft_model_state_dict(model, weights)
    except Exception as error:  # whatever peft and safetensors raise
        raise EmbeddingError(
            f"the adapters in '{directory}' cannot be read ({first_line(error)}); remove that "
            "checkpoint, and it is made again"
        ) from error


def adapted(model: Any, directory: Path, made_for: str = "") -> Any:
    """``model`` with the adapters in ``directory``, which need gradients, in eval mode.

    Args:
        model: a transformers model; the adapters are put into it.
        directory: as ``save_pretrained`` of peft writes it.
        made_for: the model that they were made for.

    Raises:
        EmbeddingError: they do not fit ``model``.
        MissingPackageError: peft is not installed.
    """
    peft = import_peft()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = peft.PeftModel.from_pretrained(
                model, str(directory), is_trainable=True, local_files_only=True
            )
    except Exception as error:  # whatever peft and safetensors raise
        raise EmbeddingError(
            f"the adapters in '{directory}' cannot be put on the model ({first_line(error)}); "
            f"they were made for '{made_for or 'another'}'"
        ) from error
    return loaded.eval()


def shaped(model: Any, directory: Path) -> Any:
    """``model`` with layers as the adapters in ``directory`` have them, but not their weights.

    Raises:
        EmbeddingError: they do not fit ``model``.
        MissingPackageError: peft is not installed.
    """
    peft = import_peft()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return peft.get_peft_model(model, peft.PeftConfig.from_pretrained(str(directory)))
    except Exception as error:  # whatever peft raises
        raise EmbeddingError(
            f"the adapters in '{directory}' cannot be put on the model ({first_line(error)}); "
            "give the model that they were made for"
        ) from error


def import_peft() -> Any:
    """The package peft.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingPackageError(
            f"adapters need peft, which cannot be imported ({first_line(error)}); "
            "run: pip install 'tsds-qdrant[gradients]'"
        ) from error
    return peft
