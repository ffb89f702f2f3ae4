"""What near-copies cost a selection: the same pool with and without them, in turn, as Markdown.

Vectors in clusters; in the pools with copies, 10,000 of 19,003 are jittered copies of 20. How many
of the 20 lie at the task makes the difference: their copies can all be drawn, so that each needs a
density of its own. Seconds are those of one thread, of the selection alone and of the command as a
whole; probabilities are compared with brute force.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
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
QUERIES_FILE = "queries.npy"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


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
        places = {name: Path(stack.enter_context(tempfile.TemporaryDirectory())) for name in pools}
        runs: dict[str, Callable[[], tuple[float, Any]]] = {}
        with ExitStack() as opened:
            for name, (vectors, task) in pools.items():
                made_here = create_collection(places[name], "pool", dimension=options.dimension)
                pool = opened.enter_context(made_here)
                pool.upsert(range(len(vectors)), vectors)
                np.save(places[name] / QUERIES_FILE, task)
                for sampler in SAMPLERS:
                    asked = SelectionSettings.of(sizes=(options.size,), sampler=sampler)
                    runs[f"{sampler}, {name}"] = timed(pool, task, asked)
            done = alternate(runs, options.repeats, 600)
        commands = {
            f"{sampler}, {name}": command(places[name], options.size, sampler)
            for name in pools
            for sampler in SAMPLERS
        }
        typed = alternate(commands, options.repeats, 600)
    for sampler in SAMPLERS:
        for name, (vectors, task) in pools.items():
            run, clean = f"{sampler}, {name}", f"{sampler}, none"
            found = done[run][1]
            say(f"brute force: {run}")
            rows.append(
                {
                    "sampler": sampler,
                    "copies": name,
                    "seconds": done[run][0].median,
                    "times": done[run][0].median / done[clean][0].median,
                    "command": typed[run][0].median,
                    "command_times": typed[run][0].median / typed[clean][0].median,
                    "support": len(found.support),
                    "searches": found.counts.density_searches,
                    "variation": variation(found, vectors, task),
                }
            )
    heads = "sampler", "near-copies", "CPU seconds", "times", "of the command", "times"
    print(f"| {' | '.join(heads)} | p > 0 | densities | total variation |")
    print("| --- " * 9 + "|")
    for row in rows:
        print(
            f"| {row['sampler']} | {row['copies']} | {row['seconds']:.2f} | {row['times']:.1f} "
            f"| {row['command']:.1f} | {row['command_times']:.1f} | {row['support']:,} "
            f"| {row['searches']:,} | {row['variation']:.0e} |"
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


def command(place: Path, size: int, sampler: str) -> Callable[[], tuple[float, Any]]:
    """The same selection as somebody types it, in a process of its own, with its seconds."""
    pool = ["--qdrant", place, "--collection", "pool", "--queries", place / QUERIES_FILE]
    wanted = ["--size", size, "--sampler", sampler, "--out", "-"]
    words = [sys.executable, "-m", "tsds_qdrant", "select", *pool, *wanted]

    def run() -> tuple[float, Any]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [*map(str, words)], env={**os.environ, **ONE_THREAD}, capture_output=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, None

    return run


if __name__ == "__main__":
    main()
