"""Which vectors a strategy searches."""

from __future__ import annotations

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.represented.chosen import view_of_kinds
from tsds_qdrant.strategies.base import Strategy


def view_for(
    collection: Collection, strategy: Strategy, *, named: bool, beside: bool = False
) -> Collection:
    """``collection`` with the vectors searched that ``strategy`` is made for.

    Args:
        collection: at the vectors that are searched otherwise.
        strategy: whose kinds of vectors are looked for.
        named: a user has named the vectors of ``collection``, and so these are searched.
        beside: the user has named them for what is measured, not for what is searched: vectors that
            the strategy is made for come first, and those named stand in for them.

    Raises:
        CollectionNotFoundError: there are several such vectors.
        UnsupportedCollectionError: there are none, none are named, and the strategy cannot do
            without.
    """
    card = strategy.card
    kinds = () if named and not beside else card.kinds
    return view_of_kinds(collection, kinds, strategy.name, needed=card.needs_kinds and not named)
