"""What the commands will be able to do here: by a key's rights and a deployment's limits alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tsds_qdrant.collections.limits import MINUTE, RATES, Kind, Limits, Rights, deeper
from tsds_qdrant.collections.places import only_read
from tsds_qdrant.collections.reserved import TAG_FIELD, WRITER_FIELD
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.neighbors.allowed import EF_LADDER
from tsds_qdrant.neighbors.deepening import FIRST_DEPTH
from tsds_qdrant.neighbors.expected import expected_searches
from tsds_qdrant.neighbors.vicinities import FIRST_SCAN_LIMIT
from tsds_qdrant.progress import about

USUAL = 200, 1_000
"""Task examples and size of the selection whose cost is predicted; see :func:`usual`."""
USUAL_TIMEOUT_S = 60


def usual(candidates: int) -> tuple[int, int]:
    """Task examples and size of a usual selection, which is no larger than the pool."""
    return USUAL[0], min(USUAL[1], candidates)


@dataclass(frozen=True)
class Ability:
    """Whether something will work.

    Attributes:
        possible: None where only trying shows that.
        why: clauses on what keeps it from working, or what bounds it.
    """

    possible: bool | None
    why: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps it from working."""
        return self.why if self.possible is False else ()

    def __str__(self) -> str:
        clauses = "; ".join(self.why)
        if self.possible is False:
            return f"no: {clauses}"
        answer = "yes" if self.possible else "not known before it is tried"
        return f"{answer}, but {clauses}" if clauses else answer


def abilities_of(info: CollectionInfo, rights: Rights) -> dict[str, Ability]:
    """What ``select``, ``reselect``, write-back and ``ingest`` will be able to do."""
    limits = info.limits
    unsearchable = _unsearchable(info)
    searching = () if unsearchable else _bounds_of_searches(info)
    return {
        "select": _reading(unsearchable, searching, info),
        "reselect": _reading(unsearchable, (*searching, *_bounds_of_repairs(limits)), info),
        "write_back": _writing(info, rights, _unfindable(info), _bounds_of_tags(info)),
        "ingest": _writing(info, rights, _full(info), _bounds_of_ingest(info)),
    }


def _reading(problems: Sequence[str], bounds: Sequence[str], info: CollectionInfo) -> Ability:
    examples, size = usual(info.count)
    searches, per_minute = expected_searches(examples, size), info.limits.read_rate
    if per_minute and searches > per_minute:
        waited = about((searches - per_minute) * MINUTE / per_minute)
        bounds = (
            *bounds,
            f"{per_minute} reads a minute are allowed ({RATES['reads']}): {size} points for "
            f"{examples} task examples take {waited}",
        )
    return Ability(False, tuple(problems)) if problems else Ability(True, tuple(bounds))


def _writing(
    info: CollectionInfo, rights: Rights, problems: Sequence[str], bounds: Sequence[str]
) -> Ability:
    if not info.limits.writes:
        return Ability(False, (only_read(info.location),))
    if rights.writes is False:
        return Ability(False, (rights.refusal,))
    if problems:
        return Ability(False, tuple(problems))
    return Ability(rights.writes, (*bounds, *_rate(info.limits.write_rate, "writes")))


def _rate(per_minute: int | None, what: Kind) -> list[str]:
    if per_minute is None:
        return []
    return [f"{per_minute} points a minute are allowed ({RATES[what]})"]


def _unsearchable(info: CollectionInfo) -> list[str]:
    """Why neighbour lists cannot be fetched at all; empty if they can."""
    limits, needed = info.limits, min(FIRST_DEPTH, info.count) + 1
    if not limits.searches:
        return ["there is no HNSW graph (m is 0) and exact searches are refused"]
    depth = limits.depth()
    if depth is not None and depth < needed:
        advice = deeper(needed, limits, None, info.count + 1)
        return [f"one search gives {depth} hits and at least {needed} are needed: {advice}"]
    return []


def _bounds_of_searches(info: CollectionInfo) -> list[str]:
    limits, bounds = info.limits, []
    if (depth := limits.depth()) is not None and depth < info.count:
        bounds.append(f"neighbour lists end at {depth} hits (max_query_limit)")
    elif limits.limit is not None and limits.limit < FIRST_SCAN_LIMIT:
        bounds.append(f"hits come {limits.limit} at a time (max_query_limit), in more searches")
    if not limits.exact:
        bounds.append(
            "searches are approximate and their recall is not measured, and counting takes as "
            "long as paging through all ids (search_allow_exact)"
        )
    if limits.ef is not None and limits.ef < EF_LADDER[-1]:
        bounds.append(f"walks keep at most {limits.ef} candidates (search_max_hnsw_ef)")
    if limits.oversampling is not None and info.quantization is not None:
        bounds.append(
            f"quantised vectors are oversampled at most {limits.oversampling:g} times "
            f"(search_max_oversampling)"
        )
    if limits.conditions is not None:
        bounds.append(f"a filter has at most {limits.conditions} conditions")
    if limits.condition_size is not None:
        bounds.append(f"a condition of a filter lists at most {limits.condition_size} values")
    if not limits.unindexed_filter:
        fields = ", ".join(info.payload_indexes) or "there are none"
        bounds.append(f"filters work on indexed payload fields only ({fields})")
    if limits.timeout is not None and limits.timeout < USUAL_TIMEOUT_S:
        bounds.append(f"a request ends after {limits.timeout} s (max_timeout)")
    return bounds


def _bounds_of_repairs(limits: Limits) -> list[str]:
    if not limits.has_room(None):
        return ["everything is searched again when points came, as no filter can list ids"]
    if limits.conditions is not None:
        return [
            f"a run whose filter has {limits.conditions} conditions pages through all that match"
        ]
    return []


def _unfindable(info: CollectionInfo) -> list[str]:
    """Why tags could not be found again; empty if they can."""
    if needed := info.limits.raised_for(1):
        return [f"no filter is allowed, which finds tags again: have {needed}"]
    return []


def _bounds_of_tags(info: CollectionInfo) -> list[str]:
    if not info.tags_need_index:
        return []
    tags = re.compile(rf"{TAG_FIELD}\.([^.]+)\.rank")
    ready = [found[1] for field in info.payload_indexes if (found := tags.fullmatch(field))]
    names = f", as there is for {', '.join(ready)}" if ready else ""
    return [f"a name NAME needs an integer index on '{TAG_FIELD}.NAME.rank'{names}"]


def _full(info: CollectionInfo) -> list[str]:
    """Why no point can be added; empty if some can."""
    limits = info.limits
    if limits.points is not None and info.count >= limits.points:
        return [f"it holds {info.count} points of at most {limits.points} (max_points_count)"]
    if limits.upsert_batch == 0:
        return ["no point may be written (upsert_max_batchsize is 0)"]
    return []


def _bounds_of_ingest(info: CollectionInfo) -> list[str]:
    limits, bounds = info.limits, []
    if limits.points is not None:
        left = limits.points - info.count
        bounds.append(f"{left} more points are allowed (max_points_count)")
    unindexed = "sequence" in info.metadata and WRITER_FIELD not in info.payload_indexes
    most = limits.payload_indexes
    if most is not None and unindexed and len(info.payload_indexes) >= most:
        bounds.append(
            "no payload index can be made (max_payload_index_count), so that reselect reads all "
            "points"
        )
    return bounds
