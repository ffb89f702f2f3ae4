"""All kinds of representations."""

from __future__ import annotations

from tsds_qdrant.representations.kinds import KindSettings

KINDS: dict[str, type[KindSettings]] = {}
