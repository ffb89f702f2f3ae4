"""The trade-off in numbers: alpha, the cost scale C, the slope budget B, and query weights."""

from __future__ import annotations

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.errors import SettingsError


def slope_budget(alpha: float, cost_scale: float) -> float:
    """B = (1 - alpha) C / alpha."""
    return (1.0 - alpha) * cost_scale / alpha


def alpha_of_slope(slope: float, cost_scale: float) -> float:
    """The alpha whose budget B is ``slope``: C / (C + B)."""
    return cost_scale / (cost_scale + slope)


def checked_alpha(alpha: float) -> float:
    """``alpha`` if it lies in (0, 1).

    Raises:
        SettingsError: it does not.
    """
    if not 0.0 < alpha < 1.0:
        raise SettingsError(f"alpha is {alpha:g}; choose it between 0 and 1, both excluded")
    return alpha


def checked_cost_scale(cost_scale: float) -> float:
    """``cost_scale`` if it is positive and finite.

    Raises:
        SettingsError: it is not.
    """
    if not 0.0 < cost_scale < float("inf"):
        raise SettingsError(f"cost_scale is {cost_scale:g}; it must be positive")
    return cost_scale


def scaled_weights(weights: FloatArray, queries: int) -> FloatArray:
    """``weights`` (M,) scaled to sum 1; equal weights if none are given.

    Raises:
        SettingsError: another length, or a weight that is not positive and finite.
    """
    if len(weights) == 0:
        return np.full(queries, 1.0 / queries)
    if len(weights) != queries:
        raise SettingsError(f"{len(weights)} query weights for {queries} query examples")
    good = np.isfinite(weights) & (weights > 0)
    if not good.all():
        raise SettingsError(
            f"the weight of query example {int(np.argmin(good))} is {weights[~good][0]:g}; "
            f"make it positive and finite, or drop that query example"
        )
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if not np.isfinite(total) or weights.min() / total == 0:
        raise SettingsError(
            f"query weights from {weights.min():g} to {weights.max():g} cannot be scaled to sum 1; "
            f"choose them nearer to each other, and smaller"
        )
    # Subtle: scaled weights pass unchanged, so that one problem made from another equals it.
    scaled: FloatArray = weights if abs(total - 1.0) < 1e-12 else weights / total
    return scaled
