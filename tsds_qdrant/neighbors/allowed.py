"""What a deployment allows of the searches that are wanted."""

from __future__ import annotations

from tsds_qdrant.collections.values import CollectionInfo, Filter
from tsds_qdrant.errors import SettingsError, UnsupportedCollectionError
from tsds_qdrant.neighbors.settings import SearchSettings

EF_LADDER = (128, 256, 512, 1024)


def check_exact(info: CollectionInfo, settings: SearchSettings) -> None:
    """Check that searches may be exact where that is asked for.

    Raises:
        SettingsError: they may not.
    """
    if settings.exact and not info.limits.exact:
        raise SettingsError(
            f"collection '{info.name}' refuses exact searches (strict mode, search_allow_exact); "
            f"leave --exact out, or have them allowed"
        )


def unscannable(info: CollectionInfo, settings: SearchSettings) -> str:
    """Why nothing may be scanned, and what to do; "" where it may."""
    if not settings.scans:
        return "--no-scans rules scans out; leave it out"
    if info.limits.exact:
        return ""
    return (
        f"collection '{info.name}' refuses exact searches (strict mode, search_allow_exact); "
        f"have them allowed"
    )


def check_searchable(info: CollectionInfo, where: Filter | None) -> None:
    """Check that searches are possible at all; with a filter, Qdrant itself says so.

    Raises:
        UnsupportedCollectionError: they are not.
    """
    if not (info.limits.searches or where):
        raise UnsupportedCollectionError(
            f"collection '{info.name}' has no HNSW graph (m is 0) and refuses exact searches "
            f"(strict mode, search_allow_exact), so it cannot be searched; have one of them changed"
        )


def ladder(allowed: int | None) -> tuple[int, ...]:
    """The values of ef to try, ascending, none above what is ``allowed``."""
    if allowed is None or allowed >= EF_LADDER[-1]:
        return EF_LADDER
    return (*(ef for ef in EF_LADDER if ef < allowed), allowed)


def too_low(ef: int, info: CollectionInfo, recall: float) -> str:
    """Why everything is scanned after walks up to ``ef`` were tried."""
    allowed = "" if info.limits.ef is None else ", all that is allowed,"
    tried = f"no ef up to {ef}{allowed} reaches" if ef else "no walk that is allowed reaches"
    return f"{tried} recall {recall}"
