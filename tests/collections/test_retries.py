"""Requests are tried again while that can help."""

from __future__ import annotations

import pytest
from playback import DOWN, LATE, Clock, Flaky, answered
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse

from tsds_qdrant import errors
from tsds_qdrant.collections.server.failures import OversizedError
from tsds_qdrant.collections.server.retries import retrying


def test_a_passing_failure_is_waited_out() -> None:
    clock, call = Clock(), Flaky(DOWN, DOWN, DOWN, DOWN)
    assert retrying(call, clock.line()) == "done"
    assert call.calls == 5
    assert len(clock.waits) == 4
    for wait, least in zip(clock.waits, [0.5, 1, 2, 4], strict=True):
        assert least <= wait <= least * 1.5
    again = Clock()
    retrying(Flaky(DOWN, DOWN, DOWN, DOWN), again.line())
    assert again.waits == clock.waits


@pytest.mark.parametrize("seconds", [0.0, 0.3, 7.0, 120.0, 3600.0])
def test_time_is_bounded(seconds: float) -> None:
    clock, call = Clock(), Flaky(*[DOWN] * 999)
    with pytest.raises(errors.UnreachableError, match="503: Service Unavailable"):
        retrying(call, clock.line(seconds=seconds))
    assert clock.now == pytest.approx(seconds)
    assert call.calls == len(clock.waits) + 1
    assert max([0.0, *clock.waits]) <= 15


@pytest.mark.parametrize("outage", [0.1, 5.0, 30.0, 60.0, 119.0])
def test_an_outage_shorter_than_patience_is_survived(outage: float) -> None:
    clock = Clock()

    def call() -> str:
        if clock.now < outage:
            raise DOWN
        return "done"

    assert retrying(call, clock.line()) == "done"
    assert outage <= clock.now <= outage + 15
    with pytest.raises(errors.UnreachableError):
        retrying(Flaky(*[DOWN] * 99), clock.line(), opening=True)


def test_a_requested_wait_is_kept() -> None:
    clock = Clock()
    busy = ResourceExhaustedResponse("rate limit", 20)
    assert retrying(Flaky(busy), clock.line()) == "done"
    assert 20 <= clock.waits[0] <= 20.25
    call = Flaky(ResourceExhaustedResponse("rate limit", 3600))
    with pytest.raises(errors.UnreachableError, match=r"busy.*rate limit"):
        retrying(call, clock.line())
    assert call.calls == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
def test_a_final_failure_is_not_repeated(status: int) -> None:
    call = Flaky(answered(status, "no"))
    with pytest.raises(errors.CollectionError):
        retrying(call, Clock().line())
    assert call.calls == 1


def test_a_slow_request_is_repeated_once() -> None:
    call = Flaky(LATE, LATE, LATE)
    with pytest.raises(errors.UnreachableError, match="timed out"):
        retrying(call, Clock().line())
    assert call.calls == 2


def test_what_is_too_large_is_not_repeated() -> None:
    call = Flaky(answered(413, "too large"))
    with pytest.raises(OversizedError):
        retrying(call, Clock().line())
    assert call.calls == 1


def test_errors_of_ours_and_bugs_pass_at_once() -> None:
    for error in (errors.InputError("ours"), KeyError("bug")):
        call = Flaky(error)
        with pytest.raises(type(error)):
            retrying(call, Clock().line())
        assert call.calls == 1
