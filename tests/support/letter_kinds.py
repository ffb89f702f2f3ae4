"""The kinds of ``letters.py``, with settings, to be put among all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from letters import Bags, Centred, Lengths, Letters

from tsds_qdrant.cli import represent as represent_command
from tsds_qdrant.representations import catalog
from tsds_qdrant.representations.base import Representation
from tsds_qdrant.representations.kinds import KindSettings, Reads
from tsds_qdrant.settings.fields import setting


class Revised(Letters):
    """Letters under a distance, of a model that may have another revision tomorrow."""

    metric = "Euclid"
    revision: ClassVar[int] = 1
    made: ClassVar[list[Letters]] = []
    """All that were made."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        Revised.made.append(self)

    def manifest(self) -> dict[str, Any]:
        return {**super().manifest(), "model": {"revision": Revised.revision}}

    @classmethod
    def texts(cls) -> list[str]:
        """All texts that any of them has read since the last call."""
        found = [text for one in cls.made for text in one.seen]
        cls.made.clear()
        return found


@dataclass(frozen=True)
class LettersSettings(KindSettings):
    """Letters

    Attributes:
        letters: how many.
        upper: nothing depends on it.
    """

    kind: ClassVar[str] = "letters"
    summary: ClassVar[str] = "Counts of letters."
    example: ClassVar[str] = "--letters 4"
    reads: ClassVar[Reads] = "texts"

    letters: int = setting(3, "How many.", least=1)
    upper: bool = setting(True, "Nothing.", " /--no-upper")

    def made(self) -> Representation:
        return Revised(self.letters, self.known_as)


@dataclass(frozen=True)
class BagsSettings(LettersSettings):
    """Bags"""

    kind: ClassVar[str] = "bags"

    def made(self) -> Representation:
        return Bags(self.letters, self.known_as)


@dataclass(frozen=True)
class LengthsSettings(LettersSettings):
    """Lengths"""

    kind: ClassVar[str] = "lengths"

    def made(self) -> Representation:
        return Lengths(self.letters, self.known_as)


@dataclass(frozen=True)
class CentredSettings(KindSettings):
    """Centred

    Attributes:
        of: the space that it is made of.
    """

    kind: ClassVar[str] = "centred"
    summary: ClassVar[str] = "Vectors less their mean."
    example: ClassVar[str] = "--of letters"
    reads: ClassVar[Reads] = "vectors"

    of: str = setting("", "Of which.", metavar="NAME")

    def made(self) -> Representation:
        return Centred(self.of, self.known_as)


SETTINGS = (LettersSettings, BagsSettings, LengthsSettings, CentredSettings)


@contextmanager
def letter_kinds() -> Iterator[None]:
    """All kinds, and these."""
    kinds = {**catalog.KINDS, **{one.kind: one for one in SETTINGS}}
    Revised.made.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "KINDS", kinds)
        patch.setattr(represent_command, "KINDS", kinds)
        patch.setattr(Revised, "revision", 1)
        yield
