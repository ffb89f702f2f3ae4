"""Reselect after 1 % of new candidates against a selection from scratch, as Markdown."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_pool import clustered_pool

from tsds_qdrant import SelectionSettings, create_collection, select
from tsds_qdrant.selection import Selection
from tsds_qdrant.workflow.reselect import Reselection, begin_run, reselect

ALPHA, COST_SCALE, BANDWIDTH = 0.5, 1.0, 0.6
SIZE = 1_000
STAGES = ("look", "repair", "measure")


def searches_of(selection: Selection) -> int:
    return selection.counts.neighbor_searches + selection.counts.density_searches


def variation(a: Selection, b: Selection) -> float:
    """Total variation between two probabilities."""
    mine = dict(zip(a.ids, a.probabilities.tolist(), strict=True))
    theirs = dict(zip(b.ids, b.probabilities.tolist(), strict=True))
    return sum(abs(mine.get(i, 0.0) - theirs.get(i, 0.0)) for i in {**mine, **theirs}) / 2


def row_of(what: str, done: Reselection, total: float) -> dict[str, Any]:
    stages = {stage: done.run["seconds"][stage] for stage in STAGES}
    return {"what": what, "searches": done.run["searches"], "seconds": total, **stages}


def timed(run: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.01, help="of new candidates")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    new = int(options.share * options.candidates)
    pool, queries = clustered_pool(options.candidates + new, options.queries)
    settings = SelectionSettings(
        sizes=(SIZE,),
        alpha=ALPHA,
        cost_scale=COST_SCALE,
        bandwidth=BANDWIDTH,
        exact=options.exact,
    )
    with tempfile.TemporaryDirectory() as directory:
        collection = create_collection(directory, "bench", dimension=pool.shape[1])
        collection.upsert(range(options.candidates), pool[: options.candidates])
        collection.optimize()
        begun, (state, first) = timed(
            lambda: begin_run(Path(directory) / "task.run", collection, queries, settings)
        )
        quiet, idle = timed(lambda: reselect(state, collection=collection))
        collection.upsert(range(options.candidates, len(pool)), pool[options.candidates :])
        collection.optimize()
        repaired, done = timed(lambda: reselect(state, collection=collection))
        anew, scratch = timed(lambda: select(collection, queries, settings))
        collection.close()
    rows = [
        {"what": "first selection, with its state", "searches": searches_of(first)}
        | {"seconds": begun, "measure": first.seconds["measure"]},
        row_of("reselect, nothing changed", idle, quiet),
        row_of(f"reselect, {len(done.changes.came):,} candidates came", done, repaired),
        {"what": "selection from scratch", "searches": searches_of(scratch)}
        | {"seconds": anew, "measure": scratch.seconds["measure"]},
    ]
    print(
        f"{options.candidates:,} x {pool.shape[1]} candidates, {new:,} new ones, "
        f"{len(queries)} task examples, alpha {ALPHA}\n"
    )
    print("| what | searches | seconds | look | repair | measure | searches / scratch | times |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        stages = [f"{row[stage]:.2f}" if stage in row else "" for stage in STAGES]
        print(
            f"| {row['what']} | {row['searches']:,} | {row['seconds']:.2f} | "
            f"{' | '.join(stages)} | {row['searches'] / rows[-1]['searches']:.3f} | "
            f"{anew / row['seconds']:.1f} |"
        )
    added, forced = len(done.difference.added), done.difference.forced
    apart = variation(done.selection, scratch)
    print(
        f"\nTotal variation of p, reselect against scratch: {apart:.1e}"
        f"\nSample of {SIZE:,}: {added} replaced, {forced:.1f} forced by p, "
        f"{max(0.0, added - forced) / SIZE:.2%} of the sample beyond that"
    )
    if options.json:
        churn = {"added": added, "forced": forced}
        shown = {"rows": rows, "churn": churn}
        options.json.write_text(json.dumps(shown, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
