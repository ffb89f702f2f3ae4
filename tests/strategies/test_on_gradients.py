"""Strategies that go by distance, on unit gradients of any number of checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_spaces import add_made, gradient_pool, gradients_at, plain_pool, unit_blocks
from oracles import brute_force_probabilities

from tsds_qdrant import SelectionSettings, begin_run, check, compare, explain, reselect, select
from tsds_qdrant.errors import InputError, UnsupportedCollectionError
from tsds_qdrant.report.write import write_report
from tsds_qdrant.runs.begin import new_run
from tsds_qdrant.selection.results import manifest

COUNT, SHOTS = 120, 5


def gradients(blocks: int, count: int = COUNT, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(6, blocks * 4))
    drawn = centres[rng.integers(6, size=count)] + 0.4 * rng.normal(size=(count, blocks * 4))
    return unit_blocks(drawn, blocks)


def apart(rows: Any, queries: Any, blocks: int) -> Any:
    """(M, N) chords between directions: sqrt(2 - 2 x the mean cosine of the checkpoints)."""
    a = queries.astype(np.float64).reshape(len(queries), blocks, -1)
    b = rows.astype(np.float64).reshape(len(rows), blocks, -1)
    mean = np.einsum("mcd,ncd->mn", a, b) / blocks
    return np.sqrt(np.maximum(2 - 2 * mean, 0))


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_tsds_equals_brute_force(blocks: int) -> None:
    rows, queries = gradients(blocks), gradients(blocks, SHOTS, seed=1)
    settled = {"alpha": 0.4, "cost_scale": 0.9, "bandwidth": 0.5, "exact": True}
    with gradient_pool(rows, [1.0] * blocks) as pool:
        found = select(pool, queries, SelectionSettings.of("tsds", sizes=(10,), **settled))
    length = np.sqrt(blocks)
    wanted = brute_force_probabilities(
        rows.astype(np.float64) / length,
        queries.astype(np.float64) / length,
        0.4,
        0.9,
        0.5,
        "Cosine",
    )
    mine = dict(zip(found.ids, found.probabilities.tolist(), strict=True))
    assert [mine.get(k, 0.0) for k in range(COUNT)] == pytest.approx(wanted.tolist(), abs=1e-6)
    far = apart(rows, queries, blocks)
    for row in found.sample_rows(10):
        assert row["distance"] == pytest.approx(far[:, row["id"]].min(), abs=1e-5)
        assert row["query"] == int(far[:, row["id"]].argmin())


@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.parametrize("strategy", ["round-robin", "similarity-max", "similarity-mean"])
def test_rankings_equal_brute_force(strategy: str, blocks: int) -> None:
    rows, queries = gradients(blocks), gradients(blocks, SHOTS, seed=1)
    far = apart(rows, queries, blocks)
    if strategy == "round-robin":
        left, wanted = list(range(COUNT)), []
        while len(wanted) < 30:
            wanted.append(min(left, key=lambda k: far[len(wanted) % SHOTS, k]))
            left.remove(wanted[-1])
    else:
        best = far.min(axis=0) if strategy == "similarity-max" else np.square(far).mean(axis=0)
        wanted = np.argsort(best)[:30].tolist()
    with gradient_pool(rows, [1.0] * blocks) as pool:
        asked = SelectionSettings.of(strategy, sizes=(30,), near_copies="keep")
        found = select(pool, queries, asked)
    assert found.selected_ids == wanted


def test_whoever_reads_the_vectors_reads_directions(tmp_path: Path) -> None:
    """Runs, repairs, explanations, reports, checks and comparisons work on two checkpoints."""
    rows, queries = gradients(2), gradients(2, SHOTS, seed=1)
    asked = SelectionSettings.of("tsds", sizes=(10,), cost_scale=0.9, bandwidth=0.5)
    with plain_pool(COUNT) as root:
        add_made(root, gradients_at([1.0, 1.0]), range(COUNT - 20), rows[:-20])
        pool = root.at("gradient")
        assert check(pool).verdict.startswith("works")
        state, first = begin_run(tmp_path / "run", pool, queries, asked)
        assert first.candidates == COUNT - 20
        add_made(root, gradients_at([1.0, 1.0]), range(COUNT - 20, COUNT), rows[-20:])
        again = reselect(state, collection=pool).selection
        fresh = new_run(pool, queries, asked)
        assert again.selected_ids == fresh.selection.selected_ids
        assert explain(fresh, [*range(10)]).points
        facts = manifest(fresh.selection, queries={"source": "made"})
        write_report(tmp_path / "report.html", pool, fresh, facts=facts)
        compared = compare(pool, queries, asked)
        assert compared.typical == 0.9


def test_another_length_is_named() -> None:
    rows = gradients(2)
    rows[7] *= 3
    with gradient_pool(rows, [1.0, 1.0]) as pool:
        told = r"point 7 has length 4\.243, not 1\.414"
        with pytest.raises(UnsupportedCollectionError, match=told):
            select(pool, gradients(2, SHOTS), SelectionSettings.of(sizes=(5,)))
    with gradient_pool(gradients(2), [1.0, 1.0]) as pool:
        with pytest.raises(InputError, match="query example 0 is not of unit length"):
            select(pool, 3 * gradients(2, SHOTS), SelectionSettings.of(sizes=(5,)))
        # Task examples whose length was made 1 already are the same.
        one = select(pool, gradients(2, SHOTS), SelectionSettings.of(sizes=(5,)))
        other = select(
            pool, gradients(2, SHOTS) / np.float32(np.sqrt(2)), SelectionSettings.of(sizes=(5,))
        )
        assert one.selected_ids == other.selected_ids
