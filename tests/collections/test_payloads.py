"""A payload is refused before anything is stored, or read back equal once its log was replayed."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections import OrderedDict
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import Backend
from conftest import MakeCollection
from hypothesis import given, settings
from hypothesis import strategies as st
from nested_payloads import PAYLOADS, nested

from tsds_qdrant.collections.checked import parts_by_size
from tsds_qdrant.collections.edge import spaces as edge_spaces
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.payloads import (
    MOST_BYTES,
    MOST_LEVELS,
    checked_payloads,
    payload_fault,
    same_payload,
)
from tsds_qdrant.errors import InputError

ONE = np.ones((1, 2), np.float32)


def replayed(location: Path, payload: Any, key: str | None = None) -> Any:
    """What is stored of ``payload``, by an upsert or at ``key``, read by the next to open it."""
    collection = EdgeCollection.create(str(location), "pool", dimension=2, metric="Cosine")
    if key is None:
        collection.upsert([1], ONE, [payload])
    else:
        collection.upsert([1], ONE, [{}])
        collection.set_payload(key, [1], [payload])
    collection.close()
    with EdgeCollection.open(str(location), "pool") as again:
        return again.retrieve([1])[0].payload


@pytest.mark.parametrize("kind", ["lists", "objects", "both"])
def test_the_deepest_payload_is_read_back(tmp_path: Path, kind: str) -> None:
    assert payload_fault(deepest := nested(MOST_LEVELS, kind)) is None
    assert replayed(tmp_path / "whole", deepest) == deepest
    inside = nested(MOST_LEVELS - 2, kind)
    assert replayed(tmp_path / "part", inside, "a.b") == {"a": {"b": inside}}


@pytest.mark.parametrize("levels", [101, 102, 124, 127, 130, 200, 1_000, 10_000, 50_000])
@pytest.mark.parametrize("kind", ["lists", "objects", "both"])
def test_deeper_payloads_are_refused(levels: int, kind: str) -> None:
    assert payload_fault(nested(levels, kind)) == (
        f"is nested {levels} levels deep in 'thread', which is more than the 100 that a "
        "collection can read back"
    )


def test_a_payload_that_holds_itself_is_refused() -> None:
    around: list[Any] = []
    around += [around, {"again": around}]
    assert "levels deep or more" in str(payload_fault({"a": around}))


FAULTS: list[tuple[dict[Any, Any], str]] = [
    ({"value": 26**30}, f"integer beyond 64 bits ({26**30}) in 'value'"),
    ({"a": [1, {"b": 2**64}]}, "integer beyond 64 bits (18446744073709551616) in 'a[1].b'"),
    ({"a": -(2**63) - 1}, "integer beyond 64 bits (-9223372036854775809) in 'a'"),
    ({"a": 10**5_000}, "integer beyond 64 bits (of about 5001 digits) in 'a'"),
    ({"a": float("nan")}, "nan, which is no number of JSON, in 'a'"),
    ({"a": {"b": -math.inf}}, "-inf, which is no number of JSON, in 'a.b'"),
    ({"a": "x\ud800y"}, "half of a surrogate pair ('\\ud800') in 'a'"),
    ({"a": [["\udfff"]]}, "half of a surrogate pair ('\\udfff') in 'a[0][0]'"),
    ({"\udc00": 1}, "key '\\udc00' with half of a surrogate pair"),
    ({"a": [{"k\ud83d": 1}]}, "key 'k\\ud83d' with half of a surrogate pair"),
    ({"a": {1: 2}}, "the key 1, which is no text, in 'a'"),
    ({None: 2}, "the key None, which is no text"),
    ({"a": Decimal("1.5")}, "type 'Decimal', not of JSON, in 'a'"),
    ({"a": b"bytes"}, "type 'bytes', not of JSON"),
    ({"a": dt.date(2020, 1, 1)}, "type 'date', not of JSON"),
    ({"a": {1, 2}}, "type 'set', not of JSON"),
    ({"text": "x" * (MOST_BYTES + 5_000_000)}, "about 35 MB large, which is more than the 30 MB"),
    ({"n": [7] * (MOST_BYTES // 8)}, "about 34 MB large"),
    ({"k" * 200: {"k" * 200: "\ud800"}}, f"in '{'k' * 58}..'"),
]  # fmt: skip


@pytest.mark.parametrize(("payload", "said"), FAULTS, ids=[said[-40:] for _, said in FAULTS])
def test_what_cannot_be_stored_is_named(payload: dict[Any, Any], said: str) -> None:
    fault = payload_fault(payload)
    assert fault is not None
    assert said in fault
    assert fault.isprintable()


@pytest.mark.parametrize(
    "payload",
    [
        {"": 1, "a.b": 2, "a": {"b": 3}, 'q"': 4, "b[0]": 5, "[": 6, "\\": 7, "\0": 8, "é": 9},
        {"k" * 100_000: {"": {"": []}}},
        {"n": [2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0, True, False, None]},
        {"f": [1e308, -0.0, 5e-324, 1.0, 0.1, 1.7976931348623157e308]},
        {"s": ["", "\0", "\U0001f600", "\r\n\u2028\ufeff", "x" * 1_000_000]},
        {"e": [[], {}, [[]], {"": {}}]},
        {"$serde_json::private::Number": "1", "x": OrderedDict(a=1)},
    ],
)  # fmt: skip
def test_unusual_payloads_are_read_back(tmp_path: Path, payload: dict[str, Any]) -> None:
    assert payload_fault(payload) is None
    assert json.dumps(replayed(tmp_path, payload)) == json.dumps(payload)


@pytest.mark.slow
@given(
    payloads=st.lists(PAYLOADS, min_size=1, max_size=3),
    beside=st.booleans(),
)
@settings(deadline=None)
def test_any_payload_is_refused_or_read_back(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[dict[str, Any]], beside: bool
) -> None:
    location = str(tmp_path_factory.mktemp("store"))
    ids = [*range(1, len(payloads) + 1)]
    collection = EdgeCollection.create(location, "pool", dimension=2, metric="Cosine")
    collection.upsert([0, ids[-1]], np.ones((2, 2), np.float32), [{"kept": 0}, {"kept": 1}])
    refused = any(map(payload_fault, payloads))
    try:
        if beside:
            collection.set_payload("a[0].b", ids[-1:], payloads[-1:])
        collection.upsert(ids, np.ones((len(ids), 2), np.float32), payloads)
        assert not refused
    except InputError:
        assert refused or any(payload_fault({"a": [{"b": one}]}) for one in payloads)
        refused = True
    collection.close()
    with EdgeCollection.open(location, "pool") as again:
        stored = {record.id: record.payload for record in again.retrieve([0, *ids])}
    assert stored.pop(0) == {"kept": 0}
    if refused:
        assert stored.keys() == {ids[-1]}
        assert stored[ids[-1]]["kept"] == 1
    else:
        assert all(same_payload(stored[k], one) for k, one in zip(ids, payloads, strict=True))


@pytest.mark.parametrize("bad", [nested(124), {"a": 2**64}, {"a": "\ud800"}, {"a": math.nan}])
def test_every_engine_refuses_before_it_stores(
    backend: Backend, make_collection: MakeCollection, bad: dict[str, Any]
) -> None:
    collection = make_collection(2, vectors=ONE, ids=[7], payloads=[{"kept": True}], name="pool")
    vectors = np.ones((3, 2), np.float32)
    with pytest.raises(InputError, match=r"the payload of point 8 (is|holds) .*; write that field"):
        collection.upsert([7, 8, 9], vectors, [{}, bad, {}])
    with pytest.raises(InputError, match=r"the payload of point 7 (is|holds) "):
        collection.set_payload("tags", [7], [bad])
    collection.close()
    with backend.open("pool") as again:
        assert [record.payload for record in again.retrieve([7, 8, 9])] == [{"kept": True}]


def test_what_lies_at_a_path_is_deeper_by_the_path() -> None:
    value = nested(MOST_LEVELS - 2)
    assert checked_payloads([1], [value], above=2)
    with pytest.raises(InputError, match="101 levels"):
        checked_payloads([1], [value], above=3)


def test_large_payloads_are_written_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_spaces, "OPERATION_BYTES", 20_000)
    payloads = [{"text": str(k % 10) * (50_000 if k % 7 == 0 else 3_000)} for k in range(40)]
    vectors = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    location = str(tmp_path)
    with EdgeCollection.create(location, "pool", dimension=2, metric="Euclid") as collection:
        collection.upsert(range(40), vectors, payloads)
    with EdgeCollection.open(location, "pool") as again:
        records = again.retrieve(range(40), vectors=True)
    assert [record.payload for record in records] == payloads
    assert np.array_equal([record.vector for record in records], vectors)


def test_the_largest_payload_is_read_back(tmp_path: Path) -> None:
    text = np.random.default_rng(0).integers(32, 127, MOST_BYTES - 100, dtype=np.uint8)
    payload = {"text": text.tobytes().decode()}
    assert replayed(tmp_path, payload) == payload


@given(sizes=st.lists(st.integers(0, 30)), rows=st.integers(1, 8), size=st.integers(1, 40))
@settings(deadline=None)
def test_parts_cover_all_and_are_small(sizes: list[int], rows: int, size: int) -> None:
    parts = list(parts_by_size(sizes, rows=rows, size=size))
    assert [k for part in parts for k in part] == list(range(len(sizes)))
    for part, after in zip(parts, [*parts, None][1:], strict=True):
        assert 1 <= len(part) <= rows
        assert len(part) == 1 or sum(sizes[k] for k in part) <= size
        if after is not None and len(part) < rows:
            assert sum(sizes[k] for k in part) + sizes[after.start] > size


@pytest.mark.parametrize(
    ("stored", "given", "same"),
    [
        ({"a": 0.9097462559682401}, {"a": 0.90974625596824}, True),
        ({"a": 0.9}, {"a": 0.9000000001}, False),
        ({"a": 0.0}, {"a": 1e-320}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": None}, {"a": False}, False),
        ({"a": None}, {}, False),
        ({"a": [1, 2]}, {"a": (1, 2)}, True),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, False),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": []}, {"a": {}}, False),
    ],
)
def test_payloads_are_compared_as_they_are_read_back(stored: Any, given: Any, same: bool) -> None:
    assert same_payload(stored, given) is same
    assert same_payload(stored, stored)
