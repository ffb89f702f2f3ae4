"""The searches of one selection, as its settings and its strategy want them."""

from __future__ import annotations

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.neighbors.remembering import Memory
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.selection.settings import SelectionSettings


def searcher_of(
    collection: Collection,
    settings: SelectionSettings,
    progress: Progress = silent,
    memory: Memory | None = None,
) -> Searcher:
    """What searches ``collection``; for what is raised see :class:`Searcher`."""
    return Searcher(
        collection,
        settings.search,
        seed=settings.wanted.seed,
        progress=progress,
        memory=memory,
        any_length=settings.strategy.any_length,
    )
