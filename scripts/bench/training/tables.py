"""Tables and the picture of the benchmark, from the trainings that are there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.training.methods import CEILINGS, NAMES

from tsds_qdrant.files.outputs import write_json

REFERENCE = "tsds"
"""Differences are those to this method."""
BASE = "base"
FEWEST = 3
"""Pairs from which something is said."""


@dataclass(frozen=True)
class Results:
    """Finished trainings."""

    rows: list[dict[str, Any]]

    @classmethod
    def read(cls, place: Path) -> Results:
        """All that a directory holds."""
        rows = (
            json.loads(path.read_text(encoding="utf-8")) for path in sorted(place.glob("*.json"))
        )
        return cls([row for row in rows if "method" in row])

    def of(self, method: str, **facts: Any) -> dict[tuple[str, int], dict[str, Any]]:
        """(task, seed) -> training, of those with the given facts."""
        rows = (row for row in self.rows if row["method"] == method)
        return {
            (row["task"], row["seed"]): row
            for row in rows
            if all(row[name] == value for name, value in facts.items())
        }

    def names(self, of: str) -> list[Any]:
        """Values that a fact has."""
        return sorted({row[of] for row in self.rows})

    @property
    def methods(self) -> list[str]:
        there = {row["method"] for row in self.rows}
        return [name for name in (BASE, *NAMES) if name in there]


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation; of one value that value."""
    if not len(values):
        return ""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def against(mine: dict[Any, Any], theirs: dict[Any, Any]) -> str:
    """Paired differences, and what they say: nothing where they are few, or within their spread."""
    pairs = [mine[key]["loss"] - theirs[key]["loss"] for key in mine if key in theirs]
    if len(pairs) < 2:
        return ""
    mean, deviation = float(np.mean(pairs)), float(np.std(pairs, ddof=1))
    said = "no difference" if abs(mean) <= deviation else "lower" if mean < 0 else "higher"
    return (
        f"{mean:+.3f} ± {deviation:.3f}, {said} ({sum(one < 0 for one in pairs)} of {len(pairs)})"
    )


def by_task(results: Results) -> Iterator[str]:
    """Losses on the pools without copies."""
    tasks = results.names("task")
    heads = ["method", *tasks, f"against {REFERENCE}: lower in", "of the task's classes"]
    yield f"| {' | '.join(heads)} |"
    yield "| --- " * (len(tasks) + 3) + "|"
    reference = results.of(REFERENCE, copies=0)
    for method in results.methods:
        cells = [list(results.of(method, copies=0, task=task).values()) for task in tasks]
        losses = [spread([one["loss"] for one in cell]) for cell in cells]
        mine = results.of(method, copies=0)
        other = "" if method == REFERENCE else against(mine, reference)
        shares = [one["share"] for one in mine.values() if "share" in one]
        share = f"{np.mean(shares):.0%}" if shares and method not in CEILINGS else ""
        yield f"| {method} | {' | '.join(losses)} | {other} | {share} |"


def by_copies(results: Results) -> Iterator[str]:
    """Losses, distinct texts, mass and seconds as copies come into the pool."""
    numbers, tasks = results.names("copies"), results.names("task")
    with_copies = {row["task"] for row in results.rows if row["copies"]}
    tasks = [task for task in tasks if task in with_copies]
    heads = ["method", "copies of each of 20 texts", "loss", f"against {REFERENCE}: lower in"]
    heads += ["distinct texts", "texts", "share of the copied", "CPU seconds to select", "to train"]
    yield f"| {' | '.join(heads)} |"
    yield "| --- " * len(heads) + "|"
    for method in results.methods:
        for count in numbers:
            mine: dict[Any, Any] = {}
            theirs: dict[Any, Any] = {}
            for task in tasks:
                mine |= results.of(method, copies=count, task=task)
                theirs |= results.of(REFERENCE, copies=count, task=task)
            rows = [row for row in mine.values() if "texts" in row]
            if not rows or method in CEILINGS:
                continue
            other = "" if method == REFERENCE else against(mine, theirs)
            figures = [
                f"{np.mean([row[name] for row in rows]):.0f}" for name in ("distinct", "texts")
            ]
            mass = f"{np.mean([row['mass'] for row in rows]):.0%}"
            seconds = [
                f"{np.median([row[name] for row in rows]):.2g}"
                for name in ("select_seconds", "train_seconds")
            ]
            loss = spread([row["loss"] for row in rows])
            cells = [method, str(count), loss, other, *figures, mass, *seconds]
            yield f"| {' | '.join(cells)} |"


def facts(results: Results, settings: dict[str, Any]) -> Iterator[str]:
    """What was trained, where and when."""
    rows = [row for row in results.rows if "machine" in row]
    if not rows:
        yield "no training has ended yet"
        return
    last = max(rows, key=lambda row: row["date"])
    loads = [row["machine"]["load"][0] for row in rows]
    seeds = len(results.names("seed"))
    yield (
        f"{len(rows)} selections of {settings['sizes']['budget']:,} tokens, {seeds} seeds, "
        f"{settings['texts']:,} texts, {settings['model']}; learning rate {last['rate']:g}, "
        f"{last['passes']:g} passes; {min(row['date'] for row in rows)} to {last['date']}; "
        f"{last['machine']['cores']} cores ({last['machine']['processor']}), load "
        f"{min(loads):.1f} to {max(loads):.1f}; Python {last['machine']['python']}, "
        + ", ".join(f"{name} {said}" for name, said in last["machine"]["versions"].items() if said)
    )


def drawing(results: Results, path: Path) -> None:
    """Mass on copies and loss against the number of copies."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    masses, losses = figure.subplots(1, 2)
    copied = [row for row in results.rows if row["copies"]]
    tasks = {row["task"] for row in copied}
    counts = sorted({0} | {row["copies"] for row in copied})
    there = {row["method"] for row in copied}
    for method in [name for name in results.methods if name in there and name != BASE]:
        found = [
            [one for task in tasks for one in results.of(method, copies=count, task=task).values()]
            for count in counts
        ]
        places = [str(count) for count, rows in zip(counts, found, strict=True) if rows]
        for axes, name in ((masses, "mass"), (losses, "loss")):
            values = [[row[name] for row in rows] for rows in found if rows]
            axes.errorbar(
                places,
                [np.mean(one) for one in values],
                [np.std(one) for one in values],
                marker="o",
                capsize=3,
                label=method,
            )
    masses.set(xlabel="near-copies of each of 20 texts", ylabel="share of the copied texts")
    losses.set(xlabel="near-copies of each of 20 texts", ylabel="held-out loss (nats a token)")
    losses.legend(fontsize=7)
    figure.savefig(path)


def report(place: Path, picture: Path | None, file: Path | None) -> None:
    """Print the tables of all trainings in ``place``; draw the picture, write all in one file."""
    results = Results.read(place)
    settings = json.loads((place / "settings.json").read_text(encoding="utf-8"))
    for lines in (facts(results, settings), by_task(results), by_copies(results)):
        print("\n".join(lines) + "\n")
    if picture:
        drawing(results, picture)
    if file:
        chosen = json.loads((place / "chosen.json").read_text(encoding="utf-8"))
        write_json(file, {"settings": settings, "chosen": chosen, "trainings": results.rows})
