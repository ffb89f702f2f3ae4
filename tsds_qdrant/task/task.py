"""The task: what a selection is made for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections.checked import checked_examples
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import InputError
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.solver.tradeoff import scaled_weights


@dataclass(frozen=True)
class Task:
    """M task examples, checked against a collection.

    Attributes:
        vectors: (M, D), as searches of the collection compare them.
        weights: (M,) sum 1.
        texts: M texts; empty where none are known.
        template: how the text of a candidate is made, where the collection does not say.
    """

    vectors: Float32Array
    weights: FloatArray
    texts: tuple[str, ...] = ()
    template: TextTemplate = field(default_factory=TextTemplate)

    @classmethod
    def of(
        cls,
        vectors: npt.ArrayLike,
        info: CollectionInfo,
        *,
        weights: npt.ArrayLike | None = None,
        texts: Sequence[str] = (),
        template: TextTemplate | None = None,
    ) -> Task:
        """The task that ``vectors`` (M, D) show.

        Raises:
            InputError: the vectors do not fit the collection, or there is none.
            SettingsError: weights that are not positive, or not M of them.
        """
        rows = checked_examples(np.atleast_2d(np.asarray(vectors)), info)
        if not len(rows):
            raise InputError("there is no query example; give at least one")
        given = np.asarray([] if weights is None else weights, dtype=np.float64)
        return cls(rows, scaled_weights(given, len(rows)), tuple(texts), template or TextTemplate())
