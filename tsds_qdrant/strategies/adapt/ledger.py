"""Arrivals of candidates, and what was pruned for good at each: a ledger that can be replayed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray

BLOCK = 1_024
"""Rows that are compared with all before them at once."""
PARTS = ("came", "gone", "excluded", "marked", "pruned")


@dataclass
class Arrival:
    """One step: what had changed, and what was pruned then. All are numbers of candidates.

    Attributes:
        came: new or changed.
        gone: no longer candidates.
        excluded: that counted as deleted.
        marked: found to be pruned already, by another run.
        pruned: at this step, the one that is most like an earlier one of its cluster first.
        budget: how many were to stay; None where nothing was pruned.
    """

    came: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    excluded: list[int] = field(default_factory=list)
    marked: list[int] = field(default_factory=list)
    pruned: list[int] = field(default_factory=list)
    budget: int | None = None

    @property
    def counts(self) -> dict[str, Any]:
        """How many of each."""
        found: dict[str, Any] = {name: len(getattr(self, name)) for name in PARTS}
        return {**found, "budget": self.budget}


def stored_ledger(
    ledger: Sequence[Arrival], keys: KeyArray
) -> tuple[list[int | None], dict[str, Any]]:
    """Facts and arrays that keep ``ledger``, whose numbers have the id ``keys`` (n, 3)."""
    arrays: dict[str, Any] = {}
    for name in PARTS:
        lists: list[list[int]] = [getattr(one, name) for one in ledger]
        numbers = np.array([number for part in lists for number in part], dtype=np.int64)
        arrays[f"ledger_{name}"] = keys[numbers]
        arrays[f"ledger_{name}_ends"] = np.cumsum([len(part) for part in lists], dtype=np.int64)
    return [one.budget for one in ledger], arrays


def read_ledger(budgets: Sequence[int | None], arrays: Any, numbers: Any) -> list[Arrival]:
    """What :func:`stored_ledger` gave.

    Args:
        budgets: the facts.
        arrays: the arrays.
        numbers: gives (n,) numbers of keys (n, 3).
    """
    ledger = [Arrival(budget=budget) for budget in budgets]
    for name in PARTS:
        found = numbers(arrays[f"ledger_{name}"]).tolist()
        begin = 0
        for one, end in zip(ledger, arrays[f"ledger_{name}_ends"].tolist(), strict=True):
            setattr(one, name, found[begin:end])
            begin = end
    return ledger


def digests(ledger: Sequence[Arrival], keys: KeyArray) -> Iterator[str]:
    """A text for each step that equal histories share."""
    digest = hashlib.blake2b(digest_size=8)
    for one in ledger:
        for name in PARTS:
            digest.update(f"{name}{one.budget}".encode())
            digest.update(np.ascontiguousarray(keys[getattr(one, name)]).tobytes())
        yield digest.copy().hexdigest()


def redundancy(rows: Float32Array) -> FloatArray:
    """(n,) the largest cosine of each of ``rows`` (n, D) with one before it; at least 0.

    Rounded, so that equal rows have equal values.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(lengths > 0, lengths, 1.0)
    found = np.zeros(len(rows))
    for start in range(0, len(rows), BLOCK):
        block = unit[start : start + BLOCK]
        end = start + len(block)
        cosines = block @ unit[:end].T
        before = np.arange(end)[None, :] < np.arange(start, end)[:, None]
        found[start:end] = np.where(before, cosines, 0.0).max(axis=1, initial=0.0)
    return np.round(found, 6)


def least_redundant(rows: Float32Array, share: int) -> tuple[IntArray, IntArray]:
    """Places of the ``share`` rows that stay, ascending, and of the others, most redundant first.

    Of equally redundant ones the later are the first to go.
    """
    order = np.lexsort((np.arange(len(rows)), redundancy(rows)))
    return np.sort(order[:share]), order[share:][::-1]
