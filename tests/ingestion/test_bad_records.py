"""Records that cannot be used: named with file and line, or left out, counted and listed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hashed_words import HashedWords
from hypothesis import given
from hypothesis import strategies as st
from profiles import reuses_folder

from tsds_qdrant.collections import open_collection
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.files.json_values import NULLED
from tsds_qdrant.ingestion import ids_seen
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ids_seen import IdsSeen
from tsds_qdrant.ingestion.ingest import ingest_records
from tsds_qdrant.ingestion.items import OTHER_VECTORS
from tsds_qdrant.ingestion.rejected import FIRST_LOOK
from tsds_qdrant.ingestion.report import IngestReport
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.settings import RecordSettings

Record = dict[str, Any]
SKIP = RecordSettings(on_bad_record="skip")


@pytest.fixture
def place(tmp_path: Path) -> Destination:
    return Destination(str(tmp_path / "store"), "pool")


def write(path: Path, lines: Iterable[Record | str]) -> str:
    written = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{line}\n" for line in written))
    return str(path)


def contents(place: Destination) -> list[Record]:
    with open_collection(place.location, place.name) as collection:
        ids = [point_id for page in collection.scroll_ids() for point_id in page]
        return [record.content for record in collection.retrieve(ids)]


def ingested(place: Destination, *files: str, **settings: Any) -> IngestReport:
    template = settings.pop("template", TextTemplate())
    return ingest_records(
        place,
        files,
        template=template,
        embedder=HashedWords(),
        settings=RecordSettings(**settings),
    )


def refusal(place: Destination, *files: str, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        ingested(place, *files, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


BAD = {
    "empty": ({"text": " "}, "is empty in 'text'"),
    "another field": ({"body": "t"}, "has no field 'text' (its fields: body)"),
    "no text": ({"text": {"a": 1}}, "which is no text"),
    "no JSON": ('{"text": ', "is no JSON (Expecting value at column"),
    "no object": ("[1]", "holds [1], which is no JSON object"),
    "a field of ours": ({"text": "t", "_tsds_seq": 3}, "has the field '_tsds_seq', which this"),
    "a tag of ours": ({"text": "t", "tsds": {"a": {"rank": 1, "run": "x"}}}, "the field 'tsds'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_one_bad_record_ends_the_run_before_anything_is_stored(
    place: Destination, tmp_path: Path, kind: str
) -> None:
    line, fault = BAD[kind]
    good = write(tmp_path / "a.jsonl", [{"text": f"word{k}"} for k in range(300)])
    bad = write(tmp_path / "b.jsonl", [{"text": "first"}, "", line, {"text": "last"}])
    message = refusal(place, good, bad)
    assert message.startswith(f"'{bad}:3' ")
    assert fault in message
    assert message.endswith(" leave such records out with --on-bad-record skip")
    assert not Path(place.location).exists()
    report = ingested(place, good, bad, on_bad_record="skip")
    assert (report.read, report.added, report.rejected) == (303, 302, 1)
    assert report.count == 302


def test_all_bad_records_of_the_first_look_are_named(place: Destination, tmp_path: Path) -> None:
    lines: list[Record | str] = [{"text": f"word{k}"} for k in range(50)]
    for at in (3, 17, 30, 44):
        lines[at] = {"text": ""}
    lines[20] = "{"
    file = write(tmp_path / "a.jsonl", lines)
    message = refusal(place, file)
    assert message.startswith("5 of the first 50 records cannot be used: ")
    places = re.findall(rf"'{re.escape(file)}:(\d+)'", message)
    assert sorted(map(int, places)) == [4, 18, 21, 31, 45]


def test_where_none_can_be_used_nothing_is_left_out(place: Destination, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [{"body": f"word{k}"} for k in range(9)])
    for choice in ("error", "skip"):
        message = refusal(
            place, file, template=TextTemplate(text_field="bdy"), on_bad_record=choice
        )
        assert message.startswith("none of the first 9 records can be used: ")
        assert message.endswith("did you mean 'body'?")
    assert ingested(place, file, template=TextTemplate(text_field="body")).added == 9


def test_a_late_bad_record_leaves_what_is_stored(place: Destination, tmp_path: Path) -> None:
    good = [{"text": f"word{k}", "more": "x"} for k in range(FIRST_LOOK + 600)]
    bad = [*good, {"text": "last", "more": ""}]
    file = write(tmp_path / "a.jsonl", bad)
    strict = TextTemplate(template="{text} {more}")
    message = refusal(place, file, template=strict)
    assert f"'{file}:{len(bad)}' is empty in 'more'" in message
    assert message.endswith("what was read before it is stored, and stays")
    assert len(contents(place)) == len(good)
    # Both ways out that the message names, followed to their end.
    report = ingested(place, file, template=strict, on_bad_record="skip")
    assert (report.count, report.rejected) == (len(good), 1)
    advised = re.search(r"--template (\".*?\")", message)
    assert advised is not None
    looser = TextTemplate.parse(template=shlex.split(advised[1])[0])
    report = ingested(place, file, template=looser)
    assert (report.added, report.updated, report.count) == (1, 0, len(bad))
    again = ingested(place, file)
    assert (again.unchanged, again.rejected) == (len(bad), 0)
    assert refusal(place, file, template=strict).startswith(f"'{file}:{len(bad)}' is empty")


def test_an_optional_field_is_advised_where_text_is_left(tmp_path: Path) -> None:
    place = Destination(str(tmp_path / "store"), "pool")
    file = write(tmp_path / "a.jsonl", [{"instruction": "i", "output": o} for o in ("a", "")])
    message = refusal(place, file)
    assert r'--template "{instruction}\n{input?}\n{output?}"' in message
    looser = TextTemplate.parse(template=r"{instruction}\n{input?}\n{output?}")
    assert ingested(place, file, template=looser).added == 2
    alone = write(tmp_path / "b.jsonl", [{"text": "a"}, {"text": None}])
    assert "--template" not in refusal(Destination(str(tmp_path / "other"), "pool"), alone)


@pytest.mark.slow
@reuses_folder
@given(
    lines=st.lists(
        st.sampled_from(["good", "empty", "json", "field"]), min_size=1, max_size=30
    ).filter(lambda kinds: "good" in kinds),
    ready=st.booleans(),
)
def test_what_is_left_out_changes_nothing_for_the_others(
    tmp_path: Path, lines: list[str], ready: bool
) -> None:
    made = {"empty": {"text": ""}, "json": "{", "field": {"txt": "t"}}
    if ready:  # what has a vector needs no text
        lines = ["good" if kind in ("empty", "field") else kind for kind in lines]
    written = [
        {"text": f"word{k}", "n": k} if kind == "good" else made[kind]
        for k, kind in enumerate(lines)
    ]
    file = write(tmp_path / "a.jsonl", written)
    rejects = tmp_path / "rejects.jsonl"
    settings = RecordSettings(on_bad_record="skip", rejects=rejects)
    vectors = np.eye(len(lines), 32, dtype=np.float32)
    stores = tmp_path / f"{len(list(tmp_path.iterdir()))}"
    place = Destination(str(stores), "pool")
    if ready:
        report = ingest_records(
            place, [file], template=TextTemplate(), vectors=vectors, settings=settings
        )
    else:
        report = ingest_records(
            place, [file], template=TextTemplate(), embedder=HashedWords(), settings=settings
        )
    good = [k for k, kind in enumerate(lines) if kind == "good"]
    assert sorted(record["n"] for record in contents(place)) == good
    assert report.rejected == len(lines) - len(good)
    listed = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [row["line"] for row in listed] == [
        k + 1 for k, kind in enumerate(lines) if kind != "good"
    ]
    assert {row["file"] for row in listed} <= {file}
    assert all(row["reason"] for row in listed)
    if ready:
        with open_collection(place.location, place.name) as collection:
            ids = [point_id for page in collection.scroll_ids() for point_id in page]
            for record in collection.retrieve(ids, vectors=True):
                assert record.vector is not None
                assert int(record.vector.argmax()) == record.content["n"]


def test_vectors_are_counted_with_the_records_left_out(place: Destination, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [{"text": "a"}, "{", {"text": "b"}])
    for many in (2, 4):
        with pytest.raises(InputError, match=f"{many} vectors for 3 records; give one row each"):
            ingest_records(
                place, [file], template=TextTemplate(), vectors=np.eye(many), settings=SKIP
            )


def test_a_list_of_rejects_needs_that_they_are_left_out(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="give --on-bad-record skip too"):
        RecordSettings(rejects=tmp_path / "r.jsonl")


def test_changed_values_are_counted(place: Destination, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", ['{"text": "a", "x": NaN, "y": [Infinity]}'])
    assert ingested(place, file).notes == (f"{NULLED}: 2",)
    assert contents(place) == [{"text": "a", "x": None, "y": [None]}]


# Ids


def twins(shared: int, apart: int) -> list[Record]:
    """Records of which two of the same id are ``apart``."""
    records = [{"text": f"word{k}", "id": k} for k in range(apart)]
    return [*records, {"text": "another", "id": shared}]


@pytest.mark.slow
@pytest.mark.parametrize("apart", [2, 300, FIRST_LOOK + 300])
def test_another_record_of_the_same_id_is_refused(
    place: Destination, tmp_path: Path, apart: int
) -> None:
    file = write(tmp_path / "a.jsonl", twins(1, apart))
    message = refusal(place, file, id_field="id")
    assert f"'{file}:{apart + 1}' has the id 1 of an earlier record that differs" in message
    report = ingested(place, file, id_field="id", on_bad_record="skip")
    assert (report.count, report.rejected, report.updated) == (apart, 1, 0)
    assert {"text": "word1", "id": 1} in contents(place)
    again = ingested(place, file, id_field="id", on_bad_record="skip")
    assert (again.added, again.updated, again.unchanged) == (0, 0, apart)


@pytest.mark.parametrize(("first", "second"), [(7, "7"), (7.0, 7), ("a-b", "a-b")])
def test_ids_are_the_same_however_they_are_written(
    place: Destination, tmp_path: Path, first: Any, second: Any
) -> None:
    file = write(tmp_path / "a.jsonl", [{"text": "a", "id": first}, {"text": "b", "id": second}])
    assert "a.jsonl:2' has the id" in refusal(place, file, id_field="id")


def test_equal_records_may_share_an_id(place: Destination, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [{"text": "a", "id": 1}, {"id": 1, "text": "a"}])
    report = ingested(place, file, id_field="id")
    assert (report.added, report.unchanged, report.rejected) == (1, 1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("id_field", [None, "id"])
@pytest.mark.parametrize("apart", [1, 1_500])
def test_of_equal_records_with_two_vectors_the_first_counts(
    place: Destination, tmp_path: Path, id_field: str | None, apart: int
) -> None:
    records = [{"text": f"word{k}", "id": k} for k in range(apart)]
    file = write(tmp_path / "a.jsonl", [*records, records[0], records[0]])
    rows = np.random.default_rng(0).normal(size=(apart + 2, 8)).astype(np.float32)
    rows[-1] = rows[0] * (1 + 1e-7)  # as an embedding in other company is
    settings = RecordSettings(id_field=id_field)
    for added in (apart, 0):  # the second run finds all as it is
        report = ingest_records(
            place, [file], template=TextTemplate(), vectors=rows, settings=settings
        )
        assert (report.added, report.updated, report.count) == (added, 0, apart)
        assert report.unchanged == apart + 2 - added
        assert report.notes == (f"{OTHER_VECTORS}: 1",)
    with open_collection(place.location, place.name) as collection:
        ids = [point_id for page in collection.scroll_ids() for point_id in page]
        found = {r.content["id"]: r.vector for r in collection.retrieve(ids, vectors=True)}
    np.testing.assert_allclose(found[0], rows[0] / np.linalg.norm(rows[0]), atol=1e-6)


def test_a_changed_record_of_a_later_run_is_an_update(place: Destination, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [{"text": "a", "id": 1}, {"text": "b", "id": 2}])
    ingested(place, file, id_field="id")
    write(tmp_path / "a.jsonl", [{"text": "c", "id": 1}, {"text": "b", "id": 2}])
    report = ingested(place, file, id_field="id")
    assert (report.updated, report.unchanged) == (1, 1)


@given(
    st.lists(st.tuples(st.integers(0, 12) | st.integers(2**64 - 3, 2**64 - 1), st.integers(0, 2)))
)
def test_ids_seen_are_a_dictionary(meetings: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids_seen, "MERGED", 3)
        seen, truth = IdsSeen(), dict[int, int]()
        for key, content in meetings:
            assert seen.first(key, content) == truth.get(key)
            truth.setdefault(key, content)


def test_a_field_that_only_some_records_have_is_embedded(
    place: Destination, tmp_path: Path
) -> None:
    plain = [{"instruction": f"i{k}", "output": f"o{k}"} for k in range(5)]
    file = write(tmp_path / "a.jsonl", [*plain, {"system": "s", "instruction": "i", "output": "o"}])
    model = HashedWords()
    report = ingest_records(place, [file], template=TextTemplate(), embedder=model)
    assert report.text == "{system?}\n{instruction}\n{input?}\n{output}"
    assert model.texts == [*(f"i{k}\no{k}" for k in range(5)), "s\ni\no"]


@pytest.mark.parametrize("field", ["_tsds_seq", "big"])
def test_a_field_that_cannot_be_kept_is_left_out_as_advised(
    place: Destination, tmp_path: Path, field: str
) -> None:
    file = write(tmp_path / "a.jsonl", [{"text": "a", field: 2**70}, {"text": "b"}])
    assert "leave it out with --drop-columns" in refusal(place, file)
    assert ingested(place, file, form=FileForm(drop_columns=(field,))).added == 2
    assert sorted(record["text"] for record in contents(place)) == ["a", "b"]


def test_a_record_alone_is_named_alone(place: Destination, tmp_path: Path) -> None:
    message = refusal(place, write(tmp_path / "a.jsonl", [{"text": "a", "n": 2**64}]))
    assert message.startswith(f"'{tmp_path / 'a.jsonl'}:1' holds an integer beyond 64 bits")
    assert "skip" not in message
