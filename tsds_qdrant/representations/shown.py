"""What is shown of examples, as texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tsds_qdrant.representations.base import Examples, Shown


def texts_of(examples: Examples) -> list[str]:
    """The text of each of ``examples``, which are no vectors."""
    return [one.text for one in cast("Sequence[Shown]", examples)]
