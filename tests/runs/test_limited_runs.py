"""Runs on a server with limits: the same selections as without, or one sentence, and an end."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from door import Door, open_door
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playback import Clock
from pool_oracle import clustered_rows, near_queries, probabilities_of, variation
from qdrant_client import models

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.limits import conditions
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.errors import CollectionError, DepthError, RequestRejectedError
from tsds_qdrant.planning.check import check
from tsds_qdrant.pool.members import members
from tsds_qdrant.progress import notices_to
from tsds_qdrant.runs.begin import Keeping, begin_run
from tsds_qdrant.runs.reselect import reselect
from tsds_qdrant.runs.write_back import Tagging, write_back
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings

FIRST, ALL, DRAWN = 100, 120, 20
ROWS = clustered_rows(ALL, 6, 8).astype(np.float32)
QUERIES = near_queries(ROWS[:FIRST], 4).astype(np.float32)
PAYLOADS = [{"text": f"t{k}", "lang": "en" if k % 3 else "de"} for k in range(ALL)]
EN = {"must": [{"key": "lang", "match": {"value": "en"}}]}
GIVEN = {"alpha": 0.1, "cost_scale": 1.0, "bandwidth": 0.8, "sizes": (DRAWN,)}
TAGS = "tsds.t.rank"


def settings_of(where: Any) -> SelectionSettings:
    return SelectionSettings.of(where=where, **GIVEN)


def store(door: Door, start: int, stop: int) -> None:
    vectors, payloads = ROWS[start:stop].tolist(), PAYLOADS[start:stop]
    points = models.Batch(ids=list(range(start, stop)), vectors=vectors, payloads=payloads)
    door.client.upsert("p", points)


@contextmanager
def pool(**strict: Any) -> Iterator[Door]:
    with open_door() as door:
        params = models.VectorParams(size=6, distance=models.Distance.EUCLID)
        door.client.create_collection("p", vectors_config=params)
        store(door, 0, FIRST)
        door.clock = Clock()
        door.facts("p").indexes |= {"lang": "keyword", TAGS: "integer"}
        door.limit("p", **strict)
        yield door


@contextmanager
def opened(door: Door, vector: str | None = None) -> Iterator[ServerCollection]:
    assert isinstance(door.clock, Clock)
    reached = Connection(patience=door.clock.patience())
    with ServerCollection.open(door.url, "p", vector=vector, connection=reached) as collection:
        yield collection


def truth_of(door: Door, given: SelectionSettings) -> Selection:
    own = Connection(client=door.client)
    with ServerCollection.open(":memory:", "p", connection=own) as collection:
        return select(collection, QUERIES, given)


def same(one: Selection, other: Selection) -> bool:
    drawn = [[row["id"] for row in found.sample_rows(DRAWN)] for found in (one, other)]
    apart = variation(probabilities_of(one), probabilities_of(other))
    return apart < 1e-6 and {*drawn[0]} == {*drawn[1]}


def tagged(door: Door) -> set[Any]:
    stored = door.client.scroll("p", limit=2 * ALL)[0]
    return {point.id for point in stored if "t" in (point.payload or {}).get("tsds", {})}


def go_through(door: Door, where: Any, state: Path, *, tags: bool) -> None:
    """Check, select, write back, change the pool, reselect; all has to be as without limits."""
    with opened(door) as collection:
        report = check(collection)
        assert not [one for one in report.abilities.values() if one.possible is None]
        tagging = Tagging.of("t", collection.info(), settings_of(where), QUERIES) if tags else None
        keeping = Keeping(tagging=tagging)
        kept, first = begin_run(state, collection, QUERIES, settings_of(where), keeping=keeping)
        assert same(first, truth_of(door, settings_of(where)))
        assert report.abilities["select"].possible
        if tagging:
            write_back(collection, first, tagging)
            assert tagged(door) == {row["id"] for row in first.sample_rows(DRAWN)}
        store(door, FIRST, ALL)
        best = next(iter(first.sample_rows(DRAWN)))["id"]
        door.client.delete("p", [best, 5, 6, 7])
        then = reselect(kept, collection=collection)
        assert same(then.selection, truth_of(door, settings_of(where)))
        if tagging:
            assert tagged(door) == {row["id"] for row in then.selection.sample_rows(DRAWN)}


EACH: list[dict[str, Any]] = [
    {"search_allow_exact": False},
    {"search_max_oversampling": 1.0},
    {"condition_max_size": 1},
    {"condition_max_size": 3},
    {"filter_max_conditions": 1},
    {"filter_max_conditions": 2, "condition_max_size": 7},
    {"max_query_limit": 1},
    {"max_query_limit": 5},
    {"max_query_limit": 33, "filter_max_conditions": 2},
    {"search_max_hnsw_ef": 1},
    {"search_max_hnsw_ef": 64},
    {"search_max_batchsize": 1},
    {"read_rate_limit": 5},
    {"read_rate_limit": 600},
    {"write_rate_limit": 1},
    {"upsert_max_batchsize": 2},
    {"unindexed_filtering_retrieve": False, "unindexed_filtering_update": False},
    {"max_timeout": 1},
]


@pytest.mark.slow
@pytest.mark.parametrize("strict", EACH, ids=str)
@pytest.mark.parametrize("where", [None, EN], ids=["all", "filter"])
def test_each_limit_leaves_a_run_as_it_is(
    strict: Mapping[str, Any], where: Any, tmp_path: Path
) -> None:
    with pool(**strict) as door:
        go_through(door, where, tmp_path / "r.run", tags=True)


LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_query_limit": st.sampled_from([1, 2, 7, 33, 100]),
        "search_max_batchsize": st.integers(1, 9),
        "search_max_hnsw_ef": st.sampled_from([1, 16, 127, 300]),
        "search_allow_exact": st.booleans(),
        "search_max_oversampling": st.sampled_from([1.0, 2.5]),
        "filter_max_conditions": st.sampled_from([0, 1, 2, 3, 9]),
        "condition_max_size": st.sampled_from([1, 2, 9, 100]),
        "unindexed_filtering_retrieve": st.booleans(),
        "unindexed_filtering_update": st.booleans(),
        "read_rate_limit": st.sampled_from([1, 2, 5, 60]),
        "write_rate_limit": st.sampled_from([1, 2, 30]),
        "upsert_max_batchsize": st.integers(1, 9),
        "max_timeout": st.sampled_from([1, 90]),
    },
)


ONE_AT_A_TIME = {"max_query_limit": 1, "condition_max_size": 1}


@pytest.mark.slow
@settings(deadline=None)
@given(LIMITS, st.sampled_from([None, EN]), st.booleans())
@example({**ONE_AT_A_TIME, "read_rate_limit": 60}, None, False)
@example({**ONE_AT_A_TIME, "read_rate_limit": 40}, EN, False)
@example({"max_query_limit": 20, "condition_max_size": 9, "read_rate_limit": 2}, None, False)
@example({"max_query_limit": 20, "read_rate_limit": 1}, None, True)
@example({"read_rate_limit": 1}, None, True)
def test_any_limits_leave_a_run_as_it_is_or_end_it_in_a_sentence(
    strict: dict[str, Any], where: Any, tags: bool
) -> None:
    with pool(**strict) as door, tempfile.TemporaryDirectory() as folder:
        ended = ""
        try:
            go_through(door, where, Path(folder) / "r.run", tags=tags)
        except (CollectionError, DepthError) as error:
            ended = str(error)
    if ended:
        assert re.fullmatch(r".*\(strict mode.*(have .* raised|leave --write-back out).*", ended)
        assert {"filter_max_conditions", "read_rate_limit"} & {*strict}


@pytest.mark.parametrize(
    ("strict", "advised"),
    [
        (
            {"max_query_limit": 5, "filter_max_conditions": 0},
            r"(filter_max_conditions) raised to (1)",
        ),
        (
            {"max_query_limit": 5, "filter_max_conditions": 2, "condition_max_size": 3},
            r"(max_query_limit) raised to 33 or more \((101) suffices for any selection\)",
        ),
        (
            {"max_query_limit": 40, "filter_max_conditions": 1, "condition_max_size": 3},
            r"(max_query_limit) raised to (101) or more",
        ),
    ],
)
def test_what_no_paging_reaches_says_which_limit_to_raise(
    strict: dict[str, Any], advised: str
) -> None:
    wide = settings_of(None).altered(sizes=(80,), alpha=0.02)
    with pool(**strict) as door:
        with opened(door) as collection:
            ability = check(collection).abilities["select"]
            door.requests.clear()
            with pytest.raises(DepthError, match=advised) as raised:
                select(collection, QUERIES, wide)
        hopeless = strict["max_query_limit"] < 33
        assert hopeless is not any("query" in one.path for one in door.requests)
        assert ability.possible is not hopeless
        assert re.search(advised if hopeless else "lists end at 43 hits", str(ability))
        found = re.search(advised, str(raised.value))
        assert found is not None
        door.limit("p", **{**strict, found[1]: int(found[2])})
        with opened(door) as collection:
            assert check(collection).abilities["select"].possible
            found_now = select(collection, QUERIES, wide)
        apart = variation(probabilities_of(found_now), probabilities_of(truth_of(door, wide)))
        assert apart < 1e-6


def test_one_line_says_how_long_a_selection_takes(tmp_path: Path) -> None:
    said: list[str] = []
    with pool(read_rate_limit=30) as door, notices_to(said.append):
        with opened(door) as collection:
            begin_run(tmp_path / "r.run", collection, QUERIES, settings_of(None))
        assert isinstance(door.clock, Clock)
        waited = door.clock.now
    (line,) = said
    assert line.startswith("collection 'p' allows 30 reads a minute (strict mode, read_rate_limit)")
    assert waited > 5


MEMBERS: list[dict[str, Any]] = [
    {},
    {"filter_max_conditions": 1},
    {"filter_max_conditions": 0},
    {"filter_max_conditions": 2, "condition_max_size": 2},
    {"condition_max_size": 1, "max_query_limit": 2},
    {"search_allow_exact": False, "filter_max_conditions": 1},
]


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
@pytest.mark.parametrize("where", [None, EN], ids=["all", "filter"])
@pytest.mark.parametrize("strict", MEMBERS, ids=str)
def test_points_without_a_vector_or_of_zeros_are_no_candidates_under_any_limit(
    strict: dict[str, Any], where: Any, metric: str
) -> None:
    with open_door() as door:
        kind = models.Distance(metric)
        both = {name: models.VectorParams(size=6, distance=kind) for name in ("a", "b")}
        door.client.create_collection("p", vectors_config=both)
        zero = [] if metric == "Euclid" else [4, 5, 6, 7, 8, 9]
        rows = {k: [0.0] * 6 if k in zero else ROWS[k].tolist() for k in range(FIRST)}
        points = [
            models.PointStruct(id=k, vector={"b" if k % 4 == 1 else "a": row}, payload=PAYLOADS[k])
            for k, row in rows.items()
        ]
        door.client.upsert("p", points)
        door.clock = Clock()
        door.limit("p", **strict)
        there = [k for k in rows if k % 4 != 1 and (where is None or PAYLOADS[k]["lang"] == "en")]
        with opened(door, vector="a") as collection:
            if strict.get("filter_max_conditions") == 0 and where:
                with pytest.raises(RequestRejectedError, match="filter_max_conditions raised to 1"):
                    members(collection, collection.info(), where)
                return
            scans = strict.get("search_allow_exact", True)
            found = members(collection, collection.info(), where, scans=scans)
            assert [*found.zero] == ([k for k in zero if k in there] if scans else [])
            candidates = [k for k in there if k not in found.zero]
            assert found.count == len(candidates)
            assert [k for page in found.pages() for k in page] == candidates
            if scans:
                found_now = select(collection, QUERIES, settings_of(where))
                assert {*probabilities_of(found_now)} <= {*candidates}
                own = Connection(client=door.client)
                with ServerCollection.open(":memory:", "p", vector="a", connection=own) as free:
                    assert same(found_now, select(free, QUERIES, settings_of(where)))
            if conditions(found.where) < strict.get("filter_max_conditions", 9):
                even = {"must": [{"key": "text", "match": {"value": "t2"}}]}
                assert found.having(even) == sum(PAYLOADS[k]["text"] == "t2" for k in candidates)


def searched(door: Door) -> bool:
    return any("query" in one.path for one in door.requests)


@pytest.mark.slow
@pytest.mark.parametrize("access", ["read", {"p": "r"}])
def test_a_key_that_may_not_write_is_refused_before_the_searching(
    access: Any, tmp_path: Path
) -> None:
    np.save(tmp_path / "q.npy", QUERIES)
    out, state = tmp_path / "o.jsonl", tmp_path / "r.run"
    with pool() as door:
        door.keys = {"reader": access, "writer": {"p": "rw"}}
        place = ("--qdrant", door.url, "--collection", "p", "--queries", tmp_path / "q.npy")
        words = ("select", *place, "--size", DRAWN, "--out", out, "--state", state)
        env = {"TSDS_QDRANT_API_KEY": "reader"}
        refused = run(*words, "--write-back", "t", code=1, **env)
        assert not searched(door)
        assert not out.exists()
        assert "nothing can be written back as 't'" in refused.output
        assert "403" in refused.output
        # The advice, followed to its end: another key, or no write-back.
        run(*words, "--write-back", "t", TSDS_QDRANT_API_KEY="writer")
        assert tagged(door) == {row["id"] for row in rows_of(out)}
        door.requests.clear()
        again = run("reselect", state, code=1, **env)
        assert not searched(door)
        assert "nothing can be written back" in again.output
        state.unlink()
        run(*words, **env)
        run("reselect", state, **env)
        dry = run(*words[:-2], "--write-back", "t", "--dry-run", **env)
        assert "nothing was written back" in dry.output


def test_check_says_what_a_key_and_the_limits_allow(tmp_path: Path) -> None:
    with pool(search_max_hnsw_ef=64, unindexed_filtering_retrieve=False) as door:
        door.keys = {"reader": {"p": "r"}, "writer": {"p": "rw"}}
        place = ("--qdrant", door.url, "--collection", "p")
        read = run("check", *place, TSDS_QDRANT_API_KEY="reader").output
        assert "select: yes, but walks keep at most 64 candidates" in read
        assert "(lang, tsds.t.rank)" in read
        assert "write-back: no: collection 'p'" in read
        assert "ingest: no: collection 'p'" in read
        written = run("check", *place, TSDS_QDRANT_API_KEY="writer").output
        assert "as there is for t" in written
        assert "ingest: yes" in written
        figures = run("check", *place, "--json", TSDS_QDRANT_API_KEY="reader").stdout
    abilities = json.loads(figures)["abilities"]
    assert {name: one["possible"] for name, one in abilities.items()} == {
        "select": True,
        "reselect": True,
        "write_back": False,
        "ingest": False,
    }


def test_ingest_keeps_to_limits_and_rights(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ROWS)
    with pool(upsert_max_batchsize=7, condition_max_size=5, max_query_limit=9) as door:
        door.keys = {"reader": {"p": "r"}, "writer": {"p": "rw"}}
        words = ("ingest", "--vectors", tmp_path / "x.npy", "--qdrant", door.url)
        words = (*words, "--collection", "p", "--first-id", 1_000)
        refused = run(*words, code=1, TSDS_QDRANT_API_KEY="reader")
        assert "403" in refused.output
        assert door.client.count("p").count == FIRST
        run(*words, TSDS_QDRANT_API_KEY="writer")
        run(*words, TSDS_QDRANT_API_KEY="writer")
        assert door.client.count("p").count == FIRST + ALL
        stored = door.client.retrieve("p", [1_000 + ALL - 1], with_vectors=True)
    assert np.allclose(stored[0].vector, ROWS[-1])
