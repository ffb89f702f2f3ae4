"""What every command shows of its flags."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import run
from typer.main import get_command

import tsds_qdrant
from tsds_qdrant.cli import app
from tsds_qdrant.strategies.catalog import CATALOG

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
MOST_FLAGS, MOST_PARAMETERS = 30, 8
HEAVY = {"torch", "sentence_transformers", "pyarrow", "qdrant_client", "qdrant_edge"}


def flags(shown: str) -> list[str]:
    """Flags that a help shows, in order."""
    found = re.findall(r"^  (?:-h, )?(--[a-z-]+(?:(?: /|,) --[a-z-]+)?)", shown, re.MULTILINE)
    return [flag for spelled in found for flag in re.split(" / |, ", spelled)]


def panels(shown: str) -> list[str]:
    return re.findall(r"^(\S.*):$", shown, re.MULTILINE)


@pytest.mark.parametrize("strategy", CATALOG)
def test_select_shows_few_flags_and_the_usual_ones_first(strategy: str) -> None:
    shown = run("select", "--strategy", strategy, "--help").stdout
    assert len({*flags(shown)} - {"--representation"}) <= MOST_FLAGS  # which is --vector
    assert flags(shown)[:6] == [
        *("--qdrant", "--collection", "--queries", "--size", "--out", "--strategy"),
    ]
    assert panels(shown)[:2] == ["Usual", f"Strategy {strategy}"]
    assert panels(shown)[-1] == "Options"
    assert "--help-all" in shown


def test_the_whole_help_of_select_shows_every_flag() -> None:
    shown = run("select", "--help-all").stdout
    known = {flag for one in COMMANDS["select"].params for flag in (*one.opts, *one.secondary_opts)}
    assert set(flags(shown)) == {*known, "--help"}
    assert len(flags(run("select", "--help").stdout)) < len(known)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_every_command_has_a_help_text(name: str) -> None:
    for parameter in COMMANDS[name].params:
        assert parameter.help, parameter.name
        assert parameter.help.endswith((".", "}", "]")), parameter.name


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_fits_a_terminal(name: str | None) -> None:
    for line in run(*([name] if name else []), "--help").stdout.splitlines():
        assert len(line) <= 80 or line.lstrip().startswith(("tsds-qdrant ", "--"))


@pytest.mark.parametrize("words", [[], ["select"], ["export"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    told = "import sys, tsds_qdrant.cli as c\ntry: c.main()\nfinally: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", told, *words, "--help"], capture_output=True, text=True, check=True
    )
    *_, modules = done.stdout.splitlines()
    assert not HEAVY & set(modules.split())
    assert words or "numpy" not in modules.split()


def test_no_function_of_the_command_line_has_many_parameters() -> None:
    many = []
    for path in (Path(tsds_qdrant.__file__).parent / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                given = node.args
                names = [*given.posonlyargs, *given.args, *given.kwonlyargs]
                if len(names) > MOST_PARAMETERS:
                    many.append((path.name, node.name))
    assert not many
