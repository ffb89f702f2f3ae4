"""What the README shows works as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from tsds_qdrant.cli import app

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(README) if found == language]


def test_python_blocks_print_what_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    printed = []
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
        printed.append(capsys.readouterr().out)
    assert len(printed) >= 2
    following = README.split("```python\n")[1:]
    shown = [re.search(r"^```text\n(.*?)^```$", part, re.M | re.S) for part in following]
    assert printed == [text[1] if text else "" for text in shown]


def commands() -> list[list[str]]:
    lines = "\n".join(blocks("console")).replace("\\\n", " ").splitlines()
    words = [line.split("tsds-qdrant ", 1)[1].split() for line in lines if "tsds-qdrant " in line]
    return [line for line in words if line[0] in get_command(app).commands]  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_and_options_of_the_readme_exist(words: list[str]) -> None:
    command = get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_every_command_is_in_the_readme() -> None:
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert f"| `{name}" in README


def test_every_module_is_on_the_map() -> None:
    package = Path(__file__).parents[2] / "tsds_qdrant"
    section = README.split("## Map of the modules")[1]
    for path in package.iterdir():
        if path.name.startswith("__") or path.suffix not in ("", ".py"):
            continue
        name = path.stem + ("/" if path.is_dir() else "")
        assert f"`{name}`" in section, name


def test_scripts_of_the_readme_exist() -> None:
    root = Path(__file__).parents[2]
    for script in set(re.findall(r"\bscripts/[a-z_/]+(?:\.py)?\b", README)):
        assert (root / script).exists(), script
