"""Errors of qdrant-edge-py become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tsds_qdrant.collections.refusals import Place, error_from_words
from tsds_qdrant.collections.server.failures import LOCAL_ERRORS
from tsds_qdrant.errors import (
    CollectionLockedError,
    TsdsError,
)


@contextmanager
def edge_failures(location: str, name: str) -> Iterator[None]:
    """Raise errors of qdrant-edge-py as ours; it raises plain exceptions, told apart by text."""
    try:
        yield
    except TsdsError:
        raise
    except Exception as error:
        if type(error) is not Exception and not isinstance(error, LOCAL_ERRORS):
            raise
        place = Place(location, name)
        words = place.clean(str(error))
        if "WouldBlock" in words:
            raise CollectionLockedError(
                f"{place} is open in another process; close that one, then try again"
            ) from error
        raise error_from_words(words, place) from error
