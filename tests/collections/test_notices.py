"""What is said while a server keeps somebody waiting: at once, and every half minute."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playback import Clock

from tsds_qdrant.collections.server import notices
from tsds_qdrant.collections.server.notices import EVERY_S, Notices, duration

ERROR = "collection 's' at http://h:1 is away; check it"


@given(st.lists(st.tuples(st.floats(0.1, 50.0), st.booleans()), max_size=60))
def test_a_line_at_once_and_each_half_minute(waits: list[tuple[float, bool]]) -> None:
    clock, said = Clock(), []
    notices = Notices(lambda text: said.append((clock.now, text)), clock)
    first: float | None = None
    for seconds, answered in waits:
        notices.waiting(ERROR, "tried again")
        first = clock.now if first is None else first
        clock.sleep(seconds)
        if answered:
            notices.answered()
    times = [moment for moment, text in said if text.endswith("; tried again")]
    assert times[:1] == ([] if first is None else [first])
    assert all(later - earlier >= EVERY_S for earlier, later in pairwise(times))
    ends = [*times, clock.now] if times else []
    assert max((later - earlier for earlier, later in pairwise(ends)), default=0) <= EVERY_S + 50
    again = [text for _, text in said if text.endswith("answers again")]
    assert len(again) <= len(times)
    assert all("check it" not in text for _, text in said)


def test_a_request_without_an_answer_is_spoken_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "EVERY_S", 0.3)
    said: list[str] = []
    spoken = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        spoken.set()

    watched = Notices(say, time.monotonic)
    with watched.asking("http://h:1"):
        assert spoken.wait(10)
    watched.answered()
    watched.close()
    assert said[0] in ("http://h:1 has not answered for 1 s", "http://h:1 has not answered for 2 s")
    assert said[-1] == "http://h:1 answers again"


def test_nobody_listens() -> None:
    silent = Notices(None, time.monotonic)
    with silent.asking("x"):
        silent.waiting(ERROR, "tried again")
    silent.answered()
    silent.close()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (29.6, "30 s"), (119.4, "119 s"), (119.9, "2 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
