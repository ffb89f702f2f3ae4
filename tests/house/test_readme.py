"""What the pages show works as shown, and what they name is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_house import FOREIGN, STOREYS
from typer.main import get_command

from tsds_qdrant.cli import app
from tsds_qdrant.cli.commands import command_of
from tsds_qdrant.cli.select import select_by
from tsds_qdrant.strategies.catalog import CATALOG

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tsds_qdrant"
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (
        ROOT / "README.md",
        *sorted(
            p for top in ("docker", "scripts", "tsds_qdrant") for p in ROOT.glob(f"{top}/**/*")
        ),
    )
    if path.name == "README.md"
}
HIGHEST_LINES = 200
RUNNABLE = ("conftest.py", "durability/kills.py")
"""Parts of the tests that have options of their own."""
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def options_of(command: Any) -> set[str]:
    """The options of a command, and those of its own commands."""
    own = {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    return own.union(*map(options_of, getattr(command, "commands", {}).values()))


OPTIONS = {name: options_of(command) for name, command in COMMANDS.items()}
OPTIONS["select"] = OPTIONS["select"].union(
    *(options_of(command_of("select", select_by(name))) for name in CATALOG)
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(
    r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(page: str) -> str:
    """The page without its blocks."""
    return BLOCK.sub("", PAGES[page])


def console(page: str) -> Iterator[list[str]]:
    """The words of every call of the command line that the page shows."""
    for language, text in BLOCK.findall(PAGES[page]):
        if language == "console":
            for line in text.replace("\\\n", " ").splitlines():
                if found := re.search(r"\btsds-qdrant ([a-z].*)", line.split(" #")[0]):
                    yield found[1].split()


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of all tables below a heading."""
    section = re.split(r"^#+ ", PAGES[page].split(f"# {heading}\n")[1], flags=re.MULTILINE)[0]
    lines = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


def test_the_pages_are_found() -> None:
    assert {"README.md", "docker/README.md", "tsds_qdrant/strategies/README.md"} <= set(PAGES)
    assert len(PAGES["README.md"].splitlines()) <= HIGHEST_LINES


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in PAGES[page]])
def test_python_blocks_print_what_the_page_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block, shown in EXAMPLE.findall(PAGES[page]):
        exec(compile(block, page, "exec"), names)
        assert capsys.readouterr().out == shown


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_of_console_blocks_exist(page: str) -> None:
    for words in console(page):
        assert words[0] in COMMANDS, words
        assert {word for word in words if word.startswith("--")} <= OPTIONS[words[0]], words


def test_options_in_the_text_exist() -> None:
    paths = [*ROOT.glob("scripts/**/*.py"), *(ROOT / "tests" / name for name in RUNNABLE)]
    scripts = "".join(path.read_text(encoding="utf-8") for path in paths)
    known = set(re.findall(r"\"(--[a-z-]+)\"", scripts)) | {"--help"}
    known = known.union(*OPTIONS.values())
    for page in PAGES:
        for code in re.findall(r"`([^`\n]+)`", prose(page)):
            assert set(re.findall(r"(?<!\S)--[a-z-]+", code)) <= known, (page, code)


def test_every_command_has_a_row_and_a_place_where_it_is_described() -> None:
    listed = {row[0].strip("`").split()[0]: row[-1] for row in rows("README.md", "Commands")[2:]}
    assert listed.keys() == COMMANDS.keys()
    shown = {words[0] for page in PAGES for words in console(page)}
    assert shown == COMMANDS.keys() - {"demo"}
    assert all(LINK.search(where) for where in listed.values())


def test_every_strategy_has_a_row_and_a_section() -> None:
    page = "tsds_qdrant/strategies/README.md"
    title = "Strategies: which candidates a task prefers"
    for table in (rows("README.md", "Strategies"), rows(page, title)):
        named = {name for row in table[2:] for name in re.findall(r"`([\w-]+)`", row[0])}
        assert named == set(CATALOG)
    assert set(CATALOG) <= anchors(page)


def test_the_map_has_every_room_and_the_storeys_are_as_drawn() -> None:
    page = "tsds_qdrant/README.md"
    rooms = {
        path.stem + ("/" if path.is_dir() else "")
        for path in PACKAGE.iterdir()
        if not path.name.startswith("__") and (path.is_dir() or path.suffix == ".py")
    }
    assert {row[0].strip("`") for row in rows(page, "Rooms")[2:]} == rooms
    drawn = re.findall(r"^([\w, ]+?)  ", BLOCK.findall(PAGES[page])[0][1], re.MULTILINE)
    assert tuple(tuple(line.split(", ")) for line in drawn) == STOREYS


def test_names_in_the_glossary_are_those_of_the_code() -> None:
    words = set[str]()
    for path in PACKAGE.rglob("*.py"):
        words.update(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    for section in ("Symbols", "Words"):
        for row in rows("tsds_qdrant/README.md", section)[2:]:
            assert set(re.findall(r"`(\w+)`", row[1])) <= words, row


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in LINK.findall(prose(page)):
            if "://" in target:
                continue
            place, _, anchor = target.partition("#")
            path = (ROOT / page).parent / place if place else ROOT / page
            assert path.is_file(), (page, target)
            if anchor:
                assert anchor in anchors(str(path.resolve().relative_to(ROOT))), (page, target)


def test_every_page_is_on_the_front_page() -> None:
    listed = {target.partition("#")[0] for target in LINK.findall(PAGES["README.md"])}
    assert PAGES.keys() - {"README.md"} <= listed


def test_files_named_exist() -> None:
    for page, text in PAGES.items():
        named = re.findall(r"(?<![\w/.:])(?:docker|scripts|tests|tsds_qdrant)/[\w./]*\w", text)
        assert not [name for name in named if not (ROOT / name).exists()], page


def test_headings_that_the_code_cites_exist() -> None:
    cited = [
        (path, page, heading)
        for path in PACKAGE.rglob("*.py")
        for page, heading in re.findall(
            r"([\w/]*README\.md), \"([^\"]+)\"", " ".join(path.read_text("utf-8").split())
        )
    ]
    assert len(cited) >= 3
    for path, page, heading in cited:
        assert re.search(rf"^#+ {re.escape(heading)}$", PAGES[page], re.MULTILINE), (path, page)


def test_pages_are_plain_english() -> None:
    flat = {page: " ".join(text.split()) for page, text in PAGES.items()}
    assert not [(page, found[0]) for page in PAGES if (found := FOREIGN.search(flat[page]))]
