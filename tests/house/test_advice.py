"""Messages name commands and flags that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tsds_qdrant.cli import app
from tsds_qdrant.cli.commands import command_of
from tsds_qdrant.cli.select import select_by
from tsds_qdrant.strategies.catalog import CATALOG

PACKAGE = Path(__file__).parents[2] / "tsds_qdrant"
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
COMMAND = re.compile(r"tsds-qdrant ([a-z][a-z-]*)")
FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]+)\b")
OTHERS = {"help", "long", "version", "no-name"}
"""Flags of every command, of the group, of zstd, and of an example in a docstring."""


def flags_of(command: Any) -> set[str]:
    return {
        name.removeprefix("--")
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


def known_flags() -> set[str]:
    """Flags of all commands, by any strategy and of any kind of representation."""
    found = set(OTHERS)
    for name in COMMANDS:
        command = COMMANDS[name]
        found |= flags_of(command)
        for kind in getattr(command, "commands", {}).values():
            found |= flags_of(kind)
    for name in CATALOG:
        found |= flags_of(command_of("select", select_by(name)))
    return found


def texts() -> Iterator[tuple[str, str]]:
    """Every text of the package with its place; parts of one f-string are joined."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {
            part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
            for part in node.values
        }  # fmt: skip
        for node in ast.walk(tree):
            place = f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
                yield place, "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and node not in inner:
                yield place, str(node.value)


def test_every_command_in_a_text_exists() -> None:
    named = [(place, one) for place, text in texts() for one in COMMAND.findall(text)]
    assert len(named) > 40
    assert not [(place, one) for place, one in named if one not in COMMANDS]


def test_every_flag_in_a_text_exists() -> None:
    known = known_flags()
    named = [(place, one) for place, text in texts() for one in FLAG.findall(text)]
    assert len(named) > 200
    assert not [(place, one) for place, one in named if one not in known]


@pytest.mark.parametrize("name", ["select", "compare", "path"])
def test_the_usual_flags_come_first(name: str) -> None:
    shown = [one for one in COMMANDS[name].params if getattr(one, "rich_help_panel", None)]
    usual = [str(one.name) for one in shown if one.rich_help_panel == "Usual"]
    assert [str(one.name) for one in shown[: len(usual)]] == usual
    expected = {
        "select": ["qdrant", "collection", "queries", "sizes", "out"],
        "compare": ["qdrant", "collection", "queries", "sizes", "methods"],
        "path": ["qdrant", "collection", "queries"],
    }
    assert [{"size": "sizes"}.get(one, one) for one in usual] == expected[name]
