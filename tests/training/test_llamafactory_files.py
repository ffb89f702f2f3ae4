"""Files and entries for LLaMA-Factory, read by its rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exported
import pytest
from commands import rows_of
from exported import Made, payload_of
from llamafactory_reader import read_llamafactory

from tsds_qdrant.errors import InputError
from tsds_qdrant.records.examples import UnfitError
from tsds_qdrant.records.recognising import recognised
from tsds_qdrant.training.llamafactory import RESULTS_APART, dialogue_row

make = exported.make

USER = {"role": "user", "content": "ask"}
ANSWER = {"role": "assistant", "content": "say"}
CALL = {"name": "weather", "arguments": {"town": 0}}
TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
OPENAI_TOOLS = [{"type": "function", "function": TOOL}]
OPENAI_CALL = {"id": "1", "type": "function", "function": {**CALL, "arguments": '{"town": 0}'}}
OPENAI = [
    {"role": "system", "content": "be brief"},
    USER,
    {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL, OPENAI_CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "7"},
    {"role": "tool", "tool_call_id": "2", "content": "8"},
    ANSWER,
]
SHAREGPT = [
    {"from": "human", "value": "ask"},
    {"from": "function_call", "value": json.dumps(CALL)},
    {"from": "observation", "value": "7"},
    {"from": "gpt", "value": "say"},
]


def shown(*content: Any, text: str = "say") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*content]}, {"role": "assistant", "content": text}]


IMAGE_PART = {"type": "image_url", "image_url": {"url": "b.png"}}
PICTURES: list[dict[str, Any]] = [
    {"messages": shown({"type": "text", "text": "What is "}, IMAGE_PART, "?")},
    {"messages": [{"role": "user", "content": "<image>What?"}, ANSWER], "images": ["a.png"]},
    {"messages": shown({"type": "image"}, "Which?"), "images": ["c.png"]},
    {"messages": shown({"type": "image", "path": "d.png"}, {"type": "image"}), "image": "e.png"},
    {"instruction": "<image>What?", "input": "", "output": "say", "images": ["f.png"]},
    {
        "messages": shown(
            {"type": "video", "url": "file:///v.mp4"}, {"type": "audio", "path": "a.wav"}
        )
    },
]


def test_calls_and_results_of_both_spellings(make: Callable[..., Made], tmp_path: Path) -> None:
    made = make(
        [
            {"messages": OPENAI, "tools": OPENAI_TOOLS},
            {"conversations": SHAREGPT, "tools": json.dumps([TOOL])},
            payload_of(0),
        ]
    )
    for name in ("task.jsonl", "task.parquet"):
        report = made.export(name, "llamafactory")
        assert report.layout == "messages"
        rows = read_llamafactory(tmp_path, "task")
        assert len(rows) == sum(report.files.values())
        (tmp_path / "dataset_info.json").unlink()
    seen = {(row["system"], tuple(m["role"] for m in row["prompt"])) for row in rows}
    assert seen == {
        ("be brief", ("user", "function", "observation")),
        ("", ("user", "function", "observation")),
        ("", ("user",)),
    }
    with_both = next(row for row in rows if row["system"])
    assert json.loads(with_both["prompt"][1]["content"]) == [CALL, CALL]
    assert with_both["prompt"][2]["content"] == f"7{RESULTS_APART}8"
    assert with_both["tools"] == [TOOL]
    alone = next(row for row in rows if row["tools"] and not row["system"])
    assert json.loads(alone["prompt"][1]["content"]) == CALL
    assert {tuple(map(str, row["tools"])) for row in rows} == {(str(TOOL),), ()}


def test_results_of_calls_that_are_written_in_the_text(
    make: Callable[..., Made], tmp_path: Path
) -> None:
    spoken = [
        {"from": "human", "value": "ask"},
        {"from": "gpt", "value": "<tool_call>{}</tool_call>"},
        {"from": "tool", "value": "7"},
        {"from": "gpt", "value": "say"},
    ]
    make([{"conversations": spoken}]).export("task.jsonl", "llamafactory")
    for row in read_llamafactory(tmp_path, "task"):
        assert [m["role"] for m in row["prompt"]] == ["user", "assistant", "observation"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_pictures_are_counted(make: Callable[..., Made], tmp_path: Path, suffix: str) -> None:
    made = make([*PICTURES, payload_of(0)])
    made.export(f"task.{suffix}", "llamafactory")
    rows = read_llamafactory(tmp_path, "task")
    asked = {
        (row["prompt"][0]["content"], *row["images"], *row["videos"], *row["audios"])
        for row in rows
    }
    assert {row for row in asked if not row[0].startswith("ask")} == {
        ("What is <image>?", "b.png"),
        ("<image>What?", "a.png"),
        ("<image>Which?", "c.png"),
        ("<image><image>", "d.png", "e.png"),
        ("<image>What?", "f.png"),
        ("<video><audio>", "/v.mp4", "a.wav"),
    }


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (
            {"messages": [{**USER, "content": "<image>a"}, ANSWER]},
            "has 1 <image> in its messages and 0",
        ),
        (
            {"messages": [{**USER, "content": "<image>a"}, ANSWER], "images": ["a", "b"]},
            "has 1 <image> in its messages and 2 in 'images'",
        ),
        ({"messages": [USER, ANSWER], "images": ["a.png"]}, "has 0 <image> in its messages and 1"),
        ({"messages": shown({"type": "image"})}, "has 1 <image> in its messages and 0"),
        ({"messages": shown({"type": "image", "url": "https://x/y.png"})}, "holds files alone"),
        (
            {
                "messages": shown(
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
                )
            },
            "holds files alone",
        ),
        ({"messages": shown({"type": "input_audio", "input_audio": {"data": "AA"}})}, "is no file"),
        ({"messages": shown({"type": "file", "file": {"file_id": "x"}})}, "where it has no place"),
        (
            {"messages": [{"role": "system", "content": [IMAGE_PART]}, USER, ANSWER]},
            "in message 1, where it has no place",
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "content": "so", "tool_calls": [OPENAI_CALL]},
                ]
            },
            "says something beside the call of message 2",
        ),
        (
            {
                "messages": [
                    USER,
                    {
                        "role": "assistant",
                        "tool_calls": [{"function": {"name": "f", "arguments": "{a"}}],
                    },
                ]
            },
            "without name and arguments",
        ),
        ({"messages": OPENAI[:-1]}, "must take turns"),
        ({"conversations": SHAREGPT, "tools": "weather"}, "as its tools, which is no list of"),
    ],
)
def test_what_llamafactory_would_stumble_over(payload: dict[str, Any], fault: str) -> None:
    with pytest.raises(UnfitError, match=fault):
        dialogue_row(recognised(payload))


def test_tags_of_html_are_text_where_nothing_is_shown() -> None:
    html = {"messages": [{**USER, "content": "<video> and <audio>"}, ANSWER]}
    assert dialogue_row(recognised(html))["messages"][0]["content"] == "<video> and <audio>"


def test_reasoning_that_is_kept_apart_comes_before_the_answer() -> None:
    thinking = {"messages": [USER, {**ANSWER, "reasoning_content": "so"}]}
    row = dialogue_row(recognised(thinking))
    assert row["messages"][1]["content"] == "<think>\nso\n</think>\n\nsay"


def test_a_written_file_can_be_written_again(make: Callable[..., Made], tmp_path: Path) -> None:
    for payload in ({"messages": OPENAI, "tools": OPENAI_TOOLS}, *PICTURES):
        row = {key: value for key, value in dialogue_row(recognised(payload)).items() if value}
        again = {key: value for key, value in dialogue_row(recognised(row)).items() if value}
        assert again == row


def test_answers_labelled_false_are_left_out_and_counted(make: Callable[..., Made]) -> None:
    good = {"messages": [USER, ANSWER, USER, ANSWER], "label": True}
    made = make([good, {**good, "label": False}, {**good, "label": True}])
    with pytest.raises(
        InputError, match=r"is labelled false.*\); leave them out with --skip-unfit$"
    ):
        made.export("task.jsonl", "llamafactory")
    report = made.export("task.jsonl", "llamafactory", skip_unfit=True)
    false = [d["id"] for d in made.drawn() if d["id"] % 3 == 1]
    assert [point_id for point_id, _ in report.unfit] == false
    assert report.left_out == {}
    assert not {row["tsds_id"] for row in rows_of("task.jsonl")} & set(false)


def test_where_all_are_labelled_false_nothing_is_advised_that_fails(
    make: Callable[..., Made],
) -> None:
    made = make([{"prompt": "ask", "completion": "say", "label": False}])
    for skip in (False, True):
        with pytest.raises(InputError, match=r"is labelled false.*\); select others$"):
            made.export("task.jsonl", "trl", skip_unfit=skip)
