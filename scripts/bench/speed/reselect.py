"""Reselect after 1 % of new candidates against a selection from scratch."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from bench.speed.cases import Case
from bench.speed.clock import alternate, clocked, say
from bench.speed.store import COLLECTION, built_collection
from bench.speed.traffic import MeteredCollection

from tsds_qdrant import open_collection, select
from tsds_qdrant.runs.begin import begin_run
from tsds_qdrant.runs.reselect import Reselection, reselect
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.selection.selection import Selection


def compare_reselect(case: Case, repeats: int, patience: float) -> dict[str, Any]:
    """Both follow the pool's spare candidates, in turn, over a copy of its collection."""
    say(f"{case.pool.name}: {len(case.pool.spare):,} candidates come")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=case.pool.directory) as place:
        shutil.copytree(built_collection(case.pool).path, f"{place}/qdrant")
        collection = open_collection(f"{place}/qdrant", COLLECTION)
        try:
            return _compared(case, collection, Path(place), repeats, patience)
        finally:
            collection.close()


def _compared(
    case: Case, collection: Any, place: Path, repeats: int, patience: float
) -> dict[str, Any]:
    state, _ = begin_run(place / "task.run", collection, case.queries, case.settings())
    known = len(case.pool.vectors)
    collection.upsert(range(known, known + len(case.pool.spare)), case.pool.spare)
    collection.optimize()

    def fresh() -> RunState:
        return RunState(shutil.copy(state.path, place / "again.run"))

    def repair_once() -> tuple[float, Reselection]:
        again = fresh()
        return clocked(lambda: reselect(again, collection=collection))()

    done = alternate(
        {
            "reselect": repair_once,
            "scratch": clocked(lambda: select(collection, case.queries, case.settings())),
        },
        repeats,
        patience,
    )
    (repair_time, repaired), (scratch_time, scratch) = done.values()
    mine, theirs = MeteredCollection(collection), MeteredCollection(collection)
    reselect(fresh(), collection=mine)  # type: ignore[arg-type]
    select(theirs, case.queries, case.settings())  # type: ignore[arg-type]
    searches = searches_of(scratch)
    return {
        **case.facts(),
        "came": len(repaired.changes.came),
        "way": repaired.changes.mark.way,
        "reselect": {
            "timing": repair_time,
            "searches": repaired.run["searches"],
            "stages": repaired.run["seconds"],
            "traffic": mine.traffic.figures(),
        },
        "scratch": {
            "timing": scratch_time,
            "searches": searches,
            "traffic": theirs.traffic.figures(),
        },
        "times": scratch_time.median / repair_time.median,
        "fewer": searches / max(1, repaired.run["searches"]),
        "variation": _apart(repaired.selection, scratch),
        "replaced": len(repaired.difference.added),
        "forced": repaired.difference.forced,
    }


def searches_of(selection: Selection) -> int:
    """Searches for neighbours and densities."""
    return selection.counts.neighbor_searches + selection.counts.density_searches


def _apart(a: Selection, b: Selection) -> float:
    """Total variation between two probabilities."""
    mine = dict(zip(a.ids, a.probabilities.tolist(), strict=True))
    theirs = dict(zip(b.ids, b.probabilities.tolist(), strict=True))
    return sum(abs(mine.get(i, 0.0) - theirs.get(i, 0.0)) for i in {**mine, **theirs}) / 2
