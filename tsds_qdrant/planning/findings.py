"""What is to be said of a deployment beside its figures: warnings, and notes."""

from __future__ import annotations

import shlex
from typing import Protocol

from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.lengths import UNIT_SAMPLE, needs_direction
from tsds_qdrant.collections.places import FOLDER_HINT
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.neighbors.rounding import narrow_bandwidth
from tsds_qdrant.neighbors.search import SCAN_COUNT
from tsds_qdrant.neighbors.units import BANDWIDTH_SHARE
from tsds_qdrant.planning.texts import Texts
from tsds_qdrant.pool.members import looks_for_zero
from tsds_qdrant.represented.marks import all_kept
from tsds_qdrant.task.suggestion import Suggestion

INDEXED_SHARE = 0.9
SHOWN = 3


class Checked(Protocol):
    """What was found of a deployment."""

    @property
    def info(self) -> CollectionInfo:
        """The collection."""

    @property
    def space(self) -> Space:
        """The searched vector."""

    @property
    def having(self) -> int:
        """How many points have it."""

    @property
    def in_graph(self) -> int:
        """About how many of these are in an HNSW graph."""

    @property
    def texts(self) -> Texts | None:
        """How the texts of points are made."""

    @property
    def suggestion(self) -> Suggestion | None:
        """Which model may have made the vectors."""

    @property
    def zero(self) -> tuple[PointId, ...]:
        """Those whose vector is zero."""


def warnings_on(found: Checked) -> tuple[str, ...]:
    """What makes a selection slower, less exact, or leaves points out by mistake."""
    info, space, warnings = found.info, found.space, []
    large, server = found.having > SCAN_COUNT, is_server(info.location)
    if large and space.m == 0 and server:
        warnings.append(
            f"{_never(space)}, so searches scan everything; raise m, or narrow the candidates with "
            f"--filter."
        )
    elif large and found.in_graph < INDEXED_SHARE * found.having and (server or found.in_graph):
        next_step = (
            "wait for the optimizer, or lower its indexing_threshold"
            if server
            else f"'{index_command(info)}' puts them into it"
        )
        warnings.append(
            f"{found.having - found.in_graph} of {found.having} vectors are in no HNSW graph yet, "
            f"so searches are slow; {next_step}."
        )
    if found.zero:
        warnings.append(
            f"{len(found.zero)} points have a vector of zeros ({named(found.zero)}), which is near "
            f"to nothing: they are no candidates; make their vectors again, or delete them."
        )
    if not info.limits.exact:
        warnings.append(
            "exact search is not allowed here (strict mode), so recall is not measured."
        )
    return tuple(warnings)


def warnings_on_rounding(info: CollectionInfo, typical: float) -> tuple[str, ...]:
    """What rounding leaves of densities for a task of ``typical`` distances."""
    narrow = narrow_bandwidth(info, BANDWIDTH_SHARE * typical)
    return (f"for a task like the stored points, {narrow}.",) if narrow else ()


def notes_on(found: Checked) -> tuple[str, ...]:
    """What else there is to know."""
    info, space, notes = found.info, found.space, []
    if space.m == 0 and not is_server(info.location):
        notes.append(f"{_never(space)}: searches scan everything.")
    if lacking := max(0, info.count - found.having):
        notes.append(
            f"{lacking} of {info.count} points have no vector {info.named}: they are no candidates."
        )
    if info.geometry == "Product":
        notes.append(
            f"vectors are {info.datatype}, whose {info.metric} scores are rounded: that moves p by "
            f"about 4e-4 in total variation, exact or not."
        )
    if info.metric == "Dot" and info.scanner != "numpy" and info.count > UNIT_SAMPLE:
        notes.append(
            f"under Dot all vectors must be of length 1: {UNIT_SAMPLE} were looked at, others are "
            f"as searches meet them."
        )
    if needs_direction(info.metric) and not looks_for_zero(info):
        notes.append(
            "vectors of zeros were not looked for in so large a collection; no search finds them."
        )
    if info.quantization:
        notes.append(
            f"vectors are quantised ({info.quantization}); scores are rescored, and the measured "
            f"recall shows what is lost."
        )
    if not info.model and info.vector not in all_kept(info):
        way = "give task examples as .npy, or name the model with --model"
        if found.suggestion:
            way = f"{found.suggestion.in_words}, which is proved by a few stored texts when used"
        notes.append(f"the collection does not say which model made its vectors; {way}.")
    if found.texts:
        notes += [*filter(None, [found.texts.note]), *found.texts.framework]
    if not info.limits.writes:
        notes.append(f"{FOLDER_HINT}.")
    if not info.limits.unindexed_filter:
        notes.append("filters work on indexed payload fields only (strict mode).")
    return tuple(notes)


def _never(space: Space) -> str:
    """That the vectors of ``space``, whose ``m`` is 0, get no graph."""
    tenants = ""
    if space.payload_m:
        tenants = f", but for those of single payload values (payload_m {space.payload_m})"
    return f"vectors get no HNSW graph, as m is 0{tenants}"


def index_command(info: CollectionInfo) -> str:
    """The command that builds the graph of an embedded collection."""
    vector = ("--vector", info.vector) if info.vector else ()
    words = ("index", "--qdrant", info.location, "--collection", info.name, *vector)
    return f"tsds-qdrant {shlex.join(words)}"


def named(ids: tuple[PointId, ...]) -> str:
    """The first of ``ids``, and that there are more."""
    more = ", .." if len(ids) > SHOWN else ""
    return ", ".join(str(point_id) for point_id in ids[:SHOWN]) + more
