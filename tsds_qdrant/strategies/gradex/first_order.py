"""Training by a first-order estimate: margins move along their gradients, and nothing else does.

Near the weights theta the margin of an example is h + <g, w> for a step P w (Li et al. 2024, arXiv
2409.19458): g are its projected gradients, and the one error is that steps lie in the range of P.
So what training on some examples does is a logistic regression without labels or intercept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.strategies.margin_knowledge import falling_short

MOST_STEPS = 60
CLOSE = 1e-10
"""Length of the gradient at which w counts as found, relative to that at the beginning."""
SETTLED = 1e-11
"""What a step may still win of the objective, relatively, where rounding hides it."""


@dataclass(frozen=True)
class Margins:
    """Examples as far as their margins are known.

    Attributes:
        gradients: (n, d) of the margins.
        offsets: (n,) margins h before training.
        weights: (n,) what each counts.
    """

    gradients: FloatArray
    offsets: FloatArray
    weights: FloatArray

    def after(self, step: FloatArray) -> FloatArray:
        """(n,) margins after ``step`` (d,)."""
        margins: FloatArray = self.offsets + self.gradients @ step
        return margins

    def loss(self, step: FloatArray) -> float:
        """Weighted sum of log(1 + exp(-margin)) after ``step`` (d,)."""
        return float(self.weights @ np.logaddexp(0.0, -self.after(step)))

    def pull(self, step: FloatArray) -> FloatArray:
        """(d,) minus the gradient of :meth:`loss` after ``step`` (d,)."""
        pull: FloatArray = (self.weights * falling_short(self.after(step))) @ self.gradients
        return pull


def newton_step(examples: Margins, strength: float, step: FloatArray) -> FloatArray:
    """(d,) the step of Newton's method from ``step`` (d,); see :func:`trained`."""
    slopes = falling_short(examples.after(step))
    curve = strength * examples.weights * slopes * (1.0 - slopes)
    hessian = np.eye(len(step)) + (examples.gradients * curve[:, None]).T @ examples.gradients
    newton: FloatArray = np.linalg.solve(hessian, strength * examples.pull(step) - step)
    return newton


def trained(examples: Margins, strength: float) -> FloatArray:
    """(d,) the w of the smallest |w|^2 / 2 + ``strength`` times the loss of ``examples``.

    By Newton's method, whose first step is what TRAK makes of the examples.
    """
    step = np.zeros(examples.gradients.shape[1])
    first = _force(examples, strength, step)
    force, value = first, _objective(examples, strength, step)
    for _ in range(MOST_STEPS):
        length = float(np.linalg.norm(force))
        if length <= CLOSE * float(np.linalg.norm(first)):
            break
        move, share = newton_step(examples, strength, step), 1.0
        rise = float(force @ move)
        settled = rise <= SETTLED * abs(value)
        lower = _objective(examples, strength, step + move)
        while not settled and lower > value - 1e-4 * share * rise:
            share /= 2
            lower = _objective(examples, strength, step + share * move)
        force = _force(examples, strength, step + share * move)
        # Values that differ by rounding alone say nothing; the gradient still does.
        if settled and float(np.linalg.norm(force)) >= length:
            break
        step, value = step + share * move, lower
    return step


def _objective(examples: Margins, strength: float, step: FloatArray) -> float:
    return float(step @ step) / 2 + strength * examples.loss(step)


def _force(examples: Margins, strength: float, step: FloatArray) -> FloatArray:
    force: FloatArray = strength * examples.pull(step) - step
    return force
