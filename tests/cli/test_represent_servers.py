"""``represent`` on servers: only where asked, and nothing else is touched, whatever fails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from door import Door, Request, open_door
from playback import Reply
from pool_oracle import clustered_rows
from qdrant_client import models
from recordings import recorded
from typer.testing import CliRunner, Result

from tsds_qdrant.cli import app
from tsds_qdrant.collections.reserved import MADE_FIELD
from tsds_qdrant.collections.server.retries import Patience

POOL: Any = clustered_rows(90, 6, 8)
WHITENED = ("represent", "whitened", "--write")
DEAD = recorded("cluster", "one dead, replication 1: scroll")
LOST = recorded("cluster", "one dead, replication 2, write consistency 2: upsert")


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(Patience, "pause_after", lambda *_, **__: None)  # nobody waits
    with open_door() as door:
        fill(door)
        yield door


def fill(door: Door) -> None:
    params = models.VectorParams(size=6, distance=models.Distance.EUCLID)
    payloads = [{"text": f"text {k}", "tsds": {"theirs": 1}} for k in range(90)]
    door.client.create_collection("pool", vectors_config=params)
    door.client.upsert(
        "pool", models.Batch(ids=list(range(90)), vectors=POOL.tolist(), payloads=payloads)
    )


def run(door: Door, *words: str, code: int = 0, key: str | None = None) -> Result:
    place = ("--qdrant", door.url, "--collection", "pool")
    result = CliRunner().invoke(app, [*words, *place], env={"TSDS_QDRANT_API_KEY": key})
    assert result.exit_code == code, result.output
    return result


def error_of(result: Result) -> str:
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    return line


def points(door: Door) -> list[Any]:
    return door.client.scroll("pool", limit=10_000, with_vectors=True)[0]


def of_others(door: Door) -> dict[Any, Any]:
    """What was there before: payloads without our marks, unnamed vectors."""
    found = {}
    for point in points(door):
        own = point.vector[""] if isinstance(point.vector, dict) else point.vector
        payload = {key: value for key, value in point.payload.items() if key != MADE_FIELD}
        found[point.id] = (payload, own)
    return found


def whitened(door: Door) -> dict[Any, list[float]]:
    return {
        point.id: point.vector["whitened"]
        for point in points(door)
        if isinstance(point.vector, dict) and "whitened" in point.vector
    }


def expected() -> Any:
    centred = POOL.astype(np.float64) - POOL.astype(np.float64).mean(axis=0)
    covariance = centred.T @ centred / len(POOL) + 1e-5 * np.eye(6)
    rows = np.linalg.solve(np.linalg.cholesky(covariance), centred.T).T
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_server_is_only_read_unless_asked_otherwise(door: Door) -> None:
    before = points(door)
    line = error_of(run(door, "represent", "whitened", code=2))
    assert "which is only read; give --write if it may" in line
    assert points(door) == before
    assert not door.requests


def test_nothing_but_the_vector_and_our_mark_is_added(door: Door) -> None:
    before = of_others(door)
    assert "'whitened' made of 90 points" in run(door, *WHITENED).stderr
    rows = whitened(door)
    assert np.array([rows[k] for k in range(90)]) == pytest.approx(expected(), abs=1e-4)
    assert of_others(door) == before
    assert "nothing was missing" in run(door, *WHITENED).stderr


def test_what_a_plain_upsert_erased_is_made_again(door: Door) -> None:
    run(door, *WHITENED)
    before = whitened(door)
    params = models.Batch(ids=[4, 5], vectors={"": POOL[4:6].tolist()}, payloads=[{}, {}])
    door.client.upsert("pool", params)
    assert whitened(door).keys() == before.keys() - {4, 5}
    assert "'whitened' made of 2 points" in run(door, *WHITENED).stderr
    assert whitened(door) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "strict",
    [
        {},
        {"unindexed_filtering_retrieve": False},
        {"filter_max_conditions": 1},
        {"search_allow_exact": False},
        {"upsert_max_batchsize": 10, "max_query_limit": 20},
    ],
)
def test_strict_modes(door: Door, strict: dict[str, Any]) -> None:
    door.limit("pool", **strict)
    assert json.loads(run(door, *WHITENED, "--json").stdout)["made"] == 90
    rows = whitened(door)
    assert np.array([rows[k] for k in range(90)]) == pytest.approx(expected(), abs=1e-4)
    assert json.loads(run(door, *WHITENED, "--json").stdout)["read"] == 0


KEYS: Any = {"master": "manage", "reader": "read", "token": {"pool": "rw"}}


def test_a_token_that_may_not_write_metadata(door: Door) -> None:
    """The space is added by somebody who may; what it is follows from the points."""
    run(door, *WHITENED)
    door.client.update_collection("pool", metadata={"tsds_qdrant": {}})
    door.keys = KEYS
    report = json.loads(run(door, *WHITENED, "--json", key="token").stdout)
    assert report["read"] == 0
    other = run(door, *WHITENED, "--method", "zca", key="token", code=1)
    assert "made otherwise (method)" in error_of(other)
    door.client.upsert("pool", models.Batch(ids=[90], vectors={"": [[1.0] * 6]}, payloads=[{}]))
    assert json.loads(run(door, *WHITENED, "--json", key="token").stdout)["made"] == 1
    line = error_of(run(door, *WHITENED, "--name", "again", key="reader", code=1))
    assert "only read" in line


class Fails:
    """Answers all requests from number ``first`` on (from 0) with ``reply``."""

    def __init__(self, first: int, reply: Reply) -> None:
        self.first, self.reply, self.seen = first, reply, 0

    def __call__(self, request: Request) -> Reply | None:
        self.seen += 1
        return self.reply if self.seen > self.first else None


@pytest.mark.slow
@pytest.mark.parametrize("reply", [DEAD, LOST])
def test_whichever_request_fails_a_repeated_command_does_all(door: Door, reply: Reply) -> None:
    before, first = of_others(door), 0
    while True:
        door.hook = fails = Fails(first, reply)
        place = ("--qdrant", door.url, "--collection", "pool")
        result = CliRunner().invoke(app, [*WHITENED, *place])
        if fails.seen <= first:
            break
        assert result.exit_code in (1, 3), result.output
        assert re.search("; ", error_of(result))
        assert of_others(door) == before
        first += 1
    assert first > 8
    door.hook = lambda request: None
    assert json.loads(run(door, *WHITENED, "--json").stdout)["read"] == 0
    rows = whitened(door)
    assert np.array([rows[k] for k in range(90)]) == pytest.approx(expected(), abs=1e-4)
