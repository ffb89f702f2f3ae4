"""The kinds of representations, and the settings that each is made by.

The settings are the flags of ``represent KIND``, and what a collection keeps to make the same
representation of task examples.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.representations.base import Representation
from tsds_qdrant.settings.fields import setting

Reads = Literal["vectors", "texts", "dialogues", "rows"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
ONLY_HERE = ("device", "batch_size", "batch_tokens")
"""Settings that no value depends on, but for rounding."""


def name_of(text: str, flag: str) -> str:
    """The name of a representation.

    Raises:
        SettingsError: it has other signs than letters, digits, hyphens and underscores.
    """
    if not NAME.fullmatch(text):
        raise SettingsError(
            f"{flag} is '{text}'; make a name of letters, digits, hyphens and underscores, "
            f"the first one a letter or digit"
        )
    return text


@dataclass(frozen=True, kw_only=True)
class KindSettings(ABC):
    """What a representation is made by."""

    kind: ClassVar[str]
    summary: ClassVar[str]
    """One line for the list of kinds."""
    reads: ClassVar[Reads]
    """What it is made of."""
    example: ClassVar[str]
    """What follows ``tsds-qdrant represent KIND --qdrant ./store --collection pool``."""

    name: str | None = setting(
        None,
        "Name of the representation; that of the kind if unset.",
        metavar="NAME",
        parse=name_of,
    )

    def of_space(self, searched: str) -> KindSettings:
        """The settings in a collection whose space ``searched`` is searched by default."""
        return self

    @property
    def known_as(self) -> str:
        """Its name."""
        return self.name or self.kind

    @abstractmethod
    def made(self) -> Representation:
        """The representation."""

    def remembered(self) -> dict[str, Any]:
        """All settings that values depend on, as JSON values."""
        kept = {one.name: getattr(self, one.name) for one in fields(self)}
        return {key: value for key, value in kept.items() if key not in ONLY_HERE}

    @classmethod
    def restored(cls, stored: Mapping[str, Any], **here: Any) -> KindSettings:
        """The settings that :meth:`remembered` gave; ``here`` are those of this machine."""
        known = {one.name for one in fields(cls)}
        given = {key: _tuples(value) for key, value in stored.items() if key in known}
        own = {key: value for key, value in here.items() if key in known and value is not None}
        return cls(**{**given, **own})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
