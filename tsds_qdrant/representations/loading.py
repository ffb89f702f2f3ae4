"""Models are loaded: on their devices, by their backend, and reading as far as is wanted."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tsds_qdrant.errors import EmbeddingError, MissingPackageError, SettingsError
from tsds_qdrant.paths import absolute
from tsds_qdrant.progress import notice
from tsds_qdrant.representations.backends import Backend
from tsds_qdrant.representations.model_names import (
    FASTEMBED_PREFIX,
    directory_of,
    is_endpoint,
    lacking,
    loadable,
    remembered_model,
)

NEEDED: dict[Backend, tuple[str, ...]] = {
    "torch": (),
    "onnx": ("optimum.onnxruntime", "onnxruntime"),
    "openvino": ("optimum.intel", "openvino"),
}
"""Packages of a backend besides those of sentence-transformers."""
SHIFTED = ("roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl", "data2vec-text")
"""Model types whose positions begin behind that of the padding token."""


def devices_of(device: str | None) -> list[str]:
    """The devices that ``device`` names, between commas; none where it is left to torch.

    Raises:
        SettingsError: a name is empty.
    """
    if device is None:
        return []
    names = [name.strip() for name in device.split(",")]
    if not all(names):
        raise SettingsError(f"--device is '{device}'; name devices, as in cuda:0,cuda:1")
    return names


def silence() -> None:
    """Let nothing but our own progress appear on the terminal; before libraries are imported."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")


def silence_libraries() -> None:
    """The same of libraries, which set their own levels when they are imported."""
    for library in ("sentence_transformers", "transformers", "huggingface_hub", "optimum"):
        logging.getLogger(library).setLevel(logging.ERROR)


REQUIRES = "requires installing"
"""In what sentence-transformers raises where packages of a backend are missing or do not fit."""


@dataclass(frozen=True)
class ModelSource:
    """Which model is loaded, and how.

    Attributes:
        name: as a collection remembers it.
        devices: where it runs; none where torch decides.
        backend: what computes.
        max_length: tokens that are read of a text; None for the model's own limit.
    """

    name: str
    devices: tuple[str, ...] = ()
    backend: Backend = "torch"
    max_length: int | None = None

    @classmethod
    def of(
        cls, name: str, device: str | None, backend: Backend, max_length: int | None
    ) -> ModelSource:
        """The source that these settings say.

        Raises:
            SettingsError: a device without a name, or a model of another library.
        """
        if is_endpoint(name) or name.startswith(FASTEMBED_PREFIX):
            raise SettingsError(
                f"'{name}' is no model of sentence-transformers, which is needed here; name one of "
                f"the hub, a directory, or package:NAME"
            )
        return cls(remembered_model(name), tuple(devices_of(device)), backend, max_length)

    def loaded(self) -> Any:
        """The sentence-transformers model, on the first of its devices.

        Raises:
            EmbeddingError: it cannot be loaded, or cannot read texts of that length.
            MissingPackageError: a package is not installed.
        """
        silence()
        path = loadable(self.name)
        notice(f"loading {self.name}", f"loading model '{self.name}' ..")
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingPackageError(
                f"sentence-transformers cannot be imported ({first_line(error)}); "
                f"run: pip install sentence-transformers"
            ) from error
        self._check_backend()
        silence_libraries()
        more = {} if self.backend == "torch" else {"backend": self.backend}
        device = self.devices[0] if self.devices else None
        try:
            model = SentenceTransformer(path, device=device, **more)
            for further in self.devices[1:]:
                check_device(further)
        except Exception as error:  # a missing model raises whatever the hub client raises
            if REQUIRES in str(error):
                raise self._lacking(first_line(error.__context__ or error)) from error
            raise EmbeddingError(self._refusal(error)) from error
        if self.max_length is not None:
            self._shorten(model, self.max_length)
        return model

    def _check_backend(self) -> None:
        for package in NEEDED[self.backend]:
            try:
                found = find_spec(package)
            except ImportError:
                found = None
            if found is None:
                raise self._lacking(f"no module named '{package}'")

    def _lacking(self, reason: str) -> MissingPackageError:
        return MissingPackageError(
            f"--backend {self.backend} needs packages that are not installed ({reason}); "
            f"run: pip install 'tsds-qdrant[{self.backend}]'"
        )

    def _shorten(self, model: Any, length: int) -> None:
        if not isinstance(getattr(model, "max_seq_length", None), int):
            raise EmbeddingError(
                f"model '{self.name}' reads texts of any length; leave --max-length out"
            )
        most = _most_tokens(model)
        if most is not None and length > most:
            raise EmbeddingError(
                f"model '{self.name}' reads at most {most} tokens of a text, not {length}; "
                f"give --max-length {most} or less"
            )
        model.max_seq_length = length

    def _refusal(self, error: Exception) -> str:
        """Why the model cannot be loaded, and what to do."""
        directory = directory_of(self.name)
        lacks = "" if directory is None else lacking(directory)
        if lacks:
            return f"'{directory}' is no model that can be loaded ({lacks}); give another --model"
        place = f" on device '{','.join(self.devices)}'" if self.devices else ""
        place += f" by {self.backend}" if self.backend != "torch" else ""
        said = f"model '{self.name}' cannot be loaded{place} ({first_line(error)})"
        checks = "the device, " if self.devices else ""
        if directory is not None:
            return f"{said}; check {checks}the files in it, or give another --model"
        return (
            f"{said}; check {checks}its name and the network, or give its directory with --model "
            f"(there is none at '{absolute(self.name)}')"
        )


def check_device(device: str) -> None:
    """Raise what torch raises on a device that is not there: processes on it would never answer."""
    import torch

    torch.empty(1, device=device)


def _most_tokens(model: Any) -> int | None:
    """How many tokens the positions of a transformer suffice for; None where not known."""
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return None
    # Models like RoBERTa count positions from behind the number of their padding token.
    shifted = str(getattr(config, "model_type", "")) in SHIFTED
    return positions - int(getattr(config, "pad_token_id", 1) or 0) - 1 if shifted else positions


def first_line(error: BaseException) -> str:
    """What ``error`` says, its first line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
