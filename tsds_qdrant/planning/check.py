"""Check: what a deployment has, and whether selection will work on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tsds_qdrant.collections.cluster import Cluster
from tsds_qdrant.collections.places import FOLDER_HINT
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import InputError, PoisonedCollectionError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.planning.cluster_state import figures_of, notes_on
from tsds_qdrant.planning.cost import SearchCost, measure_cost

PROBED_POINTS = 64
USUAL = 200, 1_000
"""Task examples and size of the selection whose cost is predicted."""


@dataclass(frozen=True)
class CheckReport:
    """What :func:`check` found.

    Attributes:
        info: the collection.
        ef: of approximate searches that reach the recall; None where everything is scanned.
        scan_reason: why everything is scanned, or "".
        cost: of one search, timed here; None if none could be run.
        problems: sentences on what keeps a selection from working; empty if nothing does.
        notes: sentences on what makes it slower or less exact.
        cluster: how a server keeps it; None where none does.
    """

    info: CollectionInfo
    ef: int | None
    scan_reason: str
    cost: SearchCost | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    cluster: Cluster | None = None

    @property
    def expected(self) -> dict[str, float] | None:
        """Searches and seconds of a selection of usual size; None if none could be timed."""
        if self.cost is None:
            return None
        searches, seconds = self.cost.expected(*USUAL)
        figures = {"task_examples": USUAL[0], "size": USUAL[1], "searches": searches}
        return {**figures, "seconds": seconds}

    def as_dict(self) -> dict[str, Any]:
        """The report for a machine to read."""
        info = self.info
        return {
            "collection": info.name,
            "location": info.location,
            "engine": info.engine,
            "points": info.count,
            "dimension": info.dimension,
            "metric": info.metric,
            "datatype": info.datatype,
            "vector": info.vector,
            "indexed_vectors": info.indexed,
            "segments": info.segments,
            "shards": info.shards,
            "quantization": info.quantization,
            "cluster": figures_of(info, self.cluster),
            "payload_indexes": dict(info.payload_indexes),
            "model": info.metadata.get("model"),
            "limits": vars(info.limits),
            "search": {
                "exact": bool(self.scan_reason),
                "why": self.scan_reason,
                "ef": self.ef,
                "scanner": info.scanner,
                "scan_milliseconds": self.cost and self.cost.scan,
                "walk_milliseconds": self.cost and self.cost.walk,
            },
            "expected": self.expected,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "ok": not self.problems,
        }


def check(collection: Collection, *, recall: float = 0.98, seed: int = 0) -> CheckReport:
    """Describe ``collection`` and try a few searches on it; nothing is written.

    Raises:
        SettingsError: ``recall`` is not in (0, 1].
        CollectionError: Qdrant fails.
    """
    settings = SearchSettings(recall=recall)
    info = collection.info()
    try:
        searcher = Searcher(collection, settings, seed=seed)
    except InputError as error:
        return CheckReport(info, None, "", None, (f"{error}.",), ())
    page = next(iter(collection.scroll_ids()))
    ids = [page[k] for k in np.random.default_rng(seed).permutation(len(page))[:PROBED_POINTS]]
    stored = [record.vector for record in collection.retrieve(ids, payloads=False, vectors=True)]
    finite = [vector for vector in stored if vector is not None and np.isfinite(vector).all()]
    if not finite:
        what = f"none of {len(ids)} points tried has a usable vector '{info.vector}'"
        return CheckReport(info, None, "", None, (f"{what}; choose another with --vector.",), ())
    vectors = np.stack(finite)
    problems: list[str] = []
    cost = None
    try:
        searcher.preflight(vectors[0])
        cost = measure_cost(searcher, vectors)
    except PoisonedCollectionError as error:
        problems.append(f"{error}.")
    cluster = collection.cluster()
    notes = (*notes_on(info, cluster), *_notes(info))
    return CheckReport(
        info, searcher.ef, searcher.scan_reason, cost, tuple(problems), notes, cluster
    )


def _notes(info: CollectionInfo) -> tuple[str, ...]:
    notes = []
    if info.indexed < 0.9 * info.count and info.count > 10_000:
        notes.append(
            f"{info.count - info.indexed} of {info.count} vectors are in no HNSW graph yet, so "
            f"searches are slow; wait for the optimizer, or lower its indexing_threshold."
        )
    if info.quantization:
        notes.append(
            f"vectors are quantised ({info.quantization}); scores are rescored, and the measured "
            f"recall shows what is lost."
        )
    if not info.metadata.get("model"):
        notes.append(
            "the collection does not say which model made its vectors; give task examples as "
            ".npy, or name the model with --model."
        )
    if not info.limits.writes:
        notes.append(f"{FOLDER_HINT}.")
    if not info.limits.exact:
        notes.append("exact search is not allowed here (strict mode), so recall is not measured.")
    if not info.limits.unindexed_filter:
        notes.append("filters work on indexed payload fields only (strict mode).")
    return tuple(notes)
