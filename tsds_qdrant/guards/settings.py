"""What is kept out of a selection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting

NGRAM = 13


@dataclass(frozen=True)
class GuardSettings:
    """Test items

    Attributes:
        sources: files of records, ``.npy`` files of vectors, or ``collection:NAME``.
        radius: vectors at most this far apart make a copy, 0 compares none; the default depends
            on the metric.
        ngrams: this many shared words in a row make a copy; 0 for none.
        overlap: share of a test item that shared runs must cover; 0: one run is enough.
        template: how the texts of records are made; by default as in the collection, or usual.
        report: where the rows on what was kept out go.
        fail: a selection that would take a copy fails.
    """

    sources: tuple[str, ...] = setting(
        (),
        "Test items: no selected candidate may be a copy of one. May be repeated.",
        "--exclude",
        metavar="FILE|X.npy|collection:NAME",
        repeated=True,
    )
    radius: float | None = setting(
        None,
        "Vectors at most this far apart make a copy; 0 compares none. 0.25 by default under "
        "Cosine.",
        "--exclude-radius",
        metavar="R",
    )
    ngrams: int = setting(
        NGRAM,
        "This many shared words in a row make a copy; 0: none.",
        "--exclude-ngrams",
        metavar="N",
        hidden=True,
    )
    overlap: float = setting(
        0.0,
        "Shared runs of words must cover that share of a test item; 0: one is enough.",
        "--exclude-overlap",
        metavar="SHARE",
        hidden=True,
    )
    template: str | None = setting(
        None,
        "How a test item's text is made, \"{question}\" say; the collection's way if unset.",
        "--exclude-template",
        metavar="TEXT",
        hidden=True,
    )
    report: Path | None = setting(
        None,
        "What was kept out, and why; formats as --out.",
        "--exclude-report",
        metavar="FILE",
    )
    fail: bool = setting(
        False,
        "Fail where a copy would be selected; only the report is written then.",
        "--fail-on-contamination",
        hidden=True,
    )

    def __post_init__(self) -> None:
        alone = isinstance(self.sources, (str, os.PathLike))
        sources: Any = (self.sources,) if alone else self.sources
        object.__setattr__(self, "sources", tuple(os.fspath(one) for one in sources))
        given = {
            "--exclude-radius": self.radius is not None,
            "--exclude-template": self.template is not None,
            "--exclude-report": self.report is not None,
            "--fail-on-contamination": self.fail,
        }
        for flag, stands in given.items():
            if stands and not self.sources:
                raise SettingsError(f"{flag} is about test items; name them with --exclude")
