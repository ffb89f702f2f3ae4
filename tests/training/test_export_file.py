"""Export from the file of a selection."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exported
import pytest
from commands import rows_of
from exported import HOSTILE, SIZE, Made, payload_of

from tsds_qdrant import ExportSettings, export
from tsds_qdrant.errors import InputError, OutputError, SettingsError
from tsds_qdrant.selection.results import write_manifest, write_samples

make = exported.make


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz", "s.csv", "s.parquet"])
def test_the_file_of_a_selection_serves_as_well(make: Callable[..., Made], name: str) -> None:
    made = make([*HOSTILE[:1], payload_of(0)], sizes=(SIZE,))
    write_samples(made.collection, made.selection, name)
    made.export("run.jsonl")
    export(name, "file.jsonl")
    if name == "s.csv":  # its numbers are text
        assert rows_of("file.jsonl") == [
            {**row, "": row[""] and str(row[""])} for row in rows_of("run.jsonl")
        ]
    else:
        assert Path("file.jsonl").read_bytes() == Path("run.jsonl").read_bytes()
    with pytest.raises(SettingsError, match=r"does not say how '.*' was drawn; leave it out"):
        export(name, "small.jsonl", ExportSettings(size=7))
    write_manifest(made.selection, name, queries={})
    export(name, "small.jsonl", ExportSettings(size=7))
    assert rows_of("small.jsonl") == rows_of("file.jsonl")[:7]
    with pytest.raises(SettingsError, match=f"size is 99, but '{name}' holds {SIZE} rows"):
        export(name, "small.jsonl", ExportSettings(size=99))
    for form, wanted in (("plain", {"validation": 0.1}), ("dataflex", {})):
        out = "p.npy" if wanted == {} else "train.jsonl"
        with pytest.raises(
            SettingsError, match=r"needs what the run knows, .* is only its selection"
        ):
            export(name, out, ExportSettings(form, **wanted))
    with pytest.raises(OutputError, match="is what is exported; write to another file"):
        export("run.jsonl", "run.jsonl")


def test_a_file_drawn_with_replacement_has_no_smaller_sample(make: Callable[..., Made]) -> None:
    made = make(sampler="multinomial", sizes=(100,))
    write_samples(made.collection, made.selection, "s.jsonl")
    write_manifest(made.selection, "s.jsonl", queries={})
    export("s.jsonl", "repeats.jsonl", ExportSettings("chat"))
    assert len(rows_of("repeats.jsonl")) == 100
    with pytest.raises(SettingsError, match="was drawn with replacement or by quotas"):
        export("s.jsonl", "small.jsonl", ExportSettings("chat", size=10))


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ({"id": 1, "probability": 0.5}, "holds no ids with payloads .*its fields: id, probability"),
        ({"text": "a"}, "holds no ids with payloads"),
        ({"id": "x", "payload": {}}, "'x' is no point id"),
        ({"id": 1, "payload": {}, "probability": "much"}, "row 1 of .* is no selected candidate"),
        ({"id": 1, "payload": "text"}, "is no selected candidate"),
        ({"id": 1, "payload": None}, "1 of 1 selected points are no longer stored"),
    ],
)
def test_files_that_are_no_selection(tmp_path: Path, record: dict[str, Any], fault: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(InputError, match=fault):
        export(path, tmp_path / "out.jsonl")
