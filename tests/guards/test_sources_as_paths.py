"""Test items and task examples may be named by paths."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tsds_qdrant import Destination, ingest_vectors, open_collection
from tsds_qdrant.guards.settings import GuardSettings
from tsds_qdrant.task.sources import task_examples


class Own:
    """A path of somebody else's making."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_sources_of_test_items_are_texts_paths_or_one_alone() -> None:
    expected = GuardSettings(("a.jsonl", "b.npy"))
    assert GuardSettings((Path("a.jsonl"), Own(Path("b.npy")))) == expected  # type: ignore[arg-type]
    assert GuardSettings("a.jsonl") == GuardSettings(("a.jsonl",))  # type: ignore[arg-type]
    assert GuardSettings(Path("a.jsonl")) == GuardSettings(("a.jsonl",))  # type: ignore[arg-type]


def test_places_and_files_are_paths_of_any_kind(tmp_path: Path) -> None:
    vectors = np.eye(4)
    np.save(tmp_path / "Q.npy", vectors[:2])
    ingest_vectors(Destination(Own(tmp_path / "store"), "pool"), vectors)
    with open_collection(Own(tmp_path / "store"), "pool") as opened:
        for path in (str(tmp_path / "Q.npy"), tmp_path / "Q.npy", Own(tmp_path / "Q.npy")):
            found = task_examples(path, opened.info())
            np.testing.assert_array_equal(found.vectors, vectors[:2])
