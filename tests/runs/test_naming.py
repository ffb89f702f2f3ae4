"""Points of a run by id, the beginning of one, rank or text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from tsds_qdrant import Run, SelectionSettings, create_collection, new_run
from tsds_qdrant.errors import InputError
from tsds_qdrant.runs.naming import named_points

IDS = [str(UUID(int=(k + 1) << 100)) for k in range(40)]
TEXTS = [f"The {('red', 'blue')[k % 2]} house, number {k}: a\n  HOUSE" for k in range(40)]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    rows = np.random.default_rng(0).normal(size=(44, 3)).astype(np.float32)
    payloads = [{"text": one} for one in [*TEXTS, *[f"numbered {k}" for k in range(4)]]]
    metadata = {"text": {"text_field": "text"}}
    with create_collection(str(tmp_path / "s"), "pool", dimension=3, metadata=metadata) as pool:
        pool.upsert([*IDS, 7, 71, 1234, 99999], rows, payloads)
        yield new_run(pool, rows[:2], SelectionSettings.of(sizes=(12,)))


def test_ids_and_ranks(run: Run) -> None:
    drawn = run.selection.selected_ids
    assert named_points(run, [IDS[3].upper(), "71"], [0, 11]) == [IDS[3], 71, drawn[0], drawn[11]]
    assert named_points(run, ["777"]) == [777]  # which explain says is not there


def test_the_beginning_of_an_id_is_enough(run: Run) -> None:
    one = IDS[20]
    shortest = next(n for n in range(4, 37) if sum(i.startswith(one[:n]) for i in IDS) == 1)
    assert named_points(run, [one[:shortest]]) == [one]
    digits = next(i for i in IDS if i[:8].isdecimal())
    assert named_points(run, [digits[:8]]) == [digits]
    with pytest.raises(InputError, match=r"40 ids begin with '': 0.*, .*, .* \.\.; give more"):
        named_points(run, [""])


def test_words_name_a_candidate(run: Run) -> None:
    assert named_points(run, text="number 17: A house") == [IDS[17]]
    with pytest.raises(InputError, match=r"candidates have 'blue house' in them: .*give more"):
        named_points(run, text="blue house")
    with pytest.raises(InputError, match="no candidate that the run has met has 'green'"):
        named_points(run, text="green")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"ranks": [12]}, "rank is 12, and the selection has 12; give one from 0 to 11"),
        ({"ranks": [-1]}, "rank is -1"),
        ({"ids": ["xyz"]}, "'xyz' is no point id, and the run knows none that begins so"),
    ],
)
def test_what_names_nothing_is_refused(run: Run, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        named_points(run, **asked)
