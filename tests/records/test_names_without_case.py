"""Names of columns match without case where there is no such name, and just one that is alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tsds_qdrant.errors import BadRecordError, InputError
from tsds_qdrant.records import TextTemplate, read_entries, record_id
from tsds_qdrant.records.entries import Place
from tsds_qdrant.records.fields import field_values, likely_field, record_values, spelt
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.task.examples import groups_of, weights_of

PLACE = Place("pool.csv", 3)
NAMES = st.text("abAB.é", min_size=1, max_size=4)


@given(record=st.dictionaries(NAMES, st.integers() | st.dictionaries(NAMES, st.integers())))
def test_exact_names_come_first(record: dict[str, Any]) -> None:
    for name in record:
        assert spelt(record, name) == name
        assert record_values(record, name) == field_values(record, name) == [record[name]]


@given(record=st.dictionaries(NAMES.map(str.lower), st.integers(), min_size=1))
def test_names_that_differ_in_case_alone_are_found(record: dict[str, int]) -> None:
    for name, value in record.items():
        assert record_values(record, name.upper()) == [value]
        assert field_values(record, name.upper()) == ([value] if name.upper() == name else [])


@pytest.mark.parametrize(
    ("record", "path", "expected"),
    [
        ({"Text": "a"}, "text", "Text"),
        ({"TEXT": "a", "other": 1}, "Text", "TEXT"),
        ({"Straße": "a"}, "STRASSE", "Straße"),
        ({"Meta": {"Source": "a"}}, "meta.source", "Meta.Source"),
        ({"meta": {"Source": "a"}}, "meta.source", "meta.Source"),
        ({"A.B": "a"}, "a.b", "A.B"),
        ({"Turns": [{"Content": "a"}]}, "turns.*.content", "Turns.*.Content"),
        ({"Turns": [{"Content": "a"}]}, "turns.0.content", "Turns.0.Content"),
        ({"turns": [{"Content": "a"}]}, "turns.1.content", "turns.1.content"),
        ({"Inside": json.dumps({"Text": "a"})}, "inside.text", "Inside.Text"),
        ({"Text": "a"}, "texts", "texts"),
        ({"Text": "a"}, "text.more", "Text.more"),
        ({}, "text", "text"),
    ],
)
def test_paths_as_a_record_spells_them(record: Any, path: str, expected: str) -> None:
    assert spelt(record, path) == expected


def test_several_names_that_are_alike_are_an_error() -> None:
    record = {"Text": "a", "TEXT": "b", "meta": {"Id": 1, "ID": 2}}
    message = (
        r"'pool.csv:3' has no field 'text' but 'Text' and 'TEXT'; name one of them as it is written"
    )
    for render in (TextTemplate("text").render, TextTemplate(template="{text?}").spelt_as):
        with pytest.raises(BadRecordError, match=message):
            render(record, PLACE)
    with pytest.raises(BadRecordError, match="has no field 'id' but 'Id' and 'ID'"):
        record_id(record, "", "meta.id")
    assert TextTemplate("Text").render(record) == "a"


def test_texts_ids_weights_and_sub_tasks(tmp_path: Path) -> None:
    path = tmp_path / "task.csv"
    path.write_text("ID,Text,Weight,Kind\n7,one,2,a\n8,two,3,b\n")
    entries = list(read_entries(path))
    assert [TextTemplate("text").render(one.record) for one in entries] == ["one", "two"]
    template = TextTemplate(template="{kind}: {text} {missing?}")
    assert template.render(entries[1].record) == "b: two "
    assert template.spelt_as(entries[0].record).template == "{Kind}: {Text} {missing?}"
    assert TextTemplate("text").spelt_as(entries[0].record) == TextTemplate("Text")
    assert [record_id(one.record, "", "id") for one in entries] == [7, 8]
    assert weights_of(entries, "weight").tolist() == [2.0, 3.0]
    assert groups_of(entries, "KIND") == ["a", "b"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("inside", [False, True])
def test_columns_of_vectors(tmp_path: Path, suffix: str, inside: bool) -> None:
    rows, path = np.eye(3, dtype=np.float32), tmp_path / f"pool.{suffix}"
    vectors: list[Any] = rows.tolist()
    if inside:
        vectors = [{"Made": one, "by": "m"} for one in vectors]
    table = pa.table({"text": list("abc"), "Vector": vectors})
    if suffix == "parquet":
        parquet.write_table(table, path)
    elif suffix == "arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    form = FileForm(vector_field="vector.made" if inside else "vector")
    entries = list(read_entries(path, form=form))
    assert [entry.vector.tolist() for entry in entries if entry.vector is not None] == rows.tolist()
    left = {"Vector": {"by": "m"}} if inside else {}
    assert [entry.record for entry in entries] == [{"text": t, **left} for t in "abc"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_columns_of_vectors_that_are_alike(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"pool.{suffix}"
    table = pa.table({"VEC": [[1.0]], "Vec": [[2.0]]})
    parquet.write_table(table, path)
    if suffix == "jsonl":
        path.write_text(json.dumps(table.to_pylist()[0]))
    with pytest.raises(InputError, match=f"pool.{suffix}.* has no field 'vec' but 'VEC' and 'Vec'"):
        list(read_entries(path, form=FileForm(vector_field="vec")))


def test_the_likely_name_is_the_one_that_differs_in_case() -> None:
    assert likely_field("SOURCE", ["sources", "source", "text"]) == "source"
    assert likely_field("sorce", ["sources", "source"]) == "source"
    assert likely_field("xyz", ["source"]) is None
