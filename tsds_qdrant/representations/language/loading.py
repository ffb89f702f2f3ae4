"""Where a language model lies, and how it is loaded from there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import EmbeddingError, MissingPackageError
from tsds_qdrant.paths import absolute
from tsds_qdrant.representations.loading import (
    check_device,
    first_line,
    silence,
    silence_libraries,
)
from tsds_qdrant.representations.model_names import (
    PACKAGE_PREFIX,
    lacking,
    language_model_place,
)


@dataclass(frozen=True)
class LanguageSource:
    """Which language model is loaded, and how.

    Attributes:
        name: as a collection remembers it.
        revision: of a model of the hub; None for its newest.
        dtype: what it computes in; ``auto`` for what it is stored in.
        wanted_device: where it runs; None for the best there is.
    """

    name: str
    revision: str | None
    dtype: str
    wanted_device: str | None

    @cached_property
    def _place(self) -> tuple[str, str]:
        return language_model_place(self.name)

    @property
    def local(self) -> tuple[str, str]:
        """Its directory, "" where it is of the hub, and its GGUF file, "" where there is none."""
        place, file = self._place
        return (place, file) if Path(place).is_dir() else ("", "")

    @property
    def known_as(self) -> str | None:
        """Its name, unless that is a path, where another model may lie some day."""
        is_path = self.local[0] and not self.name.startswith(PACKAGE_PREFIX)
        return None if is_path else self.name

    @cached_property
    def device(self) -> str:
        """Where it runs."""
        if self.wanted_device:
            return self.wanted_device
        import torch

        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    def commit(self, config: Any) -> str | None:
        """The commit of a model of the hub, its revision where that is not known; else None."""
        if self.local[0]:
            return None
        return getattr(config, "_commit_hash", None) or self.revision

    def config(self) -> Any:
        """The transformers configuration.

        Raises:
            EmbeddingError: it cannot be loaded.
            MissingPackageError: a package is not installed.
        """
        return self._loaded("AutoConfig")

    def tokenizer(self) -> Any:
        """The transformers tokenizer.

        Raises:
            EmbeddingError: it cannot be loaded.
            MissingPackageError: a package is not installed.
        """
        return self._loaded("AutoTokenizer")

    def model(self, config: Any, device: str) -> Any:
        """The transformers model of ``config`` in evaluation mode, on ``device``.

        Raises:
            EmbeddingError: it cannot be loaded, or is no causal language model.
            MissingPackageError: a package is not installed.
        """
        import torch

        try:
            check_device(device)
        except Exception as error:
            raise EmbeddingError(
                f"device '{device}' cannot be used ({first_line(error)}); give another --device"
            ) from error
        dtype = self.dtype if self.dtype == "auto" else getattr(torch, self.dtype)
        model, found = self._loaded("AutoModelForCausalLM", dtype=dtype, output_loading_info=True)
        if missing := sorted(found["missing_keys"]):
            raise EmbeddingError(
                f"model '{self.name}' has no weights of {missing[0]} and {len(missing) - 1} more "
                f"that a causal language model of its kind needs; give another --model"
            )
        if self._place[1]:
            model = _dequantised(model, config)
        try:
            model = model.to(device).eval().requires_grad_(False)
        except (RuntimeError, MemoryError) as error:
            raise EmbeddingError(
                f"model '{self.name}' does not fit on device '{device}' ({first_line(error)}); "
                f"give --dtype bfloat16 or another --device"
            ) from error
        self._check_causal(model)
        return model

    def _loaded(self, kind: str, **settings: Any) -> Any:
        """What the class ``kind`` of transformers makes of the model's files."""
        silence()
        place, file = self._place
        if Path(place).is_dir() and (lacks := self._lacks(Path(place), file)):
            raise EmbeddingError(
                f"'{place}' is no language model that can be loaded ({lacks}); give another --model"
            )
        if file and find_spec("gguf") is None:
            raise MissingPackageError(
                f"model '{self.name}' is a GGUF file, which needs the package gguf; "
                f"run: pip install gguf"
            )
        try:
            import transformers
        except ImportError as error:
            raise MissingPackageError(
                f"transformers cannot be imported ({first_line(error)}); "
                f"run: pip install transformers"
            ) from error
        silence_libraries()
        if file:
            settings["gguf_file"] = file
        if not Path(place).is_dir():
            settings["revision"] = self.revision
        try:
            # Code that comes with a model is never run; asked for nothing, transformers would wait
            # for an answer on the terminal.
            return getattr(transformers, kind).from_pretrained(
                place, trust_remote_code=False, **settings
            )
        except Exception as error:  # a missing model raises whatever the hub client raises
            raise EmbeddingError(self._refusal(error)) from error

    def _lacks(self, directory: Path, file: str) -> str:
        if file:
            return ""
        names = {path.name for path in directory.iterdir()}
        if "config.json" not in names and "adapter_config.json" in names:
            return "it holds an adapter alone: give the model that the adapter was trained on"
        if "config.json" not in names:
            return "it holds no config.json"
        return lacking(directory)

    def _refusal(self, error: Exception) -> str:
        """Why the model cannot be loaded, and what to do."""
        said = first_line(error)
        place, _ = self._place
        if said.startswith("Unrecognized configuration class"):
            return f"model '{self.name}' is no causal language model; give another --model"
        if "trust_remote_code" in str(error) or "custom code" in said:
            return (
                f"model '{self.name}' needs code of its own, which is not run; give --model a "
                f"model that transformers knows"
            )
        at = f" at revision '{self.revision}'" if self.revision and not self.local[0] else ""
        refused = f"model '{self.name}' cannot be loaded{at} ({said})"
        if self.local[0]:
            return f"{refused}; check the files in '{place}', or give another --model"
        checks = "its name, the revision" if at else "its name"
        return (
            f"{refused}; check {checks} and the network, or give its directory with --model "
            f"(there is none at '{absolute(self.name)}')"
        )

    def _check_causal(self, model: Any) -> None:
        """Raise where a token's state depends on tokens behind it: no loss means anything then."""
        import torch

        with torch.no_grad():
            ids = torch.tensor([[1, 2], [1, 3]], device=model.device)
            first = model(input_ids=ids).logits[:, 0].double()
        if not torch.allclose(first[0], first[1], rtol=1e-2, atol=1e-2, equal_nan=True):
            raise EmbeddingError(
                f"model '{self.name}' reads ahead, so it is no causal language model; give "
                f"another --model"
            )


def _dequantised(model: Any, config: Any) -> Any:
    """An ordinary model of the same weights: what comes from a GGUF file says it is quantised."""
    import transformers

    plain = transformers.AutoModelForCausalLM.from_config(config, dtype=model.dtype)
    plain.load_state_dict(model.state_dict())
    return plain
