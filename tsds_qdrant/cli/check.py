"""``tsds-qdrant check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.graph_words import in_words
from tsds_qdrant.cli.groups import Where
from tsds_qdrant.cli.inventory import represented, sizes
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, say
from tsds_qdrant.collections.values import FLOAT32
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.progress import notices_to

if TYPE_CHECKING:
    from tsds_qdrant.planning.check import CheckReport

EXIT_CODES = {"works": 0, "works with a warning": 4, "does not work": 1}
WORDS = {
    "works": "selection will work",
    "works with a warning": "selection will work, but see the warnings",
    "does not work": "selection will not work",
}


@taking(Where, only(SearchSettings, "recall"))
def check(where: Where, search: SearchSettings, as_json: JsonOption = False) -> None:
    """Show what a deployment has and whether selection will work on it; nothing is written.

    Ends with exit code 0 if it will, 4 if it will and there is a warning, 1 if it will not.

    \b
    Example:
        tsds-qdrant check --qdrant http://localhost:6333 --collection pool
    """
    from tsds_qdrant.planning.check import check as check_collection

    with notices_to(say), where.open() as opened:
        report = check_collection(opened, recall=search.recall)
    if as_json:
        print_json(report.as_dict())
    else:
        _show(report)
    if code := EXIT_CODES[report.verdict]:
        raise typer.Exit(code)


def _show(report: CheckReport) -> None:
    from tsds_qdrant.planning.cluster_state import layout_of

    info = report.info
    segments = "1 segment" if info.segments == 1 else f"{info.segments} segments"
    facts = {
        "collection": f"{info.name} in {info.location} ({info.engine})",
        "points": _points(report),
        "vectors": f"{info.dimension} dimensions, {info.metric}"
        + (f", {info.datatype}" if info.datatype != FLOAT32 else "")
        + (f", named {info.named}" if info.vector else "")
        + (", on disk" if report.space.on_disk else ""),
        **_graph(report),
        "layout": f"{layout_of(info, report.cluster)}, {segments}, "
        f"quantisation {info.quantization or 'none'}",
        "payload indexes": ", ".join(info.payload_indexes) or "none",
        "model": info.model or "unknown",
        "on disk": sizes(report),
        **_searches(report),
        **costs(report),
        **({"a graph": in_words(report.graph_cost)} if report.graph_cost else {}),
        **{name.replace("_", "-"): str(able) for name, able in report.abilities.items()},
    }
    for name, fact in facts.items():
        typer.echo(f"{name:>16}: {fact}")
    if report.texts:
        typer.echo(f"{'text':>16}: {report.texts.in_words}")
        for example in report.texts.examples:
            typer.echo(f"{'example':>16}: {example}")
    for one in report.representations:
        typer.echo(f"{'representation':>16}: {represented(one)}")
    for kind in ("note", "warning", "problem"):
        for sentence in getattr(report, f"{kind}s"):
            typer.echo(f"{kind:>16}: {sentence}")
    say(WORDS[report.verdict])


def _points(report: CheckReport) -> str:
    info, having = report.info, report.having
    graph = f"{report.in_graph} in an HNSW graph"
    if having >= info.count:
        return f"{info.count}, of which {graph}"
    share = having / info.count
    return f"{info.count}, of which {having} ({share:.0%}) have a vector {info.named}, {graph}"


def _graph(report: CheckReport) -> dict[str, str]:
    """How the graph is made where that is not the usual way."""
    m, payload_m = report.space.m, report.space.payload_m
    facts = [] if m is None else [f"m {m}" if m else "none, as m is 0"]
    facts += [f"payload_m {payload_m}"] if payload_m is not None else []
    return {"HNSW graph": "; ".join(facts)} if facts else {}


def _searches(report: CheckReport) -> dict[str, str]:
    if report.scan_reason:
        return {"search": f"exact ({report.scan_reason})"}
    return {"search": f"HNSW with ef {report.ef}"} if report.ef else {}


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
