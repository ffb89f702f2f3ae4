"""Collections whose vectors and values ``represent`` seems to have made, written by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tsds_qdrant import create_collection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MADE_FIELD, MANIFESTS
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import Metric, Payload, PointId
from tsds_qdrant.representations.base import Shown
from tsds_qdrant.representations.words.bm25 import Bm25
from tsds_qdrant.represented.marks import Kept
from tsds_qdrant.sparse import SparseRows


def kept_as(kind: str, manifest: Mapping[str, Any], *, has_vectors: bool = True) -> Kept:
    return Kept(kind, "f00d", {"kind": kind, **manifest}, {}, has_vectors=has_vectors)


def gradients_at(rates: Sequence[float | None]) -> Kept:
    """What is kept of unit gradients at checkpoints of those learning rates."""
    checkpoints = [{"id": f"c{k}", "step": k, "learning_rate": one} for k, one in enumerate(rates)]
    return kept_as("gradient", {"normalised": True, "checkpoints": checkpoints})


def unit_blocks(rows: Any, blocks: int) -> Any:
    """``rows`` (n, D) with each of their blocks brought to length 1, in float32."""
    parts = np.asarray(rows, dtype=np.float64).reshape(len(rows), blocks, -1)
    parts = parts / np.linalg.norm(parts, axis=2, keepdims=True)
    return parts.reshape(len(rows), -1).astype(np.float32)


def add_made(
    pool: Collection,
    kept: Kept,
    ids: Sequence[PointId],
    rows: Any = None,
    *,
    name: str = "",
    metric: Metric = "Dot",
    values: Sequence[Payload] | None = None,
) -> None:
    """Write a space, or values alone, with its marks and what is kept of it."""
    name = name or kept.kind
    if isinstance(rows, SparseRows):
        pool.add_space(Space.sparse(name, idf=kept.kind == "bm25"))
        pool.set_vectors(ids, rows, space=name)
    elif rows is not None:
        pool.add_space(Space.dense(name, rows.shape[1], metric))
        pool.set_vectors(ids, rows, space=name)
    own = values or [{}] * len(ids)
    pool.set_payload(MADE_FIELD, ids, [{name: {"fp": kept.fingerprint, **one}} for one in own])
    known = pool.info().metadata.get(MANIFESTS) or {}
    pool.update_metadata({MANIFESTS: {**known, name: kept.stored()}})


def represent_words(pool: Collection, ids: Sequence[PointId], payloads: Sequence[Payload]) -> None:
    """Write what ``represent bm25`` makes of texts whose average length is 4 words."""
    made = Bm25()
    made.restore({"average_length": np.array([4.0])})
    shown = [Shown(str(one["text"])) for one in payloads]
    rows = made.candidates(shown).rows
    kept = Kept("bm25", "f00d", made.manifest(), {"name": "bm25"})
    add_made(pool, kept, ids, rows)


@contextmanager
def plain_pool(
    count: int, payloads: Sequence[Payload] | None = None, place: str | None = None
) -> Iterator[Collection]:
    """A pool of ``count`` points whose own vectors say little."""
    rows = np.random.default_rng(1).normal(size=(count, 2)).astype(np.float32)
    with TemporaryDirectory() as directory:
        metadata = {"text": {"text_field": "text"}}
        made = create_collection(place or directory, "pool", dimension=2, metadata=metadata)
        with made as pool:
            pool.upsert(range(count), rows, payloads or [{"text": f"t{k}"} for k in range(count)])
            yield pool


@contextmanager
def gradient_pool(
    rows: Any, rates: Sequence[float | None], payloads: Sequence[Payload] | None = None
) -> Iterator[Collection]:
    """A pool with unit gradients ``rows`` (n, C d) at C checkpoints of ``rates``, searched."""
    with plain_pool(len(rows), payloads) as pool:
        add_made(pool, gradients_at(rates), range(len(rows)), rows)
        yield pool.at("gradient")
