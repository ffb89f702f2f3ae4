"""When ``check`` says that a mirror of a server's collection would pay, and what it says then."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import run
from door import Door, open_door
from qdrant_client import models

from tsds_qdrant import create_collection, open_collection
from tsds_qdrant.collections.limits import Rights
from tsds_qdrant.mirror.expected import expected_bytes
from tsds_qdrant.planning.cost import SearchCost
from tsds_qdrant.planning.mirror_cost import MirrorCost, mirror_cost

COUNT, DIMENSION = 200, 32
SLOW, QUICK = SearchCost(scan=20.0, walk=None), SearchCost(scan=0.001, walk=None)


@pytest.fixture
def door() -> Iterator[Door]:
    rows = np.random.default_rng(1).normal(size=(COUNT, DIMENSION))
    with open_door() as door:
        params = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
        door.client.create_collection("pool", vectors_config=params)
        door.client.upsert(
            "pool",
            [
                models.PointStruct(id=k, vector=rows[k].tolist(), payload={"text": "x" * 100})
                for k in range(COUNT)
            ],
        )
        yield door


def cost_of(url: str, cost: SearchCost, rights: Rights | None = None) -> MirrorCost | None:
    with open_collection(url, "pool") as opened:
        return mirror_cost(opened, opened.info(), cost, rights or Rights(), 0, (200, 1_000))


def test_the_size_is_that_of_points_times_bytes(door: Door) -> None:
    with open_collection(door.url, "pool") as opened:
        size = expected_bytes(opened)
    numbers, text = 4 * DIMENSION, 100
    assert COUNT * (numbers + text) < size < COUNT * (numbers + text + 150)


def test_it_pays_where_the_server_is_slow(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = cost_of(door.url, SLOW)
    assert slow is not None
    assert slow.pays
    assert slow.snapshot
    assert slow.here == pytest.approx(SLOW.expected(200, 1_000)[1])
    assert slow.copy + slow.there < slow.here / 2
    paged = cost_of(door.url, SLOW, Rights(writes=False))
    assert paged is not None
    assert not paged.snapshot
    assert cost_of(door.url, QUICK) is None
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=slow.bytes))
    full = cost_of(door.url, SLOW)
    assert full is not None
    assert not full.pays
    assert not full.in_words


def test_it_does_not_pay_where_the_download_takes_longer() -> None:
    made = MirrorCost(10**11, True, 1_000.0, 60.0, 5.0, True, "", 200, 1_000)
    assert not made.pays
    assert MirrorCost(10**9, True, 10.0, 30.0, 5.0, True, "", 200, 1_000).pays
    assert not MirrorCost(10**9, True, 10.1, 30.0, 5.0, True, "", 200, 1_000).pays


def test_an_embedded_collection_needs_none(tmp_path: Path) -> None:
    create_collection(tmp_path, "pool", dimension=2).close()
    assert cost_of(str(tmp_path), SLOW) is None


def test_check_says_it_in_one_line_and_the_command_runs(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    door.limit("pool", read_rate_limit=3_000)  # 14 s for a selection of usual size
    said = run("check", "--qdrant", door.url, "--collection", "pool").stdout
    (line,) = (line for line in said.splitlines() if "a mirror would pay" in line)
    assert f"for a selection of {COUNT} for 200 task examples from it, which takes about" in line
    found = re.search(r"'tsds-qdrant (mirror .*)', or give --mirror ./mirror to select", line)
    assert found is not None
    run(*shlex.split(found[1]))
    assert (tmp_path / "mirror/pool").is_dir()
    shown = json.loads(run("check", "--qdrant", door.url, "--collection", "pool", "--json").stdout)
    assert shown["mirror"]["pays"] is True
    local = json.loads(run("check", "--qdrant", "mirror", "--collection", "pool", "--json").stdout)
    assert local["mirror"] is None
