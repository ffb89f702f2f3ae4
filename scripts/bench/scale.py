"""A cost model of a selection: fitted on some pools, tried on one that took no part in the fit.

Searches follow from the task and the size; bytes from the searches; the seconds of one search from
the size of the pool. Each of the three is a line fitted by least squares. ``--plan`` says what the
model makes of a pool that does not fit on this machine.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.pools import Pool, synthetic
from bench.speed.clock import alternate, say
from bench.speed.store import COLLECTION, built_collection
from bench.speed.traffic import MeteredCollection

from tsds_qdrant import SelectionSettings, open_collection, select
from tsds_qdrant.neighbors.search import Searcher

TASKS = ((10, 1_000), (50, 300), (200, 100), (200, 1_000), (500, 2_000))
"""Task examples and sizes of the selections that the model is fitted to."""
HELD_OUT_TASKS = ((100, 500), (1_000, 3_000))
TIMED = 200
LIMIT, RADIUS = 64, 1.0
Features = Callable[[dict[str, Any]], list[float]]


@dataclass(frozen=True)
class Line:
    """A quantity as a sum of features with coefficients (k,), fitted by relative error."""

    name: str
    features: Features
    coefficients: Any

    @classmethod
    def fitted(cls, name: str, features: Features, rows: Sequence[dict[str, Any]]) -> Line:
        """Minimise the squared relative error over ``rows``."""
        values = np.array([row[name] for row in rows], dtype=np.float64)
        matrix = np.array([features(row) for row in rows]) / values[:, None]
        return cls(name, features, np.linalg.lstsq(matrix, np.ones(len(rows)), rcond=None)[0])

    def at(self, row: dict[str, Any]) -> float:
        """The quantity that the model foretells."""
        return float(np.dot(self.features(row), self.coefficients))


def searches(row: dict[str, Any]) -> list[float]:
    """Task examples and size."""
    return [row["examples"], row["size"]]


def traffic(row: dict[str, Any]) -> list[float]:
    """Vectors go out with each search, and come in once for each density; hits come in."""
    return [row["searches"] * row["dimension"] * 4.0, row["size"] * row["dimension"] * 4.0]


def walk(row: dict[str, Any]) -> list[float]:
    """A walk grows with the logarithm of the pool."""
    return [1.0, math.log2(row["candidates"])]


def scan(row: dict[str, Any]) -> list[float]:
    """A scan grows with the pool."""
    return [float(row["candidates"])]


def measured(pool: Pool, tasks: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Counts and bytes of selections from ``pool``, and milliseconds of its searches."""
    stored = built_collection(pool)
    facts = {"candidates": len(pool.vectors), "dimension": pool.vectors.shape[1]}
    rows = []
    with open_collection(str(stored.path), COLLECTION) as collection:
        for examples, size in tasks:
            if examples > len(pool.queries):
                continue
            metered = MeteredCollection(collection)
            counts = select(
                metered,  # type: ignore[arg-type]
                pool.queries[:examples],
                SelectionSettings.of(sizes=(size,), sampler="stable"),
            ).counts
            rows.append(
                {
                    **facts,
                    "examples": examples,
                    "size": size,
                    "searches": counts.neighbor_searches + counts.density_searches,
                    "bytes": metered.traffic.figures()["grpc"],
                }
            )
            say(f"  {examples} task examples, size {size}: {rows[-1]['searches']} searches")
        searcher = Searcher(collection)
        queries = pool.queries[:TIMED]
        searcher.nearest(queries, LIMIT)
        few = queries[:16]
        runs: dict[str, Callable[[], tuple[float, Any]]] = {
            "walk": lambda: _each(lambda: searcher.around(queries, LIMIT, RADIUS), len(queries)),
            "scan": lambda: _each(
                lambda: searcher.around(few, LIMIT, RADIUS, exact=True), len(few)
            ),
        }
        done = alternate(runs, 5, math.inf)
    milliseconds = {name: timing.median for name, (timing, _) in done.items()}
    return {**facts, "graph": searcher.ef is not None, "rows": rows, **milliseconds}


def _each(search: Callable[[], Any], count: int) -> tuple[float, None]:
    import time

    started = time.perf_counter()
    search()
    return (time.perf_counter() - started) / count * 1000, None


def main() -> None:
    """Fit, try, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", default="10000,30000,100000,1000000", help="fitted on these")
    parser.add_argument("--held-out", type=int, default=300_000, help="and tried on this one")
    parser.add_argument("--plan", type=int, default=150_000_000, help="foretold for this one")
    parser.add_argument("--store", type=Path, required=True, help="keep pools and collections here")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    options = parser.parse_args()
    pools = []
    for size in [*map(int, options.sizes.split(",")), options.held_out]:
        say(f"pool of {size:,}")
        tasks = HELD_OUT_TASKS if size == options.held_out else TASKS
        pools.append(measured(synthetic(options.store, size), tasks))
    *known, unseen = pools
    rows = [row for pool in known for row in pool["rows"]]
    graphs = [pool for pool in known if pool["graph"]]
    engine_scans = [pool for pool in known if pool["graph"]]
    lines = {
        "searches": Line.fitted("searches", searches, rows),
        "bytes": Line.fitted("bytes", traffic, rows),
        "walk": Line.fitted("walk", walk, graphs),
        "scan": Line.fitted("scan", scan, engine_scans),
    }
    for name, line in lines.items():
        terms = ", ".join(f"{value:.4g}" for value in line.coefficients)
        print(f"{name}: {terms}")
    print("\n| at the held-out size | foretold | measured | off by |\n| --- | --- | --- | --- |")
    for row in unseen["rows"]:
        for name in ("searches", "bytes"):
            what = f"{name}, {row['examples']} task examples, size {row['size']:,}"
            print(_compared(what, lines[name].at(row), row[name]))
    for name in ("walk", "scan"):
        print(_compared(f"milliseconds of a {name}", lines[name].at(unseen), unseen[name]))
    for size in (10_000, options.plan // 100):
        row = {"candidates": options.plan, "dimension": 384, "examples": 1_000, "size": size}
        row["searches"] = lines["searches"].at(row)
        moved, each = lines["bytes"].at(row), lines["walk"].at(row)
        print(
            f"\n{options.plan:,} candidates, 1,000 task examples, size {size:,}: "
            f"{row['searches']:,.0f} searches, {moved / 1e9:.2f} GB over gRPC, "
            f"{each:.2f} ms of one core for a walk of one graph of all"
        )
    if options.json:
        found = {name: line.coefficients.tolist() for name, line in lines.items()}
        text = json.dumps({"pools": pools, "lines": found}, indent=2)
        options.json.write_text(f"{text}\n", encoding="utf-8")


def _compared(what: str, foretold: float, found: float) -> str:
    return f"| {what} | {foretold:.4g} | {found:.4g} | {100 * (foretold / found - 1):+.0f} % |"


if __name__ == "__main__":
    main()
