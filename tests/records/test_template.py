"""The text of a record, by a field, a template or a convention."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_files import TEXT

from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.entries import Place


@given(name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), value=TEXT)
def test_a_text_field_gives_the_text_as_it_is(name: str, value: str) -> None:
    template = TextTemplate.parse(text_field=name)
    if value.strip():
        assert template.render({name: value}) == value
    else:
        with pytest.raises(InputError, match="is empty in"):
            template.render({name: value})


NAMES = st.text("abcdef_", min_size=1, max_size=5)
WORDS = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@given(
    parts=st.lists(st.tuples(TEXT, NAMES), min_size=1, max_size=4),
    end=TEXT,
    chosen=st.data(),
)
def test_a_template_is_its_parts_joined(
    parts: list[tuple[str, str]], end: str, chosen: st.DataObject
) -> None:
    record = {name: chosen.draw(WORDS) for _, name in parts}

    def plain(literal: str) -> str:
        escaped = literal.replace("{", "{{").replace("}", "}}")
        return escaped.replace("\\", "\\\\").replace("\n", "\\n")

    source = "".join(f"{plain(literal)}{{{name}}}" for literal, name in parts) + plain(end)
    template = TextTemplate.parse(template=source)
    expected = "".join(literal + record[name] for literal, name in parts) + end
    assert template.render(record) == expected
    assert TextTemplate.from_dict(json.loads(json.dumps(template.to_dict()))) == template
    assert TextTemplate.from_dict(template.to_dict()).render(record) == expected


def test_dotted_fields_lists_and_numbers() -> None:
    record = {
        "a": {"b": [{"c": "x"}, {"c": 1.5}, {"c": None}]},
        "a.b": "whole name first",
        "n": 7,
        "yes": True,
        "d.e": {"f": "inner"},
    }
    for path, text in {
        "a.b": "whole name first",
        "a.b.0.c": "x",
        "a.b.1.c": "1.5",
        "a.b.*.c": "x\n1.5",
        "n": "7",
        "yes": "true",
    }.items():
        assert TextTemplate.parse(text_field=path).render(record) == text
    assert TextTemplate.parse(template=r"{n}\t{yes}\\n {{n}}").render(record) == "7\ttrue\\n {n}"


@pytest.mark.parametrize(
    ("template", "record", "text"),
    [
        ("{a}\n{b?}\n{c}", {"a": "1", "b": "2", "c": "3"}, "1\n2\n3"),
        ("{a}\n{b?}\n{c}", {"a": "1", "b": "", "c": "3"}, "1\n3"),
        ("{a}\n{b?}\n{c}", {"a": "1", "c": "3"}, "1\n3"),
        ("{b?}\n{a}", {"a": "1"}, "1"),
        ("{a}\n{b?}", {"a": "1", "b": None}, "1"),
        ("{b?}{d?}\n{a}", {"a": "1"}, "1"),
        ("{a} {b?}\n{c}", {"a": "1", "c": "3"}, "1 \n3"),
        ("x\n{b?}: {a}", {"a": "1"}, "x\n: 1"),
    ],
)
def test_optional_fields(template: str, record: dict[str, Any], text: str) -> None:
    assert TextTemplate.parse(template=template).render(record) == text


@pytest.mark.parametrize(
    ("record", "convention", "text"),
    [
        ({"id": 1, "content": "c", "text": "t"}, "{text}", "t"),
        ({"content": "c", "prompt": "p"}, "{content}", "c"),
        (
            {"instruction": "i", "input": "", "output": "o"},
            "{instruction}\n{input?}\n{output}",
            "i\no",
        ),
        ({"prompt": "p", "completion": "c"}, "{prompt}\n{completion}", "p\nc"),
        ({"prompt": "p", "chosen": "c"}, "{prompt}", "p"),
        ({"question": "q", "answer": "a"}, "{question}\n{answer}", "q\na"),
        (
            {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "v"}]},
            "{messages}",
            "u\nv",
        ),
        ({"content": ["parts"], "body": "b"}, "{body}", "b"),
    ],
)
def test_conventions(record: dict[str, Any], convention: str, text: str) -> None:
    undecided = TextTemplate.parse()
    assert undecided.to_dict() == {}
    decided = undecided.decide(record)
    assert decided.template == convention
    assert decided.decide({}) is decided
    assert decided.render(record) == undecided.render(record) == text
    assert TextTemplate.from_dict(decided.to_dict()) == decided


def test_no_convention_lists_the_fields() -> None:
    with pytest.raises(
        InputError,
        match=r"\(its fields: id, label\); name it with --text-field",
    ):
        TextTemplate.parse().decide({"id": 1, "label": "x"})
    with pytest.raises(InputError, match=r"it has no fields"):
        TextTemplate.parse().decide({})


def test_template_settings_that_cannot_be_right() -> None:
    for arguments, wanted in (
        (("a", "{b}"), "both the text field 'a' and the template '{b}' are given"),
        (("", None), "the text field '' has no name"),
        ((None, ""), "has no field; write one as {name}"),
        ((None, "{{a}}"), "has no field; write one as {name}"),
        ((None, "x {a} }"), "has a stray '}' at character 7"),
        ((None, "{} {a}"), "has a stray '{' at character 1"),
        ((None, "{a{b}}"), "has a stray '{' at character 1"),
    ):
        with pytest.raises(SettingsError) as caught:
            TextTemplate.parse(*arguments)
        assert wanted in str(caught.value)


def test_text_errors_name_record_field_and_the_closest_one() -> None:
    record = {
        **{"id": 1, "text": " ", "meta": {"title": None, "tags": ["a"]}},
        **{"tags": [{"name": "a"}], "none": []},
    }
    listed = "(its fields: id, text, meta, tags, none)"
    for field, wanted in {
        "txt": f"'a.jsonl:3' has no field 'txt' {listed}; did you mean 'text'?",
        "meta.titel": "did you mean 'meta.title'?",
        "zzz": f"'a.jsonl:3' has no field 'zzz' {listed}; name one of them",
        "text": "'a.jsonl:3' is empty in 'text'; fill it, or drop the record",
        "meta.title": "'a.jsonl:3' is empty in 'meta.title'",
        "meta": 'holds {"title": null, "tags": ["a"]} in \'meta\', which is no text; reach into it '
        "with dots, as in 'meta.tags'",
        "meta.tags.1": "'a.jsonl:3' has no field 'meta.tags.1'",
        "tags": 'holds [{"name": "a"}] in \'tags\', which is no text; reach into it with dots, as '
        "in 'tags.*.name'",
        "none": "'a.jsonl:3' has no text in 'none', as the list 'none' is empty; fill it, or drop",
        "none.*.a": "'a.jsonl:3' has no text in 'none.*.a', as the list 'none' is empty",
        "meta.title.x": "'a.jsonl:3' has no text in 'meta.title.x', as 'meta.title' is null",
    }.items():
        with pytest.raises(InputError) as caught:
            TextTemplate.parse(text_field=field).render(record, Place("a.jsonl", 3))
        assert wanted in str(caught.value)
    with pytest.raises(InputError, match="a record has no text in any of its optional fields"):
        TextTemplate.parse(template="{a?}\n{b?}").render(record)
    many = {f"field{i}": i for i in range(30)}
    with pytest.raises(InputError, match="field19 and 10 more"):
        TextTemplate.parse(text_field="x").render(many)
