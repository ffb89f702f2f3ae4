"""The rules of the house, read from the sources."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tsds_qdrant
from tsds_qdrant import errors

PACKAGE = Path(tsds_qdrant.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
HIGHEST_LINES = 260

PURE = {"transport", "tradeoff", "sweep", "certificate", "path", "density", "sampling"} | {
    "baselines",
    "lists",
    "ngrams",
    "points",
    "quality",
    "turning",
}
PURE_MAY_USE = {f"tsds_qdrant.{name}" for name in (*PURE, "errors", "collections.protocol")}
GUESTS = {
    "qdrant_client": "tsds_qdrant.collections",
    "qdrant_edge": "tsds_qdrant.collections",
    "grpc": "tsds_qdrant.collections",
    "httpx": "tsds_qdrant.collections",
    "sentence_transformers": "tsds_qdrant.embedding",
    "torch": "tsds_qdrant.embedding",
    "typer": "tsds_qdrant.cli",
    "rich": "tsds_qdrant.cli",
    "matplotlib": "tsds_qdrant.plotting",
    "plotly": "tsds_qdrant.report",
    "datasets": "tsds_qdrant.records",
}


def imports_of(name: str) -> Iterator[str]:
    """Modules that module ``name`` imports, wherever the statement stands."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports by a relative name"
            yield node.module or ""
            yield from (
                f"{node.module}.{alias.name}"
                for alias in node.names
                if f"{node.module}.{alias.name}" in MODULES
            )


def inside(module: str, home: str) -> bool:
    return module == home or module.startswith(f"{home}.")


def test_the_sources_are_found() -> None:
    assert {"tsds_qdrant.cli.select", "tsds_qdrant.workflow.select", "tsds_qdrant"} <= set(MODULES)
    assert "tsds_qdrant.errors" in set(imports_of("tsds_qdrant.settings"))
    assert "typer" in set(imports_of("tsds_qdrant.cli.app"))


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_from_the_command_line_to_the_workflow_to_the_rest(module: str) -> None:
    used = set(imports_of(module))
    if not inside(module, "tsds_qdrant.cli") and module != "tsds_qdrant.__main__":
        assert not [name for name in used if inside(name, "tsds_qdrant.cli")]
    upper = inside(module, "tsds_qdrant.cli") or inside(module, "tsds_qdrant.workflow")
    if not upper and module != "tsds_qdrant":
        assert not [name for name in used if inside(name, "tsds_qdrant.workflow")]


@pytest.mark.parametrize("module", MODULES)
def test_every_guest_has_one_home(module: str) -> None:
    for name in imports_of(module):
        guest = name.split(".")[0]
        if guest in GUESTS:
            assert inside(module, GUESTS[guest]), f"{module} imports {guest}"


@pytest.mark.parametrize("name", sorted(PURE))
def test_the_mathematics_knows_numpy_and_nothing_else(name: str) -> None:
    for used in imports_of(f"tsds_qdrant.{name}"):
        top = used.split(".")[0]
        assert top in ("numpy", *sys.stdlib_module_names) or used in PURE_MAY_USE, used


def test_no_module_imports_itself_in_a_circle() -> None:
    at_the_top = {
        name: {
            used
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for used in (node.module or "",)
            if used in MODULES and used != name
        }
        for name, tree in TREES.items()
    }
    left = dict(at_the_top)
    while ready := [name for name, used in left.items() if not used & left.keys()]:
        for name in ready:
            del left[name]
    assert not left


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= HIGHEST_LINES


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_their_public_names_say_what_they_are(module: str) -> None:
    tree = TREES[module]
    if module != "tsds_qdrant.__main__":
        assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{module}.{node.name}"
        public_class = isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for inner in node.body if public_class else ():
            if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                assert ast.get_docstring(inner), f"{module}.{node.name}.{inner.name}"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_left_for_later(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    assert not re.findall(r"\b(TODO|FIXME|XXX|HACK)\b", text)
    assert not [
        node.lineno
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("print", "breakpoint")
    ]


@pytest.mark.parametrize("module", MODULES)
def test_no_name_says_nothing(module: str) -> None:
    never = re.compile(r"(^|_)(data|manager|handler|utils|helper|process)(_|$)", re.IGNORECASE)
    defined = [
        node.name
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    ]
    assert not [name for name in (module.split(".")[-1], *defined) if never.search(name)]


@pytest.mark.parametrize("module", MODULES)
def test_chance_is_passed_in(module: str) -> None:
    calls = [
        ast.unparse(node)
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("np.", "random."))
    ]
    seeded = re.compile(r"^(np|numpy)\.random\.default_rng\(.+\)|^(np|numpy)\.random\.default_rng$")
    for call in calls:
        if "random." in call:
            assert seeded.search(call), call


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    classes = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.TsdsError)
    }
    drawn: dict[str, str] = {}
    parents: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^( *(?:[│├└─ ]*))([A-Z]\w+Error)\b", line)
        if found:
            depth = len(found[1].removeprefix("    ")) // 4
            parents[depth] = found[2]
            drawn[found[2]] = parents[depth - 1] if depth else "Exception"
    assert drawn == {name: kind.__bases__[0].__name__ for name, kind in classes.items()}


def test_the_tree_of_errors_names_exit_codes() -> None:
    tree = errors.__doc__ or ""
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.TsdsError):
            line = next(line for line in tree.splitlines() if re.search(rf"\b{name}\b", line))
            told = re.search(r"exit code (\d)", line)
            assert kind.exit_code == (int(told[1]) if told else 1)
