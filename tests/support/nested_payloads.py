"""Random payloads: nested to 200 levels, with numbers and texts that no collection can hold."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def nested(levels: int, kind: str = "both", leaf: Any = "leaf") -> dict[str, Any]:
    """A payload of that number of levels, itself among them."""
    value = leaf
    for level in range(levels - 1):
        as_list = kind == "lists" or (kind == "both" and level % 2)
        value = [value] if as_list else {"replies": value}
    return {"thread": value}


TEXTS = st.text(st.characters(exclude_categories=())) | st.text()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | TEXTS
    | st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, "\ud800", -0.0, 5e-324])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20
)
PAYLOADS = st.builds(
    nested, st.integers(1, 200), st.sampled_from(["lists", "objects", "both"]), VALUES
) | st.dictionaries(TEXTS, VALUES, max_size=4)
"""Payloads of JSON types, among them what must be refused."""
