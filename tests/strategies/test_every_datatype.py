"""Every strategy over every datatype: rows say the engine's distances, brute force agrees."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from pool_oracle import edge_pool, engine_distances

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.strategies.base import Ask
from tsds_qdrant.task.examples import TaskExamples
from tsds_qdrant.task.task import Task

POINTS, SIZE = 300, 30
STRATEGIES = ("tsds", "round-robin", "similarity-max", "similarity-mean", "random", "dsir")
DATATYPES = ("float32", "float16", "uint8", "turbo4", "turbo8")
RNG = np.random.default_rng(11)
BYTES = RNG.integers(0, 256, size=(POINTS, 16)).astype(np.float32)
BYTES[40:50] = BYTES[:10]
BYTE_QUERIES = BYTES[::30] + RNG.uniform(0, 60, size=(10, 16)).astype(np.float32)
BYTE_QUERIES = np.trunc(BYTE_QUERIES.clip(0, 255))
PAYLOADS = [{"text": f"word{k % 7} other{k % 5}"} for k in range(POINTS)]


def rows_of(datatype: str) -> tuple[Any, Any]:
    """Stored vectors and task examples."""
    if datatype == "uint8":
        return BYTES, BYTE_QUERIES
    return BYTES - 128, BYTE_QUERIES - 128


def selected(pool: EdgeCollection, queries: Any, strategy: str, size: int = SIZE) -> Selection:
    more = {"alpha": 0.5} if strategy == "tsds" else {}
    return select(
        pool,
        queries,
        SelectionSettings.of(strategy, sizes=(size,), seed=4, near_copies="keep", **more),
    )


@pytest.mark.parametrize("device", ["cpu", "engine"])
@pytest.mark.parametrize("metric", ["Cosine", "Euclid", "Manhattan"])
@pytest.mark.parametrize("datatype", DATATYPES)
def test_rows_say_the_distances_of_the_engine(datatype: str, metric: Metric, device: str) -> None:
    rows, queries = rows_of(datatype)
    with edge_pool(rows, metric, payloads=PAYLOADS, datatype=datatype, device=device) as pool:
        truth = engine_distances(pool, queries)
        for strategy in STRATEGIES:
            if strategy == "dsir" or (strategy, metric) == ("similarity-mean", "Manhattan"):
                continue
            found = list(selected(pool, queries, strategy).sample_rows(SIZE))
            assert len(found) == SIZE
            distances = np.array([row["distance"] for row in found])
            ids = [row["id"] for row in found]
            best = truth[:, ids].min(axis=0)
            named = truth[[row["query"] for row in found], ids]
            if metric == "Cosine":
                best, named, distances = best**2, named**2, distances**2
            if strategy != "round-robin":
                np.testing.assert_allclose(distances, best, rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(distances, named, rtol=1e-6, atol=1e-6)
            if strategy == "similarity-max":
                order = np.sort(truth.min(axis=0))[:SIZE]
                if metric == "Cosine":
                    order = order**2
                np.testing.assert_allclose(np.sort(distances), order, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", "engine"])
@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
@pytest.mark.parametrize("datatype", ["float32", "float16", "uint8", "turbo8"])
def test_similarity_mean_is_the_mean(datatype: str, metric: Metric, device: str) -> None:
    """Also where the mean example is no vector that the collection can be searched for."""
    rows, queries = rows_of(datatype)
    with edge_pool(rows, metric, payloads=PAYLOADS, datatype=datatype, device=device) as pool:
        means = np.square(engine_distances(pool, queries)).mean(axis=0)
        for size in (1, 7, 60, 250):
            found = selected(pool, queries, "similarity-mean", size)
            ids = [row["id"] for row in found.sample_rows(size)]
            wanted = np.sort(means)[:size]
            slack = 1e-3 if datatype == "turbo8" else 1e-5
            np.testing.assert_allclose(means[ids], wanted, rtol=slack)


@pytest.mark.parametrize("metric", ["Cosine", "Euclid", "Manhattan"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_bytes_select_as_floats_do(strategy: str, metric: Metric) -> None:
    """A second way: the same whole numbers in a float32 collection."""
    if (strategy, metric) == ("similarity-mean", "Manhattan"):
        pytest.skip("that mean is no vector")
    found = []
    for datatype in ("uint8", "float32"):
        with edge_pool(BYTES, metric, payloads=PAYLOADS, datatype=datatype) as pool:
            given: Any = BYTE_QUERIES
            if strategy == "dsir":
                texts = ["word3 other2"] * len(BYTE_QUERIES)
                given = TaskExamples(BYTE_QUERIES, texts, np.ones(len(BYTE_QUERIES)))
            found.append(selected(pool, given, strategy))
    mine, theirs = (list(selection.sample_rows(SIZE)) for selection in found)
    assert {row["id"] for row in mine} == {row["id"] for row in theirs}
    by_id = {row["id"]: row for row in theirs}
    for row in mine:
        twin = by_id[row["id"]]
        assert row["distance"] == pytest.approx(twin["distance"], rel=1e-5)
        if row["probability"] is not None:
            assert row["probability"] == pytest.approx(twin["probability"], rel=1e-4)
        assert row["query"] == twin["query"]


@pytest.mark.parametrize("datatype", DATATYPES)
def test_numpy_and_the_engine_solve_the_same_problem(datatype: str) -> None:
    rows, queries = rows_of(datatype)
    p = []
    for device in ("cpu", "engine"):
        with edge_pool(rows, "Cosine", datatype=datatype, device=device) as pool:
            selection = selected(pool, queries, "tsds")
            p.append({k: selection.probability(row) for row, k in enumerate(selection.ids)})
    mine, theirs = ({k: share for k, share in one.items() if share} for one in p)
    assert mine.keys() == theirs.keys()
    assert len(mine) < POINTS / 2
    assert mine == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("value", [0.5, 254.75, -1.0, 256.0, 1e9, -0.125])
def test_what_is_no_byte_is_no_task_for_bytes(value: float) -> None:
    """Servers would cut it, and bytes that wrap around match what nobody asked for."""
    broken = BYTE_QUERIES.copy()
    broken[3, 7] = value
    unit = BYTE_QUERIES / np.linalg.norm(BYTE_QUERIES, axis=1, keepdims=True)
    with edge_pool(BYTES, "Cosine", payloads=PAYLOADS, datatype="uint8") as pool:
        for strategy in STRATEGIES[:5]:
            shown = re.escape(str(value))
            with pytest.raises(
                InputError, match=rf"^query example 3 holds {shown} in column 7, .*"
            ):
                selected(pool, broken, strategy)
            with pytest.raises(InputError, match=r"^query example 0 holds 0\..* scaled as the vec"):
                selected(pool, unit, strategy)
            selected(pool, np.rint(unit * 255 / unit.max()), strategy)  # the advice


@pytest.mark.parametrize("datatype", ["float16", "turbo4", "turbo8"])
def test_products_of_unit_vectors(datatype: str) -> None:
    """Under Dot a density is asked for around a vector that is read back with another length."""
    rows, queries = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in rows_of(datatype))
    with edge_pool(rows, "Dot", datatype=datatype) as pool:
        truth = engine_distances(pool, queries)
        found = selected(pool, queries, "tsds")
        assert found.transport.densities.max() >= 2 - 1e-2  # of the exact copies
        for row in found.sample_rows(SIZE):
            assert row["distance"] ** 2 == pytest.approx(
                truth[row["query"], row["id"]] ** 2, abs=1e-6
            )


def test_lists_of_zeros_are_not_taken_up_again() -> None:
    """Version 0.1 measured such a collection as if its bytes were unit vectors."""
    with edge_pool(BYTES, "Cosine", payloads=PAYLOADS, datatype="uint8") as pool:
        searcher = Searcher(pool)
        strategy = SelectionSettings.of("similarity-max", sizes=(SIZE,)).strategy
        known = strategy.begin(searcher, Task.of(BYTE_QUERIES, searcher.info))
        strategy.prefer(known, Ask(SIZE, SIZE))
        facts, arrays = known.stored()
        assert strategy.resume(searcher, facts, arrays).neighborhoods.depths.min() > 0
        facts["scanner"] = "numpy"
        assert strategy.resume(searcher, facts, arrays).neighborhoods.depths.max() == 0
