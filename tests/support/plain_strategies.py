"""Strategies that need nothing of ``represent``, or no more than marks: any pool can carry them.

Those that go by products of gradients of any length are not among them.
"""

from __future__ import annotations

from tsds_qdrant.planning.contestants import METHODS
from tsds_qdrant.strategies.catalog import CATALOG, strategy_class


def _plain(name: str) -> bool:
    rule = strategy_class(name)
    return not (rule.card.needs or rule.any_length)


NEEDY = frozenset(name for name in CATALOG if not _plain(name))
PLAIN = tuple(name for name in CATALOG if name not in NEEDY)
PLAIN_METHODS = tuple(name for name in METHODS if name not in NEEDY)
UNMARKED = frozenset(name for name in PLAIN if not strategy_class(name).card.fields)
"""Those that do without marks too."""
