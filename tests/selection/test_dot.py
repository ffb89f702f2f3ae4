"""Under Dot a vector that is not of unit length is named, wherever it is met."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import MakeCollection
from plain_strategies import PLAIN
from pool_oracle import edge_pool

from tsds_qdrant import SelectionSettings, check, compare, select
from tsds_qdrant.errors import UnsupportedCollectionError

COUNT, ODD = 400, 390
ROWS = np.random.default_rng(5).normal(size=(COUNT, 8)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
NAMED = f"compares by dot product, and point {ODD} has "


def rows_with(length: float) -> Any:
    rows = ROWS.copy()
    rows[ODD] *= length
    return rows


@pytest.mark.parametrize("bandwidth", [None, 0.0])
@pytest.mark.parametrize("toward", [1.0, 0.3])
def test_a_long_vector_is_named(
    make_collection: MakeCollection, toward: float, bandwidth: float | None
) -> None:
    """Whether its product shows it, or it is near by a product that is not above 1."""
    side = np.cross(np.eye(8)[0, :3], ROWS[ODD, :3])
    across = np.zeros(8)
    across[:3] = side / np.linalg.norm(side)
    query = toward * ROWS[ODD] + np.sqrt(1 - toward**2) * across
    query = (query / np.linalg.norm(query)).astype(np.float32)[None, :]
    pool = make_collection(vectors=rows_with(3.0), metric="Dot")
    for size in (1, 20):
        wanted = SelectionSettings.of(sizes=(size,), bandwidth=bandwidth)
        with pytest.raises(UnsupportedCollectionError, match=NAMED):
            select(pool, query, wanted)
    with pytest.raises(UnsupportedCollectionError, match=NAMED):
        compare(pool, query, SelectionSettings.of(sizes=(20,)))


@pytest.mark.parametrize("strategy", [name for name in PLAIN if name != "dsir"])
@pytest.mark.parametrize("length", [0.5, 3.0])
def test_it_is_never_drawn(make_collection: MakeCollection, strategy: str, length: float) -> None:
    pool = make_collection(vectors=rows_with(length), metric="Dot")
    with pytest.raises(UnsupportedCollectionError, match=NAMED):
        select(pool, ROWS[[ODD]], SelectionSettings.of(strategy, sizes=(COUNT,)))


def test_a_small_embedded_collection_is_looked_through() -> None:
    with edge_pool(rows_with(1.1), "Dot") as pool:
        report = check(pool)
        assert report.verdict == "does not work"
        assert f"point {ODD} has length 1.1, not 1" in report.problems[0]
        pool.upsert([ODD], ROWS[[ODD]])
        assert check(pool).verdict == "works"
        pool.upsert([3], 2 * ROWS[[3]])
        assert "point 3 has length 2, not 1" in check(pool).problems[0]


def test_a_zero_vector_is_no_obstacle(make_collection: MakeCollection) -> None:
    rows = rows_with(0.0)
    rows[0] = 0.0
    pool = make_collection(vectors=rows, metric="Dot")
    found = select(pool, ROWS[[ODD]], SelectionSettings.of(ratio=1.0))
    assert found.candidates == COUNT - 2
    assert check(pool).verdict == "works with a warning"
