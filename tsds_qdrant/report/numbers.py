"""Numbers as a page shows them."""

from __future__ import annotations

import json
import math
from typing import Any

from tsds_qdrant.report.markup import Html, tag


def figure(value: Any) -> Html:
    """``value`` for the eye, with all its digits in the markup for a machine."""
    plain = json.dumps(value, ensure_ascii=False)
    return tag("data", shown(value), value=plain)


def shown(value: Any) -> str:
    """``value`` in words, or with the digits that matter."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _rounded(value)
    if isinstance(value, list):
        return ", ".join(map(shown, value)) or "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _rounded(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def significant(value: float, digits: int) -> float:
    """``value`` with that many digits."""
    return float(f"{value:.{digits}g}")
