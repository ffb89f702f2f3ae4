"""What export writes, ingest reads: the same texts, and the same files when written again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exported
import pytest
from commands import rows_of
from exported import Made, payload_of
from hashed_words import HashedWords

from tsds_qdrant import ExportSettings, TextTemplate, export
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ingest import ingest_records
from tsds_qdrant.selection.results import write_samples
from tsds_qdrant.training.forms import DATAFLEX, FORMS
from tsds_qdrant.training.rows import TRACE

make, load, offline = exported.make, exported.load, exported.offline

USER = {"role": "user", "content": "ask"}
ANSWER = {"role": "assistant", "content": "say"}
CALL = {"name": "weather", "arguments": {"town": 0}}
TOOL_CALL = {"type": "function", "function": CALL}
ALPACA: list[dict[str, Any]] = [
    payload_of(1),
    {"instruction": "ask", "input": "this", "output": "say", "system": "be brief"},
    {"instruction": "ask", "context": "that", "response": "tell"},
]
STRINGS: list[dict[str, Any]] = [
    {"prompt": "ask", "completion": "say"},
    {"prompt": "ask", "response": "tell", "helpfulness": 4},
]
DIALOGUES: list[dict[str, Any]] = [
    {"messages": [{"role": "system", "content": "be brief"}, USER, ANSWER, USER, ANSWER]},
    {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    {"prompt": [USER], "chosen": [ANSWER], "rejected": [USER]},
]
CALLS: list[dict[str, Any]] = [
    {
        "messages": [
            USER,
            {"role": "assistant", "content": "", "tool_calls": [TOOL_CALL]},
            {"role": "tool", "content": "7"},
            ANSWER,
        ],
        "tools": [{"type": "function", "function": {"name": "weather"}}],
    },
    {
        "conversations": [
            {"from": "human", "value": "a"},
            {"from": "function_call", "value": json.dumps(CALL)},
            {"from": "observation", "value": "8"},
            {"from": "gpt", "value": "b"},
        ],
        "tools": json.dumps([{"name": "weather"}]),
    },
]
SHOWN: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "x.png"}},
                ],
            },
            ANSWER,
        ]
    },
    {"messages": [USER, ANSWER, USER, ANSWER]},
]
TEXTS: list[dict[str, Any]] = [{"text": "alone"}, {"page_content": "apart"}, {"document": "else"}]
LONG: dict[str, list[dict[str, Any]]] = {"dialogues": DIALOGUES, "calls": CALLS, "shown": SHOWN}
SHORT: dict[str, list[dict[str, Any]]] = {"alpaca": ALPACA, "strings": STRINGS}
KEPT = {
    "plain": {**SHORT, **LONG, "texts": TEXTS},
    "chat": {**SHORT, **LONG},
    "instruction": SHORT,
    "trl": {**SHORT, **LONG, "texts": TEXTS},
    "axolotl": {**SHORT, **LONG, "texts": TEXTS},
    "llamafactory": {**SHORT, **LONG, "texts": TEXTS},
}
"""Form -> the payloads that it can hold."""


def text_of(payload: dict[str, Any]) -> str:
    return TextTemplate.parse().decide(payload).render(payload)


def embedded(file: str, tmp_path: Path) -> list[str]:
    """The texts of the records of ``file``, as ingest embeds them without a template."""
    model = HashedWords()
    place = Destination(str(tmp_path / f"{file}.store"), "again")
    ingest_records(place, [file], template=TextTemplate.parse(), embedder=model)
    return model.texts


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("form", "kind"), [(form, kind) for form, kinds in KEPT.items() for kind in kinds]
)
def test_every_form_is_recognised_again(
    make: Callable[..., Made], tmp_path: Path, form: str, kind: str, suffix: str
) -> None:
    payloads = KEPT[form][kind]
    if form == "plain":
        payloads = payloads[:1]  # a file of several shapes has no one way to its texts
    made = make(payloads)
    name = f"train.{suffix}"
    made.export(name, form)
    drawn = [text_of(payloads[d["id"] % len(payloads)]) for d in made.drawn()]
    if form == "llamafactory" and kind == "shown":
        drawn = [text.replace("this?", "this?<image>") for text in drawn]
    order = sorted(set(drawn))
    assert sorted(set(embedded(name, tmp_path))) == order
    if form == "plain":
        return
    rows = [{k: v for k, v in row.items() if k not in TRACE} for row in load_rows(name)]
    again = [
        {"id": number, "payload": row, "rank": number, "weight": 1}
        for number, row in enumerate(rows)
    ]
    Path("again.jsonl").write_text("".join(json.dumps(row) + "\n" for row in again))
    export("again.jsonl", "twice.jsonl", ExportSettings(form))
    twice = [{k: v for k, v in row.items() if k not in TRACE} for row in rows_of("twice.jsonl")]
    assert without_nulls(twice) == without_nulls(rows)


def load_rows(name: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return rows_of(name) if name.endswith(".jsonl") else pq.read_table(name).to_pylist()


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def test_every_form_but_the_one_without_records_is_tried() -> None:
    assert {*KEPT, DATAFLEX} == set(FORMS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz", "s.csv", "s.parquet"])
@pytest.mark.parametrize("payload", [ALPACA[1], DIALOGUES[0], CALLS[0], SHOWN[0], TEXTS[1]])
def test_the_rows_of_a_selection_are_recognised(
    make: Callable[..., Made], tmp_path: Path, name: str, payload: dict[str, Any]
) -> None:
    made = make([payload], sizes=(20,))
    write_samples(made.collection, made.selection, name)
    assert set(embedded(name, tmp_path)) == {text_of(payload)}


def test_a_selection_that_was_ingested_can_be_exported(make: Callable[..., Made]) -> None:
    rows = [{"id": k, "rank": k, "payload": payload} for k, payload in enumerate(DIALOGUES[:2])]
    made = make(rows)
    report = made.export("train.jsonl", "trl")
    assert set(report.shapes) == {"messages", "conversations"}
    assert list(report.left_out) == ["id", "rank"]


def test_the_report_says_that_chosen_answers_were_taken(make: Callable[..., Made]) -> None:
    made = make([{"prompt": "ask", "chosen": "say", "rejected": "no"}])
    report = made.export("train.jsonl", "trl")
    assert list(report.shapes) == ["preference rows by their chosen answer"]
    assert list(report.left_out) == ["rejected"]
    assert all(row["completion"] == [ANSWER] for row in rows_of("train.jsonl"))


def test_pictures_stay_parts_in_chats(
    make: Callable[..., Made], load: exported.Load, tmp_path: Path
) -> None:
    tokens = {
        "messages": [{"role": "user", "content": "<image>What?"}, ANSWER],
        "images": ["a.png"],
    }
    made = make([*SHOWN[:1], tokens, payload_of(0)])
    places = {"chat": [{"type": "image"}], "trl": [{"type": "image"}]}
    places["axolotl"] = [{"type": "image", "path": "a.png"}]
    for form, place in places.items():
        made.export("train.jsonl", form)
        for row in load("train.jsonl"):
            whole = without_nulls(row)
            contents = [message["content"] for message in whole["messages"]]
            assert all(isinstance(content, list) for content in contents)
            if row["tsds_id"] % 3 == 0:
                assert contents[1] == SHOWN[0]["messages"][1]["content"]
            elif row["tsds_id"] % 3 == 1:
                assert contents[0] == [*place, {"type": "text", "text": "What?"}]
                assert whole.get("images") == (None if form == "axolotl" else ["a.png"])
            else:
                assert not row.get("images")


def test_an_older_collection_of_dialogues_goes_on_as_it_was(tmp_path: Path) -> None:
    spoken = [{"messages": [USER, {**ANSWER, "content": f"say {number}"}]} for number in range(5)]
    older, more = str(tmp_path / "older.jsonl"), str(tmp_path / "more.jsonl")
    Path(older).write_text("".join(json.dumps(row) + "\n" for row in spoken[:4]))
    Path(more).write_text("".join(json.dumps(row) + "\n" for row in spoken))
    way = TextTemplate.parse(template="{messages.*.content}")
    reports = [
        ingest_records(
            Destination(str(tmp_path / "store"), "chats"),
            [file],
            template=template,
            embedder=HashedWords(),
        )
        for file, template in ((older, way), (more, TextTemplate.parse()))
    ]
    assert [(report.added, report.unchanged) for report in reports] == [(4, 0), (1, 4)]
    newer = ingest_records(
        Destination(str(tmp_path / "new"), "chats"),
        [more],
        template=TextTemplate.parse(),
        embedder=HashedWords(),
    )
    assert newer.added == 5
