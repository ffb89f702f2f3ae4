"""Texts of records that name neither field nor template: the shapes of well-known data sets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsds_qdrant.errors import InputError
from tsds_qdrant.records import TextTemplate, record_id
from tsds_qdrant.records.dialogue import ROLES
from tsds_qdrant.records.entries import Place

USER = {"role": "user", "content": "ask"}
ANSWER = {"role": "assistant", "content": "say"}
PICTURE = {"type": "image_url", "image_url": {"url": "x.png"}}
CALL = {"name": "weather", "arguments": {"town": 0}}
CALL_TEXT = '{"name": "weather", "arguments": {"town": 0}}'


def both_ways(record: dict[str, Any]) -> tuple[str | None, str]:
    """The template that ``record`` decides on, kept and restored, and the text it gives."""
    kept = json.loads(json.dumps(TextTemplate.parse().decide(record).to_dict()))
    template = TextTemplate.from_dict(kept)
    return template.template, template.render(record)


@pytest.mark.parametrize(
    ("record", "template", "text"),
    [
        # Chats: OpenAI, ShareGPT, LMSYS, LLaMA-Factory, Gemini
        ({"messages": [USER, ANSWER], "tools": []}, "{messages}", "ask\nsay"),
        ({"conversations": [USER, ANSWER], "id": "x"}, "{conversations}", "ask\nsay"),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            "{conversations}",
            "a\nb",
        ),
        ({"conversation": [USER, ANSWER], "model": "m"}, "{conversation}", "ask\nsay"),
        (
            {"conversations": [{"from": "human", "value": "a"}], "system": "be brief"},
            "{system?}\n{conversations}",
            "be brief\na",
        ),
        (
            {"messages": [{"role": "model", "parts": [{"text": "a"}, {"text": "b"}]}]},
            "{messages}",
            "a\nb",
        ),
        ({"messages": json.dumps([USER, ANSWER])}, "{messages.*}", "ask\nsay"),
        # What TRL takes, and KTO
        ({"prompt": [USER], "completion": [ANSWER]}, "{prompt}\n{completion}", "ask\nsay"),
        ({"prompt": "p", "completion": "c", "label": False}, "{prompt}\n{completion}", "p\nc"),
        ({"messages": [USER, ANSWER], "label": True}, "{messages}", "ask\nsay"),
        # Alpaca, Dolly, Magpie
        ({"instruction": "i", "output": "o"}, "{instruction}\n{input?}\n{output}", "i\no"),
        (
            {"instruction": "i", "input": "n", "output": "o", "history": [["a", "b"]]},
            "{history?}\n{instruction}\n{input?}\n{output}",
            "a\nb\ni\nn\no",
        ),
        (
            {"instruction": "i", "context": "", "response": "r", "category": "x"},
            "{instruction}\n{context?}\n{response}",
            "i\nr",
        ),
        ({"instruction": "i", "response": "r"}, "{instruction}\n{input?}\n{response}", "i\nr"),
        # FLAN, MetaMath, OpenOrca, GSM8K, NuminaMath, HelpSteer
        ({"inputs": "i", "targets": "t", "task": "x"}, "{inputs}\n{targets}", "i\nt"),
        ({"query": "q", "response": "r", "type": "x"}, "{query}\n{response}", "q\nr"),
        (
            {"system_prompt": "", "question": "q", "response": "r"},
            "{system_prompt?}\n{question}\n{response}",
            "q\nr",
        ),
        ({"question": "q", "answer": 72}, "{question}\n{answer}", "q\n72"),
        ({"problem": "p", "solution": "s"}, "{problem}\n{solution}", "p\ns"),
        ({"prompt": "p", "response": "r", "helpfulness": 3}, "{prompt}\n{response}", "p\nr"),
        # SQuAD, its questions without answers, and open questions with several
        (
            {"context": "c", "question": "q", "answers": {"text": ["a", "b"], "start": [1, 2]}},
            "{question}\n{context?}\n{answers.text?}",
            "q\nc\na\nb",
        ),
        (
            {"context": "c", "question": "q", "answers": {"text": [], "start": []}},
            "{question}\n{context?}\n{answers.text?}",
            "q\nc",
        ),
        ({"question": "q", "answer": ["a", "b"]}, "{question}\n{answer}", "q\na\nb"),
        # Preferences: the chosen answer
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, "{prompt?}\n{chosen}", "p\nc"),
        (
            {"prompt": [USER], "chosen": [ANSWER], "rejected": [ANSWER]},
            "{prompt?}\n{chosen}",
            "ask\nsay",
        ),
        (
            {"prompt": "ask", "chosen": [USER, ANSWER], "rejected": [USER], "messages": [USER]},
            "{chosen}",
            "ask\nsay",
        ),
        ({"chosen": "Human: a", "rejected": "Human: b"}, "{chosen}", "Human: a"),
        (
            {"system": "s", "question": "q", "chosen": "c", "rejected": "r"},
            "{system?}\n{question?}\n{chosen}",
            "s\nq\nc",
        ),
        (
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "c"},
                "rejected": {"from": "gpt", "value": "r"},
            },
            "{conversations?}\n{chosen}",
            "q\nc",
        ),
        # Prompts alone, as lists of messages too
        ({"prompt": "p", "id": 1}, "{prompt}", "p"),
        ({"prompt": [USER], "extra": None}, "{prompt}", "ask"),
        ({"messages": "none", "prompt": "p"}, "{prompt}", "p"),
        ({"conversations": ["ask", "say"], "source": "x"}, "{conversations}", "ask\nsay"),
        # Text alone, and what vector stores keep: LangChain, Haystack, MCP, LlamaIndex
        ({"text": "t", "meta": {"pile_set_name": "x"}}, "{text}", "t"),
        ({"page_content": "p", "metadata": {"source": "s"}}, "{page_content}", "p"),
        ({"content": "c", "meta": {}}, "{content}", "c"),
        ({"document": "d", "metadata": {}}, "{document}", "d"),
        (
            {"_node_content": json.dumps({"id_": "1", "text": "n"}), "_node_type": "TextNode"},
            "{_node_content.text}",
            "n",
        ),
        (
            {"_node_content": json.dumps({"text_resource": {"text": "n"}})},
            "{_node_content.text_resource.text}",
            "n",
        ),
        # Rows of a selection, as JSON lines and as a table
        ({"id": 1, "payload": {"text": "t"}, "rank": 0, "query": 0}, "{payload.text}", "t"),
        (
            {"id": 1, "payload": {"messages": [USER, ANSWER]}, "rank": 0},
            "{payload.messages}",
            "ask\nsay",
        ),
        (
            {"id": "1", "payload_json": json.dumps({"inputs": "i", "targets": "t"}), "rank": "0"},
            "{payload_json.inputs}\n{payload_json.targets}",
            "i\nt",
        ),
        # Null columns of merged tables are no text
        ({"text": None, "messages": None, "inputs": "i", "targets": "t"}, None, "i\nt"),
        ({"content": ["parts"], "document": None, "body": "b"}, "{body}", "b"),
    ],
)
def test_usual_shapes(record: dict[str, Any], template: str | None, text: str) -> None:
    found, rendered = both_ways(record)
    assert rendered == text
    assert template is None or found == template


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "user", "content": ["a", {"type": "text", "text": "b"}, PICTURE]}, "a\nb"),
        ({"role": "user", "content": {"type": "input_text", "text": "a"}}, "a"),
        ({"role": "user", "content": [PICTURE]}, ""),
        (
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a", "image_url": None},
                    {"type": "image_url", "text": None, "image_url": {"url": "x"}},
                    {"type": "input_audio", "input_audio": {"data": "..", "format": "wav"}},
                    {"type": "file", "file": {"file_id": "x"}},
                ],
            },
            "a",
        ),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "function": {**CALL, "arguments": '{"town": 0}'}}],
            },
            CALL_TEXT,
        ),
        ({"role": "assistant", "content": "so", "function_call": CALL}, f"so\n{CALL_TEXT}"),
        ({"from": "function_call", "value": CALL_TEXT}, CALL_TEXT),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{a"}}]},
            '{"name": "f", "arguments": "{a"}',
        ),
        ({"role": "tool", "content": "7", "tool_call_id": "1"}, "7"),
        ({"role": "assistant", "content": "say", "reasoning_content": "so"}, "so\nsay"),
        ({"role": "assistant", "content": "say", "thinking": "so"}, "so\nsay"),
        (
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "so", "signature": ".."},
                    {"type": "text", "text": "say"},
                    {"type": "tool_use", "id": "1", "name": "weather", "input": {"town": 0}},
                ],
            },
            f"so\nsay\n{CALL_TEXT}",
        ),
        (
            {"role": "user", "content": [{"type": "tool_result", "content": [{"text": "7"}]}]},
            "7",
        ),
        (
            {"role": "user", "content": [{"type": "odd", "x": "kept"}]},
            '[{"type": "odd", "x": "kept"}]',
        ),
        ({"role": "user", "content": "  "}, ""),
    ],
)
def test_all_that_a_message_says_is_in_the_text(message: dict[str, Any], text: str) -> None:
    for record in ({"messages": [USER, message]}, {"messages": [USER, message], "id": 1}):
        assert both_ways(record) == ("{messages}", "\n".join(filter(None, ("ask", text))))
    assert TextTemplate.parse(text_field="messages.1").render({"messages": [USER, ANSWER]}) == "say"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(ROLES)), st.text(st.characters(codec="utf-8"), max_size=9)
        ),
        min_size=1,
    )
)
def test_plain_dialogues_keep_their_texts_and_ids(said: list[tuple[str, str]]) -> None:
    spellings = (("messages", "role", "content"), ("conversations", "from", "value"))
    for field, role, content in spellings:
        record = {field: [{role: name, content: text} for name, text in said]}
        older = TextTemplate.from_dict({"template": f"{{{field}.*.{content}}}"})
        newer = TextTemplate.parse().decide(record)
        assert newer.template == f"{{{field}}}"
        if not any(text.strip() for _, text in said):
            with pytest.raises(InputError, match=f"is empty in '{field}'"):
                newer.render(record)
            continue
        text = newer.render(record)
        assert text == older.render(record)
        assert text == "\n".join(text for _, text in said if text.strip())
        assert record_id(record, text) == record_id(record, older.render(record))


def test_a_path_to_contents_reads_texts_and_parts() -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "a"}, PICTURE, "b"]}
    record = {"messages": [{"role": "system", "content": "s"}, parts, ANSWER]}
    for path in ("messages.*.content", "messages.*", "messages"):
        assert TextTemplate.parse(text_field=path).render(record) == "s\na\nb\nsay"
    # A text counts as its own one part, so that answers are not lost among the parts.
    path = "messages.*.content.*.text"
    assert TextTemplate.parse(text_field=path).render(record) == "s\na\nsay"
    assert TextTemplate.parse(text_field="messages.1.content").render(record) == "a\nb"


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [], "id": 1}, "messages.*.content"),
        ({"answers": {"text": []}, "question": "q"}, "answers.text"),
        ({"turns": [{"parts": []}, {"parts": []}]}, "turns.*.parts"),
        ({"payload": {"conversations": []}}, "payload.conversations"),
    ],
)
def test_an_empty_list_is_named_and_the_advice_works(record: dict[str, Any], path: str) -> None:
    empty, place = path.removesuffix(".*.content"), Place("a.jsonl", 3)
    with pytest.raises(InputError) as caught:
        TextTemplate.parse(text_field=path).render(record, place)
    fault = f"'a.jsonl:3' has no text in '{path}', as the list '{empty}' is empty; fill it, or drop"
    assert fault in str(caught.value)
    beside = {**record, "title": "t"}
    with pytest.raises(InputError) as caught:
        TextTemplate.parse(template=f"{{title}}\n{{{path}}}").render(beside, place)
    advised = str(caught.value).split('let it be empty with --template "')[1].removesuffix('"')
    assert TextTemplate.parse(template=advised).render(beside) == "t"


def test_a_usual_shape_with_an_empty_list_is_still_that_shape() -> None:
    for record, field in (
        ({"messages": []}, "messages"),
        ({"payload": {"conversations": []}, "rank": 0}, "payload.conversations"),
        ({"prompt": [USER], "completion": []}, "completion"),
    ):
        with pytest.raises(InputError, match=f"as the list '{field}' is empty"):
            TextTemplate.parse().decide(record).render(record)


@pytest.mark.parametrize(
    ("record", "path", "text"),
    [
        ({"turns": [{"q": "a", "n": 1}, {"q": "b"}]}, "turns", "a\nb"),
        ({"meta": {"title": {"main": "a"}, "vector": [0.5, 1.5]}}, "meta", "a"),
        ({"rows": [[{"x": ["a", "b"]}], [{"x": ["c"]}]]}, "rows", "a\nb\nc"),
        ({"counts": [1, 2]}, "counts", "1\n2"),
    ],
)
def test_advice_to_reach_deeper_can_be_followed(
    record: dict[str, Any], path: str, text: str
) -> None:
    with pytest.raises(InputError, match="is no text; reach into it with dots, as in '") as caught:
        TextTemplate.parse(text_field=path).render(record)
    advised = str(caught.value).rsplit("'", 2)[1]
    assert TextTemplate.parse(text_field=advised).render(record) == text


def test_values_without_any_text_below() -> None:
    for value in ({}, [{}], {"a": {"b": None}}):
        with pytest.raises(InputError, match="which is no text; name another"):
            TextTemplate.parse(text_field="x").render({"x": value})


def test_lists_of_texts_give_a_line_each() -> None:
    record = {"answers": {"text": ["a", " ", "b"]}, "history": [["q", "a"], ["r", None]]}
    assert TextTemplate.parse(text_field="answers.text").render(record) == "a\nb"
    assert TextTemplate.parse(text_field="history").render(record) == "q\na\nr"
