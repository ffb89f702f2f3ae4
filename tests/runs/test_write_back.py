"""Tags in the payloads of selected points: only there, only when asked for, only the difference."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import Backend
from commands import run
from conftest import MakeCollection
from playback import Clock, Playback, Reply, failed, http_server
from pool_oracle import OtherCollection, clustered_rows, edge_pool, near_queries
from qdrant_client import QdrantClient, models

from tsds_qdrant import Keeping, SelectionSettings, begin_run, open_collection, reselect, select
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.limits import Limits
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import SEQUENCE_FIELD, TAG_FIELD
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.values import CollectionInfo, Payload, PointId, Record
from tsds_qdrant.errors import AccessDeniedError, RequestRejectedError, SettingsError, StateError
from tsds_qdrant.runs.run import load_run
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.tagging import Tagging
from tsds_qdrant.runs.watch import WatchSettings, watch
from tsds_qdrant.runs.write_back import write_back
from tsds_qdrant.selection.selection import Selection

POOL: Any = clustered_rows(300, 6, 8)
QUERIES: Any = near_queries(POOL, 6)
WANTED = SelectionSettings.of(sizes=(5, 20), exact=True, sampler="stable")
TAGGING = Tagging("helpdesk", "r1")
THEIRS: list[Payload] = [
    {},
    {"text": "ü — 1", "n": 2**53, "x": [1.5, None, True, {"deep": {"er": []}}]},
    {"tsds.helpdesk": "a key of its own", "tsds_helpdesk": 1, "": 0, "run": "mine"},
    {"tsds": {"other": {"probability": 0.25, "rank": 7, "run": "r0"}}, "z": 1e-300},
    {"tsds": {"kept": "by its owner"}},
]


def payload_of(number: int) -> Payload:
    return json.loads(json.dumps(THEIRS[number % len(THEIRS)]))  # type: ignore[no-any-return]


def ids_of(count: int) -> list[PointId]:
    """Numbers and UUIDs by turns."""
    return [k if k % 2 else f"00000000-0000-4000-8000-{k:012x}" for k in range(count)]


@pytest.fixture
def pool(make_collection: MakeCollection) -> Collection:
    return make_collection(
        metric="Euclid",
        vectors=POOL,
        ids=ids_of(len(POOL)),
        payloads=[payload_of(k) for k in range(len(POOL))],
        name="pool",
    )


def stored(collection: Collection) -> dict[PointId, Payload]:
    ids = [point_id for page in collection.scroll_ids() for point_id in page]
    return {record.id: record.payload for record in collection.retrieve(ids)}


def tags(collection: Collection, name: str = "helpdesk") -> dict[PointId, Any]:
    """Id -> tag of the points that have one."""
    found = {i: (payload.get(TAG_FIELD) or {}) for i, payload in stored(collection).items()}
    return {i: owned[name] for i, owned in found.items() if name in owned}


def untagged(payload: Payload, name: str = "helpdesk") -> str:
    """All that is not the tag ``name``, to the byte; an empty ``tsds`` is as good as none."""
    rest = dict(payload)
    if TAG_FIELD in rest:
        rest[TAG_FIELD] = {k: v for k, v in rest[TAG_FIELD].items() if k != name}
        if not rest[TAG_FIELD]:
            del rest[TAG_FIELD]
    return json.dumps(rest, sort_keys=True)


def expected(selection: Selection, run: str) -> dict[PointId, Any]:
    """What tags should be; the embedded engine may read a number one unit in the last place off."""
    return {
        row["id"]: {"probability": near(row["probability"]), "rank": row["rank"], "run": run}
        for row in selection.sample_rows(max(selection.samples))
    }


def near(probability: float) -> Any:
    return pytest.approx(probability, rel=1e-14)


def test_selected_points_carry_their_tag_and_nothing_else_is_touched(pool: Collection) -> None:
    before = stored(pool)
    selection = select(pool, QUERIES, WANTED)
    report = write_back(pool, selection, TAGGING)
    assert (report.written, report.cleared, report.unchanged, report.missing) == (20, 0, 0, 0)
    assert tags(pool) == expected(selection, "r1")
    after = stored(pool)
    assert after.keys() == before.keys()
    assert [untagged(after[i]) for i in after] == [untagged(before[i]) for i in after]
    again = write_back(pool, selection, TAGGING)
    assert (again.written, again.cleared, again.unchanged) == (0, 0, 20)


@pytest.mark.slow
def test_those_that_leave_lose_their_tag_and_names_live_side_by_side(pool: Collection) -> None:
    before = stored(pool)
    first = select(pool, QUERIES, WANTED)
    second = select(pool, QUERIES[:2] + 1.0, WANTED)
    write_back(pool, first, TAGGING)
    write_back(pool, first, Tagging("B-2_x", "rb"))
    gone = set(expected(first, "")) - set(expected(second, ""))
    report = write_back(pool, second, Tagging("helpdesk", "r2"))
    assert (report.written, report.cleared) == (20, len(gone))
    assert 0 < len(gone) < 20
    assert tags(pool) == expected(second, "r2")
    assert tags(pool, "B-2_x") == expected(first, "rb")
    others = {i: payload for i, payload in before.items() if "other" in payload.get("tsds", {})}
    assert others
    after = stored(pool)
    assert all(after[i]["tsds"]["other"] == others[i]["tsds"]["other"] for i in others)
    write_back(pool, second, Tagging("B-2_x", "rc"))
    now = {i: untagged(p, "B-2_x") for i, p in stored(pool).items() if i not in tags(pool)}
    assert now == {i: untagged(before[i], "B-2_x") for i in now}


def test_a_dry_run_counts_and_writes_nothing(pool: Collection) -> None:
    first = select(pool, QUERIES, WANTED)
    second = select(pool, QUERIES[:2] + 1.0, WANTED)
    write_back(pool, first, TAGGING)
    before = stored(pool)
    dry = write_back(pool, second, TAGGING, dry_run=True)
    assert stored(pool) == before
    wet = write_back(pool, second, TAGGING)
    assert replace(dry, dry_run=False) == wet


def test_outputs_and_ingest_see_no_tag(pool: Collection) -> None:
    before = {record.id: record.content for record in pool.retrieve(ids_of(len(POOL)))}
    first = select(pool, QUERIES, WANTED)
    write_back(pool, first, TAGGING)
    write_back(pool, select(pool, QUERIES[:2] + 1.0, WANTED), TAGGING)
    after = {record.id: record.content for record in pool.retrieve(ids_of(len(POOL)))}
    assert json.dumps(before) == json.dumps(after)  # the order of keys too


@pytest.mark.parametrize(
    ("payload", "content"),
    [
        ({"a": 1, "tsds": {}}, {"a": 1}),
        ({"tsds": "mine"}, {"tsds": "mine"}),
        ({"tsds": {"x": {"rank": 1}}, "a": 1}, {"tsds": {"x": {"rank": 1}}, "a": 1}),
        ({"tsds": {"x": {"rank": 1, "run": "r"}, "y": 2}, SEQUENCE_FIELD: 3}, {"tsds": {"y": 2}}),
    ],
)
def test_what_counts_as_a_tag(payload: Payload, content: Payload) -> None:
    kept = json.dumps(payload)
    assert Record(1, payload).content == content
    assert json.dumps(payload) == kept


@pytest.mark.parametrize(
    "theirs",
    [
        {"tsds": "mine"},
        {"tsds": [1]},
        {"tsds": {"helpdesk": 5}},
        {"tsds": {"helpdesk": {"rank": 1}}},
    ],
)
def test_what_is_not_ours_is_left_alone_and_told(
    make_collection: MakeCollection, theirs: Payload
) -> None:
    collection = make_collection(metric="Euclid", vectors=POOL)
    selection = select(collection, QUERIES, WANTED)
    taken = selection.selected_ids[3:10]
    stranger = next(i for i in range(len(POOL)) if i not in set(selection.selected_ids))
    collection.upsert([*taken, stranger], POOL[[*map(int, taken), stranger]], [theirs] * 8)
    dry = write_back(collection, selection, TAGGING, dry_run=True)
    report = write_back(collection, selection, TAGGING)
    assert replace(dry, dry_run=False) == report
    assert (report.written, report.cleared, report.unchanged, report.missing) == (13, 0, 0, 0)
    assert (report.taken, report.taken_ids) == (7, tuple(taken[:5]))
    after = stored(collection)
    assert all(after[i] == theirs for i in (*taken, stranger))
    others = {i: tag for i, tag in expected(selection, "r1").items() if i not in taken}
    assert {i: after[i][TAG_FIELD]["helpdesk"] for i in others} == others
    again = write_back(collection, selection, TAGGING)
    assert (again.written, again.cleared, again.unchanged, again.taken) == (0, 0, 13, 7)


def test_points_that_were_deleted_meanwhile_are_left_out(pool: Collection) -> None:
    selection = select(pool, QUERIES, WANTED)
    lost = selection.selected_ids[:2]
    pool.delete(lost)
    report = write_back(pool, selection, TAGGING)
    assert (report.written, report.missing) == (18, 2)
    assert tags(pool).keys() == set(selection.selected_ids) - set(lost)


def test_the_engines_ignore_points_that_do_not_exist(pool: Collection) -> None:
    nowhere: list[PointId] = [10**9, "00000000-0000-4000-8000-ffffffffffff"]
    ids: list[PointId] = [nowhere[0], 1, nowhere[1], 3]
    pool.set_payload("tsds.helpdesk", ids, [{"rank": k, "run": "r"} for k in range(4)])
    assert tags(pool) == {1: {"rank": 1, "run": "r"}, 3: {"rank": 3, "run": "r"}}
    pool.delete_payload("tsds.helpdesk", [*nowhere, 3])
    assert tags(pool) == {1: {"rank": 1, "run": "r"}}
    pool.set_payload("tsds.helpdesk", [], [])
    pool.delete_payload("tsds.helpdesk", [])
    pool.set_payload("tsds.helpdesk", nowhere, [{"rank": 1, "run": "r"}] * 2)
    pool.delete_payload("tsds.helpdesk", nowhere)
    assert pool.existing(nowhere) == set()


def test_a_field_without_a_value_is_taken_away(pool: Collection) -> None:
    pool.set_payload("tsds.a", [1], [{"probability": 0.5, "rank": 1, "run": "r"}])
    pool.set_payload("tsds.a", [1], [{"probability": None, "rank": 2, "run": "s"}])
    assert tags(pool, "a") == {1: {"rank": 2, "run": "s"}}


class Listed:
    """A sample by a method that leaves nothing to chance."""

    settings = WANTED

    def __init__(self) -> None:
        self.samples = {3: None}

    def sample_rows(self, size: int) -> Iterator[dict[str, Any]]:
        return ({"id": k, "rank": k, "probability": None} for k in range(size))


def test_a_sample_without_probabilities(make_collection: MakeCollection) -> None:
    collection = make_collection(metric="Euclid", vectors=POOL)
    listed: Any = Listed()
    collection.set_payload("tsds.helpdesk", [1], [{"probability": 0.5, "rank": 1, "run": "r1"}])
    assert write_back(collection, listed, TAGGING).written == 3
    assert tags(collection) == {k: {"rank": k, "run": "r1"} for k in range(3)}
    assert write_back(collection, listed, TAGGING).unchanged == 3


def test_more_than_one_page(make_collection: MakeCollection) -> None:
    rows = np.random.default_rng(0).normal(size=(1_500, 3))
    collection = make_collection(metric="Euclid", vectors=rows)
    selection = select(collection, rows[:5], SelectionSettings.of(sizes=(1_200,), exact=True))
    seen: list[tuple[int, int]] = []
    write_back(
        collection,
        selection,
        TAGGING,
        progress=lambda stage, done, total: seen.append((done, total)),
    )
    assert seen == [(1_000, 1_200), (1_200, 1_200)]
    assert tags(collection) == expected(selection, "r1")
    few = select(collection, rows[:5], SelectionSettings.of(sizes=(30,), exact=True))
    write_back(collection, few, TAGGING)
    assert tags(collection) == expected(few, "r1")


@pytest.mark.parametrize("way", ["ids", "fingerprints", "sequence"])
def test_a_write_back_is_no_change(backend: Backend, tmp_path: Path, way: str) -> None:
    metadata = {"sequence": 1, "settled": 1} if way == "sequence" else None
    pool = backend.create("pool", dimension=6, metric="Euclid", metadata=metadata)
    pool.upsert(range(300), POOL, [{SEQUENCE_FIELD: 1} for _ in range(300)])
    wanted: dict[str, Any] = {"detect_updates": True} if way == "fingerprints" else {}
    mine, first = begin_run(
        tmp_path / "mine", pool, QUERIES, WANTED, keeping=Keeping(tagging=TAGGING, **wanted)
    )
    other, second = begin_run(
        tmp_path / "other", pool, QUERIES[:3], WANTED, keeping=Keeping(**wanted)
    )
    assert load_run(mine)[0].mark.way == ("ids" if way == "fingerprints" else way)
    write_back(pool, first, TAGGING)
    for state, before in ((mine, first), (other, second)):
        done = reselect(state, collection=pool)
        assert done.changes.came == done.changes.gone == []
        assert done.selection.selected_ids == before.selected_ids
        assert done.run["searches"] == 0
    assert reselect(mine, collection=pool).run["write_back"]["written"] == 0
    assert "write_back" not in reselect(other, collection=pool).run
    assert all(p[SEQUENCE_FIELD] == 1 for p in stored(pool).values())
    pool.close()


def test_reselect_and_watch_keep_tags_current(tmp_path: Path) -> None:
    with edge_pool(POOL) as pool:
        place = pool.info()
        state, first = begin_run(
            tmp_path / "run", pool, QUERIES, WANTED, keeping=Keeping(tagging=TAGGING)
        )
        write_back(pool, first, TAGGING)
        pool.upsert(range(1_000, 1_004), QUERIES[:4] + 0.01)
        done = reselect(state, collection=pool)
        assert done.difference.added
        assert tags(pool) == expected(done.selection, "r1")
        report = done.run["write_back"]
        assert report["cleared"] == len(done.difference.removed)
        pool.delete(first.selected_ids[:3])
        pool.close()
        (event,) = watch(state, WatchSettings(once=True), threading.Event())
        assert event["write_back"]["written"] > 0
        pool = EdgeCollection.open(place.location, place.name)
        drawn = load_run(state)[0].drawn
        ids = drawn.ids
        assert tags(pool).keys() == {ids[row] for row in drawn.samples[20].tolist()}
        pool.close()


def test_a_run_goes_on_under_its_name(tmp_path: Path) -> None:
    with edge_pool(POOL) as pool:
        path = tmp_path / "run"
        state, _ = begin_run(path, pool, QUERIES, WANTED)
        assert load_run(state)[0].tagging is None
        begin_run(path, pool, QUERIES, WANTED, keeping=Keeping(tagging=TAGGING))
        begin_run(path, pool, QUERIES, WANTED)
        assert load_run(state)[0].tagging == TAGGING
        with pytest.raises(StateError, match="writes back as 'helpdesk', not 'b'"):
            begin_run(path, pool, QUERIES, WANTED, keeping=Keeping(tagging=Tagging("b", "r")))
        reselect(state, collection=pool, queries=QUERIES[1:])
        assert load_run(state)[0].tagging == TAGGING


def test_a_state_of_an_older_version_loads(tmp_path: Path) -> None:
    with edge_pool(POOL) as pool:
        state, first = begin_run(tmp_path / "run", pool, QUERIES, WANTED)
        facts = state.facts()
        del facts["tagging"]
        state.save(facts, state.arrays(), {"kind": "select"})
        done = reselect(RunState(state.path), collection=pool)
        assert done.selection.selected_ids == first.selected_ids
        assert tags(pool) == {}


@pytest.mark.parametrize("name", ["", "a b", "a.b", "ä", "a[]", "x" * 65, "a\n", '"a"'])
def test_names_that_cannot_be_used(name: str) -> None:
    with pytest.raises(SettingsError, match="is no name for --write-back"):
        Tagging(name, "r")


def test_equal_selections_have_the_same_run() -> None:
    with edge_pool(POOL) as pool:
        info = pool.info()
        of = [
            Tagging.of("a", info, WANTED, QUERIES),
            Tagging.of("b", info, replace(WANTED), QUERIES.astype(np.float32)),
            Tagging.of("a", info, WANTED.altered(seed=1), QUERIES),
            Tagging.of("a", info, WANTED, QUERIES[::-1]),
            Tagging.of("a", info, WANTED, QUERIES, np.arange(1, 7)),
            Tagging.of("a", replace(info, name="other"), WANTED, QUERIES),
        ]
    assert of[0].run == of[1].run
    assert len({tagging.run for tagging in of}) == 5


class StrictCollection(OtherCollection):
    """A collection that, like some servers, filters by indexed fields only."""

    def info(self) -> CollectionInfo:
        return replace(self.collection.info(), limits=Limits(unindexed_filter=False))


def test_strict_mode_asks_for_an_index() -> None:
    with edge_pool(POOL) as pool:
        strict = StrictCollection(pool)
        selection = select(pool, QUERIES, WANTED)
        with pytest.raises(RequestRejectedError, match=r"integer index on 'tsds\.helpdesk\.rank'"):
            write_back(strict, selection, TAGGING)
        with pytest.raises(RequestRejectedError, match="strict mode"):
            Tagging.of("helpdesk", strict.info(), WANTED, QUERIES)
        assert tags(pool) == {}
        pool.index_payload("tsds.helpdesk.rank")
        write_back(strict, selection, TAGGING)
        write_back(strict, selection, Tagging("helpdesk", "r2"))
        assert tags(pool) == expected(selection, "r2")


class Guarded:
    """A server in front of local mode; only its answer to writes is of the test's choice."""

    def __init__(self, description: dict[str, Any], *answers: Reply) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, Any]] = []
        self._describe = Playback(description)

    def __call__(self, method: str, path: str, body: bytes) -> Reply:
        if method == "GET":
            return self._describe(method, path, body)
        self.asked.append((path, json.loads(body)))
        if path.startswith("/collections/texts/points/batch"):
            return self.answers.pop(0)
        ids = self.asked[-1][1]["ids"]
        return 200, {}, {"result": [{"id": i} for i in ids if i != 2], "status": "ok", "time": 0.0}


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    client = QdrantClient(":memory:")
    client.create_collection(
        "texts", vectors_config=models.VectorParams(size=2, distance=models.Distance.EUCLID)
    )
    described: dict[str, Any] = json.loads(client.get_collection("texts").model_dump_json())
    client.close()
    return described


def done(count: int) -> Reply:
    results = [{"operation_id": 1, "status": "completed"}] * count
    return 200, {}, {"result": results, "status": "ok", "time": 0.0}


VALUES = [{"probability": 0.5, "rank": k, "run": "r"} for k in range(3)]


def test_a_read_only_key_is_told(description: dict[str, Any]) -> None:
    denied = failed(403, "Forbidden: Global manage access is required")
    with http_server(Guarded(description, denied, denied)) as url:
        collection = ServerCollection.open(url, "texts", connection=Connection(api_key="k"))
        with pytest.raises(AccessDeniedError, match=r"lets this API key only.*may write"):
            collection.set_payload("tsds.a", [1, 2, 3], VALUES)
        with pytest.raises(AccessDeniedError, match="TSDS_QDRANT_API_KEY"):
            collection.delete_payload("tsds.a", [1])
        collection.close()


def test_writes_are_tried_again_and_without_points_that_vanished(
    description: dict[str, Any],
) -> None:
    clock = Clock()
    gone = failed(404, "Not found: No point with id 2 found")
    guarded = Guarded(description, failed(503, "starting"), gone, done(1), done(3))
    with http_server(guarded) as url:
        collection = ServerCollection.open(url, "texts", connection=clock.reach())
        collection.delete_payload("tsds.a", [1, 2, 3])
        collection.set_payload("tsds.a", [1, 2, 3], VALUES)
        collection.close()
    assert len(clock.waits) == 1
    writes = [body["operations"] for path, body in guarded.asked if "batch" in path]
    assert all("wait=true" in path for path, _ in guarded.asked if "batch" in path)
    deleted = [operation["delete_payload"]["points"] for (operation,) in writes[:3]]
    assert deleted == [[1, 2, 3], [1, 2, 3], [1, 3]]
    # What is set is set wherever the point is: a replica that lacks it is no reason to fail.
    assert writes[-1][1]["set_payload"] == {
        **{"payload": VALUES[1], "filter": {"must": [{"has_id": [2]}]}, "key": "tsds.a"},
        **{k: v for k, v in writes[-1][1]["set_payload"].items() if v is None},
    }


def test_a_refusal_that_names_no_missing_point_is_passed_on(description: dict[str, Any]) -> None:
    with http_server(Guarded(description, failed(400, "no such thing"))) as url:
        collection = ServerCollection.open(url, "texts")
        with pytest.raises(RequestRejectedError, match="no such thing"):
            collection.delete_payload("tsds.a", [1, 3, 3])
        collection.close()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", POOL.astype(np.float32))
    np.save("Q.npy", QUERIES.astype(np.float32))
    lines = (json.dumps({"text": f"text {k}"}) + "\n" for k in range(len(POOL)))
    (tmp_path / "pool.jsonl").write_text("".join(lines), encoding="utf-8")
    run(*INGEST)
    return tmp_path


PLACE = ("--qdrant", "store", "--collection", "pool")
INGEST = ("ingest", "pool.jsonl", "--vectors", "X.npy", *PLACE, "--metric", "Euclid")
SELECT = ("select", *PLACE, "--queries", "Q.npy", "--size", 20, "--exact", "--out", "s.jsonl")


def tags_of_store(name: str = "helpdesk") -> dict[PointId, Any]:
    collection = open_collection("store", "pool")
    found = tags(collection, name)
    collection.close()
    return found


def test_the_commands(store: Path) -> None:
    run(*SELECT)
    plain = (store / "s.jsonl").read_bytes()
    spoken = run(*SELECT, "--write-back", "helpdesk", "--dry-run").stderr
    assert "nothing was written back as tsds.helpdesk" in spoken
    assert "20 points would be set, 0 would be cleared" in spoken
    assert tags_of_store() == {}
    report = json.loads(run(*SELECT, "--write-back", "helpdesk", "--json").stdout)["write_back"]
    assert (report["written"], report["cleared"], report["dry_run"]) == (20, 0, False)
    rows = [json.loads(line) for line in (store / "s.jsonl").read_text().splitlines()]
    assert tags_of_store() == {
        row["id"]: {
            "probability": near(row["probability"]),
            "rank": row["rank"],
            "run": report["run"],
        }
        for row in rows
    }
    run(*SELECT, "--write-back", "helpdesk", "--state", "task.run")
    assert (store / "s.jsonl").read_bytes() == plain
    ingested = run(*INGEST, "--json").stdout
    assert json.loads(ingested)["unchanged"] == len(POOL)
    assert len(tags_of_store()) == 20
    spoken = run("reselect", "task.run", "--out", "r.jsonl").stderr
    assert f"wrote back as tsds.helpdesk, run {report['run']}: 0 points set, 0 cleared" in spoken
    assert (store / "r.jsonl").read_bytes() == plain
    assert f"as tsds.helpdesk, run {report['run']}" in run("show", "task.run").stdout
    assert "write_back" not in json.loads(run(*SELECT, "--json").stdout)
    with_state = json.loads(run(*SELECT, "--state", "task.run", "--json").stdout)
    assert with_state["write_back"]["unchanged"] == 20  # the run goes on with what it began


def test_the_commands_tell_which_points_no_tag_fits(store: Path) -> None:
    words = (*SELECT, "--write-back", "helpdesk", "--state", "task.run")
    run(*SELECT)
    first, second = [
        json.loads(line)["id"] for line in (store / "s.jsonl").read_text().splitlines()
    ][:2]
    collection = open_collection("store", "pool")
    collection.set_payload("tsds", [first], [{"helpdesk": 5}])
    collection.close()
    line = (
        f"1 point could not be tagged (its payload has a 'tsds' or 'tsds.helpdesk' of its own): "
        f"id {first}; rename that field\n"
    )
    assert line in run(*words, "--dry-run").stderr
    assert line in run(*words).stderr
    assert tags_of_store()[first] == 5
    assert len(tags_of_store()) == 20
    collection = open_collection("store", "pool")
    collection.set_payload("tsds", [second], [{"helpdesk": 6}])
    collection.close()
    report = json.loads(run("reselect", "task.run", "--json").stdout)["write_back"]
    assert (report["taken"], report["taken_ids"]) == (2, [first, second])
    assert "2 points could not be tagged (their payload" in run("reselect", "task.run").stderr


def refuse(*_: object) -> None:
    """A write with a key that may only read."""
    raise AccessDeniedError("the key may only read")


def test_files_outlive_a_write_back_that_fails(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*SELECT, "--write-back", "helpdesk", "--state", "task.run")
    with monkeypatch.context() as patched:
        patched.setattr(EdgeCollection, "set_payload", refuse)
        said = run(*words, code=1)
    assert said.stdout == ""
    assert said.stderr == (
        "wrote s.jsonl, s.jsonl.manifest.json, before an error\nerror: the key may only read\n"
    )
    before = [json.loads(line)["id"] for line in (store / "s.jsonl").read_text().splitlines()]
    assert len(before) == 20
    collection = open_collection("store", "pool")
    collection.upsert(range(1_000, 1_004), QUERIES[:4] + 0.01)
    collection.close()
    again = ("reselect", "task.run", "--changed-ids", "ids.txt")
    (store / "ids.txt").write_text("1000 1001 1002 1003")
    with monkeypatch.context() as patched:
        patched.setattr(EdgeCollection, "set_payload", refuse)
        said = run(*again, "--out", "r.jsonl", "--diff", "d.jsonl", code=1)
    assert "wrote r.jsonl, r.jsonl.manifest.json, d.jsonl, before an error\n" in said.stderr
    added = {
        row["id"]
        for row in map(json.loads, (store / "d.jsonl").read_text().splitlines())
        if row["change"] == "added"
    }
    after = {json.loads(line)["id"] for line in (store / "r.jsonl").read_text().splitlines()}
    assert after - set(before) == added != set()
    told = json.loads(run("reselect", "task.run", "--json").stdout)
    assert (told["run"], told["came"], told["write_back"]["written"]) == (2, 0, 20)
    assert tags_of_store().keys() == after


def test_a_dry_run_is_not_what_a_run_begins_with(store: Path) -> None:
    run(*SELECT, "--write-back", "helpdesk", "--state", "task.run", "--dry-run")
    run("reselect", "task.run")
    assert tags_of_store() == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--write-back", "a b"), "'a b' is no name for --write-back"),
        (("--dry-run",), "give --write-back too"),
    ],
)
def test_wrong_usage(store: Path, words: tuple[str, ...], message: str) -> None:
    assert message in run(*SELECT, *words, code=2).stderr
    assert not (store / "s.jsonl").exists()


def test_a_write_back_needs_a_size(store: Path) -> None:
    words = ("select", *PLACE, "--queries", "Q.npy", "--alpha", 0.5, "--probabilities", "p.jsonl")
    assert "no size is given" in run(*words, "--write-back", "a", code=2).stderr


KILLED = """
import os, signal, sys
from tsds_qdrant.cli import app
from tsds_qdrant.collections.edge.points import EdgePoints

left, plain = int(sys.argv[1]), EdgePoints.{method}

def dying(self, key, ids, *values):
    plain(self, key, ids[:left], *(part[:left] for part in values))
    os.kill(os.getpid(), signal.SIGKILL)

EdgePoints.{method} = dying
app(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "left", "carriers"),
    [("set_payload", 0, 0), ("set_payload", 7, 7)],
)
def test_a_killed_write_goes_on(store: Path, method: str, left: int, carriers: int) -> None:
    words = [str(w) for w in (*SELECT, "--write-back", "helpdesk", "--state", "task.run")]
    script = KILLED.replace("{method}", method)
    died = subprocess.run([sys.executable, "-c", script, str(left), *words], check=False)
    assert died.returncode == -signal.SIGKILL
    assert len(tags_of_store()) == carriers
    run("reselect", "task.run")
    after = tags_of_store()
    rows = [json.loads(line) for line in (store / "s.jsonl").read_text().splitlines()]
    assert {i: tag["rank"] for i, tag in after.items()} == {row["id"]: row["rank"] for row in rows}
    report = json.loads(run(*words, "--json").stdout)["write_back"]
    assert (report["written"], report["cleared"], report["unchanged"]) == (0, 0, 20)


def test_a_killed_clearing_goes_on(store: Path) -> None:
    run(*SELECT, "--write-back", "helpdesk", "--state", "task.run")
    np.save("Q2.npy", QUERIES[:2] + 1.0)
    words = ["reselect", "task.run", "--queries", "Q2.npy", "--out", "r.jsonl"]
    script = KILLED.replace("{method}", "delete_payload")
    died = subprocess.run([sys.executable, "-c", script, "3", *words], check=False)
    assert died.returncode == -signal.SIGKILL
    assert len(tags_of_store()) == 17
    run("reselect", "task.run", "--out", "r.jsonl")
    rows = [json.loads(line) for line in (store / "r.jsonl").read_text().splitlines()]
    assert {i: t["rank"] for i, t in tags_of_store().items()} == {r["id"]: r["rank"] for r in rows}
