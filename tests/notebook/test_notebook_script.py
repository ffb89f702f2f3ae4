"""The script that is written as a notebook runs, and selects what it is asked for."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "notebook.py"
MOST_LINES = 10


def test_the_notebook_selects_questions_about_money(capsys: pytest.CaptureFixture[str]) -> None:
    names = runpy.run_path(str(SCRIPT))
    chosen = names["chosen"]
    assert len(chosen) == 6
    assert (chosen["topic"] == "money").sum() >= 5
    pool = names["pool"].loc[chosen.index]
    assert chosen["question"].tolist() == pool["question"].tolist()
    assert "Selected(6 of 36 for 2 task examples" in capsys.readouterr().out


def test_from_frame_to_frame_takes_few_lines() -> None:
    cells = SCRIPT.read_text(encoding="utf-8").split("# %%")
    cell = next(cell for cell in cells if "select_from(" in cell)
    assert len([line for line in cell.splitlines() if line.strip()]) <= MOST_LINES
