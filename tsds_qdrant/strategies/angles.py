"""Strategies that work with directions alone."""

from __future__ import annotations

from tsds_qdrant.errors import UnsupportedCollectionError
from tsds_qdrant.neighbors.search import Searcher

ANGLES = ("Cosine", "Dot")
"""Metrics of directions; vectors under Dot have unit length."""


def check_angles(searcher: Searcher, name: str) -> None:
    """Check that distances are those of directions.

    Raises:
        UnsupportedCollectionError: the metric is another one.
    """
    info = searcher.info
    if info.metric not in ANGLES:
        raise UnsupportedCollectionError(
            f"the strategy '{name}' compares directions, and vectors '{info.vector}' of "
            f"collection '{info.name}' have the metric {info.metric}; choose vectors under Cosine "
            f"with --vector, as 'tsds-qdrant represent whitened' makes them"
        )
