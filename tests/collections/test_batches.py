"""Many rows in requests: each row once and in order, whatever the server and its mood."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playback import DOWN, LATE, PLACE, Clock, answered
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse

from tsds_qdrant import errors
from tsds_qdrant.collections.server.batches import Batches, Rest
from tsds_qdrant.collections.server.pace import TARGET_S

TOO_LARGE = answered(413, "too large")
BUSY = ResourceExhaustedResponse("rate limit", 11)


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


class Server:
    """Takes ``start`` + ``each`` x rows seconds of its clock; refuses, fails and times out."""

    def __init__(
        self,
        clock: Clock,
        *,
        start: float = 0.0,
        each: float = 0.0,
        most: int = 10**9,
        timeout: float = 60.0,
        failures: list[Exception | None] | None = None,
    ) -> None:
        self.clock = clock
        self.start, self.each, self.most, self.timeout = start, each, most, timeout
        self.failures = failures or []
        self.sizes: list[int] = []
        self.lock = threading.Lock()

    def __call__(self, rows: range) -> list[int]:
        with self.lock:
            failure = self.failures.pop(0) if self.failures else None
            self.sizes.append(len(rows))
            seconds = self.start + self.each * len(rows)
            self.clock.now += min(seconds, self.timeout)
        if failure:
            raise failure
        if len(rows) > self.most:
            raise TOO_LARGE
        if seconds >= self.timeout:
            raise LATE
        return list(rows)


@given(st.integers(0, 50), st.lists(st.integers(1, 9), min_size=1), st.data())
def test_what_is_cut_and_put_back_comes_once(
    count: int, sizes: list[int], data: st.DataObject
) -> None:
    rest, done, sent = Rest(count, 20), [], 0
    while rest:
        piece = rest.cut(sizes[sent % len(sizes)])
        sent += 1
        assert 1 <= len(piece.rows) <= sizes[(sent - 1) % len(sizes)]
        if sent < 200 and data.draw(st.booleans()):
            rest.put_back(piece)
        else:
            done += piece.rows
    assert sorted(done) == list(range(count))


FAILURES = st.lists(st.sampled_from([None, DOWN, LATE, BUSY, TOO_LARGE]), max_size=12)


@given(
    st.integers(0, 400),
    st.integers(1, 90),
    st.integers(1, 90),
    st.one_of(st.none(), st.integers(1, 90)),
    st.integers(1, 90),
    FAILURES,
    st.booleans(),
)
def test_every_row_once_and_in_order(
    count: int,
    size: int,
    first: int,
    at_most: int | None,
    accepted: int,
    failures: list[Exception | None],
    threads: bool,
) -> None:
    clock = Clock()
    server = Server(clock, each=0.01, most=accepted, failures=list(failures))
    done: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        batches: Batches[list[int]] = Batches(
            size,
            PLACE,
            clock.patience(attempts=20, slow_attempts=20),
            first=first,
            executor=pool if threads else None,
            in_flight=4 if threads else 1,
        )
        try:
            parts = batches.run(count, server, at_most=at_most, on_batch=done.append)
        except errors.RequestRejectedError:  # a single row was called too large
            assert TOO_LARGE in failures
            return
    assert [row for part in parts for row in part] == list(range(count))
    assert sum(done) == count
    assert max(server.sizes, default=0) <= min(size, at_most or size)
    assert Counter(len(part) for part in parts) == Counter(done)
    assert all(len(part) <= accepted for part in parts)


@given(st.floats(1e-4, 3.0), st.floats(0, 0.3))
def test_a_slow_server_is_asked_for_little_and_a_quick_one_not_in_crumbs(
    each: float, start: float
) -> None:
    clock = Clock()
    server = Server(clock, start=start, each=each)
    batches: Batches[list[int]] = Batches(512, PLACE, clock.patience(), first=16)
    batches.run(300, server)
    assert max(server.sizes[1:]) <= max(1.0, TARGET_S / each)
    fitting = min(512.0, max(1.0, (TARGET_S - start) / each))
    assert len(server.sizes) <= 5 + 300 / max(1.0, fitting - 2)


def test_each_kind_has_a_size_of_its_own_which_is_kept() -> None:
    clock = Clock()
    batches: Batches[list[int]] = Batches(512, PLACE, clock.patience(), first=16)
    walk, scan = Server(clock, each=0.001), Server(clock, each=0.2)
    batches.run(1_000, walk, kind="walk")
    batches.run(60, scan, kind="scan")
    for _ in range(2):
        walk.sizes, scan.sizes = [], []
        batches.run(1_000, walk, kind="walk")
        batches.run(60, scan, kind="scan")
        assert walk.sizes == [512, 488]
        assert set(scan.sizes) == {5}


def test_a_limit_holds_for_one_run_a_refusal_for_good() -> None:
    clock = Clock()
    server = Server(clock, most=100)
    batches: Batches[list[int]] = Batches(256, PLACE, clock.patience())
    batches.run(300, server, at_most=7)
    assert max(server.sizes) == 7
    batches.run(256, server)
    server.sizes = []
    batches.run(640, server)
    assert server.sizes == [64] * 10


def test_a_single_row_that_is_too_large_is_refused() -> None:
    clock = Clock()
    batches: Batches[list[int]] = Batches(8, PLACE, clock.patience())
    with pytest.raises(errors.RequestRejectedError, match="413"):
        batches.run(20, Server(clock, most=0))
    assert clock.waits == []


def test_a_single_row_that_times_out_is_given_up_after_a_second_try() -> None:
    clock = Clock()
    server = Server(clock, each=100.0)
    with pytest.raises(errors.UnreachableError, match="timed out"):
        Batches[list[int]](64, PLACE, clock.patience()).run(64, server)
    assert server.sizes == [64, 16, 4, 1, 1]


@pytest.mark.parametrize("threads", [False, True])
def test_a_server_that_stays_away_is_given_up(threads: bool, executor: Executor) -> None:
    clock = Clock()
    server = Server(clock, failures=[DOWN] * 999)
    batches: Batches[list[int]] = Batches(
        10, PLACE, clock.patience(attempts=4), executor=executor if threads else None, in_flight=4
    )
    with pytest.raises(errors.UnreachableError, match="503") as caught:
        batches.run(100, server)
    assert caught.value.__cause__ is DOWN
    assert len(server.sizes) <= 4 + 4 * 3


def test_bugs_pass_at_once() -> None:
    def call(rows: range) -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        Batches[None](8, PLACE, Clock().patience()).run(20, call)


class Crowd:
    """Lets the first four requests in only together, then fails them; counts who is inside."""

    def __init__(self, clock: Clock, failure: Exception) -> None:
        self.clock, self.failure = clock, failure
        self.gate = threading.Barrier(4, timeout=10)
        self.lock = threading.Lock()
        self.calls = self.inside = 0
        self.widths: list[int] = []
        self.moments: list[float] = []

    def __call__(self, rows: range) -> list[int]:
        with self.lock:
            self.calls += 1
            first = self.calls <= 4
            self.inside += 1
            if not first:
                self.widths.append(self.inside)
                self.moments.append(self.clock.now)
        try:
            if first:
                self.gate.wait()
                raise self.failure
            return list(rows)
        finally:
            with self.lock:
                self.inside -= 1


@pytest.mark.parametrize("failure", [DOWN, BUSY, LATE])
def test_trouble_of_one_slows_all(failure: Exception, executor: Executor) -> None:
    clock = Clock()
    crowd = Crowd(clock, failure)
    batches: Batches[list[int]] = Batches(
        8, PLACE, clock.patience(), executor=executor, in_flight=4
    )
    parts = batches.run(96, crowd)
    assert [row for part in parts for row in part] == list(range(96))
    assert max(crowd.widths[:8]) <= 2
    if failure is BUSY:
        assert min(crowd.moments) >= 11
        assert len(clock.waits) <= 2
