"""``tsds-qdrant write-back``; and writing back, as ``select`` and ``reselect`` do it on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import Where
from tsds_qdrant.cli.options import JsonOption, StateArgument
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.settings.fields import setting

if TYPE_CHECKING:
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.runs.settings import RunSettings
    from tsds_qdrant.runs.tagging import Tagging
    from tsds_qdrant.selection.selection import Selection


@dataclass(frozen=True)
class Tags:
    """Tags

    Attributes:
        name: under which points are tagged.
        dry_run: count only.
    """

    name: str | None = setting(
        None, "Name of the tags (payload tsds.NAME); that of the run if unset.", metavar="NAME"
    )
    dry_run: bool = setting(False, "Only count; the collection stays as it is.")

    def __post_init__(self) -> None:
        if self.name is not None:
            from tsds_qdrant.runs.tagging import Tagging

            Tagging(self.name, "")


@taking(
    only(Where, "qdrant", "collection", "reached"),
    Tags,
    texts={
        "qdrant": "Where the points are to be tagged: a directory, or the URL of a server.",
        "collection": "The collection there, which has points of the same ids.",
    },
)
def write_back(state: StateArgument, where: Where, tags: Tags, as_json: JsonOption = False) -> None:
    """Tag what a run selected from a copy in the collection that was copied.

    RUN is the file that 'select --state RUN' made, on a mirror say. The selected points get the
    payload tsds.NAME there, and no other point keeps it; nothing else of a payload is touched.

    \b
    Example:
        tsds-qdrant write-back task.run --qdrant http://localhost:6333 --collection pool --name task
    """
    from tsds_qdrant.collections import check_writes, open_collection
    from tsds_qdrant.collections.spaces import ANY_SPACE
    from tsds_qdrant.runs.address import open_of_run
    from tsds_qdrant.runs.home import write_home
    from tsds_qdrant.runs.state import RunState

    check_writes(where.location, where.collection)
    run, place = RunState(state), (where.location, where.collection)
    with (
        run.held(),
        open_of_run(run) as copy,
        open_collection(*place, vector=ANY_SPACE, connection=where.connection) as target,
        progress_bars(quiet=as_json) as progress,
    ):
        report = write_home(
            run, copy, target, name=tags.name, dry_run=tags.dry_run, progress=progress
        )
    if as_json:
        print_json({"write_back": vars(report)})
        return
    say(f"{where.collection} of {where.location}: {_tagged(vars(report))}")


def written_back(
    collection: Collection,
    selection: Selection,
    tagging: Tagging | None,
    run: RunSettings,
    *,
    quiet: bool = False,
) -> dict[str, Any]:
    """Write back with a progress bar; a part of what ``--json`` prints, empty if not asked for."""
    from tsds_qdrant.runs.owed import Ledger
    from tsds_qdrant.runs.permitted import announce_tags
    from tsds_qdrant.runs.state import RunState
    from tsds_qdrant.runs.write_back import write_back

    if tagging is None:
        return {}
    ledger = Ledger(None if run.state is None else RunState(run.state))
    with progress_bars(quiet=quiet) as progress:
        announce_tags(collection, selection)
        report = write_back(
            collection, selection, tagging, ledger=ledger, dry_run=run.dry_run, progress=progress
        )
    cluster = collection.cluster() if run.dry_run else None
    warnings = cluster.troubles() if cluster else ()
    return {"write_back": vars(report), **({"warnings": list(warnings)} if warnings else {})}


def pruned(
    collection: Collection, selection: Selection, run: RunSettings, *, quiet: bool = False
) -> dict[str, Any]:
    """Mark what was pruned for good; a part of what ``--json`` prints, empty if not asked for."""
    from tsds_qdrant.runs.owed import Ledger
    from tsds_qdrant.runs.pruning import prune
    from tsds_qdrant.runs.state import RunState

    ledger = Ledger(None if run.state is None else RunState(run.state))
    with progress_bars(quiet=quiet) as progress:
        report = prune(collection, selection, ledger=ledger, dry_run=run.dry_run, progress=progress)
    return {} if report is None else {"prune": vars(report)}


def in_words(figures: Mapping[str, Any]) -> str:
    """What to say on the parts ``write_back`` and ``prune`` of ``figures``."""
    lines = [_tagged(figures["write_back"])] if "write_back" in figures else []
    if "prune" in figures:
        from tsds_qdrant.runs.pruning import PruneReport

        lines.append(PruneReport(**figures["prune"]).in_words())
    return "\n".join(lines)


def _tagged(report: Mapping[str, Any]) -> str:
    done = "nothing was written back" if report["dry_run"] else "wrote back"
    would = "would be " if report["dry_run"] else ""
    missing = f", {report['missing']} no longer stored" if report["missing"] else ""
    again = ", all of them again as replicas may differ" if report["whole"] else ""
    return (
        f"{done} as tsds.{report['name']}, run {report['run']}: {report['written']} points "
        f"{would}set{again}, {report['cleared']} {would}cleared, {report['unchanged']} right "
        f"already{missing}{_placed(report)}{_taken(report)}"
    )


def _placed(report: Mapping[str, Any]) -> str:
    """What became of the name at a path of its own, or nothing."""
    if not (report.get("place") or report.get("unmarked")):
        return ""
    would = "would be " if report["dry_run"] else ""
    at = f" at '{report['place']}'" if report["place"] else ""
    unfit = report["unmarkable"]
    other = f", {unfit} have something else there" if unfit else ""
    return (
        f"\nthe name{at}: {report['marked']} points {would}set, {report['unmarked']} "
        f"{would}cleared{other}"
    )


def warned(figures: Mapping[str, Any]) -> list[str]:
    """What to say of the replicas of a server, where they are not as they should be."""
    return [f"warning: {warning}" for warning in figures.get("warnings", ())]


def _taken(report: Mapping[str, Any]) -> str:
    """A line on the points that no tag fits, or nothing."""
    count, named = report["taken"], report["taken_ids"]
    if not count:
        return ""
    points, their = ("point", "its") if count == 1 else ("points", "their")
    ids = ", ".join(map(str, named)) + (", .." if count > len(named) else "")
    return (
        f"\n{count} {points} could not be tagged ({their} payload has a 'tsds' or "
        f"'tsds.{report['name']}' of its own): {'id' if count == 1 else 'ids'} {ids}; "
        f"rename that field"
    )
