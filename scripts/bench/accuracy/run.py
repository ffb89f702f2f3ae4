"""What approximate search costs: p and samples against the exact ones over the same points.

Collections that differ in quantisation, graph, segments, deletes and late writes are searched in
several ways; every selection is compared with the one by scans. Alpha, C and h are those of the
exact selection, so that only the searches differ, unless a row says "derived"; walks of a fixed ef
never turn into scans. Neighbour lists and densities are compared with distances in float64. One
task is one label (--labels) or the neighbourhood of one row; its examples are taken out of the
pool. With --store collections are kept, and found again by the next run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bench.accuracy.pools import CHANGED, PLAIN, QUANTIZED, Build, tasks_from
from bench.accuracy.truth import Judge, Walk, WalkedCollection
from bench.pools import Float32Array, clustered_pool, normalized

from tsds_qdrant import SelectionSettings

OWN = Walk("own choice")
EF_WALKS = tuple(Walk(f"ef {ef}", ef=ef) for ef in (16, 64, 128, 256, 512))
LIST_WALKS = tuple(Walk(f"lists at ef {n} x limit", per_limit=n) for n in (1, 2, 4, 8))
QUANTIZED_WALKS = (
    Walk("own choice, oversampling 1", rescore=True, oversampling=1.0),
    Walk("own choice, oversampling ef / limit", rescore=True, whole=True),
    *(
        Walk(f"lists at ef 4 x limit, oversampling {n}", per_limit=4, rescore=True, oversampling=n)
        for n in (1, 2, 3)
    ),
    Walk("lists at ef 4 x limit, oversampling ef / limit", per_limit=4, rescore=True, whole=True),
)
UNRESCORED = Walk(
    "lists at ef 4 x limit, not rescored", per_limit=4, rescore=False, oversampling=1.0
)
HEADS = (
    "collection",
    "search",
    "ef used",
    "recall of lists",
    "error of densities",
    "total variation of p (worst)",
    "its limit at 95 %",
    "limit holds",
)


def plan() -> Iterator[tuple[Build, tuple[Walk, ...]]]:
    """Every collection with the ways in which it is searched."""
    derived = Walk("own choice, alpha, C and h derived", derived=True)
    yield PLAIN[0], (OWN, derived, *EF_WALKS, *LIST_WALKS)
    for build in (*PLAIN[1:], *CHANGED):
        yield build, (OWN, LIST_WALKS[2])
    for build in QUANTIZED:
        yield build, (OWN, *QUANTIZED_WALKS, *([UNRESCORED] if build.scored else []))


def measured(
    pool: Float32Array,
    tasks: list[tuple[str, Float32Array]],
    sizes: list[int],
    store: Path,
    collections: str,
    searches: str,
) -> Iterator[dict[str, Any]]:
    """One row per collection, walk, task and size."""
    judges: dict[tuple[float, str, int], Judge] = {}
    for build, planned in plan():
        walks = [walk for walk in planned if searches in walk.name]
        if collections not in build.title or not walks:
            continue
        print(f"building {build.title}", file=sys.stderr)
        build.make(store, pool)
        collection = WalkedCollection.open(str(store), build.name)
        assert isinstance(collection, WalkedCollection)
        alive = np.ones(len(pool), dtype=bool)
        alive[build.gone(len(pool))] = False
        for number, (task, queries) in enumerate(tasks):
            for size in sizes:
                settings = SelectionSettings.of(sizes=(size,), seed=number)
                judge = judges.setdefault(
                    (build.deleted, task, size), Judge(pool, alive, queries, settings)
                )
                collection.walk = Walk("truth")
                judge.learn(collection)
                for walk in walks:
                    print(f"  {task}, {size}: {walk.name}", file=sys.stderr)
                    yield {
                        "collection": build.title,
                        "search": walk.name,
                        "task": task,
                        "size": size,
                        **judge.measure(collection, walk),
                    }
        collection.close()


def markdown(rows: list[dict[str, Any]], sizes: list[int]) -> Iterator[str]:
    """A table: means over tasks and sizes, samples by size."""
    heads = [*HEADS, *(f"sample of {size:,} differs" for size in sizes), "CPU seconds"]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + " --- |" * len(heads)
    for collection, search in dict.fromkeys((row["collection"], row["search"]) for row in rows):
        group = [row for row in rows if (row["collection"], row["search"]) == (collection, search)]
        variations = [row["variation"] for row in group]
        bounded = [row for row in group if row["bound"] is not None]
        held = sum(row["variation"] <= row["bound"] + 1e-6 for row in bounded)
        cells = [
            collection,
            search,
            ", ".join(sorted({row["ef"] for row in group}, key=lambda ef: (len(ef), ef))),
            f"{mean(row['recall'] for row in group):.4f}",
            f"{mean(row['density_error'] for row in group):.1e}",
            f"{mean(variations):.1e} ({max(variations):.1e})",
            f"{mean(row['bound'] for row in bounded):.1e}",
            f"{held} of {len(bounded)}",
        ]
        cells += [
            f"{100 * mean(row['sample_differs'] for row in group if row['size'] == size):.2f} %"
            for size in sizes
        ]
        yield "| " + " | ".join([*cells, f"{mean(r['cpu_seconds'] for r in group):.2f}"]) + " |"


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=Path, help=".npy (N, D); a synthetic pool by default")
    parser.add_argument("--labels", type=Path, help="JSON list of N labels, for the tasks")
    parser.add_argument("--candidates", type=int, default=100_000, help="of the synthetic pool")
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--examples", type=int, default=50, help="task examples of each task")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--collections", default="", help="only those whose title contains this")
    parser.add_argument("--searches", default="", help="only those whose name contains this")
    parser.add_argument("--store", type=Path, help="directory that keeps the collections")
    parser.add_argument("--json", type=Path, help="append every measurement to it, a line each")
    options = parser.parse_args()
    if options.vectors:
        vectors = normalized(np.load(options.vectors).astype(np.float32))
    else:
        vectors, _ = clustered_pool(options.candidates, 1)
    labels = json.loads(options.labels.read_text(encoding="utf-8")) if options.labels else None
    pool, tasks = tasks_from(vectors, labels, options.tasks, options.examples)
    with tempfile.TemporaryDirectory() as directory:
        store = options.store or Path(directory)
        rows = []
        chosen = options.collections, options.searches
        for row in measured(pool, tasks, options.sizes, store, *chosen):
            rows.append(row)
            if options.json:
                with options.json.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(row) + "\n")
    print(
        f"{len(pool):,} x {pool.shape[1]} candidates, {len(tasks)} tasks of {options.examples} "
        f"examples\n"
    )
    print("\n".join(markdown(rows, options.sizes)))


if __name__ == "__main__":
    main()
