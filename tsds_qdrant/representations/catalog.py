"""All kinds of representations."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tsds_qdrant.representations.derived.kinds import ClustersSettings, WhitenedSettings
from tsds_qdrant.representations.gradients.kinds import (
    LossGradientsSettings,
    MarginGradientsSettings,
    UnitGradientsSettings,
)
from tsds_qdrant.representations.kinds import KindSettings
from tsds_qdrant.representations.language.kinds import HiddenSettings
from tsds_qdrant.representations.stores.kinds import BergsonSettings
from tsds_qdrant.representations.text_kinds import Bm25Settings, NgramsSettings, TextSettings

KINDS: Mapping[str, type[KindSettings]] = MappingProxyType(
    {
        one.kind: one
        for one in (
            TextSettings,
            HiddenSettings,
            UnitGradientsSettings,
            LossGradientsSettings,
            MarginGradientsSettings,
            WhitenedSettings,
            ClustersSettings,
            Bm25Settings,
            NgramsSettings,
            BergsonSettings,
        )
    }
)
"""Every kind, by the name that ``represent`` calls it."""
