"""Files of a model directory: configurations, weights, and what identifies them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import EmbeddingError, TsdsError
from tsds_qdrant.representations.loading import first_line
from tsds_qdrant.representations.model_names import LFS_POINTER

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
_WEIGHTS = re.compile(r"(adapter_model|model|pytorch_model).*\.(safetensors|bin)")
_OF_PLACES = (
    "_name_or_path",
    "base_model_name_or_path",
    "dtype",
    "inference_mode",
    "peft_version",
    "revision",
    "torch_dtype",
    "transformers_version",
)
"""Keys of a configuration that say where something was, or how it is read; not what it computes."""


def is_adapter(directory: Path) -> bool:
    """Whether ``directory`` holds adapters, and no whole model."""
    return (directory / ADAPTER_CONFIG).exists()


def weight_files(directory: Path) -> list[Path]:
    """The files of the weights in ``directory``, by name.

    Raises:
        EmbeddingError: there is none, or one is a pointer of Git LFS.
    """
    prefix = "adapter_model" if is_adapter(directory) else ""
    files = (path for path in directory.iterdir() if path.name.startswith(prefix))
    found = sorted(path for path in files if _WEIGHTS.fullmatch(path.name))
    if not found:
        raise EmbeddingError(
            f"the checkpoint '{directory}' lacks its weights, {prefix or 'model'}.safetensors "
            "say; give another"
        )
    for path in found:
        with path.open("rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                raise EmbeddingError(
                    f"'{path}' is a pointer of Git LFS and no weights; run: git lfs pull"
                )
    return found


def content_id(directory: Path) -> str:
    """16 hexadecimal digits that differ wherever weights or configuration do, not the place.

    Raises:
        EmbeddingError: as :func:`weight_files`; or the configuration cannot be read.
    """
    config = read_object(directory / (ADAPTER_CONFIG if is_adapter(directory) else CONFIG))
    kept = {
        key: sorted(value) if key == "target_modules" and isinstance(value, list) else value
        for key, value in config.items()
        if key not in _OF_PLACES
    }
    found = hashlib.sha256(json.dumps(kept, sort_keys=True).encode())
    for path in weight_files(directory):
        found.update(f"{path.name}:{digest(path)};".encode())
    return found.hexdigest()[:16]


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            found.update(block)
    return found.hexdigest()


def read_object(
    path: Path,
    raised: type[TsdsError] = EmbeddingError,
    advice: str = "give another checkpoint",
) -> dict[str, Any]:
    """The object that a file of JSON holds.

    Raises:
        TsdsError: there is none; of the class ``raised``, and with that advice.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
        reason = "it holds no object"
    except (OSError, ValueError) as error:
        reason = first_line(error)
    raise raised(f"'{path}' cannot be read ({reason}); {advice}")
