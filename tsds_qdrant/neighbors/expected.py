"""How many searches a selection takes."""

from __future__ import annotations

SEARCHES_PER_EXAMPLE = 1.5
"""The median of selections of 100 to 5,000 for 10 to 2,000 task examples."""
SEARCHES_PER_SELECTED = 1.9
"""By the default sampler: 1.7 to 2.1 in selections of 300 to 1,000 for 10 to 200 task examples."""


def expected_searches(task_examples: int, size: int) -> float:
    """Searches of a selection of ``size`` for that many ``task_examples``.

    They follow from these alone, not from the pool: one or two for each task example and one for
    each candidate in the support, which is less than twice the size (scripts/README.md, "What a
    selection costs").
    """
    return SEARCHES_PER_EXAMPLE * task_examples + SEARCHES_PER_SELECTED * size
