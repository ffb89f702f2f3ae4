"""A few kills of ``scripts/kill_test.py``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "kill_test.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("kill_test", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill_test"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_three_kills_change_nothing(script: Any, tmp_path: Path) -> None:
    tally = script.kill_test(tmp_path, 3)
    assert sum(tally.kills.values()) == 3


def test_differences_are_seen(script: Any) -> None:
    plain = {
        "points": [(1, {}, b"")],
        "selected": [(1, {}, 0)],
        "from scratch": [(1,)],
        "support": [(0, 0, 1)],
        "p": np.array([1.0]),
    }
    assert script.differences(plain, dict(plain)) == []
    assert script.differences(plain, plain | {"p": np.array([0.9])}) == ["p"]
    assert script.differences(plain, plain | {"points": []}) == ["points"]
    changed = plain | {"selected": [(2, {}, 0)]}
    assert script.differences(plain, changed) == ["selected", "killed from scratch"]
