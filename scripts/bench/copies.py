"""What near-copies cost a selection: the same pool with and without them, in turn, as Markdown.

Vectors in clusters; in the pools with copies, 10,000 of 19,003 are jittered copies of 20. How many
of the 20 lie at the task makes the difference: their copies can all be drawn, so that each needs a
density of its own. Seconds are those of one thread, of the selection alone; probabilities are
compared with brute force.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from bench.pools import clustered_pool, normalized
from bench.speed.clock import alternate, machine, say
from bench.speed.truth import brute_force
from threadpoolctl import threadpool_limits

from tsds_qdrant import SelectionSettings, create_collection, select
from tsds_qdrant.files.outputs import write_json

ORIGINALS, TASK, QUERIES = 20, 50, 2_000
JITTER = (0.02, 0.3)
SAMPLERS = ("thinned", "stable")


def crowded_pool(points: int, copies: int, near: int, dimension: int, seed: int) -> tuple[Any, Any]:
    """Vectors (N, D), ``copies`` of them near-copies, and task examples (M, D).

    Of the texts that are copied ``near`` are the nearest to the task, and the others any.
    """
    rng = np.random.default_rng(seed)
    rows, queries = clustered_pool(points - copies, QUERIES, dimension=dimension, seed=seed)
    task = queries[np.argsort(-(queries @ queries[0]))[:TASK]]
    if copies:
        nearest = np.argsort(-(rows @ task.T).max(axis=1))[:near]
        rest = rng.choice(np.setdiff1d(np.arange(len(rows)), nearest), ORIGINALS - near, False)
        sources = np.resize(np.concatenate([nearest, rest]), copies)
        noise = normalized(rng.standard_normal((copies, dimension), dtype=np.float32))
        far = rng.uniform(*JITTER, (copies, 1)).astype(np.float32)
        rows = np.concatenate([rows, normalized(rows[sources] + far * noise)])
    return rows[rng.permutation(len(rows))], task


def variation(found: Any, rows: Any, task: Any) -> float:
    """Total variation between the probabilities and those of brute force."""
    solution = found.transport.solution
    truth = brute_force(
        rows,
        task,
        alpha=solution.problem.alpha,
        cost_scale=solution.problem.cost_scale,
        bandwidth=found.transport.bandwidth,
    ).probabilities
    mine = np.zeros(len(rows))
    mine[found.ids] = found.probabilities
    return float(np.abs(mine - truth).sum() / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=19_003)
    parser.add_argument("--copies", type=int, default=10_000)
    parser.add_argument("--near", type=int, nargs="+", default=[1, 10], help="of 20, at the task")
    parser.add_argument("--size", type=int, default=190)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="keeps what was measured")
    options = parser.parse_args()
    threadpool_limits(1)
    made = (options.dimension, options.seed)
    pools = {"none": crowded_pool(options.points, 0, 0, *made)}
    for near in options.near:
        name = f"{options.copies:,} of {ORIGINALS}, {near} at the task"
        pools[name] = crowded_pool(options.points, options.copies, near, *made)
    rows = []
    with ExitStack() as stack:
        runs: dict[str, Callable[[], tuple[float, Any]]] = {}
        for name, (vectors, task) in pools.items():
            place = stack.enter_context(tempfile.TemporaryDirectory())
            pool = stack.enter_context(
                create_collection(place, "pool", dimension=options.dimension)
            )
            pool.upsert(range(len(vectors)), vectors)
            for sampler in SAMPLERS:
                asked = SelectionSettings.of(sizes=(options.size,), sampler=sampler)
                runs[f"{sampler}, {name}"] = timed(pool, task, asked)
        done = alternate(runs, options.repeats, 600)
        for sampler in SAMPLERS:
            for name, (vectors, task) in pools.items():
                timing, found = done[f"{sampler}, {name}"]
                clean = done[f"{sampler}, none"][0].median
                say(f"brute force: {sampler}, {name}")
                rows.append(
                    {
                        "sampler": sampler,
                        "copies": name,
                        "seconds": timing.median,
                        "times": timing.median / clean,
                        "support": len(found.support),
                        "searches": found.counts.density_searches,
                        "variation": variation(found, vectors, task),
                    }
                )
    print("| sampler | near-copies | CPU seconds | times | p > 0 | densities | total variation |")
    print("| --- " * 7 + "|")
    for row in rows:
        print(
            f"| {row['sampler']} | {row['copies']} | {row['seconds']:.2f} | {row['times']:.1f} "
            f"| {row['support']:,} | {row['searches']:,} | {row['variation']:.0e} |"
        )
    if options.json:
        write_json(options.json, {"machine": machine(), "rows": rows})


def timed(pool: Any, task: Any, asked: SelectionSettings) -> Callable[[], tuple[float, Any]]:
    """A selection with its seconds."""

    def run() -> tuple[float, Any]:
        started = time.process_time()
        found = select(pool, task, asked)
        return time.process_time() - started, found

    return run


if __name__ == "__main__":
    main()
