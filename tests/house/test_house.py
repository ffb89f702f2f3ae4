"""The rules of the house, read from the sources."""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import tsds_qdrant
from tsds_qdrant import errors

PACKAGE = Path(tsds_qdrant.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
HIGHEST_LINES = 260
MOST_PARAMETERS = 8

STOREYS = (
    ("cli",),
    ("demo", "notebook"),
    ("training", "report"),
    ("runs", "planning"),
    ("selection",),
    ("strategies", "guards"),
    ("mirror",),
    ("ingestion", "neighbors"),
    ("task",),
    ("pool",),
    ("records", "represented"),
    ("collections", "representations", "files", "solver"),
    ("settings", "sparse"),
    ("errors", "progress", "arrays", "paths"),
)
"""Each room imports only what is below it; no two rooms of one storey know each other."""
FACE = ("tsds_qdrant", "tsds_qdrant.__main__")
FOREIGN = re.compile(
    r"\b(so many|anew|hangs? on|ha(s|ve) a say|tells|(is|are) told|how nearly)\b", re.IGNORECASE
)
"""Foreign idiom."""
GUESTS = {
    "qdrant_client": "tsds_qdrant.collections",
    "qdrant_edge": "tsds_qdrant.collections or tsds_qdrant.representations.words.bm25",
    "grpc": "tsds_qdrant.collections",
    "httpx": "tsds_qdrant.collections or tsds_qdrant.representations.endpoint",
    "fastembed": "tsds_qdrant.representations.fastembed_model",
    "sentence_transformers": "tsds_qdrant.representations",
    "transformers": "tsds_qdrant.representations or tsds_qdrant.training.mixing_torch",
    "peft": "tsds_qdrant.representations",
    "sklearn": "tsds_qdrant.representations",
    "scipy": "tsds_qdrant.strategies.tarot.exact or tsds_qdrant.strategies.window.ridge or "
    "tsds_qdrant.planning.budget_law",
    "torch": "tsds_qdrant.representations or tsds_qdrant.collections.edge.torch_products or "
    "tsds_qdrant.training.mixing_torch",
    "typer": "tsds_qdrant.cli",
    "rich": "tsds_qdrant.cli",
    "matplotlib": "tsds_qdrant.report.path_plot",
    "datasets": "tsds_qdrant.records or tsds_qdrant.notebook.returned",
    "pandas": "tsds_qdrant.notebook.returned",
    "polars": "tsds_qdrant.notebook.returned",
    "tqdm": "tsds_qdrant.notebook.bars",
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


def room(module: str) -> str:
    return module.split(".")[1]


def test_the_sources_are_found() -> None:
    assert {"tsds_qdrant.cli.select", "tsds_qdrant.selection.select", *FACE} <= set(MODULES)
    assert "tsds_qdrant.errors" in set(imports_of("tsds_qdrant.selection.settings"))
    assert "typer" in set(imports_of("tsds_qdrant.cli.app"))


def test_imports_run_down_the_storeys() -> None:
    level = {name: number for number, row in enumerate(STOREYS) for name in row}
    climbing = {
        (module.removeprefix("tsds_qdrant."), used.removeprefix("tsds_qdrant."))
        for module in MODULES
        if module not in FACE
        for used in imports_of(module)
        if inside(used, "tsds_qdrant")
        and (
            used in FACE
            or (room(used) != room(module) and level[room(used)] <= level[room(module)])
        )
    }
    assert not climbing


def test_every_guest_has_one_home() -> None:
    strangers = [
        (module, name)
        for module in MODULES
        for name in imports_of(module)
        if (homes := GUESTS.get(name.split(".")[0]))
        and not any(inside(module, home) for home in homes.split(" or "))
    ]
    assert not strangers


def test_the_solver_knows_numpy_and_nothing_else() -> None:
    allowed = ("numpy", "tsds_qdrant.solver", "tsds_qdrant.arrays", "tsds_qdrant.errors")
    foreign = [
        (module, used)
        for module in MODULES
        if inside(module, "tsds_qdrant.solver")
        for used in imports_of(module)
        if used.split(".")[0] not in sys.stdlib_module_names
        and not any(inside(used, home) for home in allowed)
    ]
    assert not foreign


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


def test_modules_are_short() -> None:
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
    assert not {name: lines for name, lines in lengths.items() if lines > HIGHEST_LINES}


def test_functions_take_few_parameters() -> None:
    wide = {
        f"{module}.{node.name}": len(taken)
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and len(taken := _parameters(node.args)) > MOST_PARAMETERS
    }
    assert not wide


def _parameters(given: ast.arguments) -> list[str]:
    named = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in named if name not in ("self", "cls")]


def test_modules_and_their_public_names_say_what_they_are() -> None:
    mute = [
        module for module in MODULES if module != FACE[1] and not ast.get_docstring(TREES[module])
    ]
    for module, tree in TREES.items():
        for node in tree.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
                continue
            named = [node, *(node.body if isinstance(node, ast.ClassDef) else ())]
            mute += [
                f"{module}.{node.name}.{one.name}"
                for one in named
                if isinstance(one, ast.ClassDef | ast.FunctionDef)
                and not one.name.startswith("_")
                and not ast.get_docstring(one)
            ]
    assert not mute


def test_nothing_is_left_for_later() -> None:
    left = [
        (module, word)
        for module, path in MODULES.items()
        for word in re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b", path.read_text("utf-8"))
    ]
    left += [
        (module, node.func.id)
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "breakpoint")
    ]
    assert not left


def test_comments_docstrings_and_messages_are_plain_english() -> None:
    kinds = ("COMMENT", "STRING", "FSTRING_MIDDLE")
    foreign = []
    tests = Path(__file__).parents[1]
    others = {*tests.rglob("*.py"), *(tests.parent / "scripts").rglob("*.py")} - {Path(__file__)}
    for path in (*MODULES.values(), *others):
        with path.open("rb") as source:
            foreign += [
                (path, token.start[0], found[0])
                for token in tokenize.tokenize(source.readline)
                if tokenize.tok_name[token.type] in kinds
                and (found := FOREIGN.search(" ".join(token.string.split())))
            ]
    assert not foreign


def test_no_name_says_nothing() -> None:
    never = re.compile(r"(^|_)(data|manager|handler|utils|helper|process)(_|$)", re.IGNORECASE)
    names = [
        (module, name)
        for module, tree in TREES.items()
        for name in (
            module.split(".")[-1],
            *(n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef | ast.FunctionDef)),
        )
    ]
    assert not [name for name in names if never.search(name[1])]


def test_chance_is_passed_in() -> None:
    seeded = re.compile(r"^(np|numpy)\.random\.default_rng\(.+\)|^(np|numpy)\.random\.default_rng$")
    unseeded = [
        (module, call)
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (call := ast.unparse(node)).startswith(("np.", "random."))
        and ast.unparse(node.func).startswith(("np.", "random."))
        and "random." in call
        and not seeded.search(call)
    ]
    assert not unseeded


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
