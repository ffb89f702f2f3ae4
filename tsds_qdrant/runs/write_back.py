"""Write back: the selected points of a collection carry a tag, and no other point does.

The payload of a selected point gets ``tsds.NAME``: its probability, its rank in the largest sample,
and the run that selected it. Several names live side by side; nothing else of a payload is touched.
What the collection holds is compared with what it should hold, so that only the difference is
written. That is what one replica holds: where a write-back was not confirmed to its end, or
replicas are seen to differ, all tags are cleared by a filter and set again, in every replica.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.collections.filter_keys import filtered_fields
from tsds_qdrant.collections.homed import home_of
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import TAG_FIELD, is_tag
from tsds_qdrant.collections.values import Filter, Payload, PointId
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.runs.beside import Marks
from tsds_qdrant.runs.owed import Ledger
from tsds_qdrant.runs.tagging import Tagging, check_taggable
from tsds_qdrant.selection.selection import Selection

PAGE = 1_000
SAME_PROBABILITY = 1e-9
"""Relative difference that the order of a sum or the engine may make; no reason to write again."""
NAMED = 5
"""Maximum number of ids of points that cannot be tagged that are named."""
_TAKEN = object()
"""Stands for the tag of a point whose payload has something else where that would go."""


@dataclass(frozen=True)
class WriteBackReport:
    """What a write-back did, or would do.

    Attributes:
        name: of the tags.
        run: that they name.
        written: points that got a tag, or another one.
        cleared: points that lost theirs.
        unchanged: selected points that had the right tag already.
        missing: selected points that are no longer stored.
        taken: selected points that were left as they are, as their payload has something of its
            own where the tag would go.
        taken_ids: the first few of these, best rank first.
        dry_run: nothing was written.
        whole: all tags were cleared and set again, whatever was there.
        place: path of the payloads that has the name too, "" for none.
        marked: points that got the name there.
        unmarked: points that lost it, at this path or at an earlier one.
        unmarkable: selected points that have something else there.
    """

    name: str
    run: str
    written: int
    cleared: int
    unchanged: int
    missing: int
    taken: int = 0
    taken_ids: tuple[PointId, ...] = ()
    dry_run: bool = False
    whole: bool = False
    place: str = ""
    marked: int = 0
    unmarked: int = 0
    unmarkable: int = 0


def write_back(
    collection: Collection,
    selection: Selection,
    tagging: Tagging,
    *,
    ledger: Ledger | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> WriteBackReport:
    """Tag the points of the largest sample of ``selection``, and untag all others.

    A point whose payload has something of its own where the tag would go is left as it is.

    Args:
        collection: where the sample was drawn from; it is written to.
        selection: its largest sample is tagged.
        tagging: the name of the tags, and the run that they name.
        ledger: remembers a write-back that fails, so that the next one writes everything again.
            Without one, or with one that remembers nothing, that is done wherever there are
            replicas.
        dry_run: count only.
        progress: stage ``write back``.

    Raises:
        RequestRejectedError: see :func:`check_taggable`.
        AccessDeniedError: the API key may only read.
        UnconfirmedWriteError: too few replicas confirm a write; write back again.
    """
    collection = home_of(collection)
    info, ledger = collection.info(), ledger or Ledger(None)
    check_taggable(info, tagging)
    # Where nothing is left to chance there are no probabilities: null is no value to Qdrant.
    tags = {
        row["id"]: {
            **{"probability": row["probability"], "rank": row["rank"], "run": tagging.run},
            **({"at": tagging.place} if tagging.place else {}),
        }
        for row in selection.sample_rows(max(selection.samples))
    }
    carriers = {i for page in collection.scroll_ids(_tagged(tagging)) for i in page}
    stored = dict(_stored(collection, tags, tagging))
    others = dict(_stored(collection, sorted(carriers - tags.keys(), key=str), tagging))
    taken = tuple(i for i in tags if stored.get(i) is _TAKEN)
    leavers = [i for i, tag in others.items() if is_tag(tag)]
    whole = _starts_over(collection, tagging, ledger, info.replicas)
    fitting = [i for i in tags if stored.get(i) is not _TAKEN]
    changed = [i for i in fitting if whole or (i in stored and not _same(stored[i], tags[i]))]
    places = {tag["at"] for tag in (*stored.values(), *others.values()) if _has_place(tag)}
    marks = {place: Marks(collection, place, tagging.name) for place in {*places, tagging.place}}
    due = {
        place: marks[place].due(fitting if place == tagging.place else (), again=whole)
        for place in sorted(filter(None, marks))
    }
    marking = any(coming or leaving for coming, leaving, _ in due.values())
    if not dry_run and (leavers or changed or whole or marking):
        total, before = len(leavers) + len(changed), collection.fingerprint()
        with ledger.written():
            if whole:
                foreign = [i for i in (*taken, *others) if i not in set(leavers)]
                where = _tagged(tagging, but=foreign)
                collection.clear_payload(tagging.key, where, by=f"{tagging.key}.rank")
                progress("write back", len(leavers), total)
            else:
                for done, page in _pages(leavers):
                    collection.delete_payload(tagging.key, page)
                    progress("write back", done, total)
            for done, page in _pages(changed):
                collection.set_payload(tagging.key, page, [tags[i] for i in page])
                progress("write back", len(leavers) + done, total)
            for place, (coming, leaving, _) in due.items():
                marks[place].settle(coming, leaving)
        if not tags_decide(selection.settings.search.where, tagging.place):
            ledger.renew(before, collection.fingerprint())
    missing = len(tags) - len(stored)
    written = sum(i in stored for i in changed)
    return WriteBackReport(
        tagging.name,
        tagging.run,
        written=written,
        cleared=len(leavers),
        unchanged=len(stored) - written - len(taken),
        missing=missing,
        taken=len(taken),
        taken_ids=taken[:NAMED],
        dry_run=dry_run,
        whole=whole,
        place=tagging.place,
        marked=sum(len(coming) for coming, _, _ in due.values()),
        unmarked=sum(len(leaving) for _, leaving, _ in due.values()),
        unmarkable=sum(len(unfit) for _, _, unfit in due.values()),
    )


def _starts_over(collection: Collection, tagging: Tagging, ledger: Ledger, replicas: int) -> bool:
    """Whether what one replica holds says too little of the others to write a difference."""
    if ledger.owed or (replicas > 1 and not ledger.remembers):
        return True
    if replicas < 2:
        return False
    cluster = collection.cluster(_tagged(tagging))
    return cluster is not None and len(set(cluster.counts)) > 1


def tags_decide(where: Filter | None, place: str = "") -> bool:
    """Whether tags, or names at ``place``, decide who is a candidate."""
    fields = filtered_fields(where)
    return place in fields or any(field.split(".")[0] == TAG_FIELD for field in fields)


def _tagged(tagging: Tagging, but: Sequence[PointId] = ()) -> dict[str, Any]:
    """The filter that points with a tag match, ``but`` for those."""
    where: dict[str, Any] = {"must": [{"key": f"{tagging.key}.rank", "range": {"gte": 0}}]}
    return {**where, "must_not": [{"has_id": list(but)}]} if but else where


def _stored(
    collection: Collection, ids: Iterable[PointId], tagging: Tagging
) -> Iterator[tuple[PointId, Any]]:
    """Each of ``ids`` that is stored, with what it has where a tag goes; None if nothing.

    That is ``_TAKEN`` where no tag fits.
    """
    for _, page in _pages(list(ids)):
        for record in collection.retrieve(page):
            yield record.id, _tag_of(record.payload, tagging)


def _tag_of(payload: Payload, tagging: Tagging) -> Any:
    tags = payload.get(TAG_FIELD)
    if not isinstance(tags, dict | None):
        return _TAKEN
    tag = (tags or {}).get(tagging.name)
    return tag if tag is None or is_tag(tag) else _TAKEN


def _has_place(tag: Any) -> bool:
    return is_tag(tag) and isinstance(tag.get("at"), str)


def _same(stored: Any, wanted: Payload) -> bool:
    if stored is None or any(stored.get(key) != wanted.get(key) for key in ("rank", "run", "at")):
        return False
    mine, theirs = wanted["probability"], stored.get("probability")
    if mine is None or theirs is None:
        return mine is theirs
    return math.isclose(mine, theirs, rel_tol=SAME_PROBABILITY)


def _pages(ids: Sequence[PointId]) -> Iterator[tuple[int, Sequence[PointId]]]:
    for start in range(0, len(ids), PAGE):
        page = ids[start : start + PAGE]
        yield start + len(page), page
