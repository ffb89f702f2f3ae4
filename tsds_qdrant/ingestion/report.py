"""What an ingest reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did.

    Attributes:
        read: records or vectors read.
        added: points that are new.
        updated: points whose vector or payload was replaced.
        unchanged: records that were stored already, by an earlier run or by an equal record.
        rejected: records that cannot be used and were left out.
        count: points in the collection afterwards.
        text: the field or template that was embedded, "" with ready vectors.
        seconds: time by stage: ``store`` (read, embed, upsert) and ``index`` (0 where none was
            built or waited for).
        notes: what a user should know of values that were changed or not seen, a sentence each.
    """

    read: int
    added: int
    updated: int
    unchanged: int
    rejected: int
    count: int
    text: str
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()
