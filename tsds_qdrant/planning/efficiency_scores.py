"""From scores that a user has measured to the survey's figure, with what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsds_qdrant.errors import BadRecordError, InputError, SettingsError
from tsds_qdrant.planning.budget_measured import Score
from tsds_qdrant.planning.efficiency import (
    ANCHORS,
    MAPPED,
    METRICS,
    Efficiency,
    Metric,
    metric_of,
    published,
)


@dataclass(frozen=True)
class Efficiencies:
    """What was measured, in the survey's figure.

    Attributes:
        rows: the most efficient first.
        warnings: sentences on what the figure rests on.
    """

    rows: tuple[Efficiency, ...]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For a machine to read."""
        return {
            "strategies": [
                {
                    "strategy": one.strategy,
                    "sdf": one.share,
                    "pir": one.pir,
                    "gap": one.gap,
                    "distance": one.distance,
                    "score_ratio": one.ratio,
                    "metric": one.metric,
                    "ratios": one.ratios,
                    "beside": one.beside,
                }
                for one in self.rows
            ],
            "published": published(),
            "warnings": list(self.warnings),
        }


def efficiencies(
    scores: Sequence[Score],
    path: str | Path,
    *,
    metric: Metric = "other-benchmark",
    full_score: float | None = None,
) -> Efficiencies:
    """PIR, SDF and the distance from the base line of every method and size.

    The base line of a score is what its row says, else the mean of the scores of training on
    everything of its benchmark, else ``full_score``.

    Args:
        scores: of trainings on selections and on everything.
        path: of their file, for messages.
        metric: what scores are whose rows do not say it.
        full_score: of training on everything.

    Raises:
        InputError: a score without a base line, or none at all.
    """
    groups: dict[tuple[str, float, Metric], list[float]] = {}
    for one in scores:
        if not one.whole:
            kind = _metric(one, metric)
            ratio = one.score / _baseline(one, scores, full_score)
            groups.setdefault((one.method, one.share, kind), []).append(ratio)
    if not groups:
        raise InputError(
            f"'{path}' holds no score of a selection; add rows with method, share or n, and score"
        )
    rows = [
        Efficiency(method, share, float(np.mean(ratios)), kind, len(ratios))
        for (method, share, kind), ratios in groups.items()
    ]
    rows.sort(key=lambda one: -one.gap)
    return Efficiencies(tuple(rows), tuple(_warnings(rows)))


def _metric(one: Score, usual: Metric) -> Metric:
    if one.metric is None:
        return usual
    try:
        return metric_of(one.metric, "metric")
    except SettingsError:
        raise BadRecordError(
            one.place, f"has the metric '{one.metric}'", f"give one of {', '.join(METRICS)}"
        ) from None


def _baseline(one: Score, scores: Sequence[Score], full_score: float | None) -> float:
    whole = [other.score for other in scores if other.whole and other.benchmark == one.benchmark]
    found = one.baseline
    if found is None:
        found = float(np.mean(whole)) if whole else full_score
    if found is None or found <= 0:
        of = f" of benchmark '{one.benchmark}'" if one.benchmark else ""
        raise BadRecordError(
            one.place,
            f"has no score above 0 of training on everything{of} to be compared with",
            "add a row of the method full, a column baseline, or give --full-score",
        )
    return found


def _warnings(rows: Sequence[Efficiency]) -> Iterator[str]:
    anchors = [share for share, _ in ANCHORS.values()]
    yield (
        f"the base line goes through two methods ({', '.join(ANCHORS)}), at {min(anchors):g} and "
        f"{max(anchors):g} of their pools"
    )
    if mapped := sorted({one.metric for one in rows if one.metric in MAPPED}):
        yield (
            f"ratios of {' and '.join(mapped)} scores are mapped onto those of win rates by two "
            f"points each; compare them among themselves"
        )
    if outside := [one for one in rows if one.extrapolated]:
        names = ", ".join(dict.fromkeys(one.strategy for one in outside))
        yield f"the ratios of {names} lie outside of those two points, so PIR is extrapolated"
    if single := [one.strategy for one in rows if one.ratios < 2]:
        names = ", ".join(dict.fromkeys(single))
        yield (
            f"one training each says nothing of chance ({names}); add rows of more seeds or "
            f"benchmarks"
        )
