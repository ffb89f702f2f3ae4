"""A few kills of ``kills.py``, which kills many more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kills import differences, kill_test


@pytest.mark.slow
def test_three_kills_change_nothing(tmp_path: Path) -> None:
    tally = kill_test(tmp_path, 3)
    assert sum(tally.kills.values()) == 3


def test_differences_are_seen() -> None:
    plain = {
        "points": [(1, {}, b"")],
        "selected": [(1, {}, 0)],
        "from scratch": [(1,)],
        "support": [(0, 0, 1)],
        "p": np.array([1.0]),
    }
    assert differences(plain, dict(plain)) == []
    assert differences(plain, plain | {"p": np.array([0.9])}) == ["p"]
    assert differences(plain, plain | {"points": []}) == ["points"]
    changed = plain | {"selected": [(2, {}, 0)]}
    assert differences(plain, changed) == ["selected", "killed from scratch"]
