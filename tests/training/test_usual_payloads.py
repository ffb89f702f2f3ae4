"""Payloads in the usual shapes: which example each shows, and which show none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.examples import UnfitError
from tsds_qdrant.records.recognising import recognised
from tsds_qdrant.training.forms import check_fit

USER = {"role": "user", "content": "ask"}
ANSWER = {"role": "assistant", "content": "say"}
SYSTEM = {"role": "system", "content": "be brief"}
PICTURE = {"type": "image_url", "image_url": {"url": "x.png"}}
CALL = {"name": "weather", "arguments": {"town": 0}}
QUESTION = "question and answer"
CHOSEN = "preference rows by their chosen answer"


@pytest.mark.parametrize(
    ("payload", "shape", "messages"),
    [
        (
            {"instruction": "ask", "context": "this", "response": "say", "category": "x"},
            "instruction and output",
            [{"role": "user", "content": "ask\nthis"}, ANSWER],
        ),
        ({"instruction": "ask", "response": "say"}, "instruction and output", [USER, ANSWER]),
        ({"query": "ask", "response": "say"}, "query and response", [USER, ANSWER]),
        ({"inputs": "ask", "targets": "say"}, "inputs and targets", [USER, ANSWER]),
        ({"problem": "ask", "solution": "say"}, "problem and solution", [USER, ANSWER]),
        (
            {"system_prompt": "be brief", "question": "ask", "response": "say"},
            QUESTION,
            [SYSTEM, USER, ANSWER],
        ),
        (
            {"context": "this", "question": "ask", "answers": {"text": ["say", "tell"]}},
            QUESTION,
            [{"role": "user", "content": "ask\nthis"}, ANSWER],
        ),
        ({"question": "ask", "answer": ["say", "tell"]}, QUESTION, [USER, ANSWER]),
        ({"question": "ask", "answer": {"value": "say", "aliases": []}}, QUESTION, [USER, ANSWER]),
        ({"input": [SYSTEM, USER], "output": "say"}, "input and output", [SYSTEM, USER, ANSWER]),
        ({"conversations": ["ask", "say"], "source": "x"}, "conversations", [USER, ANSWER]),
        ({"conversation": [USER, ANSWER], "model": "m"}, "conversations", [USER, ANSWER]),
        ({"messages": json.dumps([USER, ANSWER])}, "messages", [USER, ANSWER]),
        (
            {"id": 1, "payload": {"inputs": "ask", "targets": "say"}},
            "inputs and targets",
            [USER, ANSWER],
        ),
        (
            {"id": "1", "payload_json": json.dumps({"messages": [USER, ANSWER]})},
            "messages",
            [USER, ANSWER],
        ),
        ({"prompt": "ask", "chosen": "say", "rejected": "no"}, CHOSEN, [USER, ANSWER]),
        ({"prompt": [USER], "chosen": [ANSWER], "rejected": []}, CHOSEN, [USER, ANSWER]),
        ({"prompt": "ask", "chosen": [ANSWER], "rejected": [ANSWER]}, CHOSEN, [USER, ANSWER]),
        ({"prompt": [USER], "chosen": "say", "rejected": "no"}, CHOSEN, [USER, ANSWER]),
        (
            {"prompt": "ask", "chosen": [USER, ANSWER], "rejected": [USER, ANSWER]},
            CHOSEN,
            [USER, ANSWER],
        ),
        (
            {"instruction": "ask", "input": "this", "chosen": "say", "rejected": "no"},
            CHOSEN,
            [{"role": "user", "content": "ask\nthis"}, ANSWER],
        ),
        (
            {
                "conversations": [{"from": "human", "value": "ask"}],
                "chosen": {"from": "gpt", "value": "say"},
                "rejected": {"from": "gpt", "value": "no"},
                "system": "be brief",
            },
            CHOSEN,
            [SYSTEM, USER, ANSWER],
        ),
    ],
)
def test_usual_shapes(payload: dict[str, Any], shape: str, messages: list[Any]) -> None:
    example = recognised(payload)
    assert (example.shape, list(example.messages)) == (shape, messages)
    assert example.used <= payload.keys()
    assert "rejected" not in example.used
    if shape == CHOSEN:
        assert example.asked == len(messages) - 1
    text = TextTemplate.parse().decide(payload).render(payload)
    for message in messages:
        assert message["content"] in text


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"page_content": "alone", "metadata": {}}, "alone"),
        ({"content": "alone", "meta": {}}, "alone"),
        ({"document": "alone"}, "alone"),
        ({"_node_content": json.dumps({"text": "alone"})}, "alone"),
        ({"chosen": "Human: a", "rejected": "Human: b"}, "Human: a"),
        ({"content": ["parts"], "body": "alone"}, "alone"),
        ({"text": "alone", "label": 0}, "alone"),
    ],
)
def test_texts_alone(payload: dict[str, Any], text: str) -> None:
    example = recognised(payload)
    assert (example.text, example.is_text) == (text, True)
    assert TextTemplate.parse().decide(payload).render(payload) == text


@pytest.mark.parametrize("name", ["label", "kto_tag"])
@pytest.mark.parametrize("false", [False, "False", "false", 0, "0", 0.0, "undesirable"])
def test_answers_labelled_false_are_none_to_learn(name: str, false: object) -> None:
    for payload in (
        {"prompt": "ask", "completion": "say"},
        {"prompt": [USER], "completion": [ANSWER]},
        {"messages": [USER, ANSWER]},
        {"conversations": [USER, ANSWER]},
    ):
        with pytest.raises(UnfitError) as caught:
            recognised({**payload, name: false})
        assert str(caught.value) == "is labelled false, so its answer is none to learn"
        for good in (True, "True", 1, None):
            assert list(recognised({**payload, name: good}).messages) == [USER, ANSWER]


def test_a_number_that_may_be_a_class_is_no_label_of_an_answer() -> None:
    payload = {"instruction": "ask", "output": "say", "label": 0}
    assert "label" not in recognised(payload).used  # so that the report says it is left out
    for false in ({"label": False}, {"kto_tag": 0}):
        with pytest.raises(UnfitError, match="is labelled false"):
            recognised({**payload, **false})


def test_the_roles_of_llamafactory_become_calls_and_results() -> None:
    spoken = [
        {"from": "human", "value": "ask"},
        {"from": "function_call", "value": json.dumps(CALL)},
        {"from": "observation", "value": "7"},
        {"from": "gpt", "value": "say"},
    ]
    example = recognised({"conversations": spoken, "tools": '[{"name": "weather"}]'})
    assert list(example.messages) == [
        USER,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": CALL}],
        },
        {"role": "tool", "content": "7"},
        ANSWER,
    ]
    assert json.loads(example.tools) == [{"type": "function", "function": {"name": "weather"}}]
    two = json.dumps([CALL, {**CALL, "arguments": '{"town": 1}'}])
    spoken[1] = {"role": "function_call", "content": two}
    calls = recognised({"messages": spoken}).messages[1]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == [{"town": 0}, {"town": 1}]
    for broken in ("weather(0)", "{}", "[]", '{"arguments": {}}', "[1]"):
        spoken[1] = {"from": "function_call", "value": broken}
        with pytest.raises(UnfitError, match="as the call of message 2, which is no JSON text of"):
            recognised({"conversations": spoken})


def test_the_older_calls_of_functions() -> None:
    messages = [
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "7"},
        ANSWER,
    ]
    example = recognised({"messages": messages, "functions": [{"name": "f"}]})
    assert list(example.messages) == [
        USER,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "name": "f", "content": "7"},
        ANSWER,
    ]
    assert json.loads(example.tools) == [{"name": "f"}]


def test_blocks_of_calls_results_and_thoughts() -> None:
    call = {"type": "tool_use", "id": "1", "name": "weather", "input": {"town": 0}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "7"}]}
    messages = [
        USER,
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "so"}, "wait", call]},
        {"role": "user", "content": [result, {"type": "text", "text": "and?"}]},
        {"role": "assistant", "content": call},
        {"role": "user", "content": [{**result, "content": "8"}]},
        ANSWER,
    ]
    calls = [{"id": "1", "type": "function", "function": CALL}]
    assert list(recognised({"messages": messages}).messages) == [
        USER,
        {"role": "assistant", "content": "wait", "reasoning_content": "so", "tool_calls": calls},
        {"role": "tool", "content": "7", "tool_call_id": "1"},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "8", "tool_call_id": "1"},
        ANSWER,
    ]
    broken = {**result, "content": [{"type": "odd"}]}
    with pytest.raises(UnfitError, match="content of message 2, which is no text"):
        recognised({"messages": [USER, {"role": "user", "content": [broken]}, ANSWER]})


def test_parts_are_joined_unless_they_show_something() -> None:
    texts = {"role": "user", "content": [{"type": "text", "text": "a"}, "b", {"text": "c"}]}
    assert recognised({"messages": [texts, ANSWER]}).messages[0]["content"] == "abc"
    single = {"role": "user", "content": {"type": "text", "text": "a", "image_url": None}}
    assert recognised({"messages": [single, ANSWER]}).messages[0]["content"] == "a"
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    assert recognised({"messages": [USER, refused]}).messages[1]["content"] == "no"
    shown = {"role": "user", "content": ["a", {**PICTURE, "text": None}]}
    example = recognised({"messages": [shown, ANSWER]})
    assert example.messages[0]["content"] == [{"type": "text", "text": "a"}, PICTURE]
    assert example.shows_media


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        ({"question": "a", "answers": {"text": []}}, "has an empty list of answers"),
        ({"prompt": "a", "chosen": "", "rejected": "b"}, "has an empty completion"),
        ({"chosen": [ANSWER], "rejected": [ANSWER]}, "has a chosen answer without a prompt"),
        ({"messages": [USER, {**ANSWER, "content": [{"type": "odd"}]}]}, "content of message 2"),
        ({"question": "a", "answer": [1, 2]}, "as its completion, which is no text"),
    ],
)
def test_payloads_that_show_nothing_to_learn(payload: dict[str, Any], fault: str) -> None:
    with pytest.raises(UnfitError, match=fault):
        recognised(payload)


def test_answers_that_are_masked_fit_only_where_masks_are_kept() -> None:
    for mark in ({"weight": 0}, {"train": False}, {"training": False}):
        masked = recognised({"messages": [USER, {**ANSWER, **mark}, USER, ANSWER]})
        for form in ("instruction", "llamafactory"):
            with pytest.raises(UnfitError, match=r"masks message 2 from the loss"):
                check_fit(form, masked)
        for form in ("chat", "trl", "axolotl"):
            check_fit(form, masked)
    for mark in ({"weight": 1}, {"train": True}, {}):
        check_fit("llamafactory", recognised({"messages": [USER, {**ANSWER, **mark}]}))


@pytest.mark.parametrize("form", ["chat", "trl", "axolotl"])
def test_places_for_pictures_are_as_many_as_pictures(form: str) -> None:
    def shown(text: str, *images: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text}, ANSWER], "images": [*images]}

    for payload in (shown("<image><image>two?", "a.png"), shown("<image>?", "a.png", "b.png")):
        with pytest.raises(UnfitError, match=r"has \d places for images and \d in 'images'"):
            check_fit(form, recognised(payload))
    for payload in (shown("<image>?", "a.png"), shown("no place", "a.png"), shown("<image>?")):
        check_fit(form, recognised(payload))
