"""Vectors of one more text model, beside those that a collection has."""

from __future__ import annotations

from copy import copy
from typing import Any, Literal

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.errors import EmbeddingError, SettingsError
from tsds_qdrant.progress import notice
from tsds_qdrant.representations.base import Encoded, Examples, Kind, OnBatch, Plain
from tsds_qdrant.representations.derived.rows import directions, statuses, usable
from tsds_qdrant.representations.endpoint import EndpointEmbedder
from tsds_qdrant.representations.model_names import is_endpoint
from tsds_qdrant.representations.named import embedder_named
from tsds_qdrant.representations.shown import texts_of
from tsds_qdrant.representations.text import SentenceTransformerEmbedder

Role = Literal["document", "query"]
PROMPTS: dict[Role, tuple[str, ...]] = {
    "document": ("document", "passage", "corpus"),
    "query": ("query",),
}
"""Names of the model's own prompts, as sentence-transformers' ``encode_document`` and
``encode_query`` look for them."""


class RoleEmbedder(SentenceTransformerEmbedder):
    """A model that embeds documents, or the queries that are to find them.

    It takes the arguments of :class:`SentenceTransformerEmbedder`, and is one of documents with
    the model's own prompt until :meth:`taking` says otherwise.
    """

    _role: Role = "document"
    _asked: str | None = None

    def taking(self, role: Role, prompt: str | None) -> RoleEmbedder:
        """The same model, loaded once, in that role.

        Args:
            prompt: name of a prompt of the model, or a text; None for the model's own, if any.
        """
        self._loaded()
        other = copy(self)
        other._role, other._asked, other._counted = role, prompt, None
        return other

    def _prompt(self) -> str:
        prompts = self._loaded().prompts or {}
        if self._asked is not None:
            return str(prompts.get(self._asked, self._asked))
        own = next((prompts[name] for name in PROMPTS[self._role] if name in prompts), None)
        return super()._prompt() if own is None else str(own)

    def _by_model(self, texts: list[str], **own: Any) -> Float32Array:
        # sentence-transformers has the two since version 5; some models have two halves.
        encode = getattr(self._model, f"encode_{self._role}", self._model.encode)
        vectors: Float32Array = encode(texts, prompt=self._prompt(), **own)
        return vectors


Roles = RoleEmbedder | EndpointEmbedder


def _model_of(name: str, **loading: Any) -> Roles:
    """The model of that name, in the role of documents."""
    if not is_endpoint(name):
        return RoleEmbedder(name, **loading)
    endpoint = embedder_named(name, **loading)
    assert isinstance(endpoint, EndpointEmbedder)
    return endpoint


class TextVectors(Plain):
    """Unit vectors of texts by a sentence-transformers model, or one behind an endpoint.

    Args:
        model: of the Hugging Face hub, a directory, ``package:NAME`` or ``http://host/v1#NAME``,
            which gets texts as they are where no prompts are named.
        truncate_dim: the first entries that are kept, of a model that was trained for it
            (Matryoshka; Kusupati et al. 2022, arXiv 2205.13147); all by default.
        prompt: before candidates: the name of a prompt of the model, or a text; "" for none. The
            model's own for documents by default, if it has one.
        query_prompt: the same before task examples, as queries.
        name: of the space.
        loading: ``device``, ``batch_size``, ``backend`` and ``max_length``, see
            :class:`SentenceTransformerEmbedder`.

    Raises:
        SettingsError: no entries are kept, a device without a name, or a setting of another kind
            of model.
    """

    kind: Kind = "dense"
    metric = "Cosine"

    def __init__(
        self,
        model: str,
        *,
        truncate_dim: int | None = None,
        prompt: str | None = None,
        query_prompt: str | None = None,
        name: str = "text",
        **loading: Any,
    ) -> None:
        if truncate_dim is not None and truncate_dim < 1:
            raise SettingsError(f"--truncate-dim is {truncate_dim}; give 1 or more")
        self.name = name
        self._truncate_dim = truncate_dim
        self._prompts: dict[Role, str | None] = {"document": prompt, "query": query_prompt}
        self._embedder = _model_of(model, **loading)
        self._embedders: dict[Role, Roles] = {}
        self._whole: int | None = None

    @property
    def dimension(self) -> int:
        """D; the model is loaded to find out.

        Raises:
            EmbeddingError: it cannot be loaded.
            SettingsError: it makes fewer entries than are to be kept.
        """
        if self._whole is None:
            whole = self._embedder.encode(["x"]).shape[1]
            if self._truncate_dim is not None and self._truncate_dim > whole:
                raise SettingsError(
                    f"--truncate-dim is {self._truncate_dim}, and model '{self._embedder.name}' "
                    f"makes vectors of dimension {whole}; give {whole} or less"
                )
            self._whole = whole
        return self._truncate_dim or self._whole

    def manifest(self) -> dict[str, Any]:
        """Model, prompts, and how far texts and vectors are kept."""
        return {
            "kind": "text",
            "model": self._embedder.name,
            "truncate_dim": self._truncate_dim,
            "prompt": self._prompts["document"],
            "query_prompt": self._prompts["query"],
            **self._embedder.made_with,
        }

    def embedder(self, role: Role) -> Roles:
        """The model in that role, which says what it cuts of texts."""
        if role not in self._embedders:
            model, prompt = self._embedder, self._prompts[role]
            if isinstance(model, RoleEmbedder):
                self._embedders[role] = model.taking(role, prompt)
            else:
                self._embedders[role] = model.with_prompt(prompt)
                self._note_prompts(model)
        return self._embedders[role]

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """Unit rows of texts as documents.

        Raises:
            EmbeddingError: the model cannot be loaded or fails.
        """
        return self._encoded(examples, "document", on_batch)

    def targets(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """Unit rows of texts as queries; raises the same."""
        return self._encoded(examples, "query", on_batch)

    def _note_prompts(self, endpoint: EndpointEmbedder) -> None:
        wanted = endpoint.passage_prompts()
        if wanted and None in self._prompts.values():
            notice(
                "prompts",
                f"'{endpoint.name}' gets texts as they are, and a model of that name was trained "
                f"with '{wanted[0]}' before documents: say so with --prompt, and what it wants "
                f"before queries with --query-prompt",
            )

    def _encoded(self, examples: Examples, role: Role, on_batch: OnBatch | None) -> Encoded:
        texts, kept = texts_of(examples), self.dimension
        if not texts:
            return Encoded.fine(np.empty((0, kept), dtype=np.float32), 0)
        whole = self.embedder(role).encode(texts, on_batch)
        if isinstance(self._embedder, EndpointEmbedder) and whole.shape[1] != self._whole:
            raise EmbeddingError(
                f"the endpoint '{self._embedder.name}' made vectors of {self._whole} dimensions, "
                f"and makes some of {whole.shape[1]} now; let it stay one model"
            )
        rows = whole[:, :kept]
        sound = np.where(usable(rows)[:, None], rows, 0)
        return Encoded(directions(sound), statuses(rows))
