"""Ingest never replaces what it did not make, and changes nothing else of what it made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import BACKENDS, ClientBackend, make_backend
from numpy.typing import NDArray

from tsds_qdrant.collections import open_collection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import STAMP_FIELD
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import ForeignPointsError
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ingest import ingest_records, ingest_vectors
from tsds_qdrant.ingestion.report import IngestReport
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.settings import Part, RecordSettings

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local")
ROWS = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)
THEIRS = [{"text": f"customer {k}", "acl": ["x"]} for k in range(10)]
BY_ID = RecordSettings(id_field="id")


@pytest.fixture(params=[one for one in BACKENDS if one != "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    engine = make_backend(request.param, tmp_path, request)
    prefix = engine.prefix if isinstance(engine, ClientBackend) else ""
    yield Destination(getattr(engine, "location", str(tmp_path)), f"{prefix}pool")
    if isinstance(engine, ClientBackend):
        engine.names.append(f"{prefix}pool")
    engine.close()


def opened(place: Destination) -> Collection:
    return open_collection(place.location, place.name, vector="")


def foreign(place: Destination, ids: Sequence[PointId] = range(10)) -> dict[PointId, Any]:
    """A collection of somebody else, with a vector beside the unnamed one."""
    from tsds_qdrant.collections import create_collection

    with create_collection(place.location, place.name, dimension=4, metric="Euclid") as made:
        made.add_space(Space("image", "dense", 2, "Euclid"))
        made.upsert(ids, ROWS[: len(ids)], THEIRS[: len(ids)])
        made.at("image").set_vectors(ids, np.ones((len(ids), 2)))
    return everything(place)


def everything(place: Destination) -> dict[PointId, Any]:
    """All that is stored of each point, but for stamps."""
    with opened(place) as collection:
        ids = [point_id for page in collection.scroll_ids() for point_id in page]
        mine, images = (
            collection.at(name).retrieve(ids, vectors=True)
            for name in ("", "image")
            if name in collection.spaces
        )
        rows = zip(mine, images, strict=True)
        return {a.id: (a.content, _list(a.vector), _list(b.vector)) for a, b in rows}


def _list(vector: NDArray[np.float32] | None) -> Any:
    return None if vector is None else vector.tolist()


def records(place: Destination, path: Path, rows: list[dict[str, Any]], **more: Any) -> Any:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    vectors = more.pop("vectors", ROWS[10 : 10 + len(rows)])
    return ingest_records(
        place, [str(path)], template=TextTemplate(), vectors=vectors, settings=BY_ID, **more
    )


def counts(report: IngestReport) -> tuple[int, int, int]:
    return report.added, report.updated, report.unchanged


def mine(place: Destination, **more: Any) -> Destination:
    return Destination(place.location, place.name, vector="", **more)


def test_rows_of_others_stay_as_they_are(place: Destination) -> None:
    before = foreign(place)
    with pytest.raises(ForeignPointsError) as refused:
        ingest_vectors(mine(place), ROWS[20:32])
    assert str(refused.value) == (
        f"10 of the points to be stored exist in collection '{place.name}', point 0 among them, "
        f"and are not of 'tsds-qdrant ingest'; give the rows free ids with --first-id 10, or "
        f"give --overwrite to set their vector and the fields of the records, and nothing else"
    )
    with pytest.raises(ForeignPointsError, match=r"^point 9 exists .* --first-id 10, or"):
        ingest_vectors(mine(place), ROWS[20:32], first_id=9)
    assert everything(place) == before  # not even the free ids
    assert counts(ingest_vectors(mine(place), ROWS[20:32], first_id=10)) == (12, 0, 0)
    after = everything(place)
    assert {i: after[i] for i in before} == before
    assert after[10] == ({}, ROWS[20].tolist(), None)
    assert counts(ingest_vectors(mine(place), ROWS[21:33], first_id=10)) == (0, 12, 0)


def test_rows_of_others_change_by_consent_alone(place: Destination) -> None:
    before = foreign(place)
    assert counts(ingest_vectors(mine(place, overwrite=True), ROWS[20:23])) == (0, 3, 0)
    after = everything(place)
    for k, (payload, vector, image) in before.items():
        changed = ROWS[20 + int(k)].tolist() if int(k) < 3 else vector
        assert after[k] == (payload, changed, image)
    # From now on they are of ingest, which may change them again.
    assert counts(ingest_vectors(mine(place), ROWS[21:24])) == (0, 3, 0)
    assert everything(place)[0] == (THEIRS[0], ROWS[21].tolist(), [1, 1])


def test_equal_rows_of_others_are_no_reason_to_refuse(place: Destination) -> None:
    before = foreign(place)
    assert counts(ingest_vectors(mine(place), ROWS[:10])) == (0, 0, 10)
    assert everything(place) == before


def test_records_of_others_stay_too(place: Destination, tmp_path: Path) -> None:
    before = foreign(place)
    rows = [{"id": 30, "text": "new"}, {"id": 3, "text": "mine"}]
    with pytest.raises(ForeignPointsError, match=r"^point 3 exists .* leave --id-field out, so"):
        records(mine(place), tmp_path / "r.jsonl", rows)
    assert everything(place) == before
    report = records(mine(place, overwrite=True), tmp_path / "r.jsonl", rows)
    assert counts(report) == (1, 1, 0)
    after = everything(place)
    assert after[3] == ({"text": "mine", "acl": ["x"], "id": 3}, ROWS[11].tolist(), [1, 1])
    assert {i: after[i] for i in before if i != 3} == {i: before[i] for i in before if i != 3}


def test_fields_and_vectors_of_others_survive_an_update(place: Destination, tmp_path: Path) -> None:
    rows = [{"id": k, "text": f"t{k}", "label": "old", "a.b": k} for k in range(4)]
    records(place, tmp_path / "r.jsonl", rows)
    with opened(place) as collection:
        collection.add_space(Space("image", "dense", 2, "Cosine"))
        collection.at("image").set_vectors([1, 2], np.eye(2))
        collection.set_payload("theirs", [1], [{"deep": [1, 2]}])
        collection.set_payload("tsds", [1], [{"x": {"rank": 1, "run": "r", "probability": 0.5}}])
        collection.set_payload("tsds", [2], [{"own": 5}])
    for row in rows:
        del row["label"], row["a.b"]
    rows[1]["text"] = "changed"
    assert counts(records(mine(place), tmp_path / "r.jsonl", rows)) == (0, 4, 0)
    with opened(place) as collection:
        found = {r.id: r for r in collection.retrieve(range(4))}
        images = collection.at("image").retrieve([0, 1, 2], vectors=True)
    kept = {name: value for name, value in found[1].payload.items() if name != STAMP_FIELD}
    assert kept.pop("tsds") == {"x": {"rank": 1, "run": "r", "probability": 0.5}}
    assert kept == {"id": 1, "text": "changed", "theirs": {"deep": [1, 2]}}
    assert found[2].content == {"id": 2, "text": "t2", "tsds": {"own": 5}}
    assert found[0].content == {"id": 0, "text": "t0"}
    assert [_list(one.vector) for one in images] == [None, [1, 0], [0, 1]]
    assert counts(records(mine(place), tmp_path / "r.jsonl", rows)) == (0, 0, 4)


def test_vectors_alone_leave_the_fields(place: Destination, tmp_path: Path) -> None:
    rows = [{"id": k, "text": f"t{k}"} for k in range(4)]
    records(place, tmp_path / "r.jsonl", rows)
    assert counts(ingest_vectors(place, ROWS[20:24])) == (0, 4, 0)
    with opened(place) as collection:
        found = collection.retrieve(range(4), vectors=True)
    assert [record.content for record in found] == rows
    assert np.allclose(
        [record.vector for record in found],
        ROWS[20:24] / np.linalg.norm(ROWS[20:24], axis=1, keepdims=True),
    )
    assert counts(records(place, tmp_path / "r.jsonl", rows)) == (0, 4, 0)
    assert counts(records(place, tmp_path / "r.jsonl", rows)) == (0, 0, 4)


def test_parts_make_the_whole(place: Destination, tmp_path: Path) -> None:
    rows = [{"id": k, "text": f"t{k}"} for k in range(23)]
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number in (2, 1, 3):
        settings = RecordSettings(id_field="id", part=Part(number, 3))
        report = ingest_records(
            place, [str(path)], template=TextTemplate(), vectors=ROWS[:23], settings=settings
        )
        assert report.read == report.added == len(range(number - 1, 23, 3))
    report = ingest_records(
        place, [str(path)], template=TextTemplate(), vectors=ROWS[:23], settings=BY_ID
    )
    assert counts(report) == (0, 0, 23)
    report = ingest_vectors(place, ROWS[:35], part=Part(2, 2))
    assert counts(report) == (6, 0, 11)


def test_a_field_that_others_added_is_not_replaced(place: Destination, tmp_path: Path) -> None:
    rows = [{"id": k, "text": f"t{k}"} for k in range(4)]
    records(place, tmp_path / "r.jsonl", rows)
    with opened(place) as collection:
        collection.set_payload("label", [2], [{"by": "hand"}])
    labelled = [{**row, "label": {"by": "machine"}} for row in rows]
    with pytest.raises(ForeignPointsError, match=r"gave point 2 .* the field 'label', which"):
        records(place, tmp_path / "r.jsonl", labelled)
    with opened(place) as collection:
        assert collection.retrieve([2])[0].content["label"] == {"by": "hand"}
    same = [{**row, "label": {"by": "hand"}} for row in rows]
    assert counts(records(place, tmp_path / "r.jsonl", same)) == (0, 4, 0)
    assert counts(records(place, tmp_path / "r.jsonl", labelled)) == (0, 4, 0)
