"""How large requests are and how many are under way: lessons of answers, failures and time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsds_qdrant.collections.server.pace import RECOVERY, TARGET_S, Allowance, Pace


def test_quick_answers_double_a_request() -> None:
    pace = Pace(100, 16)
    sizes = []
    for _ in range(5):
        sizes.append(pace.rows)
        pace = pace.answered(pace.rows, 0.001)
    assert sizes == [16, 32, 64, 100, 100]


def test_slow_answers_shrink_it_to_what_fits() -> None:
    assert Pace(100, 64).answered(64, 4 * TARGET_S).rows == 16
    assert Pace(100, 64).answered(64, 1_000 * TARGET_S).rows == 1
    assert Pace(100, 64).answered(1, 2 * TARGET_S).rows == 1


def test_a_small_request_says_nothing_against_larger_ones() -> None:
    assert Pace(100, 64).answered(3, 0.5 * TARGET_S).rows == 64
    assert Pace(100, 64).answered(3, 0.0).rows == 64


def test_what_timed_out_is_quartered_and_may_grow_again() -> None:
    pace = Pace(100, 64).timed_out(64)
    assert pace.rows == 16
    assert pace.timed_out(2).rows == 1
    assert pace.answered(16, 0.01).rows == 32


def test_what_was_refused_is_never_sent_again() -> None:
    pace = Pace(100, 64).refused(64)
    for _ in range(10):
        pace = pace.answered(pace.rows, 0.001)
    assert pace.rows == 32
    assert pace.refused(1).rows == 1


@given(
    st.integers(1, 1_000),
    st.integers(1, 1_000),
    st.floats(0, 0.3),
    st.floats(1e-5, 3.0),
)
def test_requests_settle_at_the_target(most: int, first: int, start: float, each: float) -> None:
    pace = Pace(most, min(most, first))
    for _ in range(40):
        pace = pace.answered(pace.rows, start + each * pace.rows)
        assert 1 <= pace.rows <= most
        assert each * (pace.rows - 1) <= TARGET_S  # whatever the first one was
    seconds = start + each * pace.rows
    assert seconds <= TARGET_S + 1e-9 or pace.rows == 1
    one_more = start + start / pace.rows + each * (pace.rows + 1)
    assert one_more > TARGET_S - 1e-9 or pace.rows == most


def test_one_overload_halves_once() -> None:
    allowance = Allowance(4, 4.0).troubled(1.0, 2.0, 0.5)
    for sent in (1.1, 1.2, 2.0):
        allowance = allowance.troubled(sent, 2.1, 0.5)
    assert allowance.width == 2.0
    assert allowance.troubled(2.2, 2.3, 0.5).width == 1.0
    assert allowance.troubled(2.2, 2.3, 0.5).troubled(2.4, 2.5, 0.5).width == 1.0


def test_everyone_waits_until_the_latest_moment_asked_for() -> None:
    allowance = Allowance(4, 4.0)
    assert allowance.wait(0.0) == 0.0
    allowance = allowance.troubled(0.0, 1.0, 20.0).troubled(0.5, 1.5, 3.0)
    assert allowance.wait(2.0) == 19.0
    assert allowance.wait(21.5) == 0.0


def test_width_comes_back_slowly() -> None:
    allowance = Allowance(4, 4.0).troubled(0.0, 1.0, 0.0)
    widths = []
    for _ in range(3 * RECOVERY):
        allowance = allowance.answered()
        widths.append(int(allowance.width))
    assert widths == [2] * (RECOVERY - 1) + [3] * RECOVERY + [4] * (RECOVERY + 1)
