"""A server is reached by several nodes, waited for, and asked for agreement of its replicas."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from backends import free_port
from door import Door, Request, open_door
from playback import Clock, Reply, failed, listening
from qdrant_client import models
from standby import silent_server

from tsds_qdrant import errors
from tsds_qdrant.collections import create_collection, open_collection
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.server import clients, wire
from tsds_qdrant.collections.server.retries import Patience
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.settings import SelectionSettings

ROWS = np.random.default_rng(3).normal(size=(80, 8)).astype(np.float32)
SETTINGS = SelectionSettings.of(sizes=(9,))
BRIEF = 0.4
"""Seconds that answers are waited for here, in the place of a minute."""


@pytest.fixture
def door() -> Iterator[Door]:
    with open_door() as door:
        fill(door)
        yield door


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (clients, wire):
        monkeypatch.setattr(module, "GRACE_S", BRIEF - 1)
    monkeypatch.setattr(clients, "PING_S", BRIEF)


def fill(door: Door) -> None:
    params = models.VectorParams(size=8, distance=models.Distance.COSINE)
    points = models.Batch(ids=list(range(len(ROWS))), vectors=ROWS.tolist())
    for node in door.nodes:
        node.client.create_collection("s", vectors_config=params)
        node.client.upsert("s", points)


def selected(collection: Collection) -> list[Any]:
    with collection:
        return list(select(collection, ROWS[:5], SETTINGS).selected_ids)


class Fails:
    """A hook, or an entry of its own, that fails from the request ``start`` on, for a while."""

    def __init__(self, start: int, fail: Callable[[], Reply], until: Callable[[], bool]) -> None:
        self.start, self.fail, self.until = start, fail, until
        self.calls = 0

    def __call__(self, request: Request) -> Reply | None:
        self.calls += 1
        return self.fail() if self.calls > self.start and not self.until() else None


@pytest.mark.parametrize("start", [3, 5, 7])
@pytest.mark.parametrize("seconds", [5.0, 30.0, 110.0])
def test_an_outage_in_the_middle_is_survived(door: Door, start: int, seconds: float) -> None:
    expected = selected(open_collection(door.url, "s"))
    clock, said = Clock(), []
    began: list[float] = []

    def fail() -> Reply:
        began.append(clock.now)
        return failed(503, "Service Unavailable")

    door.hook = Fails(start, fail, lambda: bool(began) and clock.now >= began[0] + seconds)
    connection = clock.reach(on_wait=said.append)
    assert selected(open_collection(door.url, "s", connection=connection)) == expected
    assert began
    assert "503: Service Unavailable" in said[0]
    assert said[0].endswith("; tried again for up to 2 min")
    assert said[-1] == f"collection 's' at {door.url} answers again"
    waits = [text for text in said if "tried again" in text]
    assert 1 <= len(waits) <= 1 + seconds / 30


def test_an_outage_longer_than_patience_is_reported(door: Door) -> None:
    clock = Clock()
    collection = open_collection(door.url, "s", connection=clock.reach())
    door.hook = lambda request: failed(502, "Bad Gateway")
    with pytest.raises(errors.UnreachableError, match="502: Bad Gateway"):
        selected(collection)
    assert 120 <= clock.now <= 135


@pytest.mark.slow
@pytest.mark.parametrize("first", ["refuses", "is silent", "is starting"])
def test_the_next_address_is_asked(door: Door, first: str, brief: None) -> None:
    expected = selected(open_collection(door.url, "s"))
    said: list[str] = []
    with ExitStack() as stack:
        url = f"http://127.0.0.1:{free_port()}"
        if first == "is silent":
            url = stack.enter_context(silent_server())
        elif first == "is starting":
            url = stack.enter_context(listening(lambda *_: failed(503, "starting")))
        connection = Connection(others=(door.url,), timeout=1, on_wait=said.append)
        assert selected(open_collection(url, "s", connection=connection)) == expected
        described = open_collection(url, "s", connection=connection)
        assert described.info().location == url
        assert described.info().reached == {"others": [door.url], "timeout": 1}
    assert (
        said
        == [
            f"collection 's' at {url} gives no answer; going on with {door.url}",
        ]
        * 2
    )


@pytest.mark.slow
@pytest.mark.parametrize("stops", ["hangs up", "is stopped", "shuts down"])
@pytest.mark.parametrize("start", [4, 6])
def test_a_node_that_stops_in_the_middle_is_left(
    door: Door, stops: str, start: int, brief: None
) -> None:
    expected = selected(open_collection(door.url, "s"))
    said: list[str] = []
    over = threading.Event()
    calls = iter(range(10**6))

    def entry(*request: Any) -> Reply:
        if next(calls) >= start:
            if stops == "is stopped":
                over.wait(20)
            if stops == "shuts down":
                return failed(503, "shutting down")
            raise ConnectionAbortedError
        return door.answer(*request)

    with listening(entry) as url:
        connection = Connection(others=(door.url,), timeout=1, on_wait=said.append)
        assert selected(open_collection(url, "s", connection=connection)) == expected
        over.set()
    assert [text.rpartition("; ")[2] for text in said] == [f"going on with {door.url}"]
    assert url in said[0]


def test_all_nodes_are_asked_before_any_is_waited_for(door: Door) -> None:
    clock = Clock()
    collection = open_collection(
        f"http://127.0.0.1:{free_port()}",
        "s",
        connection=clock.reach(others=(f"http://127.0.0.1:{free_port()}", door.url)),
    )
    assert clock.waits == []
    door.hook = lambda request: failed(503, "")
    with pytest.raises(errors.UnreachableError):
        collection.count()
    assert clock.now == pytest.approx(120)
    door.hook = lambda request: None
    assert collection.count() == len(ROWS)
    collection.close()


def test_a_slow_search_on_a_node_that_runs_is_made_smaller(door: Door, brief: None) -> None:
    """A time-out of a server that answers otherwise leaves no node and counts no patience."""
    sizes: list[int] = []

    def slow(request: Request) -> Reply | None:
        if request.path.endswith("/batch"):
            sizes.append(len(request.body["searches"]))
            if sizes[-1] > 2:
                threading.Event().wait(BRIEF + 0.2)
        return None

    door.hook = slow
    patience = Patience(seconds=0.0)
    connection = Connection(others=("http://127.0.0.1:9",), timeout=1, patience=patience)
    with open_collection(door.url, "s", connection=connection) as collection:
        hits = collection.search(ROWS[:5], limit=1)
    assert hits.ids == [0, 1, 2, 3, 4]
    assert max(sizes[1:]) <= 2


@pytest.mark.parametrize("consistency", [2, "majority", "quorum", "all"])
def test_every_read_asks_for_agreement(door: Door, consistency: Any) -> None:
    connection = Connection(consistency=consistency)
    create_collection(door.url, "made", dimension=8, connection=connection).close()
    with open_collection(door.url, "s", connection=connection) as collection:
        assert collection.info().reached == {"consistency": consistency}
        select(collection, ROWS[:3], SETTINGS)
        collection.count()
        collection.existing([1, 2])
        list(collection.scroll_ids())
        collection.index_payload("n")
        list(collection.scroll_ordered("n"))
        collection.set_payload("tag", [1], [{"a": 1}])
    reads = ("/points", "/points/count", "/points/scroll", "/points/query/batch")
    asked = [
        request.query.get("consistency")
        for request in door.requests
        if request.method == "POST" and request.path.removeprefix("/collections/s") in reads
    ]
    assert len(asked) >= 6
    assert set(asked) == {str(consistency)}
    writes = [request for request in door.requests if request.writes]
    assert writes
    assert not [request for request in writes if "consistency" in request.query]


def test_agreement_hides_what_one_replica_lacks() -> None:
    with open_door(replicas=2) as door:
        fill(door)
        door.nodes[1].client.delete("s", [0, 7])
        for consistency, count in ((None, 80), (1, 80), ("all", 78)):
            connection = Connection(consistency=consistency)
            with open_collection(door.url, "s", connection=connection) as collection:
                found = [i for page in collection.scroll_ids() for i in page]
                assert len(found) == count, consistency


def test_without_agreement_nothing_is_asked_for(door: Door) -> None:
    with open_collection(door.url, "s") as collection:
        select(collection, ROWS[:3], SETTINGS)
    assert not [request for request in door.requests if "consistency" in request.query]
