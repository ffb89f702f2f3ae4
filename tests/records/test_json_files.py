"""JSON files of every form: lines, arrays, documents, objects in a row; keys there twice."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import reuses_folder
from record_files import RECORDS, VALUES, refusal, written

from tsds_qdrant.errors import BadRecordError, InputError, SettingsError
from tsds_qdrant.files.json_values import Decoder
from tsds_qdrant.records import count_records, read_entries, read_records
from tsds_qdrant.records.dialogue import is_message
from tsds_qdrant.records.entries import Findings
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.json_document import found_at
from tsds_qdrant.records.json_window import Window

INDENTS = st.sampled_from([None, 0, 2])
KEYS = st.text("abc", min_size=1, max_size=3)


@pytest.mark.slow
@reuses_folder
@given(
    records=RECORDS,
    beside=st.dictionaries(KEYS, st.integers() | st.lists(st.integers(), max_size=2)),
    indent=INDENTS,
    first=st.booleans(),
)
@pytest.mark.parametrize("suffix", [".json", ".json.gz", ".json.zst"])
def test_the_only_list_of_a_document_holds_the_records(
    tmp_path: Path,
    records: list[dict[str, Any]],
    beside: dict[str, Any],
    indent: int | None,
    first: bool,
    suffix: str,
) -> None:
    held = {"records": records}
    document = {**held, **beside} if first else {**beside, **held}
    path = written(tmp_path / f"a{suffix}", json.dumps(document, indent=indent))
    if is_message(records[0]):
        return
    findings = Findings()
    assert [entry.record for entry in read_entries(path, findings)] == records
    assert findings.changes == {f"records came from the list 'records' of '{path}'": len(records)}
    chosen = FileForm(json_field="records")
    assert [entry.record for entry in read_entries(path, form=chosen)] == records


@given(document=st.dictionaries(KEYS, VALUES), chunk=st.integers(1, 40), indent=INDENTS)
def test_every_field_of_a_document_in_pieces_of_any_size(
    document: dict[str, Any], chunk: int, indent: int | None
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    for key, value in document.items():
        window = Window(io.StringIO(text).read, Decoder(), chunk)
        found = [item for _, _, item in found_at(window, key, "a.json")]
        assert found == (value if isinstance(value, list) else [value])


@pytest.mark.slow
@reuses_folder
@given(records=st.lists(st.dictionaries(KEYS, st.integers() | KEYS, min_size=1), min_size=2))
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".jsonl.gz"])
def test_objects_in_a_row_are_records(
    tmp_path: Path, records: list[dict[str, Any]], suffix: str
) -> None:
    for indent in (None, 1):
        text = "\n".join(json.dumps(record, indent=indent) for record in records)
        path = written(tmp_path / f"a{suffix}", text)
        assert list(read_records(path)) == records


def test_lines_of_records_in_documents_are_kept(tmp_path: Path) -> None:
    text = '{\n "version": "1",\n "data": [\n  {"a": 1},\n\n  {"a":\n 2}]}\n'
    found = list(read_entries(written(tmp_path / "a.json", text)))
    assert [(entry.place.line, entry.record) for entry in found] == [(4, {"a": 1}), (6, {"a": 2})]


@pytest.mark.parametrize(
    "record",
    [
        {"text": "One alone.", "n": 1},
        {"id": 3, "messages": [{"role": "user", "content": "u"}]},
        {"conversations": [{"from": "human", "value": "u"}], "tools": [{"name": "x"}]},
        {"question": "q", "answers": [{"text": "a"}]},
        {"meta": {"a": {"b": 1}}, "tags": []},
        {"n": 1, "inner": {"0": 1}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_without_a_list_of_records_is_one(
    tmp_path: Path, record: dict[str, Any], indent: int | None
) -> None:
    path = written(tmp_path / "a.json", json.dumps(record, indent=indent))
    assert list(read_records(path)) == [record]
    whole = read_entries(path, form=FileForm(json_field="."))
    assert [entry.record for entry in whole] == [record]


def test_a_pretty_document_named_jsonl_is_read_as_what_it_is(tmp_path: Path) -> None:
    document = {"data": [{"a": 1}, {"a": 2}]}
    for text in (json.dumps(document, indent=1), json.dumps(document["data"], indent=1)):
        path = written(tmp_path / "a.jsonl", text)
        assert list(read_records(path)) == document["data"]
        assert count_records(path) is None  # its lines are no records
    on_a_line = written(tmp_path / "a.jsonl", json.dumps(document) + "\n")
    assert list(read_records(on_a_line)) == [document]
    assert count_records(on_a_line) == 1


def test_several_lists_are_named_and_the_advice_chooses_one(tmp_path: Path) -> None:
    coco = {
        "info": {"year": 2017},
        "images": [{"id": 1}],
        "annotations": [{"caption": "a dog"}, {"caption": "a cat"}],
        "licenses": [],
    }
    path = written(tmp_path / "a.json", json.dumps(coco))
    message = refusal(path)
    assert "holds the lists images, annotations; choose one" in message
    field = message.rpartition("--json-field ")[2]
    chosen = read_entries(path, form=FileForm(json_field=field))
    assert [entry.record for entry in chosen] == coco["annotations"]


SQUAD = {
    "version": "1",
    "data": [
        {"title": "T", "paragraphs": [{"context": "C", "qas": [{"question": "Q1"}]}]},
        {"title": "U", "paragraphs": [{"context": "D", "qas": [{"question": "Q2"}, {"n": 3}]}]},
    ],
    "rest": {"deep": {"list": [{"a": 1}]}, "b.c": {"x": 1}},
}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("data.*.paragraphs.*.qas", [{"question": "Q1"}, {"question": "Q2"}, {"n": 3}]),
        ("data.1.paragraphs.*.qas.0", [{"question": "Q2"}]),
        ("data.0.paragraphs", SQUAD["data"][0]["paragraphs"]),  # type: ignore[index]
        ("rest.deep.list", [{"a": 1}]),
        ("rest.deep", [{"list": [{"a": 1}]}]),
        ("rest.b.c", [{"x": 1}]),
    ],
)
def test_a_path_reaches_into_a_document(
    tmp_path: Path, field: str, expected: list[dict[str, Any]]
) -> None:
    path = written(tmp_path / "a.json", json.dumps(SQUAD, indent=1))
    found = read_entries(path, form=FileForm(json_field=field))
    assert [entry.record for entry in found] == expected


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("datas", "has no field 'datas' (its fields: version, data, rest); name one"),
        ("rest.x", "'rest' of '"),
        ("version.x", "holds no object"),
        ("data.paragraphs", "is a list and has no field 'paragraphs'; write '*.paragraphs'"),
        ("data.7.paragraphs", "holds no records"),
        ("version", 'holds "1", which is no JSON object'),
    ],
)
def test_a_path_that_leads_nowhere(tmp_path: Path, field: str, wanted: str) -> None:
    path = written(tmp_path / "a.json", json.dumps(SQUAD, indent=1))
    with pytest.raises(InputError) as caught:
        list(read_entries(path, form=FileForm(json_field=field)))
    assert wanted in str(caught.value)


def test_a_path_into_what_is_no_document(tmp_path: Path) -> None:
    form = FileForm(json_field="data")
    for name, text, found in (
        ("a.json", '[{"a": 1}]', "an array"),
        ("a.jsonl", '{"a": 1}\n', "JSON lines"),
        ("a.json", '{"a": 1}\n{"a": 2}\n', "several objects"),
    ):
        with pytest.raises(SettingsError, match=f"and '.*{name}' is {found}; leave it out"):
            list(read_entries(written(tmp_path / name, text), form=form))
    with pytest.raises(SettingsError, match="--json-field is for a JSON document"):
        read_entries(written(tmp_path / "a.csv", "a\n1\n"), form=form)
    with pytest.raises(SettingsError, match="--json-field is empty"):
        FileForm(json_field=" ")


def test_columns_are_no_records(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["a", "b"], "n": [1, 2]})
    for orient in ("columns", "index", "split"):
        frame.to_json(tmp_path / "a.json", orient=orient)
        assert "holds the columns of a table, not its records" in refusal(tmp_path / "a.json")
    written(tmp_path / "a.json", json.dumps(frame.to_dict("list")))
    assert "orient='records', lines=True" in refusal(tmp_path / "a.json")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)  # as the message says
    expected = [{"text": "a", "n": 1}, {"text": "b", "n": 2}]
    assert list(read_records(tmp_path / "a.jsonl")) == expected
    frame.to_json(tmp_path / "a.json", orient="table", index=False)
    assert list(read_records(tmp_path / "a.json")) == expected


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.json", '{\n"data": [{"a": 1}\n', "a.json:3' is no JSON (',' expected"),
        ("a.json", '{\n"a": 1,\n}', "a.json:3' is no JSON (Expecting value)"),
        ("a.json", '{\n"a": 1\n} x', "a.json:3' is no JSON (Expecting value)"),
        ("a.json", '{\n"a" 1\n}', "a.json:2' is no JSON (':' expected, '1' found)"),
        ("a.json", "{\n1: 2\n}", "a.json:2' is no JSON (a name in quotes expected)"),
        ("a.json", '{\n"a": 1,\n"a": 2}', "a.json:3' is no JSON (the key 'a' is there twice)"),
        ("a.json", '{"a": [{}], ', "a.json:1' is no JSON (Expecting"),
        ("a.json", '{\n"a": ' + '{"a": ' * 100_000, "a.json:2' is no JSON (nested too deep)"),
        ("a.jsonl", '{"a":\n{"a": 2}\n', "a.jsonl:1' is no JSON (Expecting value"),
        ("a.jsonl", '{\n{"a": 2}\n', "a.jsonl:1' is no JSON (Expecting property name"),
        ("a.jsonl", '{"a": 1,\n{"a": 2}\n', "a.jsonl:1' is no JSON (Expecting property name"),
        ("a.json", '{"a": 1}\n{"a" 2}\n', "a.json:2' is no JSON (Expecting ':' delimiter"),
    ],
)
def test_broken_documents(tmp_path: Path, name: str, text: str, wanted: str) -> None:
    assert wanted in refusal(written(tmp_path / name, text))


@pytest.mark.slow
def test_documents_on_standard_input_and_pipes() -> None:
    code = (
        "import sys, json; from tsds_qdrant.records import read_records\n"
        "print(json.dumps(list(read_records(sys.argv[1]))))"
    )
    records = [{"a": 1}, {"a": [2]}]
    for text in (
        "\n".join(json.dumps(record, indent=1) for record in records),
        "\n".join(map(json.dumps, records)),
        json.dumps(records),
    ):
        for source in ("-", "/dev/stdin"):
            command = [sys.executable, "-c", code, source]
            answer = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
            assert json.loads(answer.stdout) == records


def test_a_long_document_takes_little_memory(tmp_path: Path) -> None:
    text = "word " * 400
    lines = [json.dumps({"text": f"{number} {text}"}) for number in range(12_000)]
    path = written(tmp_path / "a.json", '{"version": 1, "data": [' + ",".join(lines) + "]}")
    del lines
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_records(path)) == 12_000
        assert tracemalloc.get_traced_memory()[1] < 6_000_000  # the file holds 24 MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"text": "a", "text": "b"}', "text"),
        ('{"text": "a", "meta": {"x": 1, "y": 2, "x": 3}}', "x"),
        ('{"list": [{"a": {"b": 1, "b": 1}}]}', "b"),
        (r'{"a": 1, "\u0061": 2}', "a"),
        ('{"a": 1, "b": 2, "a": 1}', "a"),
    ],
)
def test_a_key_twice_is_a_bad_record(tmp_path: Path, line: str, key: str) -> None:
    for name, text in (
        ("a.jsonl", f'{{"a": 1}}\n{line}\n'),
        ("a.json", f'[{{"a": 1}},\n{line}]'),
        ("a.json", f'{{"data": [{{"a": 1}},\n{line}]}}'),
    ):
        path = written(tmp_path / name, text)
        assert refusal(path) == f"'{path}:2' has the key '{key}' twice; rename one of them"


@given(pairs=st.lists(st.tuples(KEYS, st.integers()), max_size=5), depth=st.integers(0, 3))
def test_keys_that_are_there_twice_are_found(pairs: list[tuple[str, int]], depth: int) -> None:
    text = "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}"
    for level in range(depth):
        text = f'{{"x": {text}}}' if level % 2 else f"[1, {text}]"
    decoder = Decoder()
    decoder.decode(text)
    keys = [key for key, _ in pairs]
    assert set(decoder.repeated) == {key for key in keys if keys.count(key) > 1}


def test_a_key_twice_can_be_left_out(tmp_path: Path) -> None:
    class Skipping(Findings):
        def bad(self, error: BadRecordError) -> None:
            self.rejected += 1

    findings = Skipping()
    path = written(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 1, "a": 2}\n{"a": 3}\n')
    assert [entry.record["a"] for entry in read_entries(path, findings)] == [1, 3]
    assert findings.rejected == 1
