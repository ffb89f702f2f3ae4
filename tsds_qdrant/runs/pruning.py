"""Pruning for good: what a strategy was asked to drop carries a tag that is never taken away.

The payload of such a point gets ``tsds.pruned``: its rank among the pruned, the step at which it
was, and a hash of all steps up to that. Nothing is deleted: a filter that asks for points without
the tag leaves them out everywhere. Tags are written like those of a selection, after files and
state, and only those that are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tsds_qdrant.collections.homed import home_of
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import PRUNED, TAG_FIELD, is_tag
from tsds_qdrant.collections.values import Payload, PointId
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.runs.owed import Ledger
from tsds_qdrant.runs.write_back import tags_decide
from tsds_qdrant.selection.selection import Selection

PAGE = 1_000
KEY = f"{TAG_FIELD}.{PRUNED}"


@dataclass(frozen=True)
class PruneReport:
    """What a pruning did, or would do.

    Attributes:
        written: points that got a tag, or another one.
        unchanged: points that had the right tag already.
        missing: points that are no longer stored.
        taken: points that were left as they are, as their payload has something of its own where
            the tag would go.
        dry_run: nothing was written.
    """

    written: int
    unchanged: int
    missing: int
    taken: int = 0
    dry_run: bool = False

    def in_words(self) -> str:
        """What was done, for a person."""
        if self.dry_run:
            return f"nothing was pruned: {self.written} points would be marked as {KEY}"
        line = f"marked as {KEY}: {self.written} points, {self.unchanged} were already"
        line += f", {self.missing} are no longer stored" if self.missing else ""
        taken = f"; {self.taken} have a '{TAG_FIELD}' of their own, rename that field"
        return line + (taken if self.taken else "")


def prune(
    collection: Collection,
    selection: Selection,
    *,
    ledger: Ledger | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> PruneReport | None:
    """Mark the points that ``selection`` was asked to prune for good; None where it was not.

    Args:
        collection: where it was drawn from; it is written to.
        selection: of a strategy that prunes.
        ledger: of the run, which then knows that nothing else has changed.
        dry_run: count only.
        progress: stage ``prune``.

    Raises:
        AccessDeniedError: the API key may only read.
        UnconfirmedWriteError: too few replicas confirm a write; prune again.
    """
    tags = selection.evidence.dropped()
    if not tags:
        return None
    collection = home_of(collection)
    again, before = collection.info().replicas > 1, collection.fingerprint()
    ids, counts = list(tags), dict.fromkeys(("written", "unchanged", "taken", "found"), 0)
    for start in range(0, len(ids), PAGE):
        page = ids[start : start + PAGE]
        changed: list[PointId] = []
        for record in collection.retrieve(page, payloads=[TAG_FIELD]):
            state = _standing(record.payload, tags[record.id], again=again)
            counts[state] += 1
            counts["found"] += 1
            changed += [record.id] if state == "written" else []
        if changed and not dry_run:
            collection.set_payload(KEY, changed, [tags[one] for one in changed])
        progress("prune", start + len(page), len(ids))
    where = selection.settings.search.where
    if counts["written"] and not dry_run and ledger is not None and not tags_decide(where):
        ledger.renew(before, collection.fingerprint())
    missing = len(ids) - counts.pop("found")
    return PruneReport(**counts, missing=missing, dry_run=dry_run)


def _standing(payload: Payload, tag: Any, *, again: bool) -> str:
    tags = payload.get(TAG_FIELD)
    if not isinstance(tags, dict | None):
        return "taken"
    there = (tags or {}).get(PRUNED)
    if there is not None and not is_tag(there):
        return "taken"
    return "unchanged" if there == tag and not again else "written"
