"""What can be refused before a model is loaded or a neighbour is searched for."""

from __future__ import annotations

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import InputError, SupportError
from tsds_qdrant.pool.fields import check_fields
from tsds_qdrant.pool.members import having_vector, no_candidate
from tsds_qdrant.represented.marks import described
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.strategies.wording import beyond


def check_possible(collection: Collection, settings: SelectionSettings) -> None:
    """Check that ``collection`` has candidates, as many as are wanted, and the fields of bounds.

    Candidates are counted, not looked at, so what passes may be refused later.

    Raises:
        InputError: there is no candidate, or no point has a field that bounds look at.
        SupportError: there are fewer candidates than are to be drawn.
    """
    info = described(collection)
    members = having_vector(collection, info, settings.search.where)
    if not members.found:
        raise InputError(no_candidate(info, members, settings.search.where))
    check_fields(collection, settings.bounds.fields)
    largest = max(settings.wanted.sizes, default=0)
    if settings.exact_size and not settings.own_size and largest > members.found:
        lacking = settings.search.where is None and members.found < info.count
        raise SupportError(beyond(members.found, largest, info, lacking=lacking))
