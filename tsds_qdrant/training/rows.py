"""Rows of a training file: their order, how often each comes, and where they are from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tsds_qdrant.arrays import IntArray

TRACE = ("tsds_id", "tsds_probability", "tsds_rank", "tsds_weight")
"""Columns that say where a row is from: point id, p, rank of the draw, how often it counts."""
TAKEN = "payload_"


def free_names(names: Iterable[str]) -> dict[str, str]:
    """Field of the payload -> column: its own name, unless ``TRACE`` has taken that.

    A field that clashes (of payloads that an earlier export wrote, say) gets ``payload_`` before
    its name, as often as it takes to be free.
    """
    fields = list(names)
    taken = {*fields, *TRACE}
    columns = {}
    for name in fields:
        column = name
        if name in TRACE:
            while column in taken:
                column = TAKEN + column
            taken.add(column)
        columns[name] = column
    return columns


def trace_of(row: Mapping[str, Any], *, repeated: bool, id_as_text: bool) -> dict[str, Any]:
    """The ``TRACE`` columns of a selected row with ``id``, ``probability``, ``rank``, ``weight``.

    Args:
        row: what was selected.
        repeated: it is written as often as its weight says, so each time counts once.
        id_as_text: ids are not all numbers that readers keep.
    """
    point_id = row["id"]
    values = (
        str(point_id) if id_as_text else point_id,
        row["probability"],
        row["rank"],
        1 if repeated else row["weight"],
    )
    return dict(zip(TRACE, values, strict=True))


def written_order(chosen: IntArray, weights: IntArray, *, shuffle: int | None) -> IntArray:
    """(m,) row numbers in the order in which they are written.

    Args:
        chosen: (n,) row numbers, best rank first.
        weights: (n,) how often each is written, one after the other.
        shuffle: a seed mixes them all instead.
    """
    order = np.repeat(chosen, weights)
    return order if shuffle is None else np.random.default_rng(shuffle).permutation(order)
