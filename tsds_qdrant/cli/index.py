"""``tsds-qdrant index``."""

from __future__ import annotations

from tsds_qdrant.cli.flags import taking
from tsds_qdrant.cli.groups import Where
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, progress_bars, say


@taking(Where)
def index(where: Where, as_json: JsonOption = False) -> None:
    """Build the HNSW graph of a collection, which makes many selections from it cheaper.

    'check' says after how many selections the graph has paid. Later ingests keep it up to date. A
    server builds its graph by itself; this waits until it has.

    \b
    Example:
        tsds-qdrant index --qdrant ./store --collection pool
    """
    from tsds_qdrant.collections import check_writes, is_server
    from tsds_qdrant.collections.graph import build_graph, in_graph, no_graph

    check_writes(where.location, where.collection)
    with where.open() as opened, progress_bars(quiet=as_json) as progress:
        progress("index", 0, 1)
        seconds = build_graph(opened)
        progress("index", 1, 1)
        info = opened.info()
        held, missing = in_graph(opened, info), no_graph(opened, info)
        few = not held and opened.spaces[info.vector].m != 0
    if as_json:
        facts = {"collection": info.name, "points": info.count, "indexed_vectors": held}
        print_json({**facts, "seconds": seconds})
        return
    say(f"{info.name}: {held} vectors of {info.count} points in an HNSW graph ({seconds:.1f} s)")
    if is_server(where.location):
        say("the server builds its graph by itself; this has only waited for it")
    elif few:
        say(
            "the engine makes no graph of as few vectors as these, which are scanned in no time; "
            "ingest builds one as soon as there are enough"
        )
    elif missing:
        say(f"searches scan: {missing}")
