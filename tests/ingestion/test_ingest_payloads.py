"""Records that a collection could not give back are refused, and stored ones are known again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from hypothesis import given
from nested_payloads import PAYLOADS
from profiles import reuses_folder

from tsds_qdrant.collections import open_collection
from tsds_qdrant.collections.payloads import same_payload
from tsds_qdrant.errors import InputError
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ingest import ingest_records
from tsds_qdrant.records import TextTemplate

INGEST = ("ingest", "r.jsonl", "--vectors", "X.npy", "--qdrant", "store", "--collection", "pool")
BAD = {
    "deep": '{"a": ' + '{"b": [' * 63 + "1" + "]}" * 63 + "}",
    "deeper": '{"a": ' + "[" * 400 + "]" * 400 + "}",
    "beyond": '{"a": {"value": 265252859812191058636308480000000}}',
    "below": '{"a": -9223372036854775809}',
}


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(*records: Any) -> None:
    lines = (one if isinstance(one, str) else json.dumps(one) for one in records)
    Path("r.jsonl").write_text("".join(f"{line}\n" for line in lines))
    np.save("X.npy", np.random.default_rng(0).normal(size=(len(records), 4)).astype(np.float32))


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_record_that_could_not_be_read_back_is_named(bad: str) -> None:
    write({"n": 1}, bad, {"n": 3})
    said = run(*INGEST, code=1).stderr
    assert said.startswith("error: 'r.jsonl:2' ")
    assert not Path("store").exists()
    run(*INGEST, "--on-bad-record", "skip", "--rejects", "bad.jsonl")
    assert [row["line"] for row in rows_of("bad.jsonl")] == [2]
    with open_collection("store", "pool") as collection:
        ids = [point_id for page in collection.scroll_ids() for point_id in page]
        stored = sorted(record.content["n"] for record in collection.retrieve(ids))
    assert stored == [1, 3]


@pytest.mark.slow
def test_floats_that_come_back_as_their_neighbours_are_unchanged() -> None:
    drawn = np.random.default_rng(0).random(1_500).tolist()
    write(*({"score": x, "scores": [x / 3, -x]} for x in drawn))
    assert "added 1500" in run(*INGEST).stderr
    with open_collection("store", "pool") as collection:
        ids = [point_id for page in collection.scroll_ids() for point_id in page]
        stored = {record.content["score"] for record in collection.retrieve(ids)}
    assert len(set(drawn) - stored) > 50
    assert "added 0, updated 0, unchanged 1500" in run(*INGEST).stderr
    write(*({"score": x, "scores": [x / 3, -x]} for x in drawn[:-1]), {"score": True})
    assert "added 1, updated 0, unchanged 1499" in run(*INGEST).stderr


@pytest.mark.slow
@reuses_folder
@given(PAYLOADS)
def test_any_record_of_a_file_is_read_back_or_refused_by_its_line(record: dict[str, Any]) -> None:
    known = {"kept": 1}
    stores = Path(f"store{len(list(Path.cwd().iterdir()))}")
    place = Destination(str(stores), "pool")
    for records in ([known], [known, record]):
        vectors = np.eye(len(records), 2, dtype=np.float32)
        write(*records)
        try:
            ingest_records(place, ["r.jsonl"], template=TextTemplate(), vectors=vectors)
        except InputError as error:
            assert str(error).startswith("'r.jsonl:2' ")  # noqa: PT017
            expected = [known]
        else:
            expected = records
    with open_collection(place.location, place.name) as collection:
        ids = [point_id for page in collection.scroll_ids() for point_id in page]
        stored = [found.content for found in collection.retrieve(ids)]
    assert len(stored) == len({json.dumps(one, sort_keys=True) for one in expected})
    for one in expected:
        nulled = json.loads(json.dumps(one), parse_constant=lambda _: None)
        assert any(same_payload(found, nulled) for found in stored)
