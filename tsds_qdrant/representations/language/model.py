"""Causal language models of Hugging Face, loaded in the same way for all uses."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tsds_qdrant.errors import EmbeddingError, SettingsError
from tsds_qdrant.representations.checkpoints.model_hashes import (
    local_hashes,
    text_hash,
    tokenizer_hash,
)
from tsds_qdrant.representations.language.loading import LanguageSource
from tsds_qdrant.representations.loading import devices_of, first_line
from tsds_qdrant.representations.model_names import remembered_model

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16", "float64", "auto")
USUAL_LENGTH = 2_048
"""Tokens that are read of an example unless another number is wanted, as RDS+ and LESS do."""


class LanguageModel:
    """A causal language model and its tokenizer, each loaded at the first use.

    It never trains (dropout is off), and its embeddings are never resized: padding takes a token
    that is there, and is hidden by the attention mask.

    Args:
        name: a model of the Hugging Face hub, a local directory, a GGUF file, or ``package:NAME``
            for the directory ``model``, or the one GGUF file, of the installed package NAME.
            Weights of a GGUF file are dequantised, so the model is an ordinary one.
        revision: branch, tag or commit of a model of the hub.
        dtype: what it computes in: ``float32``, ``bfloat16``, ``float16``, ``float64``, or ``auto``
            for what its weights are stored in.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ..; the best there is by default.
        max_length: tokens that are read of an example; 2,048, or what the model reads if that is
            less, by default.

    Attributes:
        name: as a collection remembers it, a path from the root on.

    Raises:
        SettingsError: a precision that does not exist, a length below 2, or more than one device.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        dtype: str = "float32",
        device: str | None = None,
        max_length: int | None = None,
    ) -> None:
        if dtype not in DTYPES:
            raise SettingsError(f"--dtype is '{dtype}'; choose one of {', '.join(DTYPES)}")
        if max_length is not None and max_length < 2:
            raise SettingsError(
                f"--max-length is {max_length}; a language model needs at least 2 tokens to "
                f"predict one from another"
            )
        devices = devices_of(device)
        if len(devices) > 1:
            raise SettingsError(f"--device is '{device}'; a language model runs on one device")
        self.name = remembered_model(name)
        self._source = LanguageSource(self.name, revision, dtype, devices[0] if devices else None)
        self._wanted_length = max_length

    @cached_property
    def config(self) -> Any:
        """The transformers configuration."""
        return self._source.config()

    @cached_property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self._source.tokenizer()

    @cached_property
    def model(self) -> Any:
        """The transformers model, on its device, in evaluation mode.

        Raises:
            EmbeddingError: it cannot be loaded, or is no causal language model.
            MissingPackageError: a package is not installed.
        """
        import torch

        # Weights that are made in inference mode never have gradients.
        with torch.inference_mode(False):
            return self._source.model(self.config, self.device)

    @property
    def device(self) -> str:
        """Where it runs."""
        return self._source.device

    @cached_property
    def dtype(self) -> str:
        """What it computes in: never ``auto``."""
        wanted = self._source.dtype
        if wanted != "auto":
            return wanted
        stored = getattr(self.config, "dtype", None) or getattr(self.config, "torch_dtype", None)
        return str(stored or "float32").removeprefix("torch.")

    @cached_property
    def max_length(self) -> int:
        """Tokens that are read of an example.

        Raises:
            EmbeddingError: the model does not read as many as were asked for.
        """
        positions = getattr(self.config.get_text_config(), "max_position_embeddings", None)
        most = positions if isinstance(positions, int) and positions > 0 else None
        wanted = self._wanted_length
        if wanted is None:
            return min(USUAL_LENGTH, most or USUAL_LENGTH)
        if most is not None and wanted > most:
            raise EmbeddingError(
                f"model '{self.name}' reads at most {most} tokens of an example, not {wanted}; "
                f"give --max-length {most} or less"
            )
        return wanted

    @property
    def bos(self) -> int | None:
        """The token that begins a text; None where the tokenizer has none."""
        return _token(self.tokenizer.bos_token_id)

    @property
    def eos(self) -> int | None:
        """The token that ends an answer; None where the tokenizer has none."""
        return _token(self.tokenizer.eos_token_id)

    @property
    def start(self) -> int:
        """The token before a text that follows on nothing: that of the beginning, else the end."""
        return next((token for token in (self.bos, self.eos) if token is not None), 0)

    @property
    def padding(self) -> int:
        """The token that fills up a batch: any will do, as the attention mask hides it."""
        own = _token(self.tokenizer.pad_token_id)
        known = [token for token in (own, self.eos, self.bos) if token is not None]
        return next((token for token in known if token < self.vocabulary), 0)

    @property
    def width(self) -> int:
        """D, the dimension of its last hidden states."""
        config = self.config.get_text_config()
        return int(getattr(config, "word_embed_proj_dim", None) or config.hidden_size)

    @property
    def vocabulary(self) -> int:
        """How many tokens the model has embeddings of."""
        return int(self.config.get_text_config().vocab_size)

    def manifest(self) -> dict[str, Any]:
        """What all that is computed with this model depends on; the weights are not loaded for it.

        ``model`` is the name, None for a path: a local model is known, wherever it lies, by
        ``weights`` (a hash of samples of its files) and ``config`` (a hash of its configuration),
        a model of the hub by the commit of its ``revision``. ``tokenizer`` is a hash of the
        vocabulary and of what becomes of some texts.
        """
        return {
            "model": self._source.known_as,
            "revision": self._source.commit(self.config),
            **local_hashes(*self._source.local),
            "tokenizer": tokenizer_hash(self.tokenizer),
            "template": text_hash(getattr(self.tokenizer, "chat_template", None)),
            "dtype": self.dtype,
            "max_length": self.max_length,
        }

    def inputs(self, ids: torch.Tensor, attention: torch.Tensor) -> dict[str, Any]:
        """What the model takes of a padded batch, on its device.

        Positions are counted on real tokens, so that padding on either side gives the same values.

        Args:
            ids: (B, T) token ids.
            attention: (B, T) 1 for a real token, 0 for padding.
        """
        ids, attention = ids.to(self.device), attention.to(self.device)
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": attention}
        accepted = inspect.signature(self.model.forward).parameters
        if "position_ids" in accepted:
            given["position_ids"] = (attention.cumsum(-1) - 1).clamp(min=0)
        if "use_cache" in accepted:
            given["use_cache"] = False
        return given

    def states(self, given: Mapping[str, Any]) -> torch.Tensor:
        """(B, T, D) last hidden states, behind the last norm, of what :meth:`inputs` made."""
        states: torch.Tensor = self.model.base_model(**given).last_hidden_state
        return states

    @contextmanager
    def running(self, examples: int, tokens: int) -> Iterator[None]:
        """Say in one sentence what torch raises in a pass over that many examples and tokens."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            said = f"model '{self.name}' failed on a batch of {examples} examples, {tokens} tokens"
            smaller = "a smaller --batch-tokens" if examples > 1 else "a smaller --max-length"
            advice = (
                f"try {smaller} or --dtype bfloat16"
                if _is_memory(error)
                else f"try {smaller} or --device cpu"
            )
            raise EmbeddingError(f"{said} ({first_line(error)}); {advice}") from error


def _token(found: Any) -> int | None:
    """A token id: some tokenizers have several of a kind."""
    if isinstance(found, (list, tuple)):
        found = found[0] if found else None
    return None if found is None else int(found)


def _is_memory(error: BaseException) -> bool:
    said = str(error).lower()
    return isinstance(error, MemoryError) or "memory" in said or "alloc" in said
