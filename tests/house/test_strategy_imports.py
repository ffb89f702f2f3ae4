"""Strategies are strangers to each other and to the package, which knows their contract alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tsds_qdrant
from tsds_qdrant.strategies.base import Strategy
from tsds_qdrant.strategies.catalog import CATALOG, DEFAULT, strategy_class

PACKAGE = Path(tsds_qdrant.__file__).parent
TSDS = "tsds_qdrant.strategies.tsds"
FRIENDS_OF_TSDS = {"tsds_qdrant", "tsds_qdrant.cli.path"}
"""The names that users import, and the command that is about TSDS alone."""


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
OWN = {place.partition(":")[0] for place in CATALOG.values()} | {
    module for module in MODULES if f"{module}.".startswith(f"{TSDS}.")
}
"""Modules of one strategy alone: those that the catalogue names, and the room of TSDS."""


def imports_of(module: str) -> Iterator[str]:
    """Modules that ``module`` imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nobody_imports_a_strategy_but_the_catalogue() -> None:
    assert set(MODULES) >= OWN
    meddling = {
        (module, used)
        for module in MODULES
        for used in set(imports_of(module)) & OWN
        if not f"{module}.".startswith(f"{TSDS}.")
        and not (f"{used}.".startswith(f"{TSDS}.") and module in FRIENDS_OF_TSDS)
    }
    assert not meddling


def test_the_catalogue_names_modules_and_imports_none() -> None:
    assert not set(imports_of("tsds_qdrant.strategies.catalog")) & OWN
    assert DEFAULT in CATALOG


@pytest.mark.parametrize("name", CATALOG)
def test_every_strategy_has_a_card(name: str) -> None:
    kind = strategy_class(name)
    card = kind.card
    assert issubclass(kind, Strategy)
    assert kind.name == name
    for told in (card.idea, card.cost, card.features, card.criterion):
        assert told.strip()
        assert not told.endswith(".")
    assert not card.paper or "arXiv" in card.paper
