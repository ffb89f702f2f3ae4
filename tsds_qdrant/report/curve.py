"""The regularisation path as curves: what other alphas would have given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.solver.path import PathPoint, RegularizationPath
from tsds_qdrant.strategies.evidence import TransportEvidence

STEPS = 40


@dataclass(frozen=True)
class PathCurve:
    """The path at some of its steps.

    Attributes:
        points: by falling alpha, as far as the fetched lists reach.
        chosen: the solution itself.
        reached: whether the curves go as far as the chosen alpha.
    """

    points: tuple[PathPoint, ...]
    chosen: PathPoint
    reached: bool


def path_curve(evidence: TransportEvidence) -> PathCurve | None:
    """The path of ``evidence`` at steps that are evenly spread by alpha; None if it has none."""
    path, solution = evidence.path, evidence.solution
    if path is None:
        return None
    used = float(np.count_nonzero(solution.plan)) / solution.problem.lists.queries
    chosen = PathPoint(
        evidence.alpha,
        solution.threshold,
        used,
        solution.support,
        solution.effective_size,
        solution.transport_cost,
    )
    alphas = [path.alpha_at(step) for step in _spread_steps(path).tolist()]
    points = {alpha: path.at(alpha) for alpha in alphas if path.reaches(alpha)}
    reached = path.reaches(evidence.alpha)
    if reached:
        points[evidence.alpha] = chosen
    return PathCurve(
        tuple(points[alpha] for alpha in sorted(points, reverse=True)), chosen, reached
    )


def _spread_steps(path: RegularizationPath) -> FloatArray:
    """At most ``STEPS`` of the path's thresholds, evenly spread over their alphas."""
    sweep = path.sweep
    steps = np.unique(sweep.thresholds)
    steps = steps[steps <= path.limit]
    if len(steps) <= STEPS:
        return steps
    slopes = sweep.slopes[np.searchsorted(sweep.thresholds, steps, side="right") - 1]
    alphas = path.cost_scale / (path.cost_scale + slopes)
    wanted = np.linspace(alphas[0], alphas[-1], STEPS)
    places = np.minimum(np.searchsorted(-alphas, -wanted), len(steps) - 1)
    spread: FloatArray = steps[np.unique(places)]
    return spread
