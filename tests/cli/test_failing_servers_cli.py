"""Commands against a server that refuses or fails: one sentence, an exit code, no half things."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
from door import Door, Request, open_door
from playback import Reply
from pool_oracle import clustered_rows, near_queries
from qdrant_client import QdrantClient, models
from recordings import recorded
from sockets import left_open
from typer.testing import CliRunner, Result

from tsds_qdrant.cli import app
from tsds_qdrant.collections.reserved import STAMP_FIELD
from tsds_qdrant.collections.server.retries import Patience

POOL: Any = clustered_rows(120, 6, 8)
SELECT = (
    *("select", "--queries", "Q.npy", "--size", "9", "--alpha", "0.4"),
    *("--state", "task.run", "--out", "out.jsonl"),
)
INGEST = ("ingest", "more.jsonl", "--vectors", "more.npy", "--id-field", "text")
RESELECT = ("reselect", "task.run", "--out", "out.jsonl")
EXPORT = ("export", "task.run", "--out", "rows.jsonl")
TAG = ("--write-back", "helpdesk")
DEAD = recorded("cluster", "one dead, replication 1: scroll")
LOST = recorded("cluster", "one dead, replication 2, write consistency 2: upsert")


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """A server with a pool; the working directory has a task and records to ingest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Patience, "pause_after", lambda *_, **__: None)  # nobody waits
    np.save("Q.npy", near_queries(POOL, 4))
    np.save("more.npy", POOL[:70] + np.float32(0.01))
    lines = [json.dumps({"text": f"more {k}"}) + "\n" for k in range(70)]
    Path("more.jsonl").write_text("".join(lines))
    with open_door() as door:
        fill(door)
        yield door


def fill(door: Door) -> None:
    params = models.VectorParams(size=6, distance=models.Distance.EUCLID)
    payloads = [{"text": f"text {k}", "lang": "en" if k % 3 else "de"} for k in range(120)]
    batch = models.Batch(ids=list(range(120)), vectors=POOL.tolist(), payloads=payloads)
    for node in door.nodes:
        node.client.create_collection("pool", vectors_config=params)
        node.client.upsert("pool", batch)


def attempt(door: Door, *words: str, key: str | None = None) -> Result:
    place = ("--qdrant", door.url, "--collection", "pool")
    all_words = [*words, *(place if words[0] in ("select", "ingest", "check") else ())]
    result = CliRunner().invoke(app, all_words, env={"TSDS_QDRANT_API_KEY": key})
    assert not left_open(door.url)
    return result


def run(door: Door, *words: str, code: int = 0, key: str | None = None) -> Result:
    result = attempt(door, *words, key=key)
    assert result.exit_code == code, result.output
    return result


def error_of(result: Result) -> str:
    assert result.stdout == ""
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    return line


def kept(door: Door) -> dict[Any, Any]:
    """All points of the engine, with vectors, and payloads without what each writer draws."""
    points, _ = door.client.scroll("pool", limit=10_000, with_vectors=True)
    return {
        point.id: (
            {name: value for name, value in (point.payload or {}).items() if name != STAMP_FIELD},
            point.vector,
        )
        for point in points
    }


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


class Fails:
    """Answers all requests from number ``first`` on (from 0) with ``reply``."""

    def __init__(self, first: int, reply: Reply = DEAD) -> None:
        self.first, self.reply, self.seen = first, reply, 0

    def __call__(self, request: Request) -> Reply | None:
        self.seen += 1
        return self.reply if self.seen > self.first else None


RATE = recorded("refusals", "strict: read_rate_limit 3, request 1")
EXPIRED = recorded("access", "expired token")
ALL = pytest.mark.slow


def fail_at(door: Door, words: tuple[str, ...], numbers: range, reply: Reply, code: int) -> int:
    """Run a command that fails from one of its requests on, then from another one, then not.

    Returns how many requests it sends.
    """
    for first in numbers:
        before = files()
        door.hook = fails = Fails(first, reply)
        result = attempt(door, *words)
        if fails.seen <= first:
            break
        assert result.exit_code == code, result.output
        assert "; " in error_of(result)
        after = files()
        changed = {name for name in after if after[name] != before.get(name)}
        assert before.keys() - {"task.run.searches"} <= after.keys()
        if "before an error" in result.stderr:
            assert {"out.jsonl", "out.jsonl.manifest.json"} & changed
        else:
            assert changed <= {"task.run.lock", "task.run.searches"}
    door.hook = fails = Fails(999, reply)
    run(door, *words)
    return fails.seen


def outcome(door: Door) -> tuple[bytes, dict[Any, Any]]:
    """What the commands have made: the result, and all points with their tags."""
    (*_, last) = json.loads(commands.run("runs", "task.run", "--json").stdout)
    assert last["kind"] == "reselect"
    return Path("out.jsonl").read_bytes(), kept(door)


@pytest.mark.slow
@pytest.mark.parametrize("step", [8, pytest.param(1, marks=ALL)])
@pytest.mark.parametrize(
    ("reply", "code", "first"), [(DEAD, 3, 0), (LOST, 3, 2), (RATE, 3, 4), (EXPIRED, 1, 6)]
)
def test_whichever_request_fails_a_repeated_command_does_all(
    door: Door, tmp_path: Path, reply: Reply, code: int, first: int, step: int
) -> None:
    numbers = range(first, 99, step)
    selecting = (*SELECT, *TAG)
    sent = [fail_at(door, words, numbers, reply, code) for words in (selecting, INGEST, RESELECT)]
    assert min(sent) > 8
    found = outcome(door)
    (tmp_path / "task.run").unlink()
    with open_door() as untroubled:
        fill(untroubled)
        for words in (selecting, INGEST, RESELECT):
            run(untroubled, *words)
        assert outcome(untroubled) == found


VECTORS = ("ingest", "--vectors", "more.npy", "--overwrite")


@pytest.mark.slow
@pytest.mark.parametrize("words", [INGEST, VECTORS])
@pytest.mark.parametrize(("reply", "code"), [(DEAD, 3), (EXPIRED, 1)])
def test_whichever_request_of_an_ingest_fails_no_connection_stays_open(
    door: Door, words: tuple[str, ...], reply: Reply, code: int
) -> None:
    for first in range(9):
        door.hook = fails = Fails(first, reply)
        run(door, *words, code=code)
        assert fails.seen > first


@pytest.mark.slow
@pytest.mark.parametrize("words", [("check",), ("explain", "task.run", "--id", "3"), EXPORT])
def test_commands_that_only_read_fail_as_one(door: Door, words: tuple[str, ...]) -> None:
    run(door, *SELECT)
    before = kept(door)
    for reply, code in ((DEAD, 3), (RATE, 3), (EXPIRED, 1)):
        for first in (0, 2, 4):
            door.hook = Fails(first, reply)
            run(door, *words, code=code)
            assert not Path("rows.jsonl").exists()
    door.hook = lambda request: None
    run(door, *words)
    assert kept(door) == before


KEYS: dict[str, Any] = {
    "master": "manage",
    "reader": "read",
    "token-r": {"pool": "r"},
    "token-rw": {"pool": "rw"},
    "other": {"elsewhere": "rw"},
    "old": "expired",
}
CHECK = ("check",)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "words"),
    [
        (None, "asks for an API key .*; set TSDS_QDRANT_API_KEY"),
        ("wrong", "refuses the API key .*; set TSDS_QDRANT_API_KEY to one that it knows"),
        ("old", "refuses a token that has expired .* to a new one"),
        ("other", "is closed to this API key .* to one for 'pool', or check --collection"),
    ],
)
def test_keys_that_do_not_open_the_collection(door: Door, key: str | None, words: str) -> None:
    run(door, *SELECT)
    before, kept_before = files(), kept(door)
    door.keys = KEYS
    for command in ((*SELECT, *TAG), CHECK, RESELECT, EXPORT, ("explain", "task.run", "--id", "3")):
        assert re.search(words, error_of(run(door, *command, key=key, code=1)))
    run(door, *INGEST, key=key, code=1)
    assert {name: files()[name] for name in before} == before
    assert kept(door) == kept_before


@pytest.mark.slow
@pytest.mark.parametrize("key", ["reader", "token-r"])
def test_a_key_that_may_only_read_does_all_that_reads(door: Door, key: str) -> None:
    before = kept(door)
    door.keys = KEYS
    for command in (SELECT, CHECK, RESELECT, EXPORT, ("explain", "task.run", "--id", "3")):
        run(door, *command, key=key)
    for command in ((*SELECT, *TAG), INGEST):
        line = error_of(run(door, *command, key=key, code=1))
        assert "lets this API key only read (403: " in line
        assert "; set TSDS_QDRANT_API_KEY to one that may write" in line
    assert kept(door) == before
    run(door, *SELECT, *TAG, key="token-rw")  # the advice, followed
    run(door, *INGEST, key="token-rw")
    tagged = [
        payload for payload, _ in kept(door).values() if "helpdesk" in payload.get("tsds", {})
    ]
    assert len(tagged) == 9
    assert len(kept(door)) == len(before) + 70


def test_a_token_for_one_collection_makes_no_other(door: Door) -> None:
    door.keys = KEYS
    place = ("--qdrant", door.url, "--collection", "elsewhere")
    for key, words in (("other", "asks for an API key for all collections here"),
                       ("token-rw", "(is closed to this API key|for all collections here)"),
                       ("reader", "only read")):  # fmt: skip
        refused = commands.run(*INGEST, *place, code=1, TSDS_QDRANT_API_KEY=key)
        assert re.search(words, error_of(refused))
    assert [c.name for c in door.client.get_collections().collections] == ["pool"]
    commands.run(*INGEST, *place, TSDS_QDRANT_API_KEY="master")
    assert door.client.count("elsewhere").count == 70


def match(**condition: Any) -> str:
    return json.dumps({"must": [{"key": "lang", "match": condition}]})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strict", "condition", "words"),
    [
        ({"unindexed_filtering_retrieve": False}, match(value="en"),
         r"refuses a filter by 'lang' .*\[keyword\]\); create that index, or leave the filter out"),
        ({"filter_max_conditions": 1},
         json.dumps({"must": json.loads(match(value="en"))["must"] * 2}),
         "of a filter to 1, and this one has 2 .*; shorten it, or have filter_max_conditions"),
        ({"condition_max_size": 2}, match(any=["en", "de", "fr"]),
         "a list in a filter to 2, and this one has 3 .*; shorten it, or have condition_max_size"),
    ],
)  # fmt: skip
def test_filters_that_strict_mode_refuses(
    door: Door, strict: dict[str, Any], condition: str, words: str
) -> None:
    door.limit("pool", **strict)
    selecting = (*SELECT, "--filter", condition)
    before = files()
    assert re.search(words, error_of(run(door, *selecting, code=1)))
    assert files() == before
    if "unindexed_filtering_retrieve" in strict:
        client = QdrantClient(url=door.url, check_compatibility=False)
        client.create_payload_index("pool", "lang", models.PayloadSchemaType.KEYWORD)
        client.close()
    else:
        (name,) = strict
        door.limit("pool", **{name: 3})
    run(door, *selecting)
    assert Path("out.jsonl").exists()


@pytest.mark.slow
def test_a_write_that_fails_half_way_is_finished_by_the_same_command(door: Door) -> None:
    door.limit("pool", upsert_max_batchsize=16)
    door.hook = lambda request: LOST if request.writes and len(kept(door)) > 130 else None
    line = error_of(run(door, *INGEST, code=3))
    assert "may have stored a write only in part (500: 2 out of 3 shards failed to apply" in line
    assert line.endswith("run the same command again once its nodes run")
    door.hook = lambda request: None
    stored = len(kept(door)) - 120
    assert 0 < stored < 70
    assert f"added {70 - stored}, updated 0, unchanged {stored}; 190" in run(door, *INGEST).stderr
    texts = [payload["text"] for payload, _ in kept(door).values()]
    assert sorted(texts[120:]) == sorted(f"more {k}" for k in range(70))
