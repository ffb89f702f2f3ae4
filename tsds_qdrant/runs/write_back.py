"""Write back: the selected points of a collection carry a tag, and no other point does.

The payload of a selected point gets ``tsds.NAME``: its probability, its rank in the largest sample,
and the run that selected it. Several names live side by side; nothing else of a payload is touched.
What the collection holds is compared with what it should hold, so that only the difference is
written, and so that a killed write goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections.places import read_only
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import TAG_FIELD, is_tag
from tsds_qdrant.collections.values import CollectionInfo, Payload, PointId
from tsds_qdrant.errors import RequestRejectedError, SettingsError, StateError
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings

PAGE = 1_000
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
SAME_PROBABILITY = 1e-9
"""Relative difference that the order of a sum or the engine may make; no reason to write again."""
NAMED = 5
"""Maximum number of ids of points that cannot be tagged that are named."""
_TAKEN = object()
"""Stands for the tag of a point whose payload has something else where that would go."""


@dataclass(frozen=True)
class Tagging:
    """Under which name points are tagged, and for which run.

    Attributes:
        name: the tags are at ``tsds.name`` of the payloads.
        run: what stands in a tag; equal selections have the same.
    """

    name: str
    run: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise SettingsError(
                f"'{self.name}' is no name for --write-back; use up to 64 letters, digits, "
                f"'_' and '-'"
            )

    @classmethod
    def of(
        cls,
        name: str,
        info: CollectionInfo,
        settings: SelectionSettings,
        queries: npt.ArrayLike,
        query_weights: npt.ArrayLike | None = None,
    ) -> Tagging:
        """The tagging of one selection: its run is a hash of all that it depends on.

        Raises:
            SettingsError: another sign than a letter, digit, ``_`` or ``-`` in ``name``.
            RequestRejectedError: tags could not be found again, see :func:`check_taggable`.
        """
        tagging = cls(name, "")
        check_taggable(info, tagging)
        basis = [info.name, info.vector, info.metadata.get("identity"), _plain(settings)]
        text = json.dumps(basis, sort_keys=True, default=str)
        digest = hashlib.blake2b(text.encode(), digest_size=8)
        digest.update(np.ascontiguousarray(queries, dtype=np.float32).tobytes())
        if query_weights is not None:
            digest.update(np.ascontiguousarray(query_weights, dtype=np.float64).tobytes())
        return cls(name, digest.hexdigest())

    @property
    def key(self) -> str:
        """Where tags are in a payload, as a path of Qdrant's."""
        return f"{TAG_FIELD}.{self.name}"


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


def write_back(
    collection: Collection,
    selection: Selection,
    tagging: Tagging,
    *,
    dry_run: bool = False,
    progress: Progress = silent,
) -> WriteBackReport:
    """Tag the points of the largest sample of ``selection``, and untag all others.

    A point whose payload has something of its own where the tag would go is left as it is.

    Args:
        collection: where the sample was drawn from; it is written to.
        selection: its largest sample is tagged.
        tagging: the name of the tags, and the run that they name.
        dry_run: count only.
        progress: stage ``write back``.

    Raises:
        RequestRejectedError: see :func:`check_taggable`.
        AccessDeniedError: the API key may only read.
    """
    check_taggable(collection.info(), tagging)
    # Where nothing is left to chance there are no probabilities: null is no value to Qdrant.
    tags = {
        row["id"]: {"probability": row["probability"], "rank": row["rank"], "run": tagging.run}
        for row in selection.sample_rows(max(selection.samples))
    }
    carriers = {i for page in collection.scroll_ids(_tagged(tagging)) for i in page}
    stored = dict(_stored(collection, tags, tagging))
    taken = tuple(i for i in tags if stored.get(i) is _TAKEN)
    changed = [
        i for i in tags if i in stored and stored[i] is not _TAKEN and not _same(stored[i], tags[i])
    ]
    leavers = [
        i
        for i, tag in _stored(collection, sorted(carriers - tags.keys(), key=str), tagging)
        if is_tag(tag)
    ]
    if not dry_run:
        total = len(leavers) + len(changed)
        for done, page in _pages(leavers):
            collection.delete_payload(tagging.key, page)
            progress("write back", done, total)
        for done, page in _pages(changed):
            collection.set_payload(tagging.key, page, [tags[i] for i in page])
            progress("write back", len(leavers) + done, total)
    return WriteBackReport(
        tagging.name,
        tagging.run,
        written=len(changed),
        cleared=len(leavers),
        unchanged=len(stored) - len(changed) - len(taken),
        missing=len(tags) - len(stored),
        taken=len(taken),
        taken_ids=taken[:NAMED],
        dry_run=dry_run,
    )


def check_taggable(info: CollectionInfo, tagging: Tagging) -> None:
    """Check that tags can be found again.

    Raises:
        RequestRejectedError: strict mode asks for an index that is not there; or it is only read.
    """
    if not info.limits.writes:
        raise RequestRejectedError(f"{read_only(info.location)}, or leave --write-back out")
    field = f"{tagging.key}.rank"
    if not info.limits.unindexed_filter and field not in info.payload_indexes:
        raise RequestRejectedError(
            f"collection '{info.name}' refuses filters without a payload index (strict mode), so "
            f"that tags cannot be found again; create an integer index on '{field}' first"
        )


def agreed_tagging(path: object, stored: Tagging | None, wanted: Tagging | None) -> Tagging | None:
    """What a selection into an existing state tags; a run that tags goes on with that.

    Raises:
        StateError: under another name than it did.
    """
    if stored and wanted and stored.name != wanted.name:
        raise StateError(
            f"run state '{path}' writes back as '{stored.name}', not '{wanted.name}'; "
            f"use that name, or another --state"
        )
    return wanted or stored


def _plain(settings: SelectionSettings) -> dict[str, Any]:
    """Settings as plain values; those of tsds as they have always been hashed."""
    flat = {name: _value(value) for name, value in settings.flat().items()}
    name = settings.strategy.name
    return flat if name == "tsds" else {"strategy": name, **flat}


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_value(one) for one in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _tagged(tagging: Tagging) -> dict[str, Any]:
    """The filter that points with a tag match."""
    return {"must": [{"key": f"{tagging.key}.rank", "range": {"gte": 0}}]}


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


def _same(stored: Any, wanted: Payload) -> bool:
    if stored is None or (stored["rank"], stored["run"]) != (wanted["rank"], wanted["run"]):
        return False
    mine, theirs = wanted["probability"], stored.get("probability")
    if mine is None or theirs is None:
        return mine is theirs
    return math.isclose(mine, theirs, rel_tol=SAME_PROBABILITY)


def _pages(ids: Sequence[PointId]) -> Iterator[tuple[int, Sequence[PointId]]]:
    for start in range(0, len(ids), PAGE):
        page = ids[start : start + PAGE]
        yield start + len(page), page
