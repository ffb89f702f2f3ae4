"""Points with all their vectors, read from every engine and written into the embedded one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeCollection
from mirrored import INDEXES, contents, edge_source, points

from tsds_qdrant.collections.edge.schemas import as_read_back
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.whole import Index, Shape, Whole, config_of
from tsds_qdrant.errors import InputError, UnsupportedCollectionError
from tsds_qdrant.sparse import SparseRows

ROWS = np.random.default_rng(3).normal(size=(12, 4)).astype(np.float32)
UUID = "00000000-0000-4000-8000-000000000001"


def test_every_engine_gives_whole_points_page_by_page(
    make_collection: MakeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [*range(1, 12), UUID]
    payloads = [{"n": n, "inner": [{"x": None}]} for n in range(12)]
    pool = make_collection(4, "Euclid", vectors=ROWS, ids=ids, payloads=payloads)
    pool.add_space(Space.sparse("words"))
    pool.set_vectors([2, UUID], SparseRows.of([{3: 1.5}, {1: -2.0, 7: 0.5}]), space="words")
    monkeypatch.setattr(Shape, "page", 5)
    pages = list(pool.scroll_whole())
    assert [len(page.points) for page in pages] == [5, 5, 2]
    found = [point for page in pages for point in page.points]
    assert [point.id for point in found] == ids
    assert [point.payload for point in found] == payloads
    for point, row in zip(found, ROWS, strict=True):
        np.testing.assert_array_equal(np.float32(point.vectors[""]), row)
    having = {point.id: point.vectors["words"] for point in found if "words" in point.vectors}
    assert having == {
        2: {"indices": [3], "values": [1.5]},
        UUID: {"indices": [1, 7], "values": [-2.0, 0.5]},
    }
    rest = list(pool.scroll_whole(after=pages[0].following))
    assert [point for page in rest for point in page.points] == found[5:]
    odd = {"must": [{"key": "n", "range": {"gte": 10}}]}
    assert [p.id for page in pool.scroll_whole(odd) for p in page.points] == ids[10:]
    assert pool.whole([UUID, 99, 4]) == {4: found[3], UUID: found[11]}
    shape = pool.shape()
    assert shape.config["vectors"][""] == {"size": 4, "distance": "Euclid"}
    assert shape.config["sparse_vectors"].keys() == {"words"}


@pytest.mark.parametrize("field", INDEXES)
def test_an_index_is_read_back_as_it_was_made(field: str, tmp_path: Path) -> None:
    with edge_source(tmp_path, points([1])) as pool:
        assert pool.shape().indexes[field] == as_read_back(INDEXES[field], field)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("keyword", {"is_tenant": True, "on_disk": True, "type": "keyword"}),
        ("integer", {"lookup": False, "range": True, "is_principal": True}),
        ("float", {"on_disk": False}),
        ("datetime", {}),
        ("uuid", {"is_tenant": False}),
        ("bool", {"on_disk": True}),
        ("geo", {}),
        ("text", {"tokenizer": "multilingual", "lowercase": False, "phrase_matching": True}),
        ("text", {"stopwords": {"languages": ["german"], "custom": ["foo"]}}),
        ("text", {"stemmer": {"type": "snowball", "language": "english"}, "max_token_len": 9}),
    ],
)
def test_indexes_of_all_kinds(kind: str, params: dict[str, Any], tmp_path: Path) -> None:
    known = {name: value for name, value in params.items() if name != "type"}
    with edge_source(tmp_path, points([1])) as pool:
        pool.index_as("field", Index(kind, params))
        found = pool.shape().indexes["field"]
        assert found.kind == kind
        assert known.items() <= found.params.items()
        assert found == as_read_back(Index(kind, params), "field")
        pool.delete_index("field")
        assert "field" not in pool.shape().indexes
        with pytest.raises(UnsupportedCollectionError, match="index of the kind 'colour'"):
            pool.index_as("field", Index("colour"))


def test_points_are_replaced_with_all_they_have(tmp_path: Path) -> None:
    with edge_source(tmp_path, points(range(20))) as pool:
        bare = Whole(3, {"only": 1}, {"flat": [1.0, 2.0, 3.0, 4.0]})
        pool.put_whole([bare, *points([40], seed=1)])
        found = contents(pool)
        assert found[3] == ({"only": 1}, {"flat": [1.0, 2.0, 3.0, 4.0]})
        assert len(found) == 21
        query = np.array([[1, 2, 3, 4]], dtype=np.float32)
        assert pool.at("flat").search(query, limit=1, exact=True).ids == [3]
        assert 3 not in pool.at("dense").search(np.ones((1, 8)), limit=30, exact=True).ids
        deep: Any = 1
        for _ in range(120):
            deep = [deep]
        with pytest.raises(InputError, match="payload of point 50 is nested"):
            pool.put_whole([Whole(50, {"deep": deep}, {})])
        assert len(contents(pool)) == 21


def test_the_settings_of_a_server_become_those_of_the_engine() -> None:
    described = {
        "params": {
            "vectors": {
                "a": {"size": 4, "distance": "Dot", "hnsw_config": {"m": 0, "payload_m": 8}},
                "b": {"size": 2, "distance": "Euclid", "datatype": "uint8", "on_disk": True},
            },
            "sparse_vectors": {"s": {"modifier": "idf", "index": {"on_disk": True}}, "t": {}},
            "shard_number": 1,
        },
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 7, "other": 1},
        "quantization_config": {"binary": {"always_ram": True}},
        "optimizer_config": {"deleted_threshold": 0.2},
    }
    graph = {"m": 16, "ef_construct": 100, "full_scan_threshold": 7}
    assert config_of(described) == {
        "vectors": {
            "a": {"size": 4, "distance": "Dot", "hnsw_config": {**graph, "m": 0, "payload_m": 8}},
            "b": {"size": 2, "distance": "Euclid", "datatype": "uint8", "on_disk": True},
        },
        "sparse_vectors": {"s": {"on_disk": True, "modifier": "idf"}, "t": {}},
        "hnsw_config": graph,
        "quantization_config": {"binary": {"always_ram": True}},
    }
    unnamed = {"params": {"vectors": {"size": 4, "distance": "Cosine"}}}
    assert config_of(unnamed) == {"vectors": {"": {"size": 4, "distance": "Cosine"}}}


def test_pages_of_large_vectors_have_fewer_points() -> None:
    def page(**config: Any) -> int:
        return Shape(config, {}, {}).page

    assert page(vectors={"": {"size": 8}}) == 1_000
    assert page(vectors={"": {"size": 5_000}}) == 100
    assert page(vectors={"": {"size": 1_000_000}}) == 1
