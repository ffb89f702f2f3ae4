"""Fields that a user names are on some point, or are refused with the fields there are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_oracle import edge_pool

from tsds_qdrant.collections.filter_keys import filtered_fields
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import InputError
from tsds_qdrant.pool.fields import check_fields, check_template, fields_of, unknown_in
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.fields import field_values

MakeCollection = Callable[..., Collection]
FEW = [
    {"text": "a", "meta": {"lang": "en", "deep": {"page": 3}}, "tags": ["x"], "a.b": 1},
    {"text": "b", "meta": {"lang": "de"}, "messages": [{"role": "user", "content": "hi"}]},
    {"text": "c", "none": None, "empty": [], "node": json.dumps({"inner": "text", "n": [1]})},
]


@pytest.fixture
def few(make_collection: MakeCollection) -> Collection:
    return make_collection(vectors=np.eye(4, dtype=np.float32)[:3], payloads=FEW)


def refusal(collection: Collection, path: str, named_by: str = "--quota") -> str:
    with pytest.raises(InputError) as caught:
        check_fields(collection, {path: named_by})
    return str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        *("text", "meta.lang", "meta.deep.page", "tags", "tags.*", "tags.0", "a.b", "meta"),
        *("messages.*.content", "messages.0.role", "node.inner", "node.n.0"),
    ],
)
def test_fields_that_one_point_has(few: Collection, path: str) -> None:
    check_fields(few, {path: "--quota"})


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("texts", "text"),
        ("meta.lnag", "meta.lang"),
        ("meta.deep.pages", "meta.deep.page"),
        ("lang", "meta.lang"),
        ("none", "node"),
        ("empty", ""),
        ("tags.3", "tags"),
        ("messages.*.contents", "messages.*.content"),
        ("messages.7.role", "messages.*.role"),
        ("Überschrift", ""),
        ("with space", ""),
        ("2024", ""),
        ("*", ""),
        ('"', ""),
    ],
)
def test_fields_that_nobody_has(few: Collection, path: str, meant: str) -> None:
    said = refusal(few, path)
    assert f"has the field '{path}' that --quota names" in said
    listed = "text, meta.lang, meta.deep.page, tags, a.b, messages.*.role, messages.*.content"
    assert f"its fields: {listed}, node, node.inner, node.n)" in said
    assert said.endswith(f"did you mean '{meant}'?" if meant else "; name one of them")


def test_nothing_is_said_of_no_point(make_collection: MakeCollection) -> None:
    check_fields(make_collection(), {"text": "--text-field"})
    check_fields(make_collection(vectors=np.eye(4, dtype=np.float32)[:1]), {})


def test_a_field_that_only_a_point_far_behind_has() -> None:
    """No point that is looked at has it, and all are counted."""
    for rare in ({"rare": 1}, {"in": {"rare": 1}}, {"m": [{"rare": 1}]}, {"in.rare": 1}):
        payloads: list[dict[str, Any]] = [{"text": "t"}] * 3_000
        payloads[2_987] = rare
        (path,) = fields_of([rare]) if "m" not in rare else ("m.*.rare",)
        with edge_pool(np.zeros((3_000, 2)), payloads=payloads) as collection:
            check_fields(collection, {path: "--quota"})
            assert "no point of collection 'pool' has" in refusal(collection, f"{path}ly")


def test_a_rare_field_where_no_filter_may_look() -> None:
    """Strict mode: what was looked at is named, and an index on the field lets all be counted."""
    payloads: list[dict[str, Any]] = [{"text": "t"}] * 3_000
    payloads[2_987] = {"rare": 1}
    with edge_pool(np.zeros((3_000, 2)), payloads=payloads) as collection:
        plain = collection.info

        def strict() -> Any:
            info = plain()
            return replace(info, limits=replace(info.limits, unindexed_filter=False))

        collection.info = strict  # type: ignore[method-assign]
        said = refusal(collection, "rare")
        assert "none of 64 points looked at of collection 'pool' has the field 'rare'" in said
        assert "a payload index on it" in said
        collection.index_payload("rare")
        check_fields(collection, {"rare": "--quota"})


def test_fields_inside_of_json_text_are_not_counted(make_collection: MakeCollection) -> None:
    """Qdrant does not look into text, so only what was looked at can be spoken of."""
    payloads = [{"node": json.dumps({"text": "t"})}] * 90
    collection = make_collection(vectors=np.ones((90, 4), dtype=np.float32), payloads=payloads)
    check_fields(collection, {"node.text": "--text-field"})
    assert refusal(collection, "node.txet").startswith("none of 64 points looked at")


NAMES = st.sampled_from(["a", "b", "c", "a b", "ü", "x-1"])
LEAVES = st.none() | st.integers(0, 3) | st.just("t") | st.just([])
OBJECTS = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=3),
    lambda inner: st.dictionaries(NAMES, inner | LEAVES | st.lists(inner, max_size=2), max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.lists(OBJECTS, min_size=1, max_size=4), st.lists(NAMES, min_size=1, max_size=3))
def test_a_field_is_refused_if_and_only_if_no_payload_has_a_value(
    payloads: list[dict[str, Any]], parts: list[str]
) -> None:
    path = ".".join(parts)
    there = any(
        value is not None and value != []
        for payload in payloads
        for value in field_values(payload, path)
    )
    with edge_pool(np.zeros((len(payloads), 2)), payloads=payloads) as collection:
        if there:
            check_fields(collection, {path: "--by"})
        else:
            refusal(collection, path)


def test_templates(few: Collection) -> None:
    for template in ("{text}\n{gone?}", "{gone?}{text?}", "{meta.lang}"):
        check_template(few, TextTemplate(template=template))
    check_template(few, TextTemplate())
    for template, path in (
        ("{text}{gone}", "gone"),
        ("{gone?}\n{none?}", "gone"),
        ("{meta.lnag?}", "meta.lnag"),
    ):
        with pytest.raises(InputError, match=f"'{path}' that --template names"):
            check_template(few, TextTemplate(template=template))
    with pytest.raises(InputError, match=r"'txet' that --text-field names .*did you mean 'text'"):
        check_template(few, TextTemplate("txet"))


FILTERS = [
    ({"must": [{"key": "txet", "match": {"value": "a"}}]}, "txet", "text"),
    ({"must_not": [{"key": "meta.lnag", "match": {"value": "de"}}]}, "meta.lnag", "meta.lang"),
    ({"should": [{"is_empty": {"key": "tagz"}}]}, "tagz", "tags"),
    ({"must": [{"must": [{"is_null": {"key": "text2"}}]}]}, "text2", "text"),
    ({"must": {"key": "messages[].rolle", "match": {"value": "u"}}}, "messages[].rolle", ""),
    (
        {"must": [{"nested": {"key": "messages", "filter": {"must_not": [
            {"key": "rolle", "match": {"value": "user"}}]}}}]},
        "messages[].rolle",
        "",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("where", "key", "meant"), FILTERS)
def test_fields_of_a_filter_that_nobody_has(
    few: Collection, where: dict[str, Any], key: str, meant: str
) -> None:
    said = unknown_in(few, where)
    assert f"no point of collection '{few.info().name}' has the field '{key}'" in said
    assert f"did you mean '{meant}" in said


@pytest.mark.parametrize(
    "where",
    [
        None,
        {},
        {"must": [{"has_id": [0]}]},
        {"must": [{"key": "meta.lang", "match": {"value": "nobody"}}]},
        {"must": [{"key": '"a.b"', "match": {"value": 1}}]},
        {"must": [{"key": "messages[].role", "match": {"value": "user"}}]},
        {"must": [{"key": "messages[0].role", "match": {"value": "user"}}]},
        {"must": [{"nested": {"key": "messages", "filter": {
            "must": [{"key": "role", "match": {"value": "user"}}]}}}]},
        {"must_not": [{"key": "tags", "values_count": {"gte": 2}}]},
    ],
)  # fmt: skip
def test_fields_of_a_filter_that_somebody_has(few: Collection, where: Any) -> None:
    assert unknown_in(few, where) == ""


def test_nested_fields_have_the_names_of_their_indexes() -> None:
    inner = {"must": [{"key": "age", "range": {"gte": 3}}, {"is_null": {"key": "name"}}]}
    for key in ("authors", "authors[]"):
        where = {"must": [{"nested": {"key": key, "filter": inner}}, {"is_empty": {"key": "x"}}]}
        assert filtered_fields(where) == {"authors[].age", "authors[].name", "x"}
