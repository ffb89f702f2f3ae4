"""Tables: with and without quotes, with and without a header, between any delimiters."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import reuses_folder
from record_files import Noted, refusal, written

from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.files.outputs import write_rows
from tsds_qdrant.records import TextTemplate, count_records, read_entries, read_records
from tsds_qdrant.records.entries import Findings
from tsds_qdrant.records.form import FileForm, delimiter_of, names_of


def rows_of(path: Path, form: FileForm | None = None) -> list[list[Any]]:
    return [list(entry.record.values()) for entry in read_entries(path, form=form)]


PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r\0"), min_size=1)


@reuses_folder
@given(
    rows=st.integers(1, 3).flatmap(
        lambda width: st.lists(st.lists(PLAIN, min_size=width, max_size=width), min_size=1)
    )
)
def test_a_line_of_a_tsv_is_a_row(tmp_path: Path, rows: list[list[str]]) -> None:
    header = [f"c{number}" for number in range(len(rows[0]))]
    lines = ["\t".join(row) for row in [header, *rows]]
    path = written(tmp_path / "a.tsv", "".join(f"{line}\n" for line in lines))
    found = list(read_entries(path))
    assert [entry.place.line for entry in found] == list(range(2, len(rows) + 2))
    for row, entry in zip(rows, found, strict=True):
        for cell, read in zip(row, entry.record.values(), strict=True):
            wrapped = cell[0] == cell[-1] == '"' and len(cell) > 1
            assert read == cell or (wrapped and ('""' in cell))
    assert count_records(path) == len(rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('1\t"Start of a quotation\n2\tbetween\n3\tends"\n4\tlast\n',
         [["1", '"Start of a quotation'], ["2", "between"], ["3", 'ends"'], ["4", "last"]]),
        ('1\t"Once" upon a time\n2\tb\n', [["1", '"Once" upon a time'], ["2", "b"]]),
        ('1\t"A whole sentence."\n', [["1", '"A whole sentence."']]),
        ('1\t"never closed\n2\tb', [["1", '"never closed'], ["2", "b"]]),
        ('1\t"\n2\t""\n', [["1", '"'], ["2", ""]]),
        ('1\t5" wide\n2\tb "c" d\n', [["1", '5" wide'], ["2", 'b "c" d']]),
        ('1\t"say ""hi"""\n', [["1", 'say "hi"']]),
        ('1\t"one\ntwo"\n2\tb\n', [["1", "one\ntwo"], ["2", "b"]]),
        ('1\t"one\n\n\ntwo ""x"""\r\n2\tb\r\n', [["1", 'one\n\n\ntwo "x"'], ["2", "b"]]),
        ('"one\ntwo"\tb\n2\tc\n', [["one\ntwo", "b"], ["2", "c"]]),
        ('1\t"a\tb"\n2\tc\n', [["1", "a\tb"], ["2", "c"]]),
        ('1\t\n\t2\n', [["1", ""], ["", "2"]]),
    ],
)  # fmt: skip
def test_quotes_of_a_tsv(tmp_path: Path, text: str, expected: list[list[str]]) -> None:
    path = written(tmp_path / "a.tsv", f"id\ttext\n{text}")
    assert rows_of(path) == expected
    assert count_records(path) == len(expected)
    assert rows_of(written(tmp_path / "a.tab", f"id\ttext\n{text}")) == expected


def test_a_header_in_quotes_says_that_all_fields_are(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", '"id"\t"text"\n"1"\t"two words"\n"2"\t"a\n3\tb"\n')
    assert rows_of(path) == [["1", "two words"], ["2", "a\n3\tb"]]


CELLS = st.text(st.sampled_from('ab"\t\n\r,;| é'), max_size=6)


@reuses_folder
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4), kind=st.sampled_from("mnq"))
def test_tables_that_other_programs_quote(
    tmp_path: Path, rows: list[tuple[str, str]], kind: str
) -> None:
    text = io.StringIO()
    quoting = {"m": csv.QUOTE_MINIMAL, "n": csv.QUOTE_NONNUMERIC, "q": csv.QUOTE_ALL}[kind]
    writer = csv.writer(text, delimiter="\t", quoting=quoting)
    writer.writerows([("a", "b"), *rows])
    wanted = [list(row) for row in rows]
    path = written(tmp_path / "a.csv", text.getvalue())
    assert rows_of(path, FileForm(delimiter="\t")) == wanted
    lines = "\n".join(cell for row in rows for cell in row).splitlines()
    if kind != "m" or not any("\t" in line for line in lines):
        assert rows_of(written(tmp_path / "a.tsv", text.getvalue())) == wanted


def test_pandas_writes_what_is_read(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rows = [["1", 'say "hi"'], ["2", "two\nlines"], ["3", "a\ttab"], ["4", '"quoted"'], ["5", "x"]]
    frame = pandas.DataFrame(rows, columns=["id", "text"])
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    frame.to_csv(tmp_path / "b.csv", sep=";", index=False)
    assert rows_of(tmp_path / "a.tsv") == rows
    assert rows_of(tmp_path / "b.csv", FileForm(delimiter=";")) == rows


def test_what_this_tool_writes_is_read_back(tmp_path: Path) -> None:
    payloads = [{"text": 'a "b"\n\tc'}, {"text": '"'}, {"text": ""}, {"\t": '""'}]
    rows = [{"id": n, "payload": one, "rank": n} for n, one in enumerate(payloads)]
    write_rows(tmp_path / "a.tsv", rows, columns=["id", "payload", "rank"])
    back = list(read_records(tmp_path / "a.tsv"))
    assert [json.loads(row["payload_json"]) for row in back] == payloads
    write_rows(tmp_path / "b.tsv", rows[:3], columns=["id", "payload", "rank"])
    flat = [row["payload"] for row in read_records(tmp_path / "b.tsv")]
    assert flat == [payloads[0], payloads[1], None]


@pytest.mark.parametrize(
    ("name", "delimiter"), [("a.csv", ";"), ("a.csv", "|"), ("a.csv", "\t"), ("a.txt", "§"),
                            ("a.tsv", ","), ("a.csv.gz", ";"), ("noname", ";")],
)  # fmt: skip
def test_any_delimiter(tmp_path: Path, name: str, delimiter: str) -> None:
    text = f'id{delimiter}text\n1{delimiter}"a{delimiter}""b""\nc"\n2{delimiter}d\n'
    path = written(tmp_path / name, text)
    form = FileForm(delimiter)
    assert rows_of(path, form) == [["1", f'a{delimiter}"b"\nc'], ["2", "d"]]
    if not name.endswith(".gz"):
        assert count_records(path, form) == 2


def test_no_header(tmp_path: Path) -> None:
    form = FileForm(no_header=True)
    path = written(tmp_path / "a.tsv", "7\tThe first passage.\n8\tThe second.\n")
    assert [entry.record for entry in read_entries(path, form=form)] == [
        {"0": "7", "1": "The first passage."},
        {"0": "8", "1": "The second."},
    ]
    assert count_records(path, form) == 2
    same = written(tmp_path / "b.csv", "x,x\n")
    assert rows_of(same, form) == [["x", "x"]]
    (entry,) = read_entries(same, form=form)
    assert entry.place.line == 1


def advice_of(path: Path, form: FileForm | None = None) -> str:
    entry = next(read_entries(path, form=form))
    with pytest.raises(InputError) as caught:
        TextTemplate.parse().render(entry.record, entry.place)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "0\tThe first passage of all.\n1\tThe second passage.\n"),
        ("a.csv", '12,"Is this one, too?",3.5\n13,Yes.,1\n'),
        ("a.tsv.gz", "q1\twhat is the height of it\nq2\tsomething else\n"),
    ],
)
def test_the_advice_for_a_table_without_a_header_leads_to_its_texts(
    tmp_path: Path, name: str, text: str
) -> None:
    path = written(tmp_path / name, text)
    message = advice_of(path)
    assert "give --no-header" in message
    field = message.rpartition("--text-field ")[2]
    texts = [
        TextTemplate.parse(field).render(entry.record)
        for entry in read_entries(path, form=FileForm(no_header=True))
    ]
    assert len(texts) == 2
    assert all(not text[0].isdigit() for text in texts)


def test_one_row_alone_or_twice_the_same_name_may_be_a_record(tmp_path: Path) -> None:
    assert "if that is one" in refusal(written(tmp_path / "a.tsv", "0\tOne passage of words.\n"))
    assert "holds no records; give" in refusal(written(tmp_path / "b.tsv", "id\ttext\n"))
    message = refusal(written(tmp_path / "c.tsv", "0\t0\tOne passage of words.\n"))
    assert "has the column '0' twice; rename one of them, or give --no-header" in message


def test_the_advice_for_a_wrong_delimiter_leads_to_the_texts(tmp_path: Path) -> None:
    for delimiter in ";|\t":
        path = written(tmp_path / "a.csv", f"id{delimiter}text\n1{delimiter}words\n")
        named = advice_of(path).partition("--delimiter '")[2].partition("'")[0]
        form = FileForm(delimiter_of(named, "--delimiter"))
        assert [entry.record["text"] for entry in read_entries(path, form=form)] == ["words"]
    assert "--delimiter" not in advice_of(written(tmp_path / "b.csv", "id,body of it\n1,2\n"))
    assert "--no-header" not in advice_of(
        written(tmp_path / "c.csv", "1,words\n"), FileForm(no_header=True)
    )


def test_settings_of_tables_that_cannot_be_right(tmp_path: Path) -> None:
    for text in ("", "ab", '"', "\n", "tabs"):
        with pytest.raises(SettingsError, match="give one character, or tab"):
            delimiter_of(text, "--delimiter")
    assert [delimiter_of(text, "-") for text in ("tab", r"\t", "\t", "Comma", ";")] == [
        *("\t", "\t", "\t", ",", ";")
    ]
    with pytest.raises(SettingsError, match="name columns, as in a,b"):
        names_of(" , ", "--drop-columns")
    assert names_of("a, b,,c", "-") == ("a", "b", "c")
    for name in ("a.jsonl", "a.json", "a.parquet"):
        path = written(tmp_path / name, "{}")
        for form, flag in (
            (FileForm(";"), "--delimiter"),
            (FileForm(no_header=True), "--no-header"),
        ):
            with pytest.raises(SettingsError, match=f"{flag} is for a table, and .* is none"):
                read_entries(path, form=form)


def test_bytes_that_are_no_utf8_are_bad_rows(tmp_path: Path) -> None:
    for name, text in (
        ("a.csv", b"a,b\n1,x\n2,\xe9\n3,y\n"),
        ("a.tsv", b"a\tb\n1\tx\n2\t\xe9\n3\ty\n"),
    ):
        noted = Noted()
        path = written(tmp_path / name, text)
        found = [entry.record["a"] for entry in read_entries(path, noted)]
        assert found == ["1", "3"]
        assert noted.faults == [
            f"'{path}:3' is not UTF-8 text but holds byte 0xe9; convert the file to UTF-8"
        ]
    for encoding in ("utf-16", "utf-16-le", "latin-1"):
        path = written(tmp_path / "b.csv", "tëxt\nx\n".encode(encoding))
        assert "is not UTF-8 text but" in refusal(path)
    mark = written(tmp_path / "c.tsv", "\ufefftext\tn\nx\t1\n")
    assert list(read_records(mark)) == [{"text": "x", "n": "1"}]


def test_dropped_columns_are_gone(tmp_path: Path) -> None:
    form = FileForm(drop_columns=("b", "c"))
    for name, text in (
        ("a.csv", "a,b,c\n1,2,3\n"),
        ("b.csv", "a,b,b,c\n1,2,3,4\n"),
        ("a.jsonl", '{"a": "1", "c": {"b": 1}}\n'),
        ("a.json", '[{"b": 1, "a": "1"}]'),
    ):
        findings = Findings()
        (entry,) = read_entries(written(tmp_path / name, text), findings, form)
        assert entry.record == {"a": "1"}
        assert findings.dropped <= {"b", "c"}
        assert findings.dropped
