"""Strategies that need nothing of ``represent``: those that any pool can carry."""

from __future__ import annotations

from tsds_qdrant.planning.contestants import METHODS
from tsds_qdrant.strategies.catalog import CATALOG, strategy_class

NEEDY = frozenset(name for name in CATALOG if strategy_class(name).card.needs)
PLAIN = tuple(name for name in CATALOG if name not in NEEDY)
PLAIN_METHODS = tuple(name for name in METHODS if name not in NEEDY)
