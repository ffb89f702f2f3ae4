"""``tsds-qdrant check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import Where
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, say
from tsds_qdrant.collections.values import FLOAT32
from tsds_qdrant.neighbors.settings import SearchSettings

if TYPE_CHECKING:
    from tsds_qdrant.planning.check import CheckReport


@taking(Where, only(SearchSettings, "recall"))
def check(where: Where, search: SearchSettings, as_json: JsonOption = False) -> None:
    """Show what a deployment has and whether selection will work on it; nothing is written.

    Ends with exit code 1 if it will not.

    \b
    Example:
        tsds-qdrant check --qdrant http://localhost:6333 --collection pool
    """
    from tsds_qdrant.planning.check import check as check_collection
    from tsds_qdrant.planning.cluster_state import layout_of

    with where.open() as opened:
        report = check_collection(opened, recall=search.recall)
    if as_json:
        print_json(report.as_dict())
    else:
        info = report.info
        facts = {
            "collection": f"{info.name} in {info.location} ({info.engine})",
            "points": f"{info.count}, of which {info.indexed} in an HNSW graph",
            "vectors": f"{info.dimension} dimensions, {info.metric}"
            + (f", {info.datatype}" if info.datatype != FLOAT32 else "")
            + (f", named '{info.vector}'" if info.vector else ""),
            "layout": f"{layout_of(info, report.cluster)}, {info.segments} segments, "
            f"quantisation {info.quantization or 'none'}",
            "payload indexes": ", ".join(info.payload_indexes) or "none",
            "model": info.metadata.get("model") or "unknown",
            "search": f"exact ({report.scan_reason})"
            if report.scan_reason
            else f"HNSW with ef {report.ef}",
            **costs(report),
        }
        for name, fact in facts.items():
            typer.echo(f"{name:>16}: {fact}")
        for note in report.notes:
            typer.echo(f"            note: {note}")
        for problem in report.problems:
            typer.echo(f"         problem: {problem}")
        say("selection will work" if not report.problems else "selection will not work")
    if report.problems:
        raise typer.Exit(1)


def costs(report: CheckReport) -> dict[str, str]:
    """What searches take here, and a selection of a usual size."""
    expected = report.expected
    if report.cost is None or expected is None:
        return {}
    each = {"scan": report.cost.scan, "HNSW": report.cost.walk}
    return {
        "a search takes": ", ".join(f"{ms:.2f} ms ({way})" for way, ms in each.items() if ms),
        "a selection": f"of {expected['size']} for {expected['task_examples']} task examples takes "
        f"about {expected['searches']} searches, {expected['seconds']:.1f} s",
    }
