"""Which candidates a report is about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import BoolArray, FloatArray, IntArray
from tsds_qdrant.selection.selection import Selection


@dataclass(frozen=True)
class Chosen:
    """The largest sample; where none was drawn, all candidates that could be drawn.

    Attributes:
        rows: (n,) candidate numbers, best rank first, or most probable first.
        weights: (n,) how often each was drawn, or its p, or 1 where there is no p.
        drawn: whether there is a sample.
        among: (candidates,) whether each candidate is one of ``rows``.
    """

    rows: IntArray
    weights: FloatArray
    drawn: bool
    among: BoolArray

    @classmethod
    def of(cls, selection: Selection) -> Chosen:
        """What ``selection`` chose."""
        among = np.zeros(len(selection.ids), dtype=np.bool_)
        p = selection.preference.probabilities
        if selection.samples:
            sample = selection.samples[max(selection.samples)]
            rows, weights = sample.candidates, sample.weights.astype(np.float64)
        elif selection.preference.ordered or p is None:
            rows = selection.support
            weights = np.ones(len(rows)) if p is None else p[rows]
        else:
            support = np.flatnonzero(p)
            rows = support[np.argsort(-p[support], kind="stable")]
            weights = p[rows]
        among[rows] = True
        return cls(rows, weights, bool(selection.samples), among)

    @property
    def shares(self) -> FloatArray:
        """(n,) ``weights`` that sum to 1."""
        scaled: FloatArray = self.weights / self.weights.sum()
        return scaled
