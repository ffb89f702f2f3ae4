"""What strategies know that go by payload fields: numbers and labels of the whole pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.reserved import MADE_FIELD
from tsds_qdrant.collections.values import Payload, PointId
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.records.fields import field_values, label, number_at
from tsds_qdrant.strategies.pool_knowledge import PoolKnowledge
from tsds_qdrant.task.task import Task

PAGE = 1_000
HIDDEN = f"{MADE_FIELD}.hidden"
"""Where ``represent hidden`` keeps its scores."""
NONE = ""
"""Label of a point without one."""


@dataclass(frozen=True)
class Looked:
    """Payload fields that are read of every candidate.

    Attributes:
        numbers: paths of fields with a number each.
        label: path of a field with a label; "" for none.
        also: other top-level fields that are read.
    """

    numbers: tuple[str, ...]
    label: str = ""
    also: tuple[str, ...] = ()

    @property
    def parts(self) -> list[str]:
        """The top-level fields that hold them."""
        paths = [*self.numbers, *([self.label] if self.label else [])]
        return list(
            dict.fromkeys([*(path.partition(".")[0] for path in paths), *paths, *self.also])
        )


class FieldKnowledge(PoolKnowledge):
    """Numbers and labels of all candidates of a pool.

    They are read once, and of points that come; a field that is set later, without writing the
    point, is not seen.

    Attributes:
        looked: which fields.
    """

    looked = Looked(())
    _numbers: FloatArray
    _labels: list[str]

    @classmethod
    def looking(cls, searcher: Searcher, task: Task, looked: Looked) -> Any:
        """Read the fields ``looked`` of the pool."""
        known = cls(searcher, task.vectors, task.weights)
        known.looked = looked
        known.read()
        return known

    @classmethod
    def resume_looking(
        cls,
        searcher: Searcher,
        facts: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        looked: Looked,
    ) -> Any:
        """What :meth:`stored` gave.

        Raises:
            KeyError: a part is missing.
        """
        known = cls.resume(searcher, facts, arrays)
        known.looked = looked
        known._numbers = np.array(arrays["numbers"], dtype=np.float64)
        values = facts["labels"]
        known._labels = [values[code] for code in arrays["label_codes"].tolist()]
        return known

    def read(self) -> None:
        """Number the pool from scratch, in the order of its ids, and read the fields."""
        super().read()
        self._numbers, self._labels = np.empty((0, len(self.looked.numbers))), []
        self._grow()
        searcher, done = self.searcher, 0
        for page in searcher.collection.scroll(self.looked.parts, where=searcher.members.where):
            numbers = self.index.lookup([record.id for record in page]).tolist()
            for number, record in zip(numbers, page, strict=True):
                if number >= 0:
                    self._take(number, record.payload)
            done += len(page)
            searcher.progress("fields", done, max(done, len(self.index)))

    def numbers_of(self, path: str) -> FloatArray:
        """(n,) the number that each candidate seen has at ``path``; NaN where it has none."""
        column: FloatArray = self._numbers[:, self.looked.numbers.index(path)]
        return column

    @property
    def labels(self) -> npt.NDArray[np.str_]:
        """(n,) labels of the candidates seen; ``NONE`` where they have none."""
        return np.array(self._labels, dtype=np.str_)

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Take points out and in, and read the fields of those that came."""
        report = super().update(came, gone)
        self._grow()
        for start in range(0, len(came), PAGE):
            page = list(came[start : start + PAGE])
            for record in self.searcher.collection.retrieve(page, payloads=self.looked.parts):
                self._take(int(self.index.lookup([record.id])[0]), record.payload)
        return report

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Fields too, in the order of the keys of the pool."""
        facts, arrays = super().stored()
        present = self.present
        labels, codes = np.unique(self.labels[present], return_inverse=True)
        return {**facts, "labels": labels.tolist()}, {
            **arrays,
            "numbers": self._numbers[present],
            "label_codes": codes.reshape(-1).astype(np.int64),
        }

    def _take(self, number: int, payload: Payload) -> None:
        """Keep what the payload of a candidate says."""
        self._numbers[number] = [number_at(payload, path) for path in self.looked.numbers]
        found = field_values(payload, self.looked.label) if self.looked.label else []
        found = [one for one in found if one is not None]
        self._labels[number] = label(found[0]) if len(found) == 1 else NONE

    def _grow(self) -> None:
        """Make room for all candidates seen."""
        unseen = len(self.index) - len(self._labels)
        if unseen:
            room = np.full((unseen, len(self.looked.numbers)), np.nan)
            self._numbers = np.concatenate([self._numbers, room])
            self._labels += [NONE] * unseen
