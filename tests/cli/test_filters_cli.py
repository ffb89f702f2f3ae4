"""Filters as conditions: what they match in the engine, what they are in JSON, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tsds_qdrant import create_collection
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.filters import payload_filter

PAYLOADS: list[dict[str, Any]] = [
    {"source": ("20ng", "reuters", "bbc")[k % 3], "year": 2018 + k % 5, "ok": k % 2 == 0}
    | {"zip": str(1000 + k % 4), "meta": {"lang": ("en", "de")[k % 2]}, "note": "black and tan"}
    for k in range(60)
]
MEANT: list[tuple[str, Callable[[dict[str, Any]], bool]]] = [
    ("source=20ng", lambda one: one["source"] == "20ng"),
    ("source = 20ng,bbc", lambda one: one["source"] in ("20ng", "bbc")),
    ("source!=20ng", lambda one: one["source"] != "20ng"),
    ("source!=20ng,bbc", lambda one: one["source"] == "reuters"),
    ("year=2020", lambda one: one["year"] == 2020),
    ("year=2020,2021", lambda one: one["year"] in (2020, 2021)),
    ("year>=2020", lambda one: one["year"] >= 2020),
    ("year<2019.5", lambda one: one["year"] < 2019.5),
    ("ok=true", lambda one: one["ok"]),
    ("meta.lang=en", lambda one: one["meta"]["lang"] == "en"),
    ('zip="1002"', lambda one: one["zip"] == "1002"),
    (
        "year>2018 and year<=2021 AND meta.lang!=de",
        lambda one: 2018 < one["year"] <= 2021 and one["meta"]["lang"] == "en",
    ),
    (
        '{"must": [{"key": "year", "range": {"gte": 2021}}]}',
        lambda one: one["year"] >= 2021,
    ),
]


@pytest.mark.parametrize(("text", "meant"), MEANT, ids=[text for text, _ in MEANT])
def test_a_condition_matches_what_it_says(
    text: str, meant: Callable[[dict[str, Any]], bool], tmp_path: Any
) -> None:
    wanted = [k for k, payload in enumerate(PAYLOADS) if meant(payload)]
    assert 0 < len(wanted) < len(PAYLOADS)
    with create_collection(str(tmp_path / "s"), "pool", dimension=2) as pool:
        rows = np.random.default_rng(0).normal(size=(len(PAYLOADS), 2)).astype(np.float32)
        pool.upsert(range(len(PAYLOADS)), rows, PAYLOADS)
        found = [one for page in pool.scroll_ids(payload_filter(text, "--filter")) for one in page]
    assert sorted(found) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source", r"--filter is 'source', which is no condition; give \"source=20ng\""),
        ("source=", "no condition"),
        ("year>=soon", "has 'year>=soon'; give a number behind >="),
        ("a=1 and", "no condition"),
        ("{", "--filter is no JSON"),
        ("[1]", r"--filter is \[1\], which is no filter; give \"source=20ng\""),
        ('{"lang": "en"}', "has no clause 'lang'; give \"source=20ng\""),
    ],
)
def test_what_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        payload_filter(text, "--filter")
