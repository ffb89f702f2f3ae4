"""Ids of records: kept, or made of the content."""

from __future__ import annotations

import json
import math
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_files import TEXT, VALUES

from tsds_qdrant.errors import InputError
from tsds_qdrant.records import record_id
from tsds_qdrant.records.entries import Place


def test_golden_ids() -> None:
    record = {"text": "Grüße, 世界", "n": 1, "x": 0.1, "nested": {"b": [True, None], "a": 1e100}}
    assert record_id(record, record["text"]) == "2b819340-f50d-8f3d-84e2-7e74ffb01000"
    assert record_id({}, "") == "b2f8d3b8-a102-8d07-9f05-ae8d234cd9cd"
    assert record_id({"id": "doc-1"}, "t", "id") == "64083907-3064-855e-bc07-44eb9a3a0b0a"


def test_ids_see_content_and_not_the_order_of_keys() -> None:
    a, b = {"x": 1, "y": {"p": 1, "q": 2}}, {"y": {"q": 2, "p": 1}, "x": 1}
    assert record_id(a, "t") == record_id(b, "t")
    others = [record_id(a, "u"), record_id({"x": 1}, "t"), record_id({"x": "1"}, "t")]
    assert len({record_id(a, "t"), *others}) == 4


@given(record=st.dictionaries(TEXT, VALUES, max_size=3), text=TEXT)
def test_content_ids_are_uuids_of_version_8(record: dict[str, Any], text: str) -> None:
    chosen = uuid.UUID(str(record_id(record, text)))
    assert chosen.variant == uuid.RFC_4122
    assert chosen.bytes[6] >> 4 == 8
    assert record_id(json.loads(json.dumps(record)), text) == str(chosen)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (2**64 - 1, 2**64 - 1),
        ("18446744073709551615", 2**64 - 1),
        ("7", 7),
        (7.0, 7),
        ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ],
)
def test_ids_that_are_kept(value: Any, expected: Any) -> None:
    chosen = record_id({"k": {"id": value}}, "t", "k.id")
    assert chosen == expected
    assert type(chosen) is type(expected)


def test_other_ids_become_uuids_of_their_own() -> None:
    names = ["007", "7 ", "-1", -1, 2**64, "doc", "Doc", "1.5", "a0eebc99-9c0b", "٣"]
    chosen = [record_id({"id": name}, "t", "id") for name in names]
    assert all(isinstance(one, str) and uuid.UUID(one).bytes[6] >> 4 == 8 for one in chosen)
    assert len(set(chosen)) == len(names) - 1  # -1 is "-1"
    assert record_id({"id": "doc", "a": 1}, "x", "id") == record_id({"id": "doc"}, "y", "id")


def test_ids_that_are_refused() -> None:
    record = {"ident": 1, "empty": "", "none": None, "list": [1, 2], "flag": True}
    with pytest.raises(InputError, match=r"a\.jsonl:5' has no field 'idnt' .*mean 'ident'\?"):
        record_id(record, "t", "idnt", place=Place("a.jsonl", 5))
    for field in ("empty", "none", "list", "flag", "list.*"):
        with pytest.raises(InputError, match=r"'a.jsonl:5' holds .* an id must be one number"):
            record_id(record, "t", field, place=Place("a.jsonl", 5))
    with pytest.raises(InputError, match=r"'a.jsonl:5' cannot be written as JSON \("):
        record_id({"a": math.nan}, "t", place=Place("a.jsonl", 5))
