"""A state that version 0.1 made opens and goes on.

``version-0.1.run`` holds the run of :func:`settings` over the collection that :func:`pool` makes,
with ``text 5`` kept out as a test item, as ``begin_run`` of version 0.1 stored it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tsds_qdrant import (
    Collection,
    Guard,
    HeldOut,
    Quota,
    Reach,
    SelectionSettings,
    TextTemplate,
    create_collection,
    reopen,
    reselect,
    select,
)
from tsds_qdrant.runs.address import identity_of
from tsds_qdrant.runs.state import RunState

STATE = Path(__file__).parents[1] / "support" / "states" / "version-0.1.run"
SELECTED = [86, 4, 0, 19, 108, 26, 3, 34, 1, 52, 27, 77]
ROWS = np.random.default_rng(7).normal(size=(120, 4)).astype(np.float32)
TEXTS = TextTemplate(text_field="text")
METADATA = {
    "identity": "a run of version 0.1",
    "sequence": 0,
    "settled": 0,
    "text": {"text_field": "text"},
}


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Collection]:
    place = str(tmp_path / "store")
    with create_collection(place, "pool", dimension=4, metric="Euclid", metadata=METADATA) as made:
        payloads = [{"text": f"text {k}", "source": "ab"[k % 2]} for k in range(len(ROWS))]
        made.upsert(range(len(ROWS)), ROWS, payloads)
        yield made


@pytest.fixture
def state(tmp_path: Path) -> RunState:
    return RunState(shutil.copy(STATE, tmp_path / "task.run"))


def settings() -> SelectionSettings:
    return SelectionSettings.of(
        sizes=(12, 6), quotas=(Quota("source", 0.7),), seed=3, sampler="stable"
    )


def guard() -> Guard:
    return Guard(HeldOut.of(["text 5"], None, Reach(3, 0.0)), TEXTS)


def test_it_opens_as_it_was(pool: Collection, state: RunState) -> None:
    run = reopen(state, pool)
    assert run.selection.selected_ids == SELECTED
    assert run.selection.settings == settings()
    assert run.selection.transport.alpha == 0.775389753435706
    assert run.selection.counts.neighbor_searches == 0
    assert run.texts == []
    apart = np.linalg.norm(ROWS[:5, None] - ROWS[None, :5], axis=2) + 1e9 * np.eye(5)
    assert run.selection.yardstick is not None
    assert run.selection.yardstick.distance == pytest.approx(np.median(apart.min(axis=1)), abs=1e-5)


def test_it_goes_on_as_a_selection_from_scratch(pool: Collection, state: RunState) -> None:
    queries = ROWS[:5] + np.float32(0.1)
    pool.delete([86, 4])
    pool.upsert([200], queries[:1], [{"text": "text 200", "source": "a", "_tsds_seq": 1}])
    pool.update_metadata({"sequence": 1, "settled": 1})
    done = reselect(state, collection=pool)
    assert (done.changes.came, sorted(done.changes.gone)) == ([200], [4, 86])
    scratch = select(pool, queries, settings(), guard=guard())
    assert done.selection.selected_ids[:1] != SELECTED[:1]
    assert 200 in done.selection.ids
    # C and h stay as the first selection settled them, so p differs a little from a new one's.
    assert set(done.selection.selected_ids) & set(scratch.selected_ids)
    again = reselect(state, collection=pool)
    assert again.selection.selected_ids == done.selection.selected_ids
    facts = state.facts()
    assert facts["collection"] == identity_of(pool.info())
    assert facts["settings"]["strategy"]["name"] == "tsds"
