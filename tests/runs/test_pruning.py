"""Pruning for good, from the command line: what is marked, what is not, and what follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run

from tsds_qdrant import SelectionSettings, create_collection, open_collection, prune, select
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.runs.tagging import Tagging

ROWS = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
ADAPT = ("--strategy", "adapt", "--clusters", "kind", "--score", "hard")
LEFT_OUT = json.dumps({"must": [{"is_empty": {"key": "tsds.pruned"}}]})


def payloads_of(ids: Any) -> list[dict[str, Any]]:
    return [{"kind": f"k{k % 3}", "hard": float(k * 7 % 11)} for k in ids]


@pytest.fixture
def place(tmp_path: Path) -> tuple[object, ...]:
    collection = create_collection(str(tmp_path / "store"), "pool", dimension=4)
    collection.upsert(range(40), ROWS[:40], payloads_of(range(40)))
    collection.close()
    np.save(tmp_path / "Q.npy", ROWS[:2])
    where = ("--qdrant", tmp_path / "store", "--collection", "pool")
    return (*where, "--queries", tmp_path / "Q.npy", "--keep-task-examples")


def tags(tmp_path: Path) -> dict[PointId, dict[str, Any]]:
    with open_collection(str(tmp_path / "store"), "pool") as pool:
        stored = [one for page in pool.scroll() for one in page]
    for one in stored:
        assert one.content["hard"] == float(int(one.id) * 7 % 11)
    return {one.id: one.payload["tsds"] for one in stored if "tsds" in one.payload}


def ids_in(path: Path) -> set[int]:
    return {row["id"] for row in rows_of(path)}


def test_nothing_is_marked_unless_that_is_asked_for(place: Any, tmp_path: Path) -> None:
    run("select", *place, *ADAPT, "--size", 9, "--out", tmp_path / "a.jsonl")
    assert not tags(tmp_path)
    asked = ("select", *place, *ADAPT, "--size", 9, "--prune", 24)
    said = run(*asked, "--write-back", "mine", "--dry-run", "--out", tmp_path / "b.jsonl").output
    assert "nothing was pruned: 16 points would be marked as tsds.pruned" in said
    assert not tags(tmp_path)
    with open_collection(str(tmp_path / "store"), "pool") as pool:
        settings = SelectionSettings.of(
            "adapt", sizes=(9,), clusters="kind", scores=("hard",), prune=24
        )
        found = select(pool, ROWS[:2], settings)
        assert len(found.evidence.dropped()) == 16
        report = prune(pool, found, dry_run=True)
        assert report is not None
        assert (report.written, report.unchanged, report.dry_run) == (16, 0, True)
    assert not tags(tmp_path)


def test_marks_are_written_once_and_stay(place: Any, tmp_path: Path) -> None:
    asked = ("select", *place, *ADAPT, "--size", 9, "--prune", 24, "--out")
    said = run(*asked, tmp_path / "a.jsonl").output
    assert "16 candidates are pruned for good" in said
    assert "marked as tsds.pruned: 16 points" in said
    first = tags(tmp_path)
    assert len(first) == 16
    assert sorted(one["pruned"]["rank"] for one in first.values()) == list(range(16))
    assert {one["pruned"]["step"] for one in first.values()} == {1}
    assert not ids_in(tmp_path / "a.jsonl") & first.keys()
    manifest = json.loads((tmp_path / "a.jsonl.manifest.json").read_text())
    assert manifest["adapt"]["ledger"] == [
        {"came": 40, "gone": 0, "excluded": 0, "marked": 0, "pruned": 16, "budget": 24}
    ]
    # Again, without a run that remembers: the marks in the collection say who is out.
    said = run(*asked, tmp_path / "b.jsonl").output
    assert "16 candidates that were pruned before are left out" in said
    assert tags(tmp_path) == first
    assert ids_in(tmp_path / "b.jsonl") == ids_in(tmp_path / "a.jsonl")
    # Without --prune they stay out too, and other strategies leave them out by a filter.
    most = ("--size", 24)
    run("select", *place, *ADAPT, *most, "--out", tmp_path / "c.jsonl")
    by_filter = ("--strategy", "similarity-max", "--filter", LEFT_OUT)
    run("select", *place, *most, *by_filter, "--out", tmp_path / "d.jsonl")
    assert ids_in(tmp_path / "c.jsonl") == ids_in(tmp_path / "d.jsonl")
    assert ids_in(tmp_path / "c.jsonl") == set(range(40)) - first.keys()
    output = run("select", *place, *ADAPT, "--size", 25, "--out", tmp_path / "e.jsonl", code=1)
    assert "25 candidates are wanted but the pool has 24" in " ".join(output.output.split())


def test_a_run_prunes_at_every_arrival(place: Any, tmp_path: Path) -> None:
    state = tmp_path / "adapt.run"
    asked = ("select", *place, *ADAPT, "--size", 9, "--prune", 24, "--state", state)
    run(*asked, "--write-back", "mine", "--out", tmp_path / "a.jsonl")
    first = {k: one["pruned"] for k, one in tags(tmp_path).items() if "pruned" in one}
    quiet = json.loads(run("reselect", state, "--json").stdout)
    assert (quiet["came"], quiet["prune"]["written"], quiet["prune"]["unchanged"]) == (0, 0, 16)
    with open_collection(str(tmp_path / "store"), "pool") as pool:
        pool.upsert(range(40, 60), ROWS[40:], payloads_of(range(40, 60)))
    said = run("reselect", state, "--out", tmp_path / "b.jsonl").output
    assert "marked as tsds.pruned: 20 points, 16 were already" in said
    assert "wrote back as tsds.mine" in said
    now = {k: one["pruned"] for k, one in tags(tmp_path).items() if "pruned" in one}
    assert {k: now[k] for k in first} == first
    assert {one["step"] for k, one in now.items() if k not in first} == {2}
    assert len(now) == 36
    told = json.loads(run("explain", state, "--id", next(iter(first)), "--json").stdout)
    assert (told["points"][0]["verdict"], told["points"][0]["step"]) == ("pruned", 1)
    # A mark that was lost is written again.
    lost = list(first)[:3]
    with open_collection(str(tmp_path / "store"), "pool") as pool:
        pool.delete_payload("tsds.pruned", lost)
    run("reselect", state)
    assert {k: one["pruned"] for k, one in tags(tmp_path).items() if "pruned" in one} == now


def test_a_payload_of_the_users_own_is_left_alone(place: Any, tmp_path: Path) -> None:
    with open_collection(str(tmp_path / "store"), "pool") as pool:
        pool.upsert(
            range(40), ROWS[:40], [{**one, "tsds": "mine"} for one in payloads_of(range(40))]
        )
    asked = ("select", *place, *ADAPT, "--size", 9, "--prune", 24, "--out", tmp_path / "a.jsonl")
    assert "16 have a 'tsds' of their own, rename that field" in run(*asked).output
    assert set(tags(tmp_path).values()) == {"mine"}  # type: ignore[comparison-overlap]


def test_the_name_of_the_marks_is_no_name_for_tags(place: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'pruned' is the name of the tags of points that were"):
        Tagging("pruned", "")
    asked = ("select", *place, "--size", 9, "--write-back", "pruned", "--out", tmp_path / "a.jsonl")
    assert "choose another name" in " ".join(run(*asked, code=2).output.split())


def test_flags_of_the_strategy_are_its_own(place: Any, tmp_path: Path) -> None:
    assert "--prune" in run("select", "--strategy", "adapt", "--help").output
    asked = ("select", *place, "--size", 9, "--prune", 24, "--out", tmp_path / "a.jsonl")
    assert "--prune" in run(*asked, code=2).output
    for words in (("--prune", 0), ("--strata", 0), ("--budgets", "fair")):
        assert run("select", *place, *ADAPT, "--size", 9, *words, "--out", "a.jsonl", code=2).output
