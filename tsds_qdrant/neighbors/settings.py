"""How candidates are searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.filters import payload_filter


@dataclass(frozen=True)
class SearchSettings:
    """Search

    Attributes:
        where: payload filter in Qdrant's JSON form; only what matches is a candidate.
        exact: scan in every search.
        scans: searches may scan; without, ef is 256 and the recall is not measured.
        recall: what approximate searches must reach in the probe that chooses ef.
    """

    where: Mapping[str, Any] | None = setting(
        None,
        'Only candidates that match: source=20ng, "year>=2020 and lang=en,de", or Qdrant\'s JSON.',
        "--filter",
        metavar="FILTER",
        parse=payload_filter,
    )
    exact: bool = setting(
        False, "Scan in every search: p as by brute force, up to Qdrant's rounding; slower."
    )
    scans: bool = setting(
        True,
        "Never scan, for pools too large for it; recall is then unknown.",
        " /--no-scans",
    )
    recall: float = setting(
        0.98,
        "Recall that approximate searches must reach, by a sample at every depth.",
        metavar="R",
    )

    def __post_init__(self) -> None:
        if self.exact and not self.scans:
            raise SettingsError("exact searches are scans, which are ruled out; leave one out")
        if not 0.0 < self.recall <= 1.0:
            raise SettingsError(f"recall is {self.recall:g}; choose it above 0 and at most 1")
