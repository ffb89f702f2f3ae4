"""Proof that a model makes the vectors of a collection that does not name its own.

A few stored texts are embedded and compared with their vectors. A model with prompts is tried with
and without the one for passages, as frameworks differ in this: what comes nearer to the stored
vectors is how the pool was made, and how task examples are made then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import CollectionMismatchError
from tsds_qdrant.pool.texts import point_template
from tsds_qdrant.progress import notice
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.representations.text import Embedder
from tsds_qdrant.represented.marks import all_kept, described
from tsds_qdrant.task.model import stored_texts
from tsds_qdrant.task.suggestion import suggestion_for

Say = Callable[[str, str], object]
SAME = 0.99
"""From this cosine on two vectors count as made by one model of one text."""
APART = 0.05
"""By so much at least the cosine to a text's own vector must exceed that to others."""
BEYOND_CHANCE = 3.0
"""And by this number of standard deviations of what chance gives."""
BETTER = 0.002
"""By so much at least a prompt must come nearer to what is stored."""


@runtime_checkable
class Prompted(Protocol):
    """An embedder that may put a prompt before texts."""

    def passage_prompts(self) -> Sequence[str]:
        """What the model may want before passages."""

    def with_prompt(self, prompt: str | None) -> Embedder:
        """The same model with another prompt."""


@dataclass(frozen=True)
class Proof:
    """How near a model comes to what is stored.

    Attributes:
        model: its name.
        texts: how many were embedded.
        dimension: D of its vectors.
        cosine: to the vectors of these texts, the mean.
        others: to those of other texts; NaN where there are none.
        prompt: the one with which it comes nearest; None for the model's own way.
        plain: the cosine without.
    """

    model: str
    texts: int
    dimension: int
    cosine: float
    others: float
    prompt: str | None = None
    plain: float = float("nan")

    @property
    def holds(self) -> bool:
        """Whether texts are nearer to their own vectors than to others, by more than chance.

        The mean of n cosines of unrelated unit vectors in D dimensions has the standard deviation
        1 / sqrt(n D).
        """
        apart = max(APART, BEYOND_CHANCE / (self.texts * self.dimension) ** 0.5)
        others = 0.0 if np.isnan(self.others) else self.others
        return self.cosine >= SAME or self.cosine > others + apart

    @property
    def in_words(self) -> str:
        """What was found, for a person."""
        behind = ""
        if self.prompt is not None:
            behind = f" behind the prompt '{self.prompt}' ({self.plain:.3f} without)"
        words = (
            f"'{self.model}' gives {self.texts} stored texts{behind} vectors of cosine "
            f"{self.cosine:.3f} to what is stored"
        )
        if self.cosine >= SAME:
            return words
        return (
            f"{words}, so more than that text was embedded, or in another way (LlamaIndex puts "
            f"metadata before texts); distances of task examples are off by as much"
        )


def info_for_texts(
    collection: Collection,
    info: CollectionInfo,
    embedder: Callable[[], Embedder],
    wanted: TextTemplate,
    say: Say = notice,
) -> CollectionInfo:
    """``info``, once the model of texts that are to be embedded has proved to be the pool's.

    Nothing is asked of the model of a collection that names its own, nor of one without points.

    Args:
        collection: open; a few of its points are read.
        info: of the collection.
        embedder: makes the model that a user names.
        wanted: how texts are made, of points too where the collection does not say.
        say: hears a subject, and what was found.

    Raises:
        CollectionMismatchError: it makes other vectors.
        EmbeddingError: it cannot be loaded.
    """
    if info.model or not (info.dimension and info.count):
        return info
    if info.vector in all_kept(described(collection)):
        return info
    template = point_template(collection, wanted, shared=True)
    return info_proved(collection, info, embedder(), template, say)


def info_proved(
    collection: Collection,
    info: CollectionInfo,
    embedder: Embedder,
    template: TextTemplate,
    say: Say = notice,
) -> CollectionInfo:
    """``info``, with the prompt of the pool, once ``embedder`` has proved to make its vectors.

    Args:
        collection: open; a few of its points are read.
        info: of the collection, which names no model.
        embedder: the model that a user names.
        template: how the texts of points are made.
        say: hears a subject, and what was found.

    Raises:
        CollectionMismatchError: it makes other vectors.
        EmbeddingError: it cannot be loaded.
    """
    proof = proof_of(collection, info, embedder, template)
    if proof is None:
        say(
            "proof",
            f"collection '{info.name}' has no texts that could show whether '{embedder.name}' made "
            f"its vectors",
        )
        return info
    if not proof.holds:
        raise CollectionMismatchError(
            f"'{proof.model}' does not make the vectors {info.named} of collection '{info.name}': "
            f"{proof.texts} texts embedded again have a cosine of {proof.cosine:.3f} to what is "
            f"stored, and of {proof.others:.3f} to other points; name another model with --model"
            f"{_hint(collection, info, proof.model)}, or the field of the texts with --text-field"
        )
    say("proof", proof.in_words)
    if proof.prompt is None:
        return info
    return replace(info, metadata={**info.metadata, "prompt": proof.prompt})


def proof_of(
    collection: Collection, info: CollectionInfo, embedder: Embedder, template: TextTemplate
) -> Proof | None:
    """How near ``embedder`` comes to a few stored vectors; None where no texts are stored.

    Raises:
        CollectionMismatchError: it makes vectors of another dimension.
        EmbeddingError: it cannot be loaded.
    """
    _, texts, stored = stored_texts(collection, info, template)
    if not texts:
        return None
    plain = embedder.encode(texts)
    dimension = plain.shape[1]
    if dimension != info.dimension:
        raise CollectionMismatchError(
            f"'{embedder.name}' makes vectors of {dimension} dimensions, and collection "
            f"'{info.name}' holds those of {info.dimension}; name another model with --model"
            f"{_hint(collection, info, embedder.name)}"
        )
    rows: dict[str | None, Float32Array] = {None: plain}
    if isinstance(embedder, Prompted):
        for prompt in embedder.passage_prompts():
            rows[prompt] = embedder.with_prompt(prompt).encode(texts)
    near = {prompt: float(np.diag(_cosines(one, stored)).mean()) for prompt, one in rows.items()}
    best = max(near, key=near.__getitem__)
    best = best if near[best] >= near[None] + BETTER else None
    between = _cosines(stored, stored)
    other = between < 1 - 1e-4
    others = _cosines(rows[best], stored)[other]
    mean = float(others.mean()) if len(others) else float("nan")
    return Proof(embedder.name, len(texts), dimension, near[best], mean, best, near[None])


def _hint(collection: Collection, info: CollectionInfo, tried: str) -> str:
    found = suggestion_for(collection, info)
    return "" if found is None or found.model == tried else f" ({found.in_words})"


def _cosines(one: Float32Array, other: Float32Array) -> FloatArray:
    """(n, m) cosines of rows."""
    left, right = (rows / np.maximum(_lengths(rows), 1e-30) for rows in (one, other))
    cosines: FloatArray = left.astype(np.float64) @ right.astype(np.float64).T
    return cosines


def _lengths(rows: Float32Array) -> FloatArray:
    lengths: FloatArray = np.linalg.norm(rows, axis=1, keepdims=True)
    return lengths
