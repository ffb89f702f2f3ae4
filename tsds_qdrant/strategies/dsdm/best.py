"""The best candidates by products with a query, as far as they were looked for."""

from __future__ import annotations

from dataclasses import dataclass

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray, id_order


@dataclass(frozen=True)
class Best:
    """The candidates of the largest products.

    Attributes:
        numbers: (k,) by descending product, but for those that count as deleted.
        products: (k,) of the query with their vectors.
        factors: (k,) what these are multiplied with, above 0 and at most 1.
        shrunk: the factors are not all 1.
        whole: there are no others.
    """

    numbers: IntArray
    products: FloatArray
    factors: FloatArray
    shrunk: bool
    whole: bool

    @property
    def scores(self) -> FloatArray:
        """(k,) products times factors."""
        scores: FloatArray = self.products * self.factors
        return scores

    def settled(self, keys: KeyArray) -> IntArray:
        """(s,) places of those that no other can come before, best first; ties go by id.

        Whoever is not listed has at most the last product, and a factor makes that no larger unless
        it is below 0, which it can come near.

        Args:
            keys: (n, 3) id keys by number.
        """
        scores = self.scores
        order = id_order(keys[self.numbers], -scores)
        if self.whole or not len(scores):
            return order
        rest = float(self.products[-1])
        settled: IntArray = order[scores[order] > (max(rest, 0.0) if self.shrunk else rest)]
        return settled
