"""Strategies that need no representation but vectors or texts: those that any pool can carry."""

from __future__ import annotations

from tsds_qdrant.planning.contestants import METHODS
from tsds_qdrant.strategies.catalog import CATALOG, strategy_class

GRADIENTS = frozenset(name for name in CATALOG if strategy_class(name).any_length)
"""They go by gradients as they are, which only vectors under Dot can be."""
NEEDY = GRADIENTS.union(name for name in CATALOG if strategy_class(name).card.needs)
PLAIN = tuple(name for name in CATALOG if name not in NEEDY)
PLAIN_METHODS = tuple(name for name in METHODS if name not in NEEDY)
