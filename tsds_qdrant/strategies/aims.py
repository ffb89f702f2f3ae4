"""What strategies by influence search for: queries of weighted blocks, one for each sub-task."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.neighbors.knowledge import NeighborKnowledge
from tsds_qdrant.represented.marks import all_kept
from tsds_qdrant.strategies.by_lists import searched
from tsds_qdrant.task.task import Task

ValAgg = Literal["mean_of_unit", "unit_of_mean"]
VAL_AGGS: tuple[ValAgg, ...] = ("mean_of_unit", "unit_of_mean")
SHORTEST = 1e-6
"""A mean of unit vectors shorter than this has no direction in float32."""
NO_WEIGHT = "all checkpoint weights are 0; give one that is not"


def check_weights(given: Sequence[float]) -> None:
    """Check that weights of checkpoints are some, whatever they are for; none are none given.

    Raises:
        SettingsError: one is negative or no number, or all are 0.
    """
    if not all(0 <= one < float("inf") for one in given):
        raise SettingsError(
            f"the checkpoint weights are {', '.join(f'{one:g}' for one in given)}; give a "
            f"weight of 0 or more for each"
        )
    if given and not any(given):
        raise SettingsError(NO_WEIGHT)


def checkpoint_weights(info: CollectionInfo, given: Sequence[float] = ()) -> FloatArray:
    """(C,) weights of the blocks of the searched vectors, sum 1.

    ``given``, or the learning rates of the checkpoints; equal ones where these are not known.

    Raises:
        SettingsError: not C of them are given, or one is negative, or all are 0.
    """
    count = info.blocks
    if given:
        check_weights(given)
        weights = np.array(given, dtype=np.float64)
        if len(weights) != count:
            raise SettingsError(
                f"the checkpoint weights are {', '.join(f'{one:g}' for one in given)}, and the "
                f"vectors {info.named} have {count} checkpoint{'s' if count > 1 else ''}; give "
                f"a weight of 0 or more for each"
            )
    else:
        kept = all_kept(info).get(info.vector)
        checkpoints = () if kept is None or count == 1 else kept.manifest["checkpoints"]
        rates = [one.get("learning_rate") for one in checkpoints]
        weights = np.array(rates if rates and None not in rates else [1.0] * count)
        if not weights.sum() > 0:
            raise SettingsError(NO_WEIGHT)
    shares: FloatArray = weights / weights.sum()
    return shares


@dataclass(frozen=True)
class Aims:
    """What is searched for: a query for each of J sub-tasks.

    Attributes:
        names: (J,) of the sub-tasks; "" for the one of all.
        rows: (J, D) queries of unit length.
        scales: (J,) what a cosine with the query is to be multiplied with to be a score.
    """

    names: tuple[str, ...]
    rows: Float32Array
    scales: FloatArray


def aims_of(task: Task, weights: FloatArray, val_agg: ValAgg, strategy: str) -> Aims:
    """The queries of the sub-tasks of ``task``.

    Args:
        task: vectors of C blocks.
        weights: (C,) of the checkpoints, sum 1.
        val_agg: ``mean_of_unit``: the mean of blocks of length 1, as in the code of LESS;
            ``unit_of_mean``: that of the gradients themselves, brought to length 1.
        strategy: for messages.

    Raises:
        InputError: the gradients of a sub-task cancel each other out.
        SettingsError: ``unit_of_mean`` without the lengths of the gradients.
    """
    count = len(weights)
    blocks = task.vectors.astype(np.float64).reshape(len(task.vectors), count, -1)
    lengths = np.linalg.norm(blocks, axis=2, keepdims=True)
    blocks = blocks / np.where(lengths > 0, lengths, 1.0)
    if val_agg == "unit_of_mean":
        if task.norms is None:
            raise SettingsError(
                "unit_of_mean needs the lengths of the task's gradients, which ready vectors do "
                "not say; give records as task examples, or leave --val-agg out"
            )
        blocks = blocks * task.norms[:, :, None]
    names, rows, scales = [], [], []
    for name, members in task.members.items():
        shares = task.weights[members] / task.weights[members].sum()
        means = np.einsum("v,vcd->cd", shares, blocks[members])
        if val_agg == "unit_of_mean":
            long = np.linalg.norm(means, axis=1, keepdims=True)
            means = means / np.where(long > 0, long, 1.0)
        query = (weights[:, None] * means).reshape(-1)
        length = float(np.linalg.norm(query))
        if length < SHORTEST * float(np.linalg.norm(weights)):
            where = f"sub-task '{name}'" if name else "the task"
            raise InputError(
                f"the gradients of {where} cancel each other out, so the strategy '{strategy}' "
                f"has no direction to look in; give other task examples, or other sub-tasks"
            )
        names.append(name)
        rows.append(query / length)
        scales.append(length * math.sqrt(count))
    return Aims(tuple(names), np.array(rows, dtype=np.float32), np.array(scales))


def queries_of(aims: Aims, info: CollectionInfo) -> Float32Array:
    """(J, D) the queries in the form in which the collection of ``info`` is searched."""
    return np.concatenate([searched(row[None, :], info) for row in aims.rows])


@dataclass
class InfluenceKnowledge(NeighborKnowledge):
    """Lists of sub-tasks.

    Attributes:
        task: the task examples.
        aims: the queries of the lists.
        made: makes others.
    """

    task: Task = field(kw_only=True)
    aims: Aims = field(kw_only=True)
    made: Callable[[Task, CollectionInfo], Aims] = field(kw_only=True)

    @property
    def queries(self) -> Float32Array:
        """(M, D) vectors of the task examples."""
        return self.task.vectors

    def retarget(self, task: Task) -> None:
        """Take other task examples; sub-tasks that are known already keep their lists."""
        self.task, self.query_weights = task, task.weights
        self.aims = self.made(task, self.searcher.info)
        self.neighborhoods.replace_queries(queries_of(self.aims, self.searcher.info))

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """As of neighbourhoods, and the task examples."""
        facts, arrays = super().stored()
        own: dict[str, npt.NDArray[Any]] = {"examples": self.task.vectors}
        if self.task.norms is not None:
            own["example_norms"] = self.task.norms
        return {**facts, "groups": list(self.task.groups)}, {**arrays, **own}
