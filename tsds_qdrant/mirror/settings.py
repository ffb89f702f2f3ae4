"""How a mirror is made."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Literal

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import directory_of

By = Literal["auto", "snapshot", "scroll"]
WAYS: tuple[By, ...] = ("auto", "snapshot", "scroll")


def way_of(text: str, flag: str) -> By:
    """The way of that name.

    Raises:
        SettingsError: there is none.
    """
    for way in WAYS:
        if way == text.lower():
            return way
    raise SettingsError(f"{flag} is '{text}'; choose one of {', '.join(WAYS)}")


@dataclass(frozen=True)
class MirrorSettings:
    """The mirror

    Attributes:
        to: the directory of embedded collections that it is made in.
        replace: take the place of whatever collection is there.
        by: how points are read: from files, or page by page.
        index: build the HNSW graph of what is read page by page.
    """

    to: Path = setting(
        MISSING,
        "Directory of the mirror, made if it does not exist.",
        metavar="DIR",
        parse=directory_of,
    )
    replace: bool = setting(
        False, "Take the place of the collection that is there, whatever it is; it is lost."
    )
    by: By = setting(
        "auto",
        "How points are read: snapshot (files, graph and all), scroll (page by page); auto if "
        "unset: files where that works.",
        metavar="|".join(WAYS),
        parse=way_of,
        hidden=True,
    )
    index: bool = setting(
        False, "Build the HNSW graph if the points are read page by page; a later run keeps it."
    )
