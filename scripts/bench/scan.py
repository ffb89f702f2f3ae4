"""Scans by each device that is here: the same answers, and how long they take.

    python -m bench.scan [POINTS] [SEARCHES]      (with scripts on PYTHONPATH)

Prints seconds of the first scan and of a second one, over POINTS x 384 vectors in memory, and the
seconds of the bare product by BLAS on the CPU beside them.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from tsds_qdrant.collections.edge.loaded import LoadedVectors

DIMENSION, LIMIT, RADIUS = 384, 100, 0.9


def main(points: int = 100_000, searches: int = 1_250) -> None:
    """Measure."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((points, DIMENSION), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = rows[:searches] + rng.normal(scale=0.02, size=(searches, DIMENSION))
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    start = time.perf_counter()
    for block in range(0, points, 10_000):
        queries @ rows[block : block + 10_000].T
    print(f"product by BLAS: {time.perf_counter() - start:.2f} s")
    found = {}
    for device in devices():
        pool = LoadedVectors(range(points), rows, "Cosine", device=device)
        for what, limit, radius in (("nearest", LIMIT, None), ("within", points, RADIUS)):
            seconds = []
            for _ in range(2):
                start = time.perf_counter()
                hits = pool.search(queries, limit, radius)
                seconds.append(time.perf_counter() - start)
            first = found.setdefault(what, hits)
            same = first.ids == hits.ids and (first.distances == hits.distances).all()
            print(
                f"{device}, {what}: {seconds[0]:.2f} s, again {seconds[1]:.2f} s, "
                f"{len(hits.ids)} hits, {'the same' if same else 'OTHER'} answers"
            )


def devices() -> list[str]:
    """The CPU, and a GPU that torch finds."""
    import torch

    return ["cpu", *(["cuda"] if torch.cuda.is_available() else ())]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
