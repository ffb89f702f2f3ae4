"""The result of a comparison: every run of every strategy, and figures over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.neighbors.yardstick import Yardstick
from tsds_qdrant.planning.quality import Quality

FIGURES = (
    "coverage",
    "covered",
    "distance",
    "nearer",
    "near_duplicates",
    "effective_size",
    "overlap",
    "target_share",
    "seconds",
)
RUN_COLUMNS = ("method", "seed", *FIGURES)


@dataclass(frozen=True)
class Run:
    """One selection and what it is like.

    Attributes:
        method: one of :data:`~tsds_qdrant.planning.contestants.METHODS`.
        seed: of the selection; None where nothing is left to chance.
        ids: what was selected, best rank first.
        quality: its measures.
        distances: (n,) from each of ``ids`` to the nearest task example.
        seconds: that the strategy took to learn of the pool and to prefer, for all seeds together.
        effective_size: effective sample size of the probabilities, 1 / sum p^2; None where there
            are none.
        overlap: candidates that ``tsds`` selects too under this seed, as a share of all that
            either selects; the mean over its seeds where nothing is left to chance here, and
            None where ``tsds`` is not compared, or is the method itself.
        shares: value of the payload field -> share of the selected that have it; empty if no
            field was asked for.
        target_share: share of the selected that have the value of the target; None without one.
        task_coverage: name of a task -> mean distance from its examples to the nearest selected
            candidate; empty where there is one task.
    """

    method: str
    seed: int | None
    ids: list[PointId]
    quality: Quality
    distances: FloatArray
    seconds: float
    effective_size: float | None
    overlap: float | None
    shares: Mapping[str, float]
    target_share: float | None
    task_coverage: Mapping[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, float | None]:
        """``FIGURES`` by name."""
        return {
            **asdict(self.quality),
            "effective_size": self.effective_size,
            "overlap": self.overlap,
            "target_share": self.target_share,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Figure:
    """A figure over the runs of a strategy.

    Attributes:
        mean: over the seeds.
        spread: standard deviation over the seeds; None if there is only one run.
    """

    mean: float
    spread: float | None


@dataclass(frozen=True)
class Comparison:
    """What :func:`tsds_qdrant.compare` returns.

    Attributes:
        collection: the collection at the time.
        candidates: size of the pool (after the filter).
        queries: how many task examples there are.
        size: how many candidates each strategy selects.
        typical: the distance within which a task example counts as covered: the median distance
            from a task example to its 32nd neighbour.
        bandwidth: h, within which candidates count as near-duplicates.
        yardstick: how near the task examples lie to each other.
        runs: all runs, method by method.
        left_out: method -> why it cannot be used here.
    """

    collection: CollectionInfo
    candidates: int
    queries: int
    size: int
    typical: float
    bandwidth: float
    yardstick: Yardstick
    runs: tuple[Run, ...]
    left_out: Mapping[str, str]

    @property
    def methods(self) -> list[str]:
        """Names of what is compared, in order."""
        return list(dict.fromkeys(run.method for run in self.runs))

    def runs_of(self, method: str) -> list[Run]:
        """The runs of ``method``."""
        return [run for run in self.runs if run.method == method]

    def figure(self, method: str, name: str) -> Figure | None:
        """The figure ``name`` of ``FIGURES`` over the runs of ``method``; None if it has none."""
        return _over_runs([run.figures()[name] for run in self.runs_of(method)])

    def share(self, method: str, value: str) -> Figure:
        """Share of the selected of ``method`` that have ``value`` in the field."""
        found = _over_runs([run.shares.get(value, 0.0) for run in self.runs_of(method)])
        return found or Figure(0.0, None)

    def coverage_of(self, method: str, task: str) -> Figure | None:
        """Coverage of one of several tasks over the runs of ``method``."""
        return _over_runs([run.task_coverage.get(task) for run in self.runs_of(method)])

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks; empty where there is one."""
        return list(self.runs[0].task_coverage) if self.runs else []

    def values(self) -> list[str]:
        """Values of the field, those that the first strategy selects most of first."""
        means = {
            value: [self.share(method, value).mean for method in self.methods]
            for value in sorted({value for run in self.runs for value in run.shares})
        }
        return sorted(means, key=lambda value: means[value], reverse=True)

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each run, with ``RUN_COLUMNS``."""
        for run in self.runs:
            yield {"method": run.method, "seed": run.seed, **run.figures()}

    def as_dict(self) -> dict[str, Any]:
        """The comparison for a machine to read; without the ids."""
        values = self.values()
        return {
            "collection": {"location": self.collection.location, "name": self.collection.name},
            "candidates": self.candidates,
            "queries": self.queries,
            "size": self.size,
            "typical_distance": self.typical,
            "bandwidth": self.bandwidth,
            "yardstick": self.yardstick.facts(),
            "methods": [self._method_facts(method, values) for method in self.methods],
            "left_out": dict(self.left_out),
        }

    def _method_facts(self, method: str, values: list[str]) -> dict[str, Any]:
        found = {name: self.figure(method, name) for name in FIGURES}
        return {
            "method": method,
            "seeds": [run.seed for run in self.runs_of(method) if run.seed is not None],
            **{name: figure and vars(figure) for name, figure in found.items()},
            "shares": {value: vars(self.share(method, value)) for value in values},
            **({"task_coverage": self._task_coverage(method)} if self.tasks else {}),
        }

    def _task_coverage(self, method: str) -> dict[str, Any]:
        found = {task: self.coverage_of(method, task) for task in self.tasks}
        return {task: figure and vars(figure) for task, figure in found.items()}


def _over_runs(values: list[float | None]) -> Figure | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return Figure(float(np.mean(known)), spread)
