"""Choose: a selection by one of the simpler methods, with the same outputs as TSDS gives."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.geometry import nearest
from tsds_qdrant.neighbors.search import SearchCounts
from tsds_qdrant.pool.pool import vectors_of
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.selection.ranking import TaskTexts, rank
from tsds_qdrant.selection.results import provenance
from tsds_qdrant.selection.sampling import Sample
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.strategies.baselines import BASELINES, Baseline
from tsds_qdrant.strategies.tsds.problem import Task

KNOWN_SETTINGS = ("sizes", "ratio", "seed", "where", "exact", "recall")
"""Settings that mean something without TSDS."""


@dataclass(frozen=True)
class Choice:
    """What :func:`choose` returns. Arrays run over the n chosen candidates, best rank first.

    Attributes:
        method: one of ``BASELINES``.
        settings: as given.
        collection: the collection at the time.
        candidates: size of the pool (after the filter).
        queries: how many task examples there are.
        ids: (n,) point ids.
        probabilities: (n,) chance of each in the first draw, a share of the whole pool; None for
            methods that leave nothing to chance.
        nearest_query: (n,) the nearest task example.
        nearest_distance: (n,) its distance.
        samples: size -> sample.
        counts: searches done.
        ef: of approximate searches; None if there were none.
        scan_reason: why everything was scanned, or "".
        seconds: time by stage.
    """

    method: Baseline
    settings: SelectionSettings
    collection: CollectionInfo
    candidates: int
    queries: int
    ids: list[PointId]
    probabilities: FloatArray | None
    nearest_query: IntArray
    nearest_distance: FloatArray
    samples: dict[int, Sample]
    counts: SearchCounts
    ef: int | None
    scan_reason: str
    seconds: dict[str, float]

    @property
    def selected_ids(self) -> list[PointId]:
        """Ids of the largest sample, best rank first."""
        return self.ids

    def sample_rows(self, size: int) -> Iterator[dict[str, Any]]:
        """Rows of the sample of ``size``, as :meth:`Selection.sample_rows` gives them."""
        for place, point_id in enumerate(self.ids[:size]):
            p = None if self.probabilities is None else float(self.probabilities[place])
            yield {
                "id": point_id,
                "rank": place,
                "probability": p,
                "weight": 1,
                "query": int(self.nearest_query[place]),
                "distance": float(self.nearest_distance[place]),
            }


def choose(
    collection: Collection,
    queries: npt.ArrayLike,
    settings: SelectionSettings,
    method: str,
    *,
    query_weights: npt.ArrayLike | None = None,
    texts: Sequence[str] = (),
    template: TextTemplate | None = None,
    progress: Progress = silent,
) -> Choice:
    """Choose candidates of ``collection`` by one of the simpler methods.

    Args:
        collection: an open collection; it is only read.
        queries: (M, D) vectors of the task examples.
        settings: sizes or a ratio, seed, filter, and how to search; the rest belongs to TSDS.
        method: one of ``BASELINES``.
        query_weights: (M,) positive weights of the task examples, which ``similarity-mean`` and
            ``dsir`` know.
        texts: M texts of the task examples, which ``dsir`` needs.
        template: how the text of a candidate is made, where the collection does not tell.
        progress: called as the searches go on; ``dsir`` has the stage ``texts``.

    Raises:
        SettingsError: an unknown method, or a setting that the method does not know.
        TsdsError: whatever :func:`~tsds_qdrant.selection.ranking.rank` raises.
    """
    method = checked_method(method)
    check_settings(settings, method)
    if not (settings.sizes or settings.ratio):
        raise SettingsError("no size is given; set a size (1000, say) or a ratio (0.01)")
    started = time.perf_counter()
    task = Task.begin(collection, queries, settings, query_weights, progress)
    searcher, vectors = task.neighborhoods.searcher, task.neighborhoods.queries
    sizes = settings.wanted_sizes(searcher.candidates)
    words = TaskTexts(texts, template or TextTemplate())
    ranking = rank(task, method, max(sizes), words)
    rows = ranking.rows(max(sizes), settings.seed)
    p, ids = ranking.probabilities, ranking.ids(rows)
    ranked = time.perf_counter()
    chosen = vectors_of(collection, ids, searcher.info)
    query, distance = nearest(chosen, vectors, searcher.info.metric)
    return Choice(
        method=method,
        settings=settings,
        collection=searcher.info,
        candidates=searcher.candidates,
        queries=len(vectors),
        ids=ids,
        probabilities=None if p is None else p[rows],
        nearest_query=query,
        nearest_distance=distance,
        samples={size: Sample(np.arange(size), np.ones(size, dtype=np.int64)) for size in sizes},
        counts=searcher.counts,
        ef=searcher.ef,
        scan_reason=searcher.scan_reason,
        seconds={"rank": ranked - started, "measure": time.perf_counter() - ranked},
    )


def choice_manifest(choice: Choice, *, queries: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, versions and figures of a choice; ``queries`` says where its task came from."""
    return {
        "method": choice.method,
        **provenance(choice.collection),
        "queries": dict(queries) | {"count": choice.queries},
        "settings": {name: getattr(choice.settings, name) for name in KNOWN_SETTINGS},
        "candidates": choice.candidates,
        "samples": {str(size): {"distinct": size, "draws": size} for size in choice.samples},
        "search": {
            "exact": bool(choice.scan_reason),
            "why": choice.scan_reason,
            "ef": choice.ef,
            **vars(choice.counts),
        },
        "seconds": choice.seconds,
    }


def checked_method(method: str) -> Baseline:
    """``method`` if it is one of ``BASELINES``.

    Raises:
        SettingsError: it is not.
    """
    for known in BASELINES:
        if method == known:
            return known
    raise SettingsError(
        f"'{method}' is no simpler method; choose one of {', '.join(BASELINES)}, "
        f"or select by tsds or tsds-uniform"
    )


def check_settings(settings: SelectionSettings, method: Baseline) -> None:
    """Check that ``settings`` hold nothing that ``method`` does not know.

    Raises:
        SettingsError: they do.
    """
    plain = SelectionSettings()
    for field in fields(settings):
        given = getattr(settings, field.name)
        if field.name not in KNOWN_SETTINGS and given != getattr(plain, field.name):
            raise SettingsError(
                f"{field.name} is {given}, which the method '{method}' does not know; "
                f"leave it out, or use the method tsds"
            )
