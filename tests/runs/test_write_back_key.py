"""The name of a write-back at a path where a framework's filters look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run
from conftest import MakeCollection
from framework_payloads import FRAMEWORKS, made_by
from pool_oracle import clustered_rows, near_queries

from tsds_qdrant import Keeping, SelectionSettings, begin_run, reselect, select
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.records.fields import field_values
from tsds_qdrant.runs.tagging import Tagging
from tsds_qdrant.runs.write_back import WriteBackReport, write_back

ROWS: Any = clustered_rows(120, 6, 3)
QUERIES: Any = near_queries(ROWS, 4)
WANTED = SelectionSettings.of(sizes=(12,), exact=True, sampler="stable")
OTHER = SelectionSettings.of("random", sizes=(12,))
LANGCHAIN = FRAMEWORKS["langchain"]


@pytest.fixture
def pool(make_collection: MakeCollection) -> Collection:
    payloads = [LANGCHAIN.payload(n, f"text {n}", "news") for n in range(len(ROWS))]
    return make_collection(metric="Euclid", vectors=ROWS, payloads=payloads, name="pool")


def marked(
    collection: Collection, place: str = "metadata.selected", name: str = "keep"
) -> set[Any]:
    """Ids that a framework finds by its filter."""
    where = {"must": [{"key": place, "match": {"value": name}}]}
    return {point_id for page in collection.scroll_ids(where) for point_id in page}


def counts(report: WriteBackReport) -> tuple[int, int, int]:
    return report.marked, report.unmarked, report.unmarkable


@pytest.mark.parametrize("place", ["metadata.selected", "metadata.deep.selected", "selected"])
def test_marks_come_and_go_with_tags(pool: Collection, place: str) -> None:
    before = {r.id: r.payload for r in pool.retrieve(range(len(ROWS)))}
    first, second = select(pool, QUERIES, WANTED), select(pool, QUERIES, OTHER)
    tagging = Tagging("keep", "r1", place)
    assert counts(write_back(pool, first, tagging, dry_run=True)) == (12, 0, 0)
    assert not marked(pool, place)
    assert counts(write_back(pool, first, tagging)) == (12, 0, 0)
    assert marked(pool, place) == {*first.selected_ids}
    again = write_back(pool, first, tagging)
    assert (*counts(again), again.written, again.unchanged) == (0, 0, 0, 0, 12)
    done = write_back(pool, second, tagging)
    assert marked(pool, place) == {*second.selected_ids}
    assert done.unmarked == len({*first.selected_ids} - {*second.selected_ids})
    for record in pool.retrieve(range(len(ROWS))):
        rest = dict(record.payload)
        rest.pop("tsds", None)
        rest.pop("selected", None)
        meta = {k: v for k, v in rest["metadata"].items() if k not in ("selected", "deep")}
        assert {**rest, "metadata": meta} == before[record.id]


def test_old_places_are_found(pool: Collection) -> None:
    selection = select(pool, QUERIES, WANTED)
    write_back(pool, selection, Tagging("keep", "r1", "metadata.selected"))
    done = write_back(pool, selection, Tagging("keep", "r1", "metadata.chosen"))
    assert counts(done) == (12, 12, 0)
    assert not marked(pool)
    assert marked(pool, "metadata.chosen") == {*selection.selected_ids}
    assert counts(write_back(pool, selection, Tagging("keep", "r1"))) == (0, 12, 0)
    assert not marked(pool, "metadata.chosen")


def test_a_mark_that_lost_its_tag_is_found(pool: Collection) -> None:
    """A framework writes a point again with the metadata that it has read, and nothing else."""
    selection = select(pool, QUERIES, WANTED)
    tagging = Tagging("keep", "r1", "metadata.selected")
    write_back(pool, selection, tagging)
    outside = next(i for i in range(len(ROWS)) if i not in selection.selected_ids)
    inside = selection.selected_ids[0]
    payload = {"page_content": "new", "metadata": {"selected": "keep"}}
    pool.upsert([outside, inside], ROWS[[outside, inside]], [payload, payload])
    done = write_back(pool, selection, tagging)
    assert (done.written, *counts(done)) == (1, 0, 1, 0)
    assert marked(pool) == {*selection.selected_ids}


def test_what_is_in_the_way_is_left_and_counted(pool: Collection) -> None:
    selection = select(pool, QUERIES, WANTED)
    one, two, three = selection.selected_ids[:3]
    pool.set_payload("metadata", [one], [{"selected": True}])
    pool.set_payload("", [two], [{"metadata": "text"}])
    pool.set_payload("", [three], [{"metadata": None}])
    report = write_back(pool, selection, Tagging("keep", "r1", "metadata.selected"))
    assert report.unmarkable == 2
    assert marked(pool) == {*selection.selected_ids} - {one, two}
    stored = {record.id: record.payload["metadata"] for record in pool.retrieve([one, two])}
    assert stored[two] == "text"
    assert stored[one]["selected"] is True


def test_several_names_have_places_of_their_own(pool: Collection) -> None:
    first, second = select(pool, QUERIES, WANTED), select(pool, QUERIES, OTHER)
    write_back(pool, first, Tagging("keep", "r1", "metadata.keep"))
    write_back(pool, second, Tagging("other", "r2", "metadata.other"))
    assert marked(pool, "metadata.keep") == {*first.selected_ids}
    assert marked(pool, "metadata.other", "other") == {*second.selected_ids}


def test_reselect_keeps_marks_current(pool: Collection, tmp_path: Path) -> None:
    tagging = Tagging("keep", "r1", "metadata.selected")
    state, selection = begin_run(
        tmp_path / "r.run", pool, QUERIES, WANTED, keeping=Keeping(tagging=tagging)
    )
    write_back(pool, selection, tagging)
    pool.delete(selection.selected_ids[:5])
    done = reselect(state, collection=pool)
    assert marked(pool) == {*done.selection.selected_ids}


@pytest.mark.parametrize("place", [".a", "a..b", "a b", "tsds", "tsds.x", "_tsds.a", "a[0]"])
def test_paths_that_are_none(place: str) -> None:
    with pytest.raises(SettingsError, match="--write-back-key"):
        Tagging("keep", "", place)


def test_the_command(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(60)]
    made_by("haystack", tmp_path / "store", "c", ROWS[:60], texts).close()
    np.save(tmp_path / "q.npy", QUERIES)
    words: list[object] = [
        *("select", "--qdrant", tmp_path / "store", "--collection", "c", "--size", 5),
        *("--queries", tmp_path / "q.npy", "--out", tmp_path / "o.jsonl"),
    ]
    mark = ["--write-back", "keep", "--write-back-key", "meta.selected"]
    would = run(*words, *mark, "--dry-run").stderr
    assert "the name at 'meta.selected': 5 points would be set, 0 would be cleared" in would
    assert "the name at 'meta.selected': 5 points set, 0 cleared" in run(*words, *mark).stderr
    told = json.loads(run(*words, *mark, "--json").stdout)["write_back"]
    assert (told["place"], told["marked"], told["unchanged"]) == ("meta.selected", 0, 5)
    found = run(*words, "--filter", "meta.selected=keep", "--size", 5).stderr
    assert "selected 5 of 5 candidates" in found
    failed = run(*words, *mark[2:], code=2).stderr
    assert "--write-back-key meta.selected says where" in failed
    payload = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[0])["payload"]
    assert field_values(payload, "meta.selected") == ["keep"]
