"""Files that say how a watch is, for probes and for Prometheus; replaced at every check, atomic."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsds_qdrant.files.outputs import atomic_write, write_json
from tsds_qdrant.runs.settings import WatchSettings
from tsds_qdrant.runs.state import RunState

Event = Mapping[str, Any]
STARTED = "started"
FAILED = "failed"
PASSED = ("changed", "unchanged")
EVENTS = (*PASSED, "unreachable", "locked", FAILED)
"""What a check ends as."""
COUNTERS = {
    "came": ("points_came", "Points found to be new or changed."),
    "gone": ("points_gone", "Points in use found to have left."),
    "searches": ("searches", "Searches of neighbours and densities."),
    "added": ("sample_added", "Candidates that came into the sample."),
    "removed": ("sample_removed", "Candidates that left the sample."),
}
"""Figure of an event -> the counter that sums it up, and its help."""


def failure_facts(error: BaseException) -> dict[str, Any]:
    """What an event says of ``error``."""
    return {
        "error": str(error),
        "kind": getattr(error, "kind", "system"),
        "retryable": getattr(error, "retryable", False),
    }


def utc(seconds: float) -> str:
    """A time as events have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@dataclass
class Vitals:
    """What is known of a watch, and the files that say it.

    Attributes:
        health: a JSON file for probes; None for none.
        metrics: a file in the text format of Prometheus; None for none.
        labels: of all metrics.
        run: number of the last run of the state.
    """

    health: Path | None
    metrics: Path | None
    labels: Mapping[str, str]
    run: int
    _last: Event = field(default_factory=lambda: {"event": STARTED})
    _checked: float = 0.0
    _passed: float = 0.0
    _checks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
    _sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))

    @classmethod
    def of(cls, state: RunState, settings: WatchSettings) -> Vitals:
        """Those of a watch that begins.

        Raises:
            OutputError: a file cannot be written.
            StateError: the state cannot be read.
        """
        name = (state.fact("collection") or {}).get("name", "")
        labels = {"collection": name, "run": str(state.path.resolve())}
        found = cls(settings.health, settings.metrics, labels, len(state.runs()))
        found._write(time.time())
        return found

    def note(self, event: Event) -> None:
        """Keep what a check has ended as, and write the files.

        Raises:
            OutputError: a file cannot be written.
        """
        self._last, self._checked = event, time.time()
        self._checks[event["event"]] += 1
        if event["event"] in PASSED:
            self._passed, self.run = self._checked, event["run"]
            for name in COUNTERS:
                self._sums[name] += event.get(name, 0)
        self._write(self._checked)

    def _write(self, now: float) -> None:
        if self.health is not None:
            write_json(self.health, self._state(now))
        if self.metrics is not None:
            with atomic_write(self.metrics) as stream:
                stream.write("".join(self._lines()).encode("utf-8"))

    def _state(self, now: float) -> dict[str, Any]:
        last = self._last
        return {
            "time": utc(now),
            "ok": last["event"] in PASSED,
            "event": last["event"],
            "run": self.run,
            "failures": last.get("failures", 0),
            "last_ok": utc(self._passed) if self._passed else None,
            **{name: last.get(name) for name in ("error", "kind", "retryable")},
        }

    def _lines(self) -> Iterator[str]:
        last = self._last
        yield from self._metric(
            "checks", "Checks by what they ended as.", self._checks, counter=True
        )
        for name, (metric, text) in COUNTERS.items():
            yield from self._metric(metric, text, self._sums[name], counter=True)
        gauges = {
            "up": ("Whether the last check passed.", int(last["event"] in PASSED)),
            "failures": ("Failed checks in a row.", last.get("failures", 0)),
            "run_number": ("Number of the last run of the state.", self.run),
            "last_check_timestamp_seconds": ("When the last check ended.", self._checked),
            "last_success_timestamp_seconds": (
                "When the last check that passed ended; 0 for none yet.",
                self._passed,
            ),
            "check_duration_seconds": ("How long the last check took.", last.get("elapsed", 0.0)),
        }
        if "kept_out" in last:
            gauges["kept_out"] = ("Copies of test items that are kept out.", last["kept_out"])
        for metric, (text, value) in gauges.items():
            yield from self._metric(metric, text, value)

    def _metric(
        self, name: str, text: str, value: float | Mapping[str, int], *, counter: bool = False
    ) -> Iterator[str]:
        """A metric in Prometheus' text format, version 0.0.4; ``value`` may be one by event."""
        full = f"tsds_qdrant_{name}" + ("_total" if counter else "")
        yield f"# HELP {full} {text}\n# TYPE {full} {'counter' if counter else 'gauge'}\n"
        by_event = value if isinstance(value, Mapping) else {"": value}
        for event, number in by_event.items():
            labels = {**self.labels, **({"event": event} if event else {})}
            shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
            yield f"{full}{{{shown}}} {number}\n"


def _escaped(text: str) -> str:
    """A value of a label as the format wants it."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return whole.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
