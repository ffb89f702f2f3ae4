"""A filter that matches nothing names values that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsds_qdrant.collections import create_collection
from tsds_qdrant.pool.unmatched import unmatched_in

YEAR = "no point has {} in 'meta.year', where others have {}; change --filter"
LANG = "no point has {} in 'lang', where others have {}; change --filter"


def equal(key: str, value: Any) -> dict[str, Any]:
    return {"key": key, "match": {"value": value}}


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"must": [equal("lang", "enn")]}, LANG.format("'enn'", "'en', 'de', 'fr'")),
        ({"must": [equal("lang", "itt")]}, LANG.format("'itt'", "'it', 'de', 'en'")),
        ({"must": [equal("lang", "FR")]}, LANG.format("'FR'", "'fr', 'de', 'en'")),
        ({"must": equal("lang", "zz")}, LANG.format("'zz'", "'de', 'en', 'fr'")),
        ({"must": [equal("meta.year", 2019)]}, YEAR.format(2019, "2020, 2021")),
        ({"must": [equal("meta.year", "2020")]}, YEAR.format("'2020'", "2020, 2021")),
        ({"should": [equal("lang", "xx")]}, LANG.format("'xx'", "'de', 'en', 'fr'")),
        (
            {"must": [{"key": "lang", "match": {"any": ["xx", "yy"]}}]},
            LANG.format("'xx' or 'yy'", "'de', 'en', 'fr'"),
        ),
        ({"must": [equal("lang", "it"), equal("meta.year", 2020)]}, ""),
        ({"must": [{"key": "meta.year", "range": {"lt": 3}}]}, ""),
        ({"must_not": [equal("lang", "zz")]}, ""),
        ({"must": [equal("long", "x")]}, ""),
    ],
)
def test_values_that_exist_are_named(tmp_path: Path, where: Any, said: str) -> None:
    payloads = [{"lang": lang, "long": "y" * 99} for lang in ["de"] * 4 + ["en"] * 3 + ["fr"] * 2]
    payloads.append({"lang": "it", "long": "z" * 99})
    for row, payload in enumerate(payloads):
        payload["meta"] = {"year": 2021 if payload["lang"] == "it" else 2020 + (row == 1)}
    with create_collection(str(tmp_path / "s"), "pool", dimension=2, metric="Dot") as pool:
        pool.upsert(range(10), np.ones((10, 2), dtype=np.float32), payloads)
        assert unmatched_in(pool, where) == said
