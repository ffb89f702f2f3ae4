"""Ready vectors, looked through before any of them is stored."""

from __future__ import annotations

from tsds_qdrant.collections.checked import check_storable
from tsds_qdrant.collections.distance import checked_vectors
from tsds_qdrant.collections.values import FLOAT32, CollectionInfo, Metric
from tsds_qdrant.errors import CollectionMismatchError
from tsds_qdrant.ingestion.items import VectorArray
from tsds_qdrant.records import naming_file
from tsds_qdrant.records.vectors import blocks_of


def check_ready(vectors: VectorArray, info: CollectionInfo | None, metric: Metric) -> None:
    """Read all rows once, so that a bad one is found before anything is stored.

    Args:
        vectors: (n, D), of a file mapped into memory or not.
        info: of the collection; None where there is none yet.
        metric: of a new collection.

    Raises:
        CollectionMismatchError: the collection has another dimension.
        InputError: a row holds NaN or infinity, or does not suit the metric or the datatype.
    """
    dimension, datatype = vectors.shape[1], FLOAT32
    if info is not None:
        metric, datatype = info.metric, info.datatype
        if dimension != info.dimension:
            raise CollectionMismatchError(
                f"the vectors have dimension {dimension}, those of collection '{info.name}' "
                f"have {info.dimension}; use the model that made them, or another collection"
            )
    with naming_file(vectors):
        for first, rows in blocks_of(vectors):
            checked_vectors(rows, dimension, metric, first=first)
            check_storable(rows, metric, datatype, first=first)
