"""What a selection is like: how it covers the task, how near it stays, how often it repeats."""

from __future__ import annotations

from dataclasses import dataclass

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections.values import Geometry
from tsds_qdrant.neighbors.geometry import near_duplicate_share, nearest
from tsds_qdrant.neighbors.yardstick import Yardstick


@dataclass(frozen=True)
class Quality:
    """Measures of one selection.

    Attributes:
        coverage: mean distance from a task example to the nearest selected candidate.
        covered: share of the task examples that have one within the typical distance.
        distance: mean distance from a selected candidate to the nearest task example.
        nearer: share of the selected that lie nearer to the task than its examples lie to each
            other; None where there is no such yardstick.
        near_duplicates: share of the selected with another selected one within the bandwidth.
    """

    coverage: float
    covered: float
    distance: float
    near_duplicates: float
    nearer: float | None


def measure(
    selected: Float32Array,
    queries: Float32Array,
    weights: FloatArray,
    metric: Geometry,
    *,
    typical: float,
    bandwidth: float,
    yardstick: Yardstick,
) -> tuple[Quality, FloatArray]:
    """The measures of a selection, and (n,) distances to the nearest task example.

    Args:
        selected: (n, D) vectors of the selected candidates.
        queries: (M, D) vectors of the task examples.
        weights: (M,) sum 1; how much each task example counts.
        metric: the collection's geometry.
        typical: the distance within which a task example counts as covered.
        bandwidth: h, the distance within which candidates count as near-duplicates.
        yardstick: how near the task examples lie to each other.
    """
    _, to_selected = nearest(queries, selected, metric)
    _, to_queries = nearest(selected, queries, metric)
    nearer = yardstick.nearer(to_queries)
    quality = Quality(
        coverage=float(weights @ to_selected),
        covered=float(weights @ (to_selected <= typical)),
        distance=float(to_queries.mean()),
        near_duplicates=near_duplicate_share(selected, bandwidth, metric),
        nearer=None if nearer is None else nearer / len(selected),
    )
    return quality, to_queries
