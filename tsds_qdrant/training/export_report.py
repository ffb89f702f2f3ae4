"""What an export did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tsds_qdrant.collections.values import PointId


@dataclass(frozen=True)
class SplitReport:
    """How training and validation rows were parted.

    Attributes:
        radius: rows as near as that, or joined by a chain of such, are one group.
        groups: how many groups there are.
        largest: rows in the largest one.
        share: of the draws that are for validation.
    """

    radius: float
    groups: int
    largest: int
    share: float


@dataclass(frozen=True)
class ExportReport:
    """What :func:`~tsds_qdrant.training.export.export` wrote.

    Attributes:
        form: the format.
        layout: ``payload``, ``messages``, ``alpaca``, ``answers``, ``strings``, ``text``, or
            ``probabilities``.
        files: path -> rows in it.
        shapes: how payloads were recognised -> how many were.
        left_out: fields of the payloads that are in no row.
        unfit: records that were left out, as (id, reason).
        renamed: fields whose names were taken -> their columns.
        as_text: columns that hold JSON text.
        split: how validation rows were chosen, if any were.
        config: lines for axolotl's configuration.
        datasets: names of the entries written to dataset_info.json.
        positive: rows with p > 0, of ``probabilities``.
        stale: a validation file of an earlier export, which may hold rows of this one; "" if none.
    """

    form: str
    layout: str
    files: Mapping[str, int]
    shapes: Mapping[str, int] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    unfit: Sequence[tuple[PointId, str]] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    as_text: Sequence[str] = ()
    split: SplitReport | None = None
    config: str = ""
    datasets: Sequence[str] = ()
    positive: int = 0
    stale: str = ""

    def facts(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)
