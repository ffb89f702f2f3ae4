"""The plain pipeline from a file of vectors to a file of ids, as a process of its own.

Its index is IVF, as published, or flat, which compares with every vector. Prints seconds that it
would have taken beyond those that it took, where it computed a part of its densities alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from bench.speed.plain import PlainPipeline, flat_over, ivf_over


def main() -> None:
    """Read, select, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("ivf", "flat"))
    parser.add_argument("pool", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("out", type=Path)
    for name in ("--alpha", "--cost-scale", "--bandwidth"):
        parser.add_argument(name, type=float, required=True)
    parser.add_argument("--size", type=int, required=True)
    asked = parser.parse_args()
    vectors, queries = np.load(asked.pool), np.load(asked.queries)
    made = flat_over if asked.kind == "flat" else ivf_over
    task = {name: getattr(asked, name) for name in ("alpha", "cost_scale", "bandwidth")}
    pipeline = PlainPipeline(vectors, made(vectors), made=made)
    started = time.perf_counter()
    done = pipeline.select(queries, **task)
    took = time.perf_counter() - started
    p = done.probabilities / done.probabilities.sum()
    size = min(asked.size, np.count_nonzero(p))
    drawn = np.random.default_rng(0).choice(len(p), size=size, replace=False, p=p)
    asked.out.write_text("".join(f"{number}\n" for number in drawn.tolist()), encoding="utf-8")
    np.save(asked.out.with_suffix(".npy"), done.probabilities)
    print(json.dumps({"beyond": done.seconds - took, "share": done.share}))


if __name__ == "__main__":
    main()
