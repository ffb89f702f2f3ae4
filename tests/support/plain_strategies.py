"""Strategies that need nothing of ``represent``, or no more than marks: any pool can carry them."""

from __future__ import annotations

from tsds_qdrant.planning.contestants import METHODS
from tsds_qdrant.strategies.catalog import CATALOG, strategy_class

GRADIENTS = frozenset(name for name in CATALOG if strategy_class(name).any_length)
"""They go by gradients as they are, which only vectors under Dot can be."""
OF_KINDS = frozenset(name for name in CATALOG if strategy_class(name).card.needs_kinds)
"""They work on any vectors, and the command line gives them others only where these are named."""
NEEDY = GRADIENTS.union(n for n in CATALOG if strategy_class(n).card.needs and n not in OF_KINDS)
PLAIN = tuple(name for name in CATALOG if name not in NEEDY)
UNNAMED = tuple(name for name in PLAIN if name not in OF_KINDS)
"""Those that the command line gives any vectors."""
PLAIN_METHODS = tuple(name for name in METHODS if name not in NEEDY)
UNMARKED = frozenset(name for name in UNNAMED if not strategy_class(name).card.fields)
"""Those that do without marks too."""
