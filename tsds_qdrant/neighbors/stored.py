"""Neighbourhoods as plain arrays, to be stored and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections.ids import point_ids
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.places import Vicinity
from tsds_qdrant.neighbors.search import Searcher


def to_arrays(known: Neighborhoods) -> dict[str, npt.NDArray[Any]]:
    """Everything known, for :func:`from_arrays`; points that nothing refers to are left out."""
    places = known.vicinities.places
    parts = [*known.candidates, *(place.members for place in places)]
    place_of = known.vicinities.place_of
    used = np.unique(np.concatenate([*parts, np.flatnonzero(place_of >= 0)]))
    number = np.full(len(known.index), -1, dtype=np.int64)
    number[used] = np.arange(len(used))
    return {
        "queries": known.queries,
        "bandwidth": np.array([known.bandwidth]),
        "index_keys": known.index.keys[used],
        "list_depths": known.depths,
        "list_candidates": number[_joined(known.candidates, np.int64)],
        "list_distances": _joined(known.distances, np.float64),
        "list_complete": known.complete,
        "list_exact": known.exact,
        "list_fetched": known.fetched,
        "place_of": place_of[used],
        "place_vectors": np.array([place.vector for place in places], dtype=np.float32),
        "place_sizes": np.array([len(place.members) for place in places], dtype=np.int64),
        "place_members": number[_joined([p.members for p in places], np.int64)],
        "place_distances": _joined([p.distances for p in places], np.float64),
        "place_whole": np.array([place.whole for place in places], dtype=np.bool_),
    }


def from_arrays(
    searcher: Searcher, arrays: Mapping[str, npt.NDArray[Any]], *, density_limit: int
) -> Neighborhoods:
    """What :func:`to_arrays` gave, over ``searcher``."""
    bandwidth = float(arrays["bandwidth"][0])
    known = Neighborhoods(
        searcher, arrays["queries"], bandwidth=bandwidth, density_limit=density_limit
    )
    known.index.numbers(point_ids(arrays["index_keys"]))
    cuts = np.cumsum(arrays["list_depths"])[:-1]
    known.candidates = np.split(arrays["list_candidates"], cuts)
    known.distances = np.split(arrays["list_distances"], cuts)
    known.complete, known.fetched = arrays["list_complete"], arrays["list_fetched"]
    known.exact = arrays.get("list_exact", known.exact)
    cuts = np.cumsum(arrays["place_sizes"])[:-1]
    places = [
        Vicinity(vector, members, distances, bool(whole))
        for vector, members, distances, whole in zip(
            arrays["place_vectors"],
            np.split(arrays["place_members"], cuts),
            np.split(arrays["place_distances"], cuts),
            arrays["place_whole"],
            strict=False,
        )
    ]
    known.vicinities.restore(places, arrays["place_of"])
    return known


def _joined(parts: list[npt.NDArray[Any]], dtype: type) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=dtype), *parts])
