"""What an export did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tsds_qdrant.collections.values import PointId

CUT_AT = {"trl": ("max_length", 1_024), "llamafactory": ("cutoff_len", 2_048)}
"""Form -> the setting of its trainer, and after how many tokens that cuts by default."""
CHARACTERS = 4
"""Of a token of English text, about."""


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
class Long:
    """Examples that a trainer would cut.

    Attributes:
        count: how many, about.
        tokens: where it cuts unless it is set otherwise.
        setting: that says where.
    """

    count: int
    tokens: int
    setting: str

    @classmethod
    def of(cls, form: str, lengths: Iterable[int]) -> Long | None:
        """Those of ``lengths``, in characters, that the trainer of ``form`` would cut."""
        if form not in CUT_AT:
            return None
        setting, tokens = CUT_AT[form]
        return cls(sum(one > CHARACTERS * tokens for one in lengths), tokens, setting)


@dataclass(frozen=True)
class ExportReport:
    """What :func:`~tsds_qdrant.training.export.export` wrote.

    Attributes:
        form: the format.
        layout: ``payload``, ``messages``, ``alpaca``, ``answers``, ``strings``, ``text``, or
            ``probabilities``.
        files: path -> rows in it.
        shapes: how payloads were recognised -> how many were.
        left_out: fields of payloads that no row is made of -> how many records have them.
        unfit: records that were left out, as (id, reason).
        long: see :class:`Long`; None where the trainer of the form cuts nothing by itself.
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
    left_out: Mapping[str, int] = field(default_factory=dict)
    unfit: Sequence[tuple[PointId, str]] = ()
    long: Long | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    as_text: Sequence[str] = ()
    split: SplitReport | None = None
    config: str = ""
    datasets: Sequence[str] = ()
    positive: int = 0
    stale: str = ""

    @property
    def reasons(self) -> Mapping[str, int]:
        """Why records were left out -> how many were, the commonest first."""
        return dict(Counter(reason for _, reason in self.unfit).most_common())

    def facts(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**asdict(self), "reasons": dict(self.reasons)}
