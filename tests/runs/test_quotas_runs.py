"""Runs within bounds: what is drawn again equals a selection from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounded_pool import FREE, GIVEN, METADATA, PAYLOADS, QUERIES, ROWS, TIGHT, words

from tsds_qdrant import Keeping, SelectionSettings, begin_run, create_collection, reselect, select
from tsds_qdrant.runs.reopen import reopen
from tsds_qdrant.selection.quotas import Quota


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"quotas": TIGHT},
        {"sizes": (30,), "max_per_group": 1, "group_field": "author.name"},
        {"sizes": (), "token_budget": 400, "token_field": "n", "quotas": TIGHT},
        {"max_per_group": 1},
    ],
)
def test_a_grown_run_is_drawn_again(tmp_path: Path, given: dict[str, Any]) -> None:
    collection = create_collection(str(tmp_path), "pool", dimension=6, metric="Euclid")
    collection.upsert(range(600), ROWS.astype(np.float32), PAYLOADS)
    wanted = FREE.altered(exact=True, **given)
    state, first = begin_run(tmp_path / "run", collection, QUERIES, wanted)
    again = reopen(state, collection).selection
    assert list(again.probability_rows()) == list(first.probability_rows())
    assert again.selected_ids == first.selected_ids
    assert reselect(state, collection=collection).selection.selected_ids == first.selected_ids
    for _ in range(2):
        collection.delete(first.selected_ids[:15])
        done = reselect(state, collection=collection).selection
        scratch = select(collection, QUERIES, wanted)
        assert done.selected_ids == scratch.selected_ids
        assert done.transport.alpha == pytest.approx(scratch.transport.alpha)
        first = done
    collection.close()


def test_a_run_keeps_its_bounds(tmp_path: Path) -> None:
    collection = create_collection(
        str(tmp_path), "pool", dimension=6, metric="Euclid", metadata=METADATA
    )
    collection.upsert(range(600), ROWS.astype(np.float32), PAYLOADS)
    wanted = GIVEN.altered(
        sizes=(40, 20),
        exact=True,
        quotas=(Quota("source", 0.5), Quota("tags", 0.6, "t0")),
        token_budget=500,
        max_per_group=3,
        group_field="author.name",
    )
    state, first = begin_run(
        tmp_path / "run", collection, QUERIES, wanted, keeping=Keeping(count_tokens=words)
    )
    assert reopen(state, collection).selection.samples[40].tokens == first.samples[40].tokens
    quiet = reselect(state, collection=collection)  # nobody needs to count again
    assert quiet.selection.selected_ids == first.selected_ids
    moved = [int(point_id) for point_id in first.selected_ids[:5]]
    collection.delete(moved[:2])
    collection.upsert(
        moved[2:],
        ROWS[moved[2:]].astype(np.float32),
        [PAYLOADS[k] | {"source": "x"} for k in moved[2:]],
    )
    left = reopen(state, collection).selection
    assert left.selected_ids == first.selected_ids
    done = reselect(state, collection=collection, named=moved, count_tokens=words)
    scratch = select(collection, QUERIES, wanted, count_tokens=words)
    for size in (20, 40):
        mine, theirs = (list(one.sample_rows(size)) for one in (done.selection, scratch))
        assert [row["id"] for row in mine] == [row["id"] for row in theirs]
    assert done.selection.settings == wanted
    collection.close()


def test_a_budget_alone_is_drawn_again(tmp_path: Path) -> None:
    collection = create_collection(str(tmp_path), "pool", dimension=6, metric="Euclid")
    collection.upsert(range(600), ROWS.astype(np.float32), PAYLOADS)
    wanted = SelectionSettings.of(token_budget=300, token_field="n", cost_scale=1.0, bandwidth=0.8)
    state, first = begin_run(tmp_path / "run", collection, QUERIES, wanted)
    assert reselect(state, collection=collection).selection.selected_ids == first.selected_ids
    collection.delete(first.selected_ids[:7])
    done = reselect(state, collection=collection)
    assert done.selection.selected_ids == select(collection, QUERIES, wanted).selected_ids
    assert set(done.difference.removed) >= set(first.selected_ids[:7])
    (sample,) = done.selection.samples.values()
    assert sample.tokens is not None
    assert 287 < sample.tokens <= 300
    collection.close()
