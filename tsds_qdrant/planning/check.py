"""Check: what a deployment has, and whether selection will work on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from tsds_qdrant.collections.cluster import Cluster
from tsds_qdrant.collections.graph import in_graph
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import (
    CollectionMismatchError,
    DepthError,
    InputError,
    PoisonedCollectionError,
    RequestRejectedError,
    UnsupportedCollectionError,
)
from tsds_qdrant.neighbors.expected import expected_searches
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.planning.abilities import Ability, abilities_of, usual
from tsds_qdrant.planning.cluster_state import figures_of, placing_of, troubles_of
from tsds_qdrant.planning.cost import SearchCost, measure_cost
from tsds_qdrant.planning.findings import notes_on, warnings_on, warnings_on_rounding
from tsds_qdrant.planning.graph_cost import GraphCost, graph_cost
from tsds_qdrant.planning.mirror_cost import MirrorCost, mirror_cost
from tsds_qdrant.planning.representations import (
    Represented,
    Sizes,
    representations_of,
    sizes_of,
    warnings_on_representations,
)
from tsds_qdrant.planning.texts import Texts, texts_of
from tsds_qdrant.pool.members import members
from tsds_qdrant.pool.pool import with_direction
from tsds_qdrant.represented.marks import described
from tsds_qdrant.task.suggestion import Suggestion, suggestion_for

PROBED_POINTS = 64
RATE_SHARE = 4
"""At most this part of the reads of a minute are spent on points."""
Verdict = Literal["works", "works with a warning", "does not work"]
REFUSALS = (
    CollectionMismatchError,
    DepthError,
    InputError,
    PoisonedCollectionError,
    RequestRejectedError,
    UnsupportedCollectionError,
)
"""What a selection would end with too."""


@dataclass(frozen=True)
class CheckReport:
    """What :func:`check` found.

    Attributes:
        info: the collection.
        space: the searched vector.
        having: how many points have it.
        in_graph: about how many of these are in an HNSW graph.
        zero: those whose vector is zero where distances are those of directions; no candidates.
        ef: of approximate searches that reach the recall; None where everything is scanned.
        scan_reason: why everything is scanned, or "".
        cost: of one search, timed here; None if none could be run.
        graph_cost: of a graph; None where that is no question.
        mirror_cost: of a copy on this machine; None where that is no question.
        problems: sentences on what keeps a selection from working; empty if nothing does.
        warnings: sentences on what makes it slower, less exact, or leaves points out by mistake.
        notes: sentences on what else there is to know.
        cluster: how a server keeps the collection; None where none does.
        abilities: what the commands will be able to do, by rights and limits alone.
        representations: what ``represent`` made, and how complete it is.
        sizes: what is taken on disk.
        texts: how the texts of points are made; None where no point was looked at.
        suggestion: which model may have made the vectors, where the collection names none.
    """

    info: CollectionInfo
    space: Space
    having: int
    in_graph: int
    zero: tuple[PointId, ...] = ()
    ef: int | None = None
    scan_reason: str = ""
    cost: SearchCost | None = None
    graph_cost: GraphCost | None = None
    mirror_cost: MirrorCost | None = None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    cluster: Cluster | None = None
    abilities: Mapping[str, Ability] = field(default_factory=dict)
    representations: tuple[Represented, ...] = ()
    sizes: Sizes | None = None
    texts: Texts | None = None
    suggestion: Suggestion | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether a selection will work."""
        if self.problems:
            return "does not work"
        return "works with a warning" if self.warnings else "works"

    @property
    def expected(self) -> dict[str, float] | None:
        """Searches and seconds of a selection of usual size; None if none could be timed."""
        if self.cost is None:
            return None
        examples, size = usual(self.having - len(self.zero))
        searches, seconds = self.cost.expected(examples, size)
        figures = {"task_examples": examples, "size": size, "searches": searches}
        return {**figures, "seconds": seconds}

    def as_dict(self) -> dict[str, Any]:
        """The report for a machine to read."""
        info, space = self.info, self.space
        return {
            "collection": info.name,
            "location": info.location,
            "engine": info.engine,
            "points": info.count,
            "points_with_vector": self.having,
            "zero_vectors": {"count": len(self.zero), "ids": list(self.zero[:10])},
            "dimension": info.dimension,
            "metric": info.metric,
            "datatype": info.datatype,
            "on_disk": space.on_disk,
            "vector": info.vector,
            "indexed_vectors": self.in_graph,
            "graph": {"m": space.m, "payload_m": space.payload_m},
            "segments": info.segments,
            "shards": info.shards,
            "quantization": info.quantization,
            "cluster": figures_of(info, self.cluster),
            "payload_indexes": dict(info.payload_indexes),
            "model": info.model,
            "model_suggestion": self.suggestion and vars(self.suggestion),
            "texts": self.texts and self.texts.as_dict(),
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
            "graph_cost": self.graph_cost and self.graph_cost.as_dict(),
            "mirror": self.mirror_cost and self.mirror_cost.as_dict(),
            "abilities": {
                name: {"possible": ability.possible, "why": list(ability.why)}
                for name, ability in self.abilities.items()
            },
            "representations": [one.as_dict() for one in self.representations],
            "bytes": self.sizes and self.sizes.as_dict(),
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "verdict": self.verdict,
            "ok": not self.problems,
        }


def check(collection: Collection, *, recall: float = 0.98, seed: int = 0) -> CheckReport:
    """Describe ``collection`` and try a few searches on it; nothing is written.

    Raises:
        SettingsError: ``recall`` is not in (0, 1].
        CollectionError: Qdrant fails.
    """
    settings = SearchSettings(recall=recall)
    info = described(collection)
    space = collection.spaces[info.vector]
    rights = collection.rights()
    abilities = abilities_of(info, rights)
    candidates = members(collection, info, None, scans=info.limits.exact)
    held = min(candidates.found, in_graph(collection, info))
    ef, scan_reason, cost, graph, copy = None, "", None, None, None
    problems = tuple(f"{clause}." for clause in abilities["select"].problems)
    if not problems:
        try:
            searcher = Searcher(collection, settings, seed=seed)
            cost = _tried(searcher, seed)
            sizes = usual(candidates.count)
            graph = graph_cost(collection, info, cost, expected_searches(*sizes))
            copy = mirror_cost(collection, info, cost, rights, held, sizes)
            ef, scan_reason = searcher.ef, searcher.scan_reason
        except REFUSALS as error:
            problems = (f"{error}.",)
            abilities |= dict.fromkeys(("select", "reselect"), Ability(False, (str(error),)))
    found = CheckReport(
        info,
        space,
        having=candidates.found,
        in_graph=held,
        zero=candidates.zero,
        ef=ef,
        scan_reason=scan_reason,
        cost=cost,
        graph_cost=graph,
        mirror_cost=copy,
        problems=problems,
        cluster=collection.cluster(),
        abilities=abilities,
        representations=representations_of(collection, info),
        sizes=sizes_of(collection, info),
        texts=texts_of(collection, info),
        suggestion=None if info.model else suggestion_for(collection, info),
    )
    rounding = warnings_on_rounding(info, cost.typical) if cost else ()
    warnings = (
        *warnings_on(found),
        *warnings_on_representations(info, found.representations),
        *rounding,
        *troubles_of(found.cluster),
    )
    warnings = tuple(text for text in warnings if text not in problems)
    notes = (*notes_on(found), *placing_of(info), copy.in_words if copy else "")
    return replace(found, warnings=warnings, notes=tuple(filter(None, notes)))


def _tried(searcher: Searcher, seed: int) -> SearchCost:
    """What searches around a few candidates take.

    Raises:
        InputError: none of those that were looked at has a usable vector.
        TsdsError: whatever a selection would raise.
    """
    page = next(iter(searcher.members.pages()))
    rate = searcher.info.limits.read_rate
    probed = PROBED_POINTS if rate is None else min(PROBED_POINTS, max(1, rate // RATE_SHARE))
    ids = [page[k] for k in np.random.default_rng(seed).permutation(len(page))[:probed]]
    stored = searcher.collection.retrieve(ids, payloads=False, vectors=True)
    usable = (record.vector for record in with_direction(stored, searcher.info))
    rows = [row for row in usable if row is not None and np.isfinite(row).all()]
    if not rows:
        raise InputError(
            f"none of {len(ids)} points tried has a usable vector {searcher.info.named}; "
            f"choose another with --vector"
        )
    vectors = np.stack(rows)
    searcher.preflight(vectors[0])
    return measure_cost(searcher, vectors)
