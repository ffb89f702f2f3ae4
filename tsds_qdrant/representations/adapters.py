"""LoRA adapters on a language model, by peft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsds_qdrant.errors import EmbeddingError, MissingPackageError
from tsds_qdrant.representations.loading import first_line


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
        loaded = peft.PeftModel.from_pretrained(
            model, str(directory), is_trainable=True, local_files_only=True
        )
    except Exception as error:  # whatever peft and safetensors raise
        raise EmbeddingError(
            f"the adapters in '{directory}' cannot be put on the model ({first_line(error)}); "
            f"they were made for '{made_for or 'another'}'"
        ) from error
    return loaded.eval()


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
