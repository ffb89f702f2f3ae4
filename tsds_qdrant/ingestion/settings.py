"""How points are stored, and how a new collection is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tsds_qdrant.collections.cluster import Layout
from tsds_qdrant.collections.values import METRICS, Metric
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting


def metric_of(text: str, flag: str) -> Metric:
    """The metric of that name, in any case of letters.

    Raises:
        SettingsError: there is none.
    """
    for name in METRICS:
        if name.lower() == text.lower():
            return name
    raise SettingsError(f"{flag} is '{text}'; choose one of {', '.join(METRICS)}")


@dataclass(frozen=True)
class Points:
    """Points

    Attributes:
        vectors: ready vectors, one for each record.
        first_id: of vectors without records.
        metric: of a new collection.
        overwrite: change points that something else made, where the ids are theirs.
        index: build the graph of an embedded collection, or wait for a server's.
        wait_index: the same, by an older name.
        shards: of a new collection.
        replicas: of each of its shards.
        write_consistency: replicas that must confirm a write.
    """

    vectors: Path | None = setting(None, "Ready vectors, one row for each record.", metavar="X.npy")
    first_id: int = setting(0, "Id of the first row, of vectors without records.", least=0)
    metric: Metric | None = setting(
        None,
        "Metric of a new collection: Cosine (if unset), Euclid, Manhattan, Dot.",
        metavar="NAME",
        parse=metric_of,
    )
    overwrite: bool = setting(
        False, "Change points of equal ids that something else made: vector and fields alone."
    )
    index: bool = setting(
        False, "Build the HNSW graph of a directory, or wait until a server has built its own."
    )
    wait_index: bool = setting(False, "The same as --index.", hidden=True)
    shards: int | None = setting(None, "Shards of a new collection on a server.", least=1)
    replicas: int | None = setting(None, "Replicas of each shard of a new collection.", least=1)
    write_consistency: int | None = setting(
        None, "How many replicas must confirm a write to a new collection.", least=1
    )

    @property
    def layout(self) -> Layout:
        """How a server is to keep a new collection."""
        return Layout(self.shards, self.replicas, self.write_consistency)
