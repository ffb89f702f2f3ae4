"""Ingests into a server: side by side, with few rights, after writes without confirmation."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pytest
from door import Door, FailingWrites, Request, open_door
from playback import Reply
from pool_oracle import probabilities_of, variation
from qdrant_client import models
from recordings import recorded

from tsds_qdrant.collections import collection_exists, open_collection
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import STAMP_FIELD
from tsds_qdrant.collections.server.retries import Patience
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import AccessDeniedError, UnconfirmedWriteError
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ingest import ingest_vectors
from tsds_qdrant.records.settings import Part
from tsds_qdrant.runs.begin import begin_run
from tsds_qdrant.runs.reselect import reselect
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.settings import SelectionSettings

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local")
ROWS = np.random.default_rng(5).normal(size=(3_000, 4)).astype(np.float32)
SETTINGS = SelectionSettings.of(sizes=(20,), alpha=0.5, exact=True, cost_scale=1, bandwidth=0.5)
DEAD = "one dead, replication 2, write consistency 2: upsert"
SHORT = Connection(patience=Patience(seconds=0.0))


def place_of(door: Door, **more: Any) -> Destination:
    return Destination(door.url, "pool", "Euclid", **more)


def stored(door: Door, node: int = 0) -> dict[PointId, Any]:
    points, _ = door.nodes[node].client.scroll("pool", limit=10**6, with_vectors=True)
    return {
        point.id: (point.vector, {k: v for k, v in point.payload.items() if k != STAMP_FIELD})
        for point in points
    }


@pytest.mark.slow
def test_first_ingests_side_by_side(tmp_path: Any) -> None:
    with open_door() as door, ThreadPoolExecutor() as threads:
        parts = [Part(number, 4) for number in (1, 2, 3, 4)]
        jobs = [
            threads.submit(ingest_vectors, place_of(door), ROWS[:2_000], part=part)
            for part in parts
        ]
        with open_collection_once(door) as pool:
            state, _ = begin_run(tmp_path / "a.run", pool, ROWS[2_900:], SETTINGS)
        assert [job.result().added for job in jobs] == [500] * 4
        with open_collection(door.url, "pool") as pool:
            reselected = reselect(state, collection=pool).selection
            fresh = select(pool, ROWS[2_900:], SETTINGS)
        assert set(stored(door)) == set(range(2_000))
        assert reselected.candidates == fresh.candidates == 2_000
        assert variation(probabilities_of(reselected), probabilities_of(fresh)) <= 1e-12


def open_collection_once(door: Door) -> Collection:
    """The collection, as soon as some job has made it and stored points."""
    while not collection_exists(door.url, "pool"):
        time.sleep(0.01)
    pool = open_collection(door.url, "pool")
    while not pool.count():
        time.sleep(0.01)
    return pool


def test_a_token_for_points_alone_is_enough() -> None:
    with open_door() as door:
        door.keys = {"master": "manage", "token": {"pool": "rw"}, "reader": {"pool": "r"}}
        at = partial(place_of, door)
        assert ingest_vectors(at(connection=Connection(api_key="master")), ROWS[:10]).added == 10
        token = Connection(api_key="token")
        report = ingest_vectors(at(connection=token), ROWS[:30])
        assert (report.added, report.unchanged) == (20, 10)
        before = stored(door)
        with pytest.raises(AccessDeniedError):
            ingest_vectors(at(connection=Connection(api_key="reader")), ROWS[:40])
        assert stored(door) == before
        metadata = [r for r in door.requests if r.method == "PATCH"]
        assert not metadata


def test_a_server_builds_its_index_by_itself() -> None:
    with open_door() as door:
        report = ingest_vectors(place_of(door), ROWS[:10])
        assert "--index waits until it has" in report.notes[-1]
        assert not ingest_vectors(place_of(door, index=True), ROWS[:10]).notes


@pytest.mark.slow
@pytest.mark.parametrize(
    "failing", [1, *(pytest.param(failing, marks=pytest.mark.slow) for failing in (2, 3))]
)
@pytest.mark.parametrize("applied", [(), (0,), (1,)])
def test_parts_that_no_replica_confirmed_are_written_again(
    failing: int, applied: tuple[int, ...]
) -> None:
    with open_door(replicas=2) as door:
        ingest_vectors(place_of(door), ROWS[:5])
        facts = door.facts("pool")
        facts.params |= {"replication_factor": 2, "write_consistency_factor": 2}
        status, headers, body = recorded("cluster", DEAD)
        reply: Reply = (status, headers, body)
        door.hook = FailingWrites(reply, *range(failing, 50), applied=applied)
        with pytest.raises(UnconfirmedWriteError):
            ingest_vectors(place_of(door, connection=SHORT), ROWS)
        door.hook = lambda request: None
        for reading in (1, 0):  # whichever replica answers
            door.reading = reading
            ingest_vectors(place_of(door), ROWS)
            assert stored(door, 0) == stored(door, 1)
            assert len(stored(door)) == len(ROWS)
        assert ingest_vectors(place_of(door), ROWS).unchanged == len(ROWS)


def writes(requests: list[Request]) -> list[str]:
    """Those that name points; one that names none asks whether a key may write."""
    return [r.path for r in requests if r.writes and r.body.get("points") != []]


def test_nothing_is_written_where_nothing_changed() -> None:
    with open_door() as door:
        ingest_vectors(place_of(door), ROWS[:100])
        done = len(writes(door.requests))
        assert ingest_vectors(place_of(door), ROWS[:100]).unchanged == 100
        assert len(writes(door.requests)) == done
        ids = list(chain.from_iterable(open_collection(door.url, "pool").scroll_ids()))
        assert ids == list(range(100))
        assert isinstance(door.client.count("pool"), models.CountResult)
