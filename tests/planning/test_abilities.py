"""What rights and limits let the commands do, in words and for a machine."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pool_oracle import clustered_rows, edge_pool

from tsds_qdrant.collections.limits import Limits, Rights
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import RequestRejectedError
from tsds_qdrant.planning.abilities import abilities_of
from tsds_qdrant.planning.check import check
from tsds_qdrant.runs.tagging import Tagging, check_taggable

READER = Rights(writes=False, refusal="the key may only read; use another one")


@pytest.fixture(scope="module")
def info() -> CollectionInfo:
    with edge_pool(clustered_rows(300, 4, 5)) as collection:
        return collection.info()


def words(info: CollectionInfo, rights: Rights | None = None, **limits: Any) -> dict[str, str]:
    limited = replace(info, limits=Limits(**limits), payload_indexes={"tsds.a.rank": "integer"})
    return {name: str(one) for name, one in abilities_of(limited, rights or Rights()).items()}


def test_without_limits_everything_works(info: CollectionInfo) -> None:
    assert words(info) == dict.fromkeys(("select", "reselect", "write_back", "ingest"), "yes")


def test_a_key_that_only_reads(info: CollectionInfo) -> None:
    said = words(info, READER)
    assert said["write_back"] == said["ingest"] == f"no: {READER.refusal}"
    assert said["select"] == said["reselect"] == "yes"
    unknown = words(info, Rights(writes=None))
    assert unknown["ingest"] == unknown["write_back"] == "not known before it is tried"


def test_a_usual_selection_is_no_larger_than_the_pool(info: CollectionInfo) -> None:
    said = words(replace(info, count=5_000), read_rate=600)["select"]
    assert "1000 points for 200 task examples take about 3 minutes" in said


@pytest.mark.parametrize(
    ("limits", "command", "answer"),
    [
        ({"limit": 5}, "select", "yes, but hits come 5 at a time (max_query_limit)"),
        ({"limit": 300}, "select", "yes"),
        ({"limit": 100, "conditions": 0}, "select", "yes, but neighbour lists end at 100 hits"),
        (
            {"limit": 5, "conditions": 0},
            "select",
            "no: one search gives 5 hits and at least 33 are needed: have filter_max_conditions "
            "raised to 1",
        ),
        (
            {"limit": 5, "conditions": 2, "condition_size": 3},
            "reselect",
            "no: one search gives 11 hits and at least 33 are needed: have max_query_limit raised "
            "to 33 or more (301 suffices",
        ),
        ({"exact": False}, "select", "yes, but searches are approximate"),
        ({"exact": False, "searches": False}, "select", "no: there is no HNSW graph (m is 0)"),
        ({"ef": 16}, "select", "yes, but walks keep at most 16 candidates"),
        ({"conditions": 0}, "reselect", "everything is searched again when points came"),
        ({"conditions": 2}, "reselect", "a filter has at most 2 conditions"),
        ({"condition_size": 9}, "select", "lists at most 9 values"),
        ({"unindexed_filter": False}, "select", "indexed payload fields only (tsds.a.rank)"),
        ({"read_rate": 600}, "select", "300 points for 200 task examples take about 27 s"),
        ({"read_rate": 60_000}, "select", "yes"),
        ({"timeout": 2}, "select", "a request ends after 2 s (max_timeout)"),
        (
            {"conditions": 0},
            "write_back",
            "no: no filter is allowed, which finds tags again: have filter_max_conditions raised "
            "to 1",
        ),
        (
            {"conditions": 0, "read_rate": 1},
            "write_back",
            "have filter_max_conditions raised to 1 and read_rate_limit raised to 2",
        ),
        (
            {"limit": 5, "read_rate": 1},
            "select",
            "no: one search gives 5 hits and at least 33 are needed: have read_rate_limit raised "
            "to 2",
        ),
        ({"limit": 5, "read_rate": 2}, "select", "yes, but hits come 5 at a time"),
        (
            {"limit": 50, "condition_size": 2, "read_rate": 60},
            "select",
            "yes, but neighbour lists end at 168 hits (max_query_limit)",
        ),
        (
            {"unindexed_filter": False},
            "write_back",
            "yes, but a name NAME needs an integer index on 'tsds.NAME.rank', as there is for a",
        ),
        ({"write_rate": 30}, "write_back", "yes, but 30 points a minute are allowed"),
        ({"writes": False}, "ingest", "no: "),
        ({"points": 300}, "ingest", "no: it holds 300 points of at most 300 (max_points_count)"),
        ({"points": 310}, "ingest", "yes, but 10 more points are allowed (max_points_count)"),
        ({"upsert_batch": 0}, "ingest", "no: no point may be written"),
        ({"upsert_batch": 1}, "ingest", "yes"),
    ],
)
def test_each_limit_in_words(
    info: CollectionInfo, limits: dict[str, Any], command: str, answer: str
) -> None:
    assert answer in words(info, **limits)[command]


@pytest.mark.parametrize(("replicas", "answer"), [(1, "yes"), (2, "yes, but a name NAME needs")])
def test_tags_are_cleared_by_an_index_where_there_are_replicas(
    info: CollectionInfo, replicas: int, answer: str
) -> None:
    found = words(replace(info, replicas=replicas), unindexed_update=False)["write_back"]
    assert found.startswith(answer)
    strict = replace(info, replicas=replicas, limits=Limits(unindexed_update=False))
    with nullcontext() if replicas == 1 else pytest.raises(RequestRejectedError, match="index on"):
        check_taggable(strict, Tagging("a", "run"))


def test_an_index_that_cannot_be_made_makes_reselect_slower(info: CollectionInfo) -> None:
    ours = replace(info, metadata={"sequence": 0}, limits=Limits(payload_indexes=0))
    assert "reselect reads all points" in str(abilities_of(ours, Rights())["ingest"])


def test_an_embedded_pool_may_do_everything() -> None:
    with edge_pool(clustered_rows(100, 4, 5)) as collection:
        report = check(collection)
    assert {str(one) for one in report.abilities.values()} == {"yes"}
    assert report.as_dict()["abilities"]["ingest"] == {"possible": True, "why": []}


def test_what_keeps_a_selection_from_working_is_said_of_it() -> None:
    with edge_pool(np.empty((0, 4))) as collection:
        report = check(collection)
    assert report.problems
    assert str(report.abilities["select"]) == f"no: {report.problems[0].rstrip('.')}"
    assert report.abilities["ingest"].possible
