"""The catalogue of strategies: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.strategies.base import Strategy

DEFAULT = "tsds"
CATALOG = {
    "tsds": "tsds_qdrant.strategies.tsds.strategy:Tsds",
    "round-robin": "tsds_qdrant.strategies.nearest:RoundRobin",
    "similarity-max": "tsds_qdrant.strategies.nearest:SimilarityMax",
    "similarity-mean": "tsds_qdrant.strategies.nearest:SimilarityMean",
    "less": "tsds_qdrant.strategies.influence:Less",
    "rose": "tsds_qdrant.strategies.influence:Rose",
    "dsdm": "tsds_qdrant.strategies.dsdm.strategy:Dsdm",
    "gradex": "tsds_qdrant.strategies.gradex.strategy:Gradex",
    "rds": "tsds_qdrant.strategies.hidden_states:Rds",
    "bm25": "tsds_qdrant.strategies.lexical:Bm25",
    "perplexity": "tsds_qdrant.strategies.model_scores:Perplexity",
    "ifd": "tsds_qdrant.strategies.model_scores:Ifd",
    "random": "tsds_qdrant.strategies.even_chance:Random",
    "tarot": "tsds_qdrant.strategies.tarot.strategy:Tarot",
    "uot": "tsds_qdrant.strategies.unbalanced:Unbalanced",
    "dsir": "tsds_qdrant.strategies.words:Dsir",
    "adapt": "tsds_qdrant.strategies.adapt.strategy:Adapt",
    "window": "tsds_qdrant.strategies.window.strategy:Window",
}
"""Name -> module and class; a module is imported when its strategy is used."""
UNIFORM = "tsds-uniform"
SHORT_FOR: Mapping[str, tuple[str, str, str]] = {UNIFORM: ("tsds", "regularizer", "uniform")}
"""What is no strategy, but short for one with a setting: name -> strategy, setting, value."""


def strategy_class(name: str) -> type[Strategy]:
    """The strategy of that name.

    Raises:
        SettingsError: there is none; the message names those that there are.
    """
    if name not in CATALOG:
        raise SettingsError(f"'{name}' is no strategy; choose one of {', '.join(CATALOG)}")
    module, _, kind = CATALOG[name].partition(":")
    found: type[Strategy] = getattr(import_module(module), kind)
    return found


def rule_of(name: str) -> type[Strategy]:
    """The strategy of that name, or the one that the name is short for.

    Raises:
        SettingsError: there is none.
    """
    return strategy_class(SHORT_FOR[name][0] if name in SHORT_FOR else name)
