"""What the history of a run says of each selection."""

from __future__ import annotations

import time
from typing import Any

from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.runs.difference import Difference
from tsds_qdrant.runs.marks import Changes
from tsds_qdrant.selection.selection import Selection


def selection_figures(selection: Selection) -> dict[str, Any]:
    """Figures of a first selection."""
    return {
        "kind": "select",
        "time": _utc_now(),
        **_common(selection),
        "seconds": selection.seconds,
    }


def reselection_figures(
    selection: Selection,
    changes: Changes,
    repaired: RepairReport,
    difference: Difference,
    *,
    look_s: float,
    repair_s: float,
) -> dict[str, Any]:
    """Figures of a reselection, which took ``look_s`` and ``repair_s`` seconds."""
    return {
        "kind": "reselect",
        "time": _utc_now(),
        "came": len(changes.came),
        "gone": len(changes.gone),
        "lists_touched": repaired.lists,
        "places_touched": repaired.places,
        "from_scratch": repaired.from_scratch,
        "added": len(difference.added),
        "removed": len(difference.removed),
        "forced": difference.forced,
        **_common(selection),
        "seconds": {"look": look_s, "repair": repair_s, "measure": selection.seconds["measure"]},
    }


def _common(selection: Selection) -> dict[str, Any]:
    found = selection.contamination
    return {
        "searches": selection.counts.neighbor_searches + selection.counts.density_searches,
        "rows_scanned": selection.counts.rows_scanned,
        **selection.evidence.figures(),
        **({} if found is None else {"kept_out": len(found.findings)}),
    }


def _utc_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
