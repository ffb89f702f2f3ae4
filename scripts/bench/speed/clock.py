"""Alternating runs, medians with their spread, and what machine they ran on."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Contender = Callable[[], tuple[float, Any]]
"""Runs once; returns the seconds that count, and what came out."""
PACKAGES = ("numpy", "qdrant-edge-py", "faiss-cpu", "torch", "transformers")


@dataclass(frozen=True)
class Timing:
    """Seconds of the runs of one contender, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        if len(self.seconds) == 1:
            return f"{shown(self.median)} s (1 run)"
        return f"{shown(self.median)} s ({shown(min(self.seconds))}-{shown(max(self.seconds))})"


def shown(seconds: float) -> str:
    """``seconds`` with three digits."""
    return f"{seconds:.0f}" if seconds >= 99.5 else f"{seconds:#.3g}"


def alternate(
    contenders: Mapping[str, Contender], repeats: int, patience: float
) -> dict[str, tuple[Timing, Any]]:
    """Run all ``contenders`` in turn, ``repeats`` times: A B C A B C; keep each one's last result.

    One that kept us longer than ``patience`` seconds does not run again.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    results: dict[str, Any] = {}
    waited = dict.fromkeys(contenders, 0.0)
    for _ in range(repeats):
        for name, run in contenders.items():
            if waited[name] <= patience:
                started = time.perf_counter()
                took, results[name] = run()
                waited[name] = time.perf_counter() - started
                seconds[name].append(took)
                say(f"  {name}: {took:.2f} s (waited {waited[name]:.1f} s)")
    return {name: (Timing(tuple(seconds[name])), results[name]) for name in contenders}


def clocked(run: Callable[[], Any]) -> Contender:
    """A contender whose every second counts."""

    def timed() -> tuple[float, Any]:
        started = time.perf_counter()
        result = run()
        return time.perf_counter() - started, result

    return timed


def machine() -> dict[str, Any]:
    """Facts that tell how far to trust the seconds."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def say(text: str) -> None:
    """Tell how far the benchmark is; stdout is for the tables."""
    print(text, file=sys.stderr, flush=True)
