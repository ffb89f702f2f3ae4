"""The task: what a selection is made for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.checked import checked_examples
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import InputError, SettingsError
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
        groups: M sub-tasks; empty where there is one.
        norms: (M, C) lengths that the blocks of the vectors had; None where not known.
        way: how the vectors were made of records; "" for ready ones.
        margins: (M,) log(p / (1 - p)) of the examples; None where not known.
        weighted_groups: sub-tasks count as much as the weights of their examples sum to.
    """

    vectors: Float32Array
    weights: FloatArray
    texts: tuple[str, ...] = ()
    template: TextTemplate = field(default_factory=TextTemplate)
    groups: tuple[str, ...] = ()
    norms: FloatArray | None = None
    way: str = ""
    margins: FloatArray | None = None
    weighted_groups: bool = False

    @classmethod
    def of(
        cls,
        vectors: npt.ArrayLike,
        info: CollectionInfo,
        *,
        weights: npt.ArrayLike | None = None,
        texts: Sequence[str] = (),
        template: TextTemplate | None = None,
        groups: Sequence[str] = (),
    ) -> Task:
        """The task that ``vectors`` (M, D) show.

        Raises:
            InputError: the vectors do not fit the collection, or there is none.
            SettingsError: weights that are not positive, or not M of them; or not M sub-tasks.
        """
        rows = checked_examples(np.atleast_2d(np.asarray(vectors)), info)
        if not len(rows):
            raise InputError("there is no query example; give at least one")
        given = np.asarray([] if weights is None else weights, dtype=np.float64)
        if groups and len(groups) != len(rows):
            raise SettingsError(
                f"{len(groups)} sub-tasks are named for {len(rows)} task examples; "
                f"name one for each"
            )
        way, weights = template or TextTemplate(), scaled_weights(given, len(rows))
        return cls(rows, weights, tuple(texts), way, tuple(groups))

    @property
    def members(self) -> dict[str, IntArray]:
        """Sub-task -> numbers of its task examples, in the order of their first ones."""
        return members_of(self.groups, len(self.vectors))

    @property
    def shares(self) -> FloatArray:
        """(M,) what each example counts where all sub-tasks count the same; sum 1.

        Sub-tasks that have weights of their own count by these.
        """
        members = self.members
        if self.weighted_groups:
            return self.weights
        shares: FloatArray = self.weights.copy()
        for own in members.values():
            shares[own] /= shares[own].sum() * len(members)
        return shares


def members_of(groups: Sequence[str], examples: int) -> dict[str, IntArray]:
    """Sub-task -> numbers of its task examples; "" for the one of all where none are named."""
    if not groups:
        return {"": np.arange(examples)}
    found: dict[str, list[int]] = {}
    for number, name in enumerate(groups):
        found.setdefault(name, []).append(number)
    return {name: np.array(numbers) for name, numbers in found.items()}
