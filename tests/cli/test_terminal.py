"""What a person who waits is shown."""

from __future__ import annotations

import pytest

from tsds_qdrant.cli.terminal import progress_bars
from tsds_qdrant.progress import about, notice, notices_to


def test_a_notice_is_shown_once_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    notice("a", "nobody hears this")
    with progress_bars():
        for subject in ("a", "b", "a"):
            notice(subject, f"{subject} [takes] long")
    notice("a", "nor this")
    assert capsys.readouterr() == ("", "a [takes] long\nb [takes] long\n")
    with progress_bars(quiet=True):
        notice("a", "and this not under --json")
    assert capsys.readouterr() == ("", "")


def test_inner_listeners_come_first() -> None:
    outer, inner = list[str](), list[str]()
    with notices_to(outer.append):
        with notices_to(inner.append):
            notice("a", "in")
        notice("a", "out")
    assert (outer, inner) == (["out"], ["in"])


def test_a_line_now_and_then_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with progress_bars() as progress:
        for second in range(101):
            clock[0] = float(second)
            progress("task examples", 10 * second, 2_000)
        clock[0] = 140.0
        progress("densities", 0, 0)
    assert capsys.readouterr().err.splitlines() == [
        "task examples: 300 of 2000, about 3 minutes left",
        "task examples: 600 of 2000, about 2 minutes left",
        "task examples: 900 of 2000, about 2 minutes left",
        "densities: 0",
    ]
    with progress_bars(quiet=True) as progress:
        clock[0] = 999.0
        progress("task examples", 1, 2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "about 1 s"),
        (59, "about 59 s"),
        (89, "about 89 s"),
        (90, "about 2 minutes"),
        (240, "about 4 minutes"),
        (5_400, "about 2 hours"),
        (86_400 * 3, "about 3 days"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert about(seconds) == words
