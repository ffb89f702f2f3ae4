"""``tsds-qdrant mirror``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import Where, note_filter
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.mirror.settings import MirrorSettings
from tsds_qdrant.neighbors.settings import SearchSettings

if TYPE_CHECKING:
    from tsds_qdrant.mirror.report import MirrorReport


@taking(
    only(Where, "qdrant", "collection", "reached"),
    MirrorSettings,
    only(SearchSettings, "where"),
    usual=("qdrant", "collection", "to"),
    texts={
        "qdrant": "URL of a server, directory of collections, folder of QdrantClient(path=..), or "
        "snapshot file of a collection.",
        "collection": "The collection to be copied; its copy has the same name.",
        "filter": "Only points that match: source=20ng, or Qdrant's JSON.",
    },
)
def mirror(
    where: Where, settings: MirrorSettings, search: SearchSettings, as_json: JsonOption = False
) -> None:
    """Copy a collection into a directory, to select from and add vectors to without its server.

    The copy has all vectors, payloads and payload indexes, and what is added to it stays. Run it
    again to bring it up to date, or to go on after an interruption; the copy that is there is the
    old one until the new one is whole.

    \b
    Example:
        tsds-qdrant mirror --qdrant http://localhost:6333 --collection pool --to ./mirror
    """
    from tsds_qdrant.mirror import mirror as made
    from tsds_qdrant.mirror.sources import opened_source

    place = (where.location, where.collection)
    with (
        opened_source(*place, where.connection, settings.to) as source,
        progress_bars(quiet=as_json) as progress,
    ):
        note_filter(search.where, source.collection, quiet=as_json)
        report = made(
            source.collection,
            settings,
            where=search.where,
            file=source.file,
            progress=progress,
        )
    if as_json:
        print_json({**vars(report), "unchanged": report.unchanged})
        return
    for line in in_words(report):
        say(line)


def in_words(report: MirrorReport) -> list[str]:
    """What was done, in lines."""
    ways = {
        "files": "copied as files",
        "snapshot": "from a snapshot",
        "scroll": "read page by page",
    }
    ways |= {"snapshot": "from a partial snapshot"} if report.partial else {}
    size = f"{report.points} points, {report.bytes / 1e6:.1f} MB"
    place = f"{report.collection} in {report.location}"
    if report.same:
        return [f"{place}: {size}; {report.source} has not changed since"]
    took = f"{ways[report.way]} in {report.seconds:.1f} s"
    changes = f"added {report.added}, updated {report.updated}, deleted {report.deleted}; "
    if report.way != "scroll" and not report.additions:
        changes = ""
    lines = [f"{place}: {changes}{size}, {took}, of {report.source}"]
    if report.resumed:
        as_of = f", as of {report.since}; run it again to bring them up to date"
        lines.append(
            f"went on behind the first {report.resumed} points, which an earlier run had copied"
            f"{as_of if report.since else ''}"
        )
    if report.additions:
        lines.append("what had been added to the copy itself was kept")
    return [*lines, *report.notes]
