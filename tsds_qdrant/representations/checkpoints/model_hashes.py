"""Hashes of a language model's files and tokens, by which it is known.

Each is 16 hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import EmbeddingError

SAMPLES = 64
"""Pieces of a file of weights that are hashed, equally spaced: training changes every one."""
SAMPLE_BYTES = 4_096
OWN_TO_A_PLACE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache")
"""What a configuration says of how it was stored or is used, not of what is computed."""
PROBES = (
    "Two  spaces, don't,\ttabs\n\n\n1234567.89 x_y == z; END",
    " É naïve Straße \u65e5\u672c\u8a9e \u0627\u0644\u0639 \U0001f642 e\u0301 \ufb01",
    "",
)
"""Texts that tokenizers of one vocabulary may still cut in different ways."""


def local_hashes(directory: str, file: str) -> dict[str, str]:
    """By what a local model is known, wherever it lies: ``weights`` and ``config``.

    Args:
        directory: that it lies in; "" for a model of the hub, which gets none.
        file: its GGUF file there, which holds its configuration too; "" where it is none.

    Raises:
        EmbeddingError: a file cannot be read.
    """
    place = Path(directory)
    try:
        if not directory:
            return {}
        if file:
            return {"weights": _weights_hash([place / file])}
        stated = json.loads((place / "config.json").read_text(encoding="utf-8"))
        kept = {key: value for key, value in stated.items() if key not in OWN_TO_A_PLACE}
        return {"weights": _weights_hash(_weights_in(place)), "config": text_hash(kept)}
    except OSError as error:
        raise EmbeddingError(
            f"'{error.filename}' cannot be read ({error.strerror}); check the model's files"
        ) from error


def tokenizer_hash(tokenizer: Any) -> str:
    """Of the vocabulary and of tokens, not of the files: these are written in several ways."""
    ids = [tokenizer(text)["input_ids"] for text in PROBES]
    return text_hash([sorted(tokenizer.get_vocab().items()), ids])


def _weights_hash(paths: list[Path]) -> str:
    """Of the sizes of files of weights and of samples of what they hold."""
    found = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        found.update(f"{path.name}:{size};".encode())
        with path.open("rb") as stream:
            for piece in range(SAMPLES):
                stream.seek(max(0, size - SAMPLE_BYTES) * piece // (SAMPLES - 1))
                found.update(stream.read(SAMPLE_BYTES))
    return found.hexdigest()[:16]


def text_hash(value: Any) -> str:
    """Different wherever a JSON value is."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _weights_in(directory: Path) -> list[Path]:
    """Files of weights, without the state of a training that lies beside them."""
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        if found := sorted(directory.glob(pattern)):
            return found
    return []
