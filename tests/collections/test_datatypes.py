"""Every datatype and quantisation: distances are those of the engine's own exact search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from backends import ClientBackend, make_backend
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_oracle import edge_pool, engine_distances
from qdrant_client import QdrantClient, models

from tsds_qdrant import SelectionSettings, select
from tsds_qdrant.collections.checked import held
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.scanning import Scanning
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import METRICS, Metric
from tsds_qdrant.errors import CollectionMismatchError, InputError, UnsupportedCollectionError
from tsds_qdrant.neighbors.measure import distances_to, nearest_to
from tsds_qdrant.neighbors.search import Searcher

DATATYPES = ("float32", "float16", "uint8", "turbo4", "turbo8", "turbo16")
QUANTISATIONS: dict[str, Any] = {
    "none": None,
    "scalar": edge.ScalarQuantizationConfig(edge.ScalarType.Int8),
    "binary": edge.BinaryQuantizationConfig(),
    "product": edge.ProductQuantizationConfig(edge.CompressionRatio.X4),
    "turbo": edge.TurboQuantQuantizationConfig(),
}


def rows_for(datatype: str, metric: Metric, seed: int, points: int = 80) -> Any:
    """(points + 5, 16) vectors, of unit length under Dot, and the last rows near the first."""
    rng = np.random.default_rng(seed)
    if datatype == "uint8":
        rows = rng.integers(0, 256, size=(points, 16)).astype(np.float32)
        near = rows[:5] + rng.normal(size=(5, 16)) * 8
    else:
        rows = rng.normal(size=(points, 16)).astype(np.float32)
        near = rows[:5] + rng.normal(size=(5, 16)) * 0.3
    rows[10:14] = rows[0]
    both = np.concatenate([rows, near]).astype(np.float32)
    if metric == "Dot" and datatype != "uint8":
        both /= np.linalg.norm(both, axis=1, keepdims=True)
    return both


def as_matrix(hits: Hits, queries: int, points: int) -> Any:
    """(queries, points) distances of ``hits``, which must name every point."""
    found = np.full((queries, points), np.nan)
    found[np.repeat(np.arange(queries), hits.counts), hits.ids] = hits.distances
    assert np.isfinite(found).all()
    return found


def check_equal(mine: Any, theirs: Any, metric: Metric) -> None:
    """But for the rounding of float32: that of the score under Cosine and Dot."""
    if metric in ("Cosine", "Dot"):
        np.testing.assert_allclose(np.square(mine), np.square(theirs), atol=1e-6)
        return
    np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "engine"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("datatype", DATATYPES)
def test_distances_are_those_of_the_engine(datatype: str, metric: Metric, device: str) -> None:
    if (datatype, metric) == ("uint8", "Dot"):
        pytest.skip("whole numbers have no unit length")
    rows = rows_for(datatype, metric, 1)
    rows, queries = rows[:80], rows[80:]
    with edge_pool(rows, metric, datatype=datatype, device=device) as pool:
        info = pool.info()
        assert info.datatype == datatype
        rough = datatype.startswith("turbo")
        in_numpy = device == "cpu" and metric != "Manhattan" and not rough
        assert info.scanner == ("numpy" if in_numpy else "qdrant")
        truth = engine_distances(pool, queries)
        assert truth.std() > 0.01
        found = pool.search(queries, limit=80, exact=True)
        check_equal(as_matrix(found, 5, 80), truth, metric)
        searcher = Searcher(pool)
        near = held(queries, metric, datatype)
        stored = [record.vector for record in pool.retrieve(range(80), vectors=True)]
        matrix = np.stack([vector for vector in stored if vector is not None])
        check_equal(distances_to(searcher, near, range(80), matrix), truth, metric)
        which, distance = nearest_to(searcher, near, range(80), matrix)
        check_equal(distance, truth.min(axis=0), metric)
        check_equal(truth[which, np.arange(80)], truth.min(axis=0), metric)
        # A density is asked for around stored vectors.
        around = as_matrix(pool.search(matrix, limit=80, exact=True), 80, 80)
        check_equal(around, engine_distances(pool, matrix), metric)


@pytest.mark.parametrize("kind", QUANTISATIONS)
@pytest.mark.parametrize("datatype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
def test_quantised_collections(metric: Metric, datatype: str, kind: str) -> None:
    rows = rows_for(datatype, metric, 2)
    rows, queries = rows[:80], rows[80:]
    with edge_pool(
        rows, metric, datatype=datatype, quantization_config=QUANTISATIONS[kind], optimized=True
    ) as pool:
        truth = engine_distances(pool, queries)
        for device in ("cpu", "engine"):
            pool._known.scanning = Scanning(device)
            found = pool.search(queries, limit=80, exact=True)
            check_equal(as_matrix(found, 5, 80), truth, metric)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
    st.integers(1, 12),
    st.sampled_from(["Cosine", "Euclid", "Manhattan"]),
)
@settings(deadline=None)
def test_any_bytes(seed: int, points: int, dimension: int, metric: Metric) -> None:
    """Dark rows and bright ones, zero rows and copies; queries are no whole numbers."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, rng.integers(1, 257, size=(points, 1)), size=(points, dimension))
    queries = rng.uniform(0, 255, size=(3, dimension)).astype(np.float32)
    queries[:, 0] += 1
    with edge_pool(rows, metric, datatype="uint8", unchecked=True) as pool:
        found = pool.search(queries, limit=points, exact=True)
        check_equal(as_matrix(found, 3, points), engine_distances(pool, queries), metric)


@given(st.integers(0, 2**32 - 1), st.sampled_from(METRICS), st.sampled_from(DATATYPES[:3]))
def test_what_is_held_stays(seed: int, metric: Metric, datatype: str) -> None:
    rows = (np.random.default_rng(seed).normal(size=(20, 24)) * 100).astype(np.float32)
    once = held(rows, metric, datatype)
    assert once.dtype == np.float32
    assert held(once, metric, datatype).tolist() == once.tolist()
    assert datatype != "float32" or once is rows


def test_queries_that_a_datatype_cannot_hold() -> None:
    rows = rows_for("uint8", "Cosine", 3)[:80]
    unit = rows[:3] / np.linalg.norm(rows[:3], axis=1, keepdims=True)
    for metric in ("Cosine", "Euclid", "Manhattan"):
        with edge_pool(rows, metric, datatype="uint8") as pool:
            for queries, number in ((unit, 0), (np.stack([rows[0], -rows[1]]), 1)):
                with pytest.raises(InputError, match=rf"^query {number} is zero once its numbers"):
                    pool.search(queries, limit=3, exact=True)
            # The advice: scaled as the collection's.
            assert pool.search(unit * 255, limit=3, exact=True).counts.tolist() == [3, 3, 3]
    with (
        edge_pool(rows, "Euclid", datatype="float16") as pool,
        pytest.raises(InputError, match=r"^query 0 holds 70000.0 in column 2, which a float16 "),
    ):
        pool.search(np.array([[0, 1, 7e4, *[0] * 13]], dtype=np.float32), limit=3)


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("uint8", 256.0, "holds 256.0 in column 5, which a uint8 collection cannot hold; give wh"),
        ("uint8", -1.0, "holds -1.0 in column 5, which a uint8 collection cannot hold"),
        ("uint8", 0.5, "holds 0.5 in column 5, which a uint8 collection cannot hold"),
        ("float16", 65520.0, "holds 65520.0 in column 5, which a float16 collection cannot hold"),
    ],
)
def test_vectors_that_a_datatype_cannot_hold(datatype: str, value: float, words: str) -> None:
    rows = np.ones((4, 16), dtype=np.float32)
    with edge_pool(rows, "Euclid", datatype=datatype) as pool:
        rows[3, 5] = value
        for write in (pool.upsert, pool.set_vectors):
            with pytest.raises(InputError, match=f"^vector 3 {words}"):
                write(range(4), rows)
        assert {tuple(r.vector) for r in pool.retrieve(range(4), vectors=True)} == {(1.0,) * 16}


def test_lengths_under_dot() -> None:
    rows = rows_for("uint8", "Cosine", 4)[:80]
    with (
        edge_pool(rows, "Dot", datatype="uint8") as pool,
        pytest.raises(UnsupportedCollectionError, match="has length"),
    ):
        pool.check_distances()
    for datatype in ("float16", "turbo4", "turbo8"):
        with edge_pool(rows_for(datatype, "Dot", 4)[:80], "Dot", datatype=datatype) as pool:
            pool.check_distances()


def test_spaces_have_datatypes() -> None:
    rows = rows_for("uint8", "Cosine", 5)[:80]
    with edge_pool(rows, "Cosine") as pool:
        space = Space("small", "dense", 16, "Cosine", datatype="uint8")
        pool.add_space(space)
        pool.add_space(space)
        assert str(pool.spaces["small"]) == "dense of dimension 16 under Cosine, stored as uint8"
        with pytest.raises(CollectionMismatchError, match="stored as uint8, not dense of dim"):
            pool.add_space(Space.dense("small", 16))
        view = pool.at("small")
        view.set_vectors(range(80), rows)
        assert view.info().datatype == "uint8"
        queries = rows[:4] + 0.7
        found = as_matrix(view.search(queries, limit=80, exact=True), 4, 80)
        check_equal(found, engine_distances(view, queries), "Cosine")
        location = pool.info().location
        pool.close()
        opened = EdgeCollection.open(location, "pool", vector="small")
        assert opened.info().datatype == "uint8"
        opened.close()


def test_local_mode_keeps_float32_whatever_was_asked_for() -> None:
    client = QdrantClient(":memory:")
    params = models.VectorParams(
        size=16, distance=models.Distance.COSINE, datatype=models.Datatype.UINT8
    )
    client.create_collection("pool", vectors_config=params)
    rows = rows_for("float32", "Cosine", 6)
    with ServerCollection.open(":memory:", "pool", connection=Connection(client=client)) as pool:
        pool.upsert(range(80), rows[:80])
        assert pool.info().datatype == "float32"
        found = as_matrix(pool.search(rows[80:], limit=80, exact=True), 5, 80)
        unit = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        check_equal(found, np.sqrt(2 - 2 * unit[80:] @ unit[:80].T), "Cosine")


@pytest.mark.parametrize("kind", ["server-rest", "server-grpc"])
def test_bytes_on_servers(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A server would cut what is no byte, in queries and in points."""
    backend = make_backend(kind, tmp_path, request)
    assert isinstance(backend, ClientBackend)
    params = models.VectorParams(
        size=16, distance=models.Distance.COSINE, datatype=models.Datatype.UINT8
    )
    name = f"{backend.prefix}bytes"
    backend.client.create_collection(name, vectors_config=params)
    backend.names.append(name)
    rows = rows_for("uint8", "Cosine", 7)[:80]
    try:
        with backend.open("bytes") as pool:
            assert pool.info().datatype == "uint8"
            pool.upsert(range(80), rows)
            broken = rows.copy()
            broken[3, 5] = 0.5
            for write in (pool.upsert, pool.set_vectors):
                with pytest.raises(InputError, match=r"^vector 3 holds 0.5 in column 5"):
                    write(range(80), broken)
            stored = [record.vector for record in pool.retrieve(range(80), vectors=True)]
            assert np.array_equal(np.array(stored), rows)
            wanted = SelectionSettings.of("similarity-max", sizes=(4,), exact=True)
            assert select(pool, rows[:4], wanted).selected_ids
            with pytest.raises(InputError, match=r"^query example 3 holds 0.5 in column 5"):
                select(pool, broken[:4], wanted)
    finally:
        backend.close()
