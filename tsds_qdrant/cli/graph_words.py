"""Whether a graph would pay, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.planning.graph_cost import GraphCost
    from tsds_qdrant.selection.selection import Selection

SLOW_S = 4.0
"""Scans of more seconds than that are worth a word."""


def in_words(cost: GraphCost) -> str:
    """What a graph costs and saves, and after how many selections it has paid."""
    about = "" if cost.measured else "about "
    took = f"took {about}" if cost.built else f"would take {about}"
    build = f"{took}{cost.build:.1f} s to build"
    pays = cost.pays_after
    if pays is None:
        saves = "saves" if cost.built else "save"
        return f"{build} and {saves} nothing, as scans take no longer than walks"
    saved = f"{cost.scan - cost.walk:.1f} s of such a selection"
    times = f"{about}{pays} {'selection' if pays == 1 else 'selections'}"
    if cost.built:
        return f"{build} and saves about {saved}: it has paid after {times}"
    return f"{build} and save about {saved}: it would pay after {times}"


def slow_scans(collection: Collection, selection: Selection) -> str:
    """That a selection has scanned for long, and whether a graph would pay; "" if it has not.

    Raises:
        CollectionError: the collection cannot be read.
    """
    counts, where = selection.counts, selection.settings.search.where
    searches = counts.neighbor_searches + counts.density_searches + counts.probe_searches
    if counts.seconds < SLOW_S or not (searches and selection.scan_reason):
        return ""
    from tsds_qdrant.collections.filter_keys import filtered_fields
    from tsds_qdrant.collections.graph import no_graph
    from tsds_qdrant.planning.cost import SearchCost
    from tsds_qdrant.planning.findings import index_command
    from tsds_qdrant.planning.graph_cost import graph_cost

    info = collection.info()
    walkable = where is None or filtered_fields(where) <= {*info.payload_indexes}
    if selection.scan_reason != no_graph(collection, info) or not walkable:
        return ""
    each = SearchCost(1000 * counts.seconds / searches, None)
    cost = graph_cost(collection, info, each, searches)
    if cost is None:
        return ""
    how = f" ({index_command(info)})" if cost.pays_after else ""
    return f"the scans took {counts.seconds:.1f} s; a graph {in_words(cost)}{how}"
