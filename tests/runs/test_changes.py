"""What changed in a collection is found, or it is said that it could not be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from backends import BACKENDS, ClientBackend, make_backend
from conftest import MakeCollection

from tsds_qdrant.collections import open_collection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import SEQUENCE_FIELD
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError, RequestRejectedError, SettingsError
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ingest import ingest_records, ingest_vectors
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.settings import RecordSettings
from tsds_qdrant.runs.changes import find_changes, first_mark
from tsds_qdrant.runs.marks import Changes, Mark

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local")
ROWS = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
ENGLISH = {"must": [{"key": "lang", "match": {"value": "en"}}]}
UUIDS: list[PointId] = [str(UUID(int=number << 64)) for number in (3, 1, 2)]


def changes(
    collection: Collection,
    mark: Mark,
    used: Sequence[PointId] = (),
    *,
    named: Sequence[PointId] | None = None,
    where: Any = None,
) -> tuple[list[PointId], list[PointId], Mark]:
    found: Changes = find_changes(collection, where, mark, used, named=named)
    return found.came, found.gone, found.mark


def put(collection: Collection, ids: Sequence[PointId], rows: Any, **payload: Any) -> None:
    collection.upsert(list(ids), rows[: len(ids)], [payload for _ in ids])


def test_ids_find_what_came_and_went(make_collection: MakeCollection) -> None:
    collection = make_collection(vectors=ROWS[:6], ids=[5, 1, 2**64 - 1, *UUIDS])
    mark = first_mark(collection, None)
    assert (mark.way, len(mark.keys), len(mark.prints)) == ("ids", 6, 0)
    assert changes(collection, mark, [1, UUIDS[0]])[:2] == ([], [])
    new = str(UUID(int=5))
    put(collection, [7, new, 2], ROWS)
    collection.delete([1, 5, UUIDS[0]])
    came, gone, mark = changes(collection, mark, [1, 2**64 - 1, UUIDS[0]])
    assert came == [2, 7, new]
    assert gone == [1, UUIDS[0]]
    assert changes(collection, mark, [2])[:2] == ([], [])


def test_ids_are_blind_to_vectors_in_place_and_say_so(make_collection: MakeCollection) -> None:
    collection = make_collection(4, "Euclid", vectors=ROWS[:4])
    plain = first_mark(collection, None)
    printed = first_mark(collection, None, detect_updates=True)
    assert plain.blind_to == "points whose vector or payload changed under the same id"
    assert printed.blind_to == "points whose payload alone changed"
    put(collection, [2, 9], ROWS[10:])
    put(collection, [3], ROWS[3:], text="same vector, another payload")
    assert changes(collection, plain)[0] == [9]
    came, _, printed = changes(collection, printed)
    assert came == [2, 9]
    assert changes(collection, printed)[0] == []
    collection.delete([0, 1])
    put(collection, [3], ROWS[20:])
    assert changes(collection, printed, [0])[:2] == ([3], [0])


def test_points_enter_and_leave_a_filter(make_collection: MakeCollection) -> None:
    collection = make_collection(
        vectors=ROWS[:4], payloads=[{"lang": "en" if k % 2 else "de"} for k in range(4)]
    )
    for printed in (False, True):
        mark = first_mark(collection, ENGLISH, detect_updates=printed)
        put(collection, [0], ROWS, lang="en")
        put(collection, [1], ROWS[1:], lang="de")
        assert changes(collection, mark, [1, 3], where=ENGLISH)[:2] == ([0], [1])
        put(collection, [0], ROWS, lang="de")
        put(collection, [1], ROWS[1:], lang="en")


def test_a_growing_field(make_collection: MakeCollection) -> None:
    collection = make_collection()
    collection.index_payload("day")
    assert first_mark(collection, None, since_field="day").value is None
    put(collection, range(5), ROWS, day=10)
    mark = first_mark(collection, None, since_field="day")
    assert (mark.way, mark.field_name, mark.value) == ("field", "day", 10)
    assert mark.blind_to == "points whose field did not grow when they changed"
    put(collection, [1], ROWS[11:], day=9)  # the blind spot
    put(collection, [2, 7], ROWS[12:], day=11)
    put(collection, [8], ROWS, day=10)  # a second point of the day that was looked at
    collection.delete([4])
    came, gone, later = changes(collection, mark, [0, 4])
    assert came == [0, 2, 3, 7, 8]
    assert gone == [4]
    assert later.value == 11
    proven = collection.fingerprint() is not None
    assert changes(collection, later)[0] == ([] if proven else [2, 7])
    collection.delete([2, 7])
    with pytest.raises(InputError, match=r"largest 'day' .* is 10, it was 11: it does not only"):
        find_changes(collection, None, later, [])


def test_all_points_are_new_to_a_mark_on_nothing(make_collection: MakeCollection) -> None:
    collection = make_collection()
    collection.index_payload("day")
    mark = first_mark(collection, None, since_field="day")
    put(collection, range(3), ROWS, day=1)
    assert changes(collection, mark)[0] == [0, 1, 2]


def test_fields_that_cannot_tell(make_collection: MakeCollection) -> None:
    collection = make_collection(vectors=ROWS[:3], payloads=[{"day": "Monday"}] * 3)
    collection.index_payload("day")
    with pytest.raises(SettingsError, match="no point has a number or date in 'day'"):
        first_mark(collection, None, since_field="day")
    with pytest.raises(SettingsError, match="leave one out"):
        first_mark(collection, None, since_field="day", detect_updates=True)


def test_named_points_only(make_collection: MakeCollection) -> None:
    collection = make_collection(vectors=ROWS[:6], payloads=[{"lang": "en"}] * 6)
    mark = first_mark(collection, None)
    put(collection, [3, 20, 21], ROWS, lang="de")
    collection.delete([4, 5])
    named = [20, 4, 3, 999, *UUIDS]
    came, gone, after = changes(collection, mark, [0, 5], named=named)
    assert came == [3, 20]
    assert gone == [5]
    assert after is mark  # so that 21 is found later
    assert changes(collection, after)[0] == [20, 21]
    assert changes(collection, mark, named=[0, 3], where=ENGLISH)[0] == [0]
    assert Mark("named").blind_to == "points that the list does not name"


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Where ``ingest`` may make a collection; it opens places itself, so not in memory."""
    if request.param == "memory":
        pytest.skip("a place in memory cannot be opened twice")
    engine = make_backend(request.param, tmp_path, request)
    name = "pool"
    if isinstance(engine, ClientBackend):
        name = f"{engine.prefix}pool"
        engine.names.append(name)
    yield Destination(getattr(engine, "location", str(tmp_path)), name)
    engine.close()


def test_the_sequence_of_ingested_vectors(place: Destination) -> None:
    ingest_vectors(place, ROWS[:10])
    collection = open_collection(place.location, place.name)
    mark = first_mark(collection, None)
    assert mark.way == "sequence"
    (reading,) = mark.readings.values()
    assert (reading.number, reading.is_last, reading.seen) == (3, True, {})
    assert mark.blind_to == "points changed by other means than 'tsds-qdrant ingest'"
    put(collection, [77], ROWS)  # the blind spot
    collection.delete([3])
    collection.close()
    rows = ROWS[:12].copy()
    rows[5] = ROWS[20]
    ingest_vectors(place, rows)
    collection = open_collection(place.location, place.name)
    came, gone, mark = changes(collection, mark, [3, 77, 9])
    assert came == [3, 5, 10, 11]  # 3 was stored again
    assert gone == []
    assert changes(collection, mark)[0] == []
    with pytest.raises(InputError, match="or the collection was made again"):
        find_changes(collection, None, Mark("sequence", SEQUENCE_FIELD, 99), [])
    collection.close()


def test_the_sequence_of_ingested_records(place: Destination, tmp_path: Path) -> None:
    def ingest(payloads: list[dict[str, Any]]) -> None:
        path = tmp_path / "records.jsonl"
        path.write_text("".join(json.dumps(payload) + "\n" for payload in payloads))
        template = TextTemplate(text_field="text")
        vectors = ROWS[: len(payloads)]
        ingest_records(
            place,
            [str(path)],
            template=template,
            vectors=vectors,
            settings=RecordSettings(id_field="text"),
        )

    records = [{"text": f"t{k}", "lang": "en", "n": 0} for k in range(6)]
    ingest(records)
    collection = open_collection(place.location, place.name)
    mark = first_mark(collection, ENGLISH)
    used = [point_id for page in collection.scroll_ids(ENGLISH) for point_id in page]
    collection.close()
    records[1]["n"], records[2]["lang"] = 1, "de"
    ingest([*records, {"text": "t6", "lang": "en", "n": 0}])
    collection = open_collection(place.location, place.name)
    came, gone, _ = changes(collection, mark, used, where=ENGLISH)
    stored = {record.id: record.content for record in collection.retrieve([*came, *gone])}
    assert [stored[point_id]["text"] for point_id in gone] == ["t2"]
    assert sorted(stored[point_id]["text"] for point_id in came) == ["t1", "t6"]
    collection.close()


def test_points_on_their_way_are_found_later(make_collection: MakeCollection) -> None:
    """A look between a writer's count and its points must not take them for seen."""
    collection = make_collection(vectors=ROWS[:3], metadata={"sequence": 1, "settled": 1})
    collection.index_payload(SEQUENCE_FIELD)
    mark = first_mark(collection, None)
    for number in (2, 3):
        collection.update_metadata({"sequence": number})
        came, _, mark = changes(collection, mark)
        assert came == ([] if number == 2 else [12])
        put(collection, [10 + number], ROWS, **{SEQUENCE_FIELD: number})
        assert first_mark(collection, None).value == number - 1
        assert 10 + number in changes(collection, mark)[0]
    collection.update_metadata({"settled": 3})
    came, _, mark = changes(collection, mark)
    assert came == [13]
    assert changes(collection, mark)[0] == []


def test_the_largest_value_of_a_field(make_collection: MakeCollection) -> None:
    values = [3, -(2**53), 2**53, 7]
    collection = make_collection(
        vectors=ROWS[:4], payloads=[{"n": n, "o": {"m": n}} for n in values]
    )
    for name in ("n", "o.m", "none"):
        collection.index_payload(name)
    assert collection.largest("n") == 2**53
    assert collection.largest("o.m") == 2**53
    assert collection.largest("none") is None
    collection.delete([2])
    assert collection.largest("n") == 7


def test_a_field_without_index(make_collection: MakeCollection) -> None:
    collection = make_collection(vectors=ROWS[:2], payloads=[{"n": 1}, {"n": 2}])
    with suppress(RequestRejectedError):  # servers refuse
        assert collection.largest("n") == 2


def test_an_index_is_told_and_filters_by_range(make_collection: MakeCollection) -> None:
    collection = make_collection(vectors=ROWS[:9], payloads=[{"n": k} for k in range(9)])
    collection.index_payload("n")
    if not collection.info().location.startswith(":memory:"):
        assert "integer" in collection.info().payload_indexes["n"]
    newer = {"must": [{"key": "n", "range": {"gt": 5}}]}
    assert [i for page in collection.scroll_ids(newer) for i in page] == [6, 7, 8]
