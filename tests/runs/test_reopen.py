"""A stored run, taken up again without a search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pool_oracle import clustered_rows, near_queries

from tsds_qdrant import SelectionSettings, begin_run, create_collection
from tsds_qdrant.runs.reopen import reopen


def test_a_reopened_run_is_the_selection_that_it_was(tmp_path: Path) -> None:
    pool = clustered_rows(2_000, 16, 12)
    queries = near_queries(pool, 20)
    collection = create_collection(str(tmp_path), "pool", dimension=pool.shape[1])
    collection.upsert(range(len(pool)), pool)
    settings = SelectionSettings.of(sizes=(20, 100))
    state, first = begin_run(tmp_path / "task.run", collection, queries, settings)
    again = reopen(state, collection)
    counts = again.selection.counts
    assert counts.neighbor_searches == counts.density_searches == counts.probe_searches == 0
    assert again.selection.transport.alpha == first.transport.alpha
    p = dict(zip(first.ids, first.probabilities.tolist(), strict=True))
    for point_id, value in zip(again.selection.ids, again.selection.probabilities, strict=True):
        assert np.isclose(p[point_id], value, rtol=1e-12, atol=0)
    for size in (20, 100):
        assert [row["id"] for row in again.selection.sample_rows(size)] == [
            row["id"] for row in first.sample_rows(size)
        ]
    collection.close()
