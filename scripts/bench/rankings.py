"""What strategies over gradients of a language model cost where the vectors are there already.

    python -m bench.rankings [--candidates N] [--dimension D]     (with scripts on PYTHONPATH)

A pool of N random rows of D values takes the place of gradients: of 4 checkpoints for ``less``,
``rds``, ``tarot`` and ``tsds``, of losses for ``dsdm``. Each strategy selects for the same task
examples: in this process, where everything is imported and open, and by the command line in a
fresh one, from its first moment to its end. Beside them stands the bare work: to read all rows from
a file and multiply them with all task examples. Prints a Markdown table; seconds are medians.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bench.speed.clock import say

from tsds_qdrant import SelectionSettings, create_collection, open_collection, select
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MADE_FIELD, MANIFESTS
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.represented.marks import Kept
from tsds_qdrant.task.examples import TaskExamples

BLOCK = 10_000
RATES = (1e-5, 2e-5, 3e-5, 1e-5)
"""Learning rates at the checkpoints."""
RUNS = (
    ("less", "gradient"),
    ("rds", "gradient"),
    ("tarot", "gradient"),
    ("tsds", "gradient"),
    ("dsdm", "loss-gradient"),
)
"""Each strategy with the vectors that it goes by."""
MANIFEST: dict[str, dict[str, Any]] = {
    "gradient": {
        "normalised": True,
        "checkpoints": [
            {"id": f"c{step}", "step": step, "learning_rate": rate}
            for step, rate in enumerate(RATES)
        ],
    },
    "loss-gradient": {"normalised": False, "checkpoints": []},
}


def gradients(count: int, dimension: int, seed: int) -> Iterator[Any]:
    """Blocks of rows whose part of each checkpoint has length 1."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, BLOCK):
        shape = (min(BLOCK, count - start), len(RATES), dimension // len(RATES))
        rows = rng.standard_normal(shape, dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=2, keepdims=True)
        yield rows.reshape(len(rows), -1)


def fill(pool: Collection, count: int, dimension: int) -> None:
    """Write ``count`` points with a space for each kind of gradients, as ``represent`` does."""
    known = {
        name: Kept(name, "0", {"kind": name, **manifest}, {}) for name, manifest in MANIFEST.items()
    }
    for name in known:
        pool.add_space(Space.dense(name, dimension, "Dot"))
    mark = {MADE_FIELD: {name: {"fp": kept.fingerprint} for name, kept in known.items()}}
    start = 0
    for rows in gradients(count, dimension, seed=0):
        ids = range(start, start + len(rows))
        pool.upsert(ids, rows[:, :2], [mark] * len(rows))
        for name in known:
            pool.set_vectors(ids, rows, space=name)
        start += len(rows)
    pool.update_metadata({MANIFESTS: {name: kept.stored() for name, kept in known.items()}})


def timed(work: Callable[[], object], repeats: int) -> float:
    """Median seconds."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def product(path: Path, task: Any) -> Any:
    """Cosines of all candidates with all task examples, from a file."""
    rows = np.fromfile(path, np.float32).reshape(-1, task.shape[1])
    return rows @ task.T


def main(candidates: int, dimension: int, targets: int, size: int, repeats: int) -> None:
    """Make the pool and print the table."""
    task = next(gradients(targets, dimension, seed=1))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        store, queries = place / "store", place / "task.npy"
        np.save(queries, task)
        say(f"writing {candidates:,} candidates")
        with create_collection(str(store), "pool", dimension=2) as pool:
            fill(pool, candidates, dimension)
        with (place / "rows").open("wb") as file:
            for rows in gradients(candidates, dimension, seed=0):
                rows.tofile(file)
        bare = timed(lambda: product(place / "rows", task), repeats)
        print(
            f"{candidates:,} candidates, {dimension:,} dimensions, {targets} task examples, "
            f"size {size:,}; bare product {bare:.2f} s\n"
        )
        print("| strategy | vectors | select | x bare | command |\n| --- | --- | --- | --- | --- |")
        for strategy, space in RUNS:
            examples = TaskExamples(task, [""] * targets, np.ones(targets))
            asked = SelectionSettings.of(strategy, sizes=(size,))
            with open_collection(str(store), "pool", vector=space) as pool:
                inside = timed(lambda: select(pool, examples, asked), repeats)  # noqa: B023
            words: list[Any] = ["--qdrant", store, "--collection", "pool", "--vector", space]
            words += ["--strategy", strategy, "--queries", queries, "--size", size]
            words += ["--out", place / "out.jsonl"]
            command = [sys.executable, "-m", "tsds_qdrant", "select", *map(str, words)]
            outside = timed(
                lambda: subprocess.run(command, check=True, capture_output=True),  # noqa: B023
                repeats,
            )
            row = (strategy, space, f"{inside:.1f} s", f"{inside / bare:.1f}", f"{outside:.1f} s")
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--candidates", type=int, default=100_000)
    options.add_argument("--dimension", type=int, default=1_024)
    options.add_argument("--targets", type=int, default=200, help="task examples")
    options.add_argument("--size", type=int, default=1_000)
    options.add_argument("--repeats", type=int, default=3)
    main(**vars(options.parse_args()))
