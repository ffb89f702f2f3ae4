"""Files of health and metrics say at every check how a watch is, and are whole at any moment."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import free_port
from commands import run
from hypothesis import given
from hypothesis import strategies as st
from locked import open_elsewhere
from profiles import reuses_folder

from tsds_qdrant import SelectionSettings, begin_run, create_collection, open_collection
from tsds_qdrant.collections.server import session as session_module
from tsds_qdrant.collections.server.retries import Patience
from tsds_qdrant.errors import OutputError, StateError, UnreachableError
from tsds_qdrant.runs.settings import WatchSettings
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.vitals import EVENTS, Vitals
from tsds_qdrant.runs.watch import watch

POOL = np.random.default_rng(5).normal(size=(100, 4)).astype(np.float32)
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
NUMBER = r"[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf|NaN)"
SAMPLE = re.compile(rf"({NAME})\{{((?:{LABEL})(?:,{LABEL})*)\}} ({NUMBER})")


def parsed(text: str) -> dict[tuple[str, str], float]:
    """Samples by name and event, of a text in Prometheus' format; whatever is odd fails."""
    assert text.endswith("\n")
    found: dict[tuple[str, str], float] = {}
    helped: list[str] = []
    kind, name = "", ""
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, said = re.fullmatch(rf"# HELP ({NAME}) (.+)", line).groups()  # type: ignore[union-attr]
            assert name not in helped
            assert "\\" not in said
            helped.append(name)
        elif line.startswith("# TYPE "):
            typed, kind = re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge)", line).groups()  # type: ignore[union-attr]
            assert typed == name
            assert name.endswith("_total") == (kind == "counter")
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            assert sample[1] == name
            labels = dict(one.split("=", 1) for one in re.findall(LABEL, sample[2]))
            key = (name, labels.get("event", '""')[1:-1])
            assert key not in found
            assert kind == "gauge" or float(sample[3]) >= 0
            assert {"collection", "run"} <= labels.keys()
            found[key] = float(sample[3])
    assert all(name.startswith("tsds_qdrant_") for name in helped)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with create_collection(str(tmp_path / "store"), "pool", dimension=4, metric="Euclid") as made:
        made.upsert(range(100), POOL)
        wanted = SelectionSettings.of(sizes=(6,), alpha=0.5, cost_scale=1.0, bandwidth=0.6)
        begin_run(tmp_path / "task.run", made, POOL[:5] + 0.01, wanted)
    return tmp_path


def add(store: Path, *numbers: int) -> None:
    with open_collection(str(store / "store"), "pool") as pool:
        pool.upsert(numbers, POOL[:1].repeat(len(numbers), 0) + 0.01)


class Read:
    """What the files said during each pause of a watch; each pause does the next step."""

    def __init__(self, store: Path, *steps: Callable[[], Any], **more: Any) -> None:
        self.stop, self.todo = threading.Event(), list(steps)
        self.files = (store / "health.json", store / "m.prom")
        self.health: list[dict[str, Any]] = []
        self.metrics: list[dict[tuple[str, str], float]] = []
        settings = WatchSettings(every=7.0, health=self.files[0], metrics=self.files[1], **more)
        self.events: list[dict[str, Any]] = []
        self.error: Exception | None = None
        try:
            state = RunState(store / "task.run")
            for event in watch(state, settings, self.stop, pause=self.pause):
                self.events.append(event)
        except (StateError, UnreachableError, OutputError) as error:
            self.error = error
        self.read()

    def read(self) -> None:
        self.health.append(json.loads(self.files[0].read_text()))
        self.metrics.append(parsed(self.files[1].read_text()))

    def pause(self, _: float) -> None:
        self.read()
        if self.todo:
            self.todo.pop(0)()
        else:
            self.stop.set()


def total(metrics: dict[tuple[str, str], float], name: str, event: str = "") -> float:
    return metrics[f"tsds_qdrant_{name}", event]


def test_every_check_is_told(store: Path) -> None:
    seen = Read(store, lambda: add(store, 1000, 1001), lambda: add(store, 1002))
    assert [one["event"] for one in seen.health[:3]] == ["unchanged", "changed", "changed"]
    assert [one["run"] for one in seen.health[:3]] == [1, 2, 3]
    for one, event, told in zip(seen.health, seen.events, seen.metrics, strict=False):
        assert list(one) == [
            *("time", "ok", "event", "run", "failures", "last_ok"),
            *("error", "kind", "retryable"),
        ]
        assert one["ok"] is True
        assert (one["error"], one["failures"], one["last_ok"]) == (None, 0, one["time"])
        assert one["event"] == event["event"]
        assert total(told, "up") == 1
        assert total(told, "run_number") == event["run"]
    last, sums = seen.metrics[-1], {"came": 0, "searches": 0, "added": 0, "removed": 0}
    for event in seen.events:
        sums = {name: sums[name] + event[name] for name in sums}
    assert sums["came"] == total(last, "points_came_total") == 3
    assert sums["added"] == total(last, "sample_added_total")
    assert sums["removed"] == total(last, "sample_removed_total")
    assert sums["searches"] == total(last, "searches_total") > 0
    assert total(last, "checks_total", "changed") == 2
    assert total(last, "checks_total", "unchanged") == 1
    assert {event for name, event in last if event} == set(EVENTS)
    assert 0 <= time.time() - total(last, "last_success_timestamp_seconds") < 600


def test_what_passes_is_told(store: Path) -> None:
    with ExitStack() as held:
        held.enter_context(open_elsewhere(store / "store", "pool"))
        seen = Read(store, lambda: None, held.close)
    assert [one["event"] for one in seen.events] == ["locked", "locked", "unchanged"]
    for event, count in zip(seen.events[:2], (1, 2), strict=True):
        assert event["kind"] == "collection_locked"
        assert event["retryable"] is True
        assert event["failures"] == count
    first, second, third = seen.health[:3]
    assert (first["ok"], first["kind"], first["retryable"]) == (False, "collection_locked", True)
    assert (first["run"], first["last_ok"]) == (1, None)
    assert "is open in another process" in first["error"]
    assert second["failures"] == total(seen.metrics[1], "failures") == 2
    assert total(seen.metrics[1], "up") == total(seen.metrics[1], "last_success_timestamp_seconds")
    assert (third["ok"], third["error"], total(seen.metrics[2], "failures")) == (True, None, 0)
    assert total(seen.metrics[2], "checks_total", "locked") == 2


@pytest.mark.slow
def test_what_ends_a_watch_is_told(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "Patience", lambda *_, **__: Patience(seconds=0))
    state = RunState(store / "task.run")
    facts = state.facts()
    facts["collection"]["location"] = f"http://127.0.0.1:{free_port()}"
    state.save(facts, state.arrays(), {})
    seen = Read(store, lambda: None, max_failures=2)
    assert isinstance(seen.error, UnreachableError)
    assert [one["event"] for one in seen.events] == ["unreachable"]
    assert [one["event"] for one in seen.health] == ["unreachable", "failed"]
    assert (seen.health[-1]["kind"], seen.health[-1]["retryable"]) == ("unreachable", True)
    assert total(seen.metrics[-1], "checks_total", "failed") == 1
    facts["collection"]["location"] = str(store / "elsewhere")
    state.save(facts, state.arrays(), {})
    gone = json.loads(run("watch", state.path, "--once", code=1).stdout)
    assert (gone["event"], gone["kind"], gone["retryable"]) == (
        *("failed", "collection_not_found", False),
    )


def test_a_second_watch_leaves_the_files_of_the_first_alone(store: Path) -> None:
    health = store / "h.json"
    state = RunState(store / "task.run")
    first = watch(state, WatchSettings(health=health), threading.Event())
    next(first)
    told = health.read_bytes()
    words = ("watch", state.path, "--health", health, "--once")
    failed = json.loads(run(*words, code=1).stdout)
    assert (failed["event"], failed["kind"], failed["retryable"]) == (
        "failed",
        "state_locked",
        True,
    )
    assert health.read_bytes() == told
    first.close()
    health.unlink()
    run(*words)
    assert json.loads(health.read_text())["event"] == "unchanged"


def test_a_watch_that_begins_says_so(store: Path) -> None:
    """A probe that looks before the first check is over finds a fresh file."""
    health, metrics = store / "h.json", store / "m.prom"
    settings = WatchSettings(health=health, metrics=metrics)
    Vitals.of(RunState(store / "task.run"), settings)
    told = json.loads(health.read_text())
    assert (told["event"], told["ok"], told["run"]) == ("started", False, 1)
    assert {value for (_, event), value in parsed(metrics.read_text()).items() if event} == {0}
    assert not list(store.glob(".*.tmp"))


@given(st.text(), st.text(), st.sampled_from(EVENTS[2:]), st.text(min_size=1))
@reuses_folder
def test_any_name_and_any_error(
    tmp_path: Path, collection: str, path: str, event: str, error: str
) -> None:
    files = (tmp_path / "h.json", tmp_path / "m.prom")
    vitals = Vitals(*files, {"collection": collection, "run": path}, 3)
    vitals.note({"event": event, "error": error, "kind": "k", "retryable": True, "failures": 1})
    text = files[1].read_bytes().decode()
    told = parsed(text)
    assert total(told, "checks_total", event) == 1
    shown = re.search(r'collection="((?:[^"\\]|\\.)*)",run="((?:[^"\\]|\\.)*)"\}', text)
    assert shown
    plain = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
    for escaped, name in zip(shown.groups(), (collection, path), strict=True):
        back = re.sub(r'\\[\\"n]', lambda found: plain[found[0]], escaped)
        assert back == name.encode("utf-8", "replace").decode()
    assert json.loads(files[0].read_text())["error"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--health", "-"), "'-' is no file that every check may replace"),
        (("--metrics", "/dev/null"), "'/dev/null' is no file that every check may replace"),
        (("--health", "same", "--metrics", "same"), "'same' is named for two outputs"),
        (("--out", "o.ids", "--health", "o.ids"), "'o.ids' is named for two outputs"),
        (("--metrics", "task.run"), "'task.run' holds the run"),
        (("--health", "no/where.json"), "does not exist; create it first"),
        (("--health", "store"), "'store' is a directory"),
    ],
)
def test_files_that_cannot_be(
    store: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(store)
    before = (store / "task.run").read_bytes()
    wrong_place = "create it" in said or "directory" in said
    result = run("watch", "task.run", "--once", *words, code=1 if wrong_place else 2)
    assert said in result.stderr
    assert (store / "task.run").read_bytes() == before


@pytest.fixture
def child(store: Path) -> Iterator[subprocess.Popen[str]]:
    words = ("watch", "task.run", "--every", "0.05", "--health", "h.json", "--metrics", "m.prom")
    with subprocess.Popen(
        [sys.executable, "-m", "tsds_qdrant", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=store,
    ) as running:
        yield running
        running.kill()


def test_whoever_reads_finds_a_whole_file(store: Path, child: subprocess.Popen[str]) -> None:
    assert child.stdout
    checks = set()
    while len(checks) < 8:
        child.stdout.readline()
        for _ in range(50):
            json.loads((store / "h.json").read_text())
            told = parsed((store / "m.prom").read_text())
            checks.add(total(told, "checks_total", "unchanged"))
    child.send_signal(signal.SIGKILL)
    child.wait()
    json.loads((store / "h.json").read_text())
    parsed((store / "m.prom").read_text())


@pytest.mark.skipif(shutil.which("find") is None, reason="needs find")
def test_the_age_of_the_file_is_a_probe(store: Path) -> None:
    """The line that the page shows for a liveness probe and a HEALTHCHECK."""
    page = (Path(__file__).parents[2] / "docker" / "README.md").read_text(encoding="utf-8")
    (line,) = set(re.findall(r"test -n \"\$\(find .*\)\"", page))
    health = store / "health.json"
    line = line.replace("/work/health.json", str(health))
    assert str(health) in line

    def passes() -> bool:
        return subprocess.run(["sh", "-c", line], stderr=subprocess.DEVNULL).returncode == 0

    assert not passes()
    run("watch", store / "task.run", "--once", "--health", health)
    assert passes()
    old = time.time() - 86_400

    os.utime(health, (old, old))
    assert not passes()
