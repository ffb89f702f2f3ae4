"""Records with the place where each stands, and what else the reading of a file finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.errors import BadRecordError
from tsds_qdrant.files.json_values import Changes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands.

    Attributes:
        file: as the user named it.
        line: from 1; of a file without lines, the row.
        unit: ``line`` or ``row``.
    """

    file: str
    line: int
    unit: str = "line"

    def __str__(self) -> str:
        return f"'{self.file}:{self.line}'" if self.unit == "line" else self._row()

    def _row(self) -> str:
        return f"{self.unit} {self.line} of '{self.file}'"


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and its place.

    Attributes:
        vector: (D,) taken out of the record, where that is asked for.
    """

    record: dict[str, Any]
    place: Place
    vector: Float32Array | None = None


@dataclass
class Findings:
    """What is found besides records.

    Attributes:
        changes: what happened to values that cannot be kept as they are -> how often.
        rejected: how many records cannot be used.
        dropped: names of fields that were left out of a record.
    """

    changes: Changes = field(default_factory=Counter)
    rejected: int = 0
    dropped: set[str] = field(default_factory=set)

    def bad(self, error: BadRecordError) -> None:
        """Take note of a record that cannot be used.

        Raises:
            BadRecordError: always here; where this is overridden, counts and raises nothing,
                reading goes on behind the record.
        """
        raise error
