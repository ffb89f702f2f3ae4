"""Filters: both engines read them alike, and a wrong one says what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.filters import EXAMPLES, check_filter, edge_filter, server_filter
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.errors import SettingsError

UUID_ID = "5b1d9a1c-0000-4000-8000-000000000000"
SOURCES = ["wiki", "news", "code", "wikinews"]
DAY_ZERO = datetime(2024, 1, 1, tzinfo=timezone.utc)


def payload_of(k: int) -> dict[str, Any]:
    """A payload whose fields are missing, null, empty or filled in turn."""
    payload: dict[str, Any] = {
        "k": k,
        "source": SOURCES[k % 4],
        "score": k / 4 - 2,
        "good": k % 3 == 0,
        "text": f"the {SOURCES[k % 4]} article number {k}",
        "day": (DAY_ZERO + timedelta(hours=12 * k)).isoformat(),
        "tags": [f"t{n}" for n in range(k % 4)],
        "place": {"lon": 10.0 + k, "lat": 50.0 + k / 10},
        "authors": [{"name": f"a{n}", "age": 20 + n + k} for n in range(k % 3)],
        "deep": {"er": {"value": k % 5}},
    }
    if k % 5 == 0:
        payload["maybe"] = None
    elif k % 5 == 1:
        payload["maybe"] = []
    elif k % 5 < 4:
        payload["maybe"] = k
    return payload


IDS: list[PointId] = [*range(20), UUID_ID]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Collection, Collection]]:
    embedded = EdgeCollection.create(
        str(tmp_path_factory.mktemp("edge")), "c", dimension=2, metric="Euclid"
    )
    client = QdrantClient(":memory:")
    held = Connection(client=client)
    local = ServerCollection.create(":memory:", "c", dimension=2, metric="Euclid", connection=held)
    vectors = np.ones((len(IDS), 2), np.float32)
    for collection in (embedded, local):
        collection.upsert(IDS, vectors, [payload_of(k) for k in range(len(IDS))])
    yield embedded, local
    embedded.close()
    local.close()
    client.close()


def matching(collection: Collection, where: Filter) -> list[PointId]:
    return [point_id for page in collection.scroll_ids(where) for point_id in page]


def has(**test: Any) -> dict[str, Any]:
    return {"key": test.pop("key"), **test}


CONDITIONS: list[tuple[dict[str, Any], list[PointId]]] = [
    (has(key="source", match={"value": "code"}), [2, 6, 10, 14, 18]),
    (has(key="k", match={"value": 3}), [3]),
    (has(key="good", match={"value": True}), [0, 3, 6, 9, 12, 15, 18]),
    (has(key="good", match={"value": False}), [k for k in range(20) if k % 3] + [UUID_ID]),
    (has(key="source", match={"any": ["news", "none"]}), [1, 5, 9, 13, 17]),
    (has(key="k", match={"any": [4, 5, 400]}), [4, 5]),
    (has(key="k", match={"any": []}), []),
    (has(key="source", match={"except": ["wiki", "news", "code"]}), [3, 7, 11, 15, 19]),
    (has(key="k", match={"except": list(range(18))}), [18, 19, UUID_ID]),
    (has(key="text", match={"text": "number 7"}), [7]),
    (has(key="text", match={"phrase": "wiki article"}), [0, 4, 8, 12, 16, UUID_ID]),
    (has(key="source", match={"prefix": "wiki"}), [0, 4, 8, 12, 16, 3, 7, 11, 15, 19, UUID_ID]),
    (has(key="source", match={"substring": "iki"}), [0, 4, 8, 12, 16, 3, 7, 11, 15, 19, UUID_ID]),
    (has(key="k", range={"gte": 17}), [17, 18, 19, UUID_ID]),
    (has(key="score", range={"gt": -2, "lte": -1.5}), [1, 2]),
    (has(key="day", range={"lt": "2024-01-02T00:00:00Z"}), [0, 1]),
    (has(key="day", range={"gte": "2024-01-10"}), [18, 19, UUID_ID]),
    (has(key="tags", values_count={"gte": 3}), [3, 7, 11, 15, 19]),
    (has(key="tags[]", match={"value": "t2"}), [3, 7, 11, 15, 19]),
    (has(key="deep.er.value", match={"value": 4}), [4, 9, 14, 19]),
    (has(key="maybe", is_empty=True), [k for k in range(20) if k % 5 in (0, 1, 4)] + [UUID_ID]),
    (has(key="maybe", is_null=True), [0, 5, 10, 15, UUID_ID]),
    (
        {"is_empty": {"key": "maybe"}},
        [k for k in range(20) if k % 5 in (0, 1, 4)] + [UUID_ID],
    ),
    ({"is_null": {"key": "maybe"}}, [0, 5, 10, 15, UUID_ID]),
    ({"has_id": [3, UUID_ID.upper(), 77]}, [3, UUID_ID]),
    (
        {
            "nested": {
                "key": "authors",
                "filter": {
                    "must": [
                        {"key": "name", "match": {"value": "a1"}},
                        {"key": "age", "range": {"gte": 38}},
                    ]
                },
            }
        },
        [17, UUID_ID],
    ),
    ({"must_not": [{"key": "k", "range": {"gte": 2}}]}, [0, 1]),
    ({"has_vector": ""}, IDS),
    (
        has(key="place", geo_radius={"center": {"lon": 12, "lat": 50.2}, "radius": 80_000}),
        [1, 2, 3],
    ),
    (
        has(
            key="place",
            geo_bounding_box={
                "top_left": {"lon": 11.5, "lat": 51},
                "bottom_right": {"lon": 14.5, "lat": 50},
            },
        ),
        [2, 3, 4],
    ),
    (
        has(
            key="place",
            geo_polygon={
                "exterior": {
                    "points": [
                        {"lon": 9, "lat": 49},
                        {"lon": 9, "lat": 51},
                        {"lon": 12.5, "lat": 51},
                        {"lon": 12.5, "lat": 49},
                        {"lon": 9, "lat": 49},
                    ]
                }
            },
        ),
        [0, 1, 2],
    ),
]


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS)
def test_every_condition_finds_the_same_points(
    engines: tuple[Collection, Collection], condition: dict[str, Any], expected: list[PointId]
) -> None:
    for collection in engines:
        found = matching(collection, {"must": [condition]})
        assert sorted(found, key=str) == sorted(expected, key=str)


def test_slices_share_out_all_points(engines: tuple[Collection, Collection]) -> None:
    for collection in engines:
        found = [
            point_id
            for k in range(3)
            for point_id in matching(collection, {"must": [{"slice": {"total": 3, "index": k}}]})
        ]
        assert sorted(found, key=str) == sorted(IDS, key=str)


simple = st.one_of(
    st.builds(lambda v: has(key="source", match={"value": v}), st.sampled_from(SOURCES)),
    st.builds(lambda v: has(key="k", match={"value": v}), st.integers(-1, 21)),
    st.builds(lambda v: has(key="good", match={"value": v}), st.booleans()),
    st.builds(
        lambda kind, v: has(key="source", match={kind: v}),
        st.sampled_from(["any", "except"]),
        st.lists(st.sampled_from(SOURCES), min_size=1, max_size=3),
    ),
    st.builds(
        lambda low, high: has(key="score", range={"gte": low, "lt": high}),
        st.floats(-3, 3, width=16),
        st.floats(-3, 4, width=16),
    ),
    st.builds(
        lambda bound, hours: has(
            key="day", range={bound: (DAY_ZERO + timedelta(hours=hours)).isoformat()}
        ),
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        st.integers(-5, 250),
    ),
    st.builds(
        lambda bound, n: has(key="tags", values_count={bound: n}),
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        st.integers(0, 4),
    ),
    st.builds(lambda key: {"is_empty": {"key": key}}, st.sampled_from(["maybe", "tags", "none"])),
    st.builds(lambda key: {"is_null": {"key": key}}, st.sampled_from(["maybe", "tags", "none"])),
    st.builds(
        lambda ids: {"has_id": ids},
        st.lists(st.sampled_from([*IDS, 99]), max_size=5, unique=True),
    ),
    st.builds(
        lambda age: {
            "nested": {
                "key": "authors",
                "filter": {"must": [{"key": "age", "range": {"lt": age}}]},
            }
        },
        st.integers(20, 45),
    ),
)


@st.composite
def condition_lists(draw: st.DrawFn, depth: int) -> list[dict[str, Any]]:
    kinds = simple if depth == 0 else st.one_of(simple, filters(depth - 1))
    return draw(st.lists(kinds, min_size=1, max_size=3))


@st.composite
def filters(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    where: dict[str, Any] = {}
    clauses = ["must", "should", "must_not", "min_should"]
    for clause in draw(st.lists(st.sampled_from(clauses), min_size=1, unique=True)):
        conditions = draw(condition_lists(depth))
        if clause == "min_should":
            where[clause] = {
                "conditions": conditions,
                "min_count": draw(st.integers(1, len(conditions))),
            }
        else:
            where[clause] = conditions[0] if len(conditions) == 1 else conditions
    return where


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(where=filters())
def test_both_engines_agree(engines: tuple[Collection, Collection], where: dict[str, Any]) -> None:
    embedded, local = engines
    assert matching(embedded, where) == matching(local, where)
    assert embedded.count(where) == local.count(where) == len(matching(local, where))


WRONG: list[tuple[Any, str]] = [
    ({"mst": []}, r"'mst'.*write it like \{\"must\""),
    ([], "is no object"),
    ({"must": "x"}, r"'x' at filter\.must is no object"),
    ({"must": [{"key": "a"}]}, r"filter\.must\[0\] says nothing about its key"),
    ({"must": [{"ky": "a", "match": {"value": 1}}]}, "is no condition"),
    ({"must": [{"match": {"value": 1}}]}, "unknown key 'match'"),
    ({"must": [{"key": 5, "match": {"value": 1}}]}, "5 at .*key is no text"),
    ({"must": [{"key": "a", "match": 1}]}, r"1 at filter\.must\[0\]\.match is no object"),
    ({"must": [{"key": "a", "match": {"value": 1.5}}]}, "whole number.*write it like"),
    ({"must": [{"key": "a", "match": {"value": 1, "any": [1]}}]}, "one kind of match"),
    ({"must": [{"key": "a", "match": {"like": "x"}}]}, "no match 'like'"),
    ({"must": [{"key": "a", "match": {"any": [1, "b"]}}]}, "texts only or whole numbers only"),
    ({"must": [{"key": "a", "match": {"any": "b"}}]}, "texts only"),
    ({"must": [{"key": "a", "range": {}}]}, "bounds"),
    ({"must": [{"key": "a", "range": {"from": 1}}]}, "unknown key 'from'"),
    ({"must": [{"key": "a", "range": {"gte": "soon"}}]}, "numbers or all dates"),
    ({"must": [{"key": "a", "range": {"gte": 1, "lt": "2024-01-01"}}]}, "numbers or all dates"),
    ({"must": [{"key": "a", "range": {"gte": True}}]}, "numbers or all dates"),
    ({"must": [{"key": "a", "values_count": {"gt": -1}}]}, "is no count"),
    ({"must": [{"key": "a", "is_empty": 1}]}, "neither true nor false"),
    ({"must": [{"has_id": 3}]}, "no list of ids"),
    ({"must": [{"has_id": ["abc"]}]}, r"'abc' at .* is no point id; write it like \[1, 2\]"),
    ({"must": [{"has_id": [-1]}]}, "-1 at .* is no point id"),
    ({"must": [{"has_id": [True]}]}, "True at .* is no point id"),
    ({"must": [{"is_empty": "a"}]}, "is no object"),
    ({"must": [{"is_null": {"field": "a"}}]}, "lacks 'key'"),
    ({"must": [{"nested": {"key": "a", "filter": {"some": []}}}]}, r"nested\.filter has no clause"),
    ({"min_should": {"conditions": []}}, "lacks 'min_count'"),
    ({"min_should": {"conditions": {}, "min_count": 1}}, "is no list"),
    ({"min_should": {"conditions": [{"has_id": [1]}], "min_count": 2}}, "cannot reach"),
    ({"min_should": {"conditions": [{"has_id": [1]}], "min_count": 0}}, "cannot reach"),
    ({"must": [{"slice": {"total": 3}}]}, "lacks 'index'"),
    ({"must": [{"key": "a", "geo_radius": {"center": {"lon": 1}, "radius": 3}}]}, "lacks 'lat'"),
    ({"must": [{"key": "a", "geo_polygon": {"exterior": {"ring": []}}}]}, "list of points"),
    ({"must": {"should": [{"key": "a", "match": {}}]}}, r"filter\.must\.should\[0\]\.match"),
]


@pytest.mark.parametrize(("where", "message"), WRONG)
def test_a_wrong_filter_is_explained(where: Any, message: str) -> None:
    for build in (check_filter, edge_filter, server_filter):
        with pytest.raises(SettingsError, match=message):
            build(where)


def test_what_only_the_engines_can_judge() -> None:
    bad_date = {"must": [{"key": "a", "range": {"gte": "2024-13-41"}}]}
    for build in (edge_filter, server_filter):
        with pytest.raises(SettingsError, match=r"2024-13-41.*is misread.*write it like"):
            build(bad_date)
    with pytest.raises(SettingsError, match="invalid JSON path"):
        edge_filter({"must": [{"key": "a[", "match": {"value": 1}}]})
    far = {"center": {"lon": 200, "lat": 0}, "radius": 1}
    with pytest.raises(SettingsError, match="lon"):
        edge_filter({"must": [{"key": "a", "geo_radius": far}]})


def test_no_filter_is_none() -> None:
    assert edge_filter(None) is None
    assert server_filter(None) is None


@pytest.mark.parametrize("name", ["nested", "slice", "has_id", "is_empty", "is_null"])
def test_the_examples_are_right(name: str) -> None:
    check_filter({"must": [{name: json.loads(EXAMPLES[name])}]})


def test_the_example_of_a_filter_is_right() -> None:
    check_filter(json.loads(EXAMPLES["filter"]))
    check_filter({"must": json.loads(EXAMPLES["condition"])})
    check_filter({"min_should": json.loads(EXAMPLES["min_should"])})


def test_checking_imports_no_qdrant_package() -> None:
    code = (
        "import sys, tsds_qdrant.collections.filters, tsds_qdrant.collections.server.retries;"
        "print([m for m in ('qdrant_client', 'qdrant_edge', 'grpc', 'httpx') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
