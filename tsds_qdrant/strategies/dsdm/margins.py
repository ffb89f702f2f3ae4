"""The form of a datamodel: what of candidates and of the task its terms are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import InputError, UnsupportedCollectionError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.represented.advice import represent_command
from tsds_qdrant.represented.marks import all_kept
from tsds_qdrant.strategies.margin_knowledge import falling_short
from tsds_qdrant.strategies.pool_rows import margin_path, numbers_at
from tsds_qdrant.task.task import Task

Output = Literal["loss", "margin"]
OUTPUTS: tuple[Output, ...] = ("loss", "margin")
KINDS = ("loss-gradient", "margin-gradient")
"""Kinds of ``represent`` whose vectors are gradients as they are."""
OTHERS = ("gradient", "bergson")
"""Kinds of gradients of unit length, which can be taken too."""


def output_of(info: CollectionInfo, given: str | None, margin_field: str | None) -> Output:
    """What the searched vectors are gradients of: as ``given``, or as ``represent`` made them.

    Raises:
        UnsupportedCollectionError: they are no gradients.
    """
    kept = all_kept(info).get(info.vector)
    if kept is not None and kept.kind not in (*KINDS, *OTHERS):
        raise UnsupportedCollectionError(
            f"the vectors {info.named} of collection '{info.name}' are of the kind "
            f"'{kept.kind}', and the strategy 'dsdm' goes by gradients; make some with 'represent "
            f"loss-gradient', and name them with --vector"
        )
    if given is not None:
        return "margin" if given == "margin" else "loss"
    made = kept is not None and kept.kind == "margin-gradient"
    return "margin" if made or margin_field is not None else "loss"


def blocks_of(info: CollectionInfo) -> int:
    """C: how many checkpoints' gradients stand side by side in the searched vectors."""
    kept = all_kept(info).get(info.vector)
    return 1 if kept is None else max(1, len(kept.manifest.get("checkpoints") or ()))


def mean_gradient(task: Task) -> FloatArray:
    """(D,) the mean gradient of the target's loss: of sub-tasks, each the mean of its examples.

    Gradients of margins are weighted by Q where the margins are known; else the mean is that of the
    margin.

    Raises:
        InputError: the task examples cancel each other out.
    """
    rows, shares = task.vectors.astype(np.float64), task.shares
    if task.margins is not None:
        shares = shares * falling_short(task.margins)
    mean: FloatArray = shares @ rows
    if not mean.any():
        raise InputError(
            f"the gradients of {len(rows)} task examples cancel each other out, so the strategy "
            f"'dsdm' has nothing to go by; give other task examples"
        )
    return mean


def shortfalls(searcher: Searcher, ids: Sequence[PointId], margin_field: str | None) -> FloatArray:
    """(n,) Q of the candidates ``ids``, by the margins in their payloads.

    Raises:
        InputError: one has none; the message says what makes it.
    """
    info = searcher.info
    path = margin_field or margin_path(info.vector)
    margins = numbers_at(searcher.collection, ids, path)
    lacking = np.isnan(margins)
    if lacking.any():
        kept = all_kept(info).get(info.vector)
        again = "name the field that has it with --margin-field"
        if margin_field is None and kept is not None:
            again = f"make it again: {represent_command(info, info.vector, kept, again=True)}"
        raise InputError(
            f"point {ids[int(np.argmax(lacking))]} of collection '{info.name}' has no number in "
            f"'{path}', which is to be its margin; {again}"
        )
    return falling_short(margins)
