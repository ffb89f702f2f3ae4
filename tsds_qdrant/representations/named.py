"""The text model of a name: of sentence-transformers, of fastembed, or behind an endpoint."""

from __future__ import annotations

from typing import Any

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.representations.backends import Backend
from tsds_qdrant.representations.endpoint import EndpointEmbedder
from tsds_qdrant.representations.fastembed_model import FastembedEmbedder
from tsds_qdrant.representations.model_names import FASTEMBED_PREFIX, is_endpoint
from tsds_qdrant.representations.text import Embedder, SentenceTransformerEmbedder


def embedder_named(
    name: str,
    *,
    device: str | None = None,
    batch_size: int = 64,
    backend: Backend = "torch",
    max_length: int | None = None,
    prompt: str | None = None,
) -> Embedder:
    """The model that ``name`` means, which is loaded at the first use.

    Args:
        name: ``http://host/v1#NAME``, ``fastembed:NAME``, or what
            :class:`~tsds_qdrant.representations.text.SentenceTransformerEmbedder` takes.
        device: as there.
        batch_size: texts of one forward pass, or of one request.
        backend: as there.
        max_length: as there.
        prompt: before each text; None for the model's own way.

    Raises:
        SettingsError: the URL names no model, or a setting is for models of another kind.
    """
    elsewhere = is_endpoint(name) or name.startswith(FASTEMBED_PREFIX)
    said = {"device": device, "max_length": max_length}
    said |= {"backend": None if backend == "torch" else backend}
    given = [flag for flag, value in said.items() if value is not None]
    if elsewhere and given:
        flag = given[0].replace("_", "-")
        raise SettingsError(
            f"--{flag} is for models of sentence-transformers, and '{name}' is none; leave it out"
        )
    if is_endpoint(name):
        return EndpointEmbedder(name, batch_size=batch_size, prompt=prompt)
    if name.startswith(FASTEMBED_PREFIX):
        return FastembedEmbedder(name, batch_size=batch_size)
    own: dict[str, Any] = {"device": device, "backend": backend, "max_length": max_length}
    return SentenceTransformerEmbedder(name, batch_size=batch_size, prompt=prompt, **own)
