"""Ids of the rows of a store, in every form of file."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from tsds_qdrant.errors import InputError
from tsds_qdrant.ingestion.row_ids import read_row_ids

UUIDS = [str(UUID(int=number * 7919)) for number in range(4)]
NUMBERS = [5, 0, 2**64 - 1, 17]


@pytest.mark.parametrize("ids", [NUMBERS, UUIDS], ids=["numbers", "uuids"])
def test_every_form_gives_the_same_ids(tmp_path: Path, ids: list[int | str]) -> None:
    (tmp_path / "a.txt").write_text("\n".join(map(str, ids)) + "\n\n")
    (tmp_path / "b.ids").write_text("\ufeff" + "\r\n".join(map(str, ids)))
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"id": one}) + "\n" for one in ids))
    (tmp_path / "d.csv").write_text("id,x\n" + "".join(f"{one},1\n" for one in ids))
    np.save(tmp_path / "e.npy", np.array(ids, dtype=None if isinstance(ids[0], str) else np.uint64))
    for path in sorted(tmp_path.iterdir()):
        assert read_row_ids(path, 4) == ids, path.name


def test_a_saved_dataset_beside_the_store_has_a_column_of_ids(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict({"point": UUIDS, "length": [1, 2, 3, 4]})
    made.save_to_disk(str(tmp_path / "data.hf"))
    assert read_row_ids(tmp_path / "data.hf", 4, "point") == UUIDS
    with pytest.raises(InputError, match="has no field 'id' "):
        read_row_ids(tmp_path / "data.hf", 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\n2\n3\n", "has 3 ids, and the store 4 rows"),
        ("1\n2\n3\n4\n5\n", "has 5 ids, and the store 4 rows"),
        ("", "has 0 ids"),
        ("1\n2\n1\n4\n", "has the id 1 in row 0 and in row 2"),
        ("1\nx\n3\n4\n", "row 1 of .*'x' is no point id"),
        ("1\n\n3\n4\n", "row 1 of .*'' is no point id"),
        ("1\n-2\n3\n4\n", "row 1 of .*'-2' is no point id"),
    ],
)
def test_lines_that_cannot_be_used_say_why(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        read_row_ids(tmp_path / "ids.txt", 4)


@pytest.mark.parametrize(
    "array", [np.zeros(4), np.zeros((4, 1), dtype=int), np.zeros(4, dtype=bool)]
)
def test_an_array_of_other_things_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "ids.npy", array)
    with pytest.raises(InputError, match="give one whole number or UUID for each row"):
        read_row_ids(tmp_path / "ids.npy", 4)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "torn.npy").write_bytes(b"\x93NUMPY\x01")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("torn.npy", "bytes.txt", "gone.txt", "gone.npy", "gone.jsonl"):
        with pytest.raises(InputError, match=name):
            read_row_ids(tmp_path / name, 4)
