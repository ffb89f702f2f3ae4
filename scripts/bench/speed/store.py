"""What is built once from a pool and used again: the collection, and the index of faiss."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.pools import Pool
from bench.speed.clock import say
from bench.speed.plain import PROBES, FloatArray, PlainPipeline, ivf_over
from bench.speed.truth import Truth, brute_force

from tsds_qdrant import create_collection

COLLECTION = "pool"


@dataclass(frozen=True)
class Built:
    """Something on disk, and what it took.

    Attributes:
        path: the directory of a collection, or the file of an index.
        seconds: by stage, when it was built.
        earlier: whether that was in an earlier run.
    """

    path: Path
    seconds: dict[str, float]
    earlier: bool

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def built_collection(pool: Pool) -> Built:
    """An embedded collection of the pool, its graph built."""
    place = pool.directory / "qdrant"
    if place.exists():
        return Built(place, _seconds(place), earlier=True)
    say(f"{pool.name}: storing and indexing")
    draft = _draft(place)
    started = time.perf_counter()
    collection = create_collection(str(draft), COLLECTION, dimension=pool.vectors.shape[1])
    collection.upsert(range(len(pool.vectors)), pool.vectors)
    stored = time.perf_counter()
    collection.optimize()
    seconds = {"store": stored - started, "index": time.perf_counter() - stored}
    collection.close()
    return _kept(draft, place, seconds)


def built_index(pool: Pool) -> Built:
    """The IVF index of the pool, as a file of faiss."""
    import faiss

    place = pool.directory / "plain"
    if place.exists():
        return Built(place / "index.faiss", _seconds(place), earlier=True)
    say(f"{pool.name}: training and filling the IVF index")
    draft = _draft(place)
    draft.mkdir()
    started = time.perf_counter()
    index = ivf_over(pool.vectors)
    seconds = {"train and add": time.perf_counter() - started}
    faiss.write_index(index, str(draft / "index.faiss"))
    kept = _kept(draft, place, seconds)
    return Built(place / "index.faiss", kept.seconds, earlier=False)


def plain_over(directory: Path, vectors: Any) -> PlainPipeline:
    """The plain pipeline over the index that lies in ``directory``."""
    import faiss

    index = faiss.read_index(str(directory / "plain" / "index.faiss"))
    index.nprobe = PROBES
    return PlainPipeline(vectors, index)


def known_truth(
    pool: Pool, queries: Any, *, alpha: float, cost_scale: float, bandwidth: float
) -> Truth:
    """The truth of a case, computed once."""
    name = f"truth-{len(queries)}-{alpha:g}-{cost_scale:g}-{bandwidth:g}.npz"
    file = pool.directory / name
    if not file.exists():
        say(f"{pool.name}: brute force for {len(queries)} task examples at alpha {alpha:g}")
        truth = brute_force(
            pool.vectors, queries, alpha=alpha, cost_scale=cost_scale, bandwidth=bandwidth
        )
        draft = file.with_name(f"draft-{name}")
        np.savez(draft, probabilities=truth.probabilities, needed=truth.needed, depth=truth.depth)
        draft.rename(file)
    with np.load(file) as stored:
        probabilities: FloatArray = stored["probabilities"]
        return Truth(probabilities, int(stored["needed"]), int(stored["depth"]))


def _draft(place: Path) -> Path:
    draft = place.with_name(f"{place.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    return draft


def _kept(draft: Path, place: Path, seconds: dict[str, float]) -> Built:
    (draft / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
    draft.rename(place)
    return Built(place, seconds, earlier=False)


def _seconds(place: Path) -> dict[str, float]:
    seconds: dict[str, float] = json.loads((place / "seconds.json").read_text(encoding="utf-8"))
    return seconds
