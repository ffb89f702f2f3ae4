"""A field that says when points were changed, and the index that it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run
from door import open_door
from framework_payloads import made_by
from pool_oracle import clustered_rows, edge_pool, near_queries
from qdrant_client import models

from tsds_qdrant import Keeping, SelectionSettings, begin_run, open_collection, reselect
from tsds_qdrant.errors import SettingsError, TsdsError
from tsds_qdrant.pool.orderable import kind_of
from tsds_qdrant.runs.since import largest_of

ROWS: Any = clustered_rows(80, 6, 5)
QUERIES: Any = near_queries(ROWS, 4)
WANTED = SelectionSettings.of(sizes=(8,), exact=True)
SINCE = Keeping(since_field="meta.updated_at")


def dated(minutes: int) -> dict[str, Any]:
    return {"meta": {"updated_at": f"2026-11-02T10:{minutes:02}:00+00:00"}}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2026-11-02"], "datetime"),
        (["2026-11-02T10:00:00.123456+00:00"], "datetime"),
        (["2026-11-02T10:00:00Z"], "datetime"),
        ([None, True, "news", 3], "integer"),
        ([1.5], "float"),
        (["news", "2026", True], None),
        ([], None),
    ],
)
def test_kinds(values: list[Any], kind: str | None) -> None:
    assert kind_of(values) == kind


def test_dates_without_an_index_in_an_embedded_collection(tmp_path: Path) -> None:
    payloads = [dated(k // 4) for k in range(len(ROWS))]
    with edge_pool(ROWS, payloads=payloads) as pool:
        state, first = begin_run(tmp_path / "r.run", pool, QUERIES, WANTED, keeping=SINCE)
        assert pool.info().payload_indexes["meta.updated_at"].lower() == "datetime"
        moved = first.selected_ids[0]
        pool.upsert([moved], ROWS[[0]] + 9, [dated(55)])
        done = reselect(state, collection=pool)
        assert moved in done.changes.came
        assert moved not in done.selection.selected_ids


def test_numbers_and_what_is_neither() -> None:
    payloads: list[dict[str, Any]] = [{"n": k, "x": k / 2, "s": "news"} for k in range(9)]
    with edge_pool(np.ones((9, 2)), payloads=payloads) as pool:
        assert largest_of(pool, "n") == 8
        assert largest_of(pool, "x") == 4.0
        words = r"none of 9 points looked at that have 's' has a number or date in it \("
        with pytest.raises(SettingsError, match=words + '"news" say'):
            largest_of(pool, "s")
        with pytest.raises(SettingsError, match="no point has a value in 'gone'; name another"):
            largest_of(pool, "gone")


def test_a_field_of_few_points_is_looked_for() -> None:
    """Behind the points that are looked at first; where that is not allowed it is said."""
    payloads: list[dict[str, Any]] = [{"n": 1} for _ in range(400)]
    payloads[-1] = {"n": 1, "at": "2026-11-02"}
    with edge_pool(np.ones((400, 2)), payloads=payloads) as pool:
        assert "2026-11-02" in str(largest_of(pool, "at"))
    with open_door() as door:
        params = models.VectorParams(size=2, distance=models.Distance.EUCLID)
        door.client.create_collection("c", vectors_config=params)
        batch = models.Batch(ids=[*range(400)], vectors=[[1.0, 1.0]] * 400, payloads=payloads)
        door.client.upsert("c", batch)
        for strict, words in (
            ({}, "has no datetime index on 'at', by which --since-field finds"),
            (
                {"unindexed_filtering_retrieve": False},
                "none of 64 points looked at has a number or date in 'at', and the limits of "
                "collection 'c' allow no search",
            ),
        ):
            door.limit("c", **strict)
            with open_collection(door.url, "c") as reached, pytest.raises(TsdsError, match=words):
                largest_of(reached, "at")


def test_a_server_is_not_written_to(tmp_path: Path) -> None:
    with open_door() as door:
        params = models.VectorParams(size=6, distance=models.Distance.EUCLID)
        door.client.create_collection("c", vectors_config=params)
        points = [
            models.PointStruct(id=k, vector=row.tolist(), payload=dated(k // 4))
            for k, row in enumerate(ROWS)
        ]
        door.client.upsert("c", points)
        np.save(tmp_path / "q.npy", QUERIES)
        place = ["--qdrant", door.url, "--collection", "c"]
        failed = run(
            *("select", *place, "--queries", tmp_path / "q.npy", "--size", 5),
            *("--out", tmp_path / "o.jsonl", "--state", tmp_path / "r.run"),
            *("--since-field", "meta.updated_at"),
            code=1,
        ).stderr
        request = json.dumps({"field_name": "meta.updated_at", "field_schema": "datetime"})
        assert "has no datetime index on 'meta.updated_at'" in failed
        assert f"(PUT {door.url}/collections/c/index {request})" in failed
        assert failed.endswith("or compare vectors with --detect-updates\n")
        shown = run("check", *place).stdout
        advice = "--since-field meta.updated_at (with a datetime index on it), or --detect-updates"
        assert advice in shown


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mem0", "'updated_at' says when a point was changed"),
        ("llama-index", "are replaced in place by the framework"),
        ("haystack", "keeps that as 'meta.tsds' for ever"),
        ("langchain", ""),
    ],
)
def test_what_check_says_of_frameworks(name: str, words: str, tmp_path: Path) -> None:
    made_by(name, tmp_path / "store", "c", ROWS, [f"text {k}" for k in range(80)]).close()
    found = json.loads(
        run("check", "--qdrant", tmp_path / "store", "--collection", "c", "--json").stdout
    )
    said = [note for note in found["notes"] if "place" in note or "tsds" in note]
    assert len(said) == bool(words)
    assert words in "".join(said)
