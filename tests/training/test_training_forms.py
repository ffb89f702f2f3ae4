"""Training forms: what payloads show, how it is written, and a split that leaks nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_oracle import METRICS, clustered_rows
from profiles import examples
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from tsds_qdrant.collections.ids import point_keys
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.records.examples import Example, Turn, UnfitError, single_turn
from tsds_qdrant.records.recognising import checked_field_map, recognised
from tsds_qdrant.training.columns import ValueKinds, irregular, write_parquet
from tsds_qdrant.training.forms import FORMS, Survey, check_fit, layout_of
from tsds_qdrant.training.llamafactory import alternating
from tsds_qdrant.training.rows import TRACE, free_names, trace_of, written_order
from tsds_qdrant.training.settings import ExportSettings
from tsds_qdrant.training.split import near_groups, validation_rows

USER = {"role": "user", "content": "ask"}
ANSWER = {"role": "assistant", "content": "say"}
SYSTEM = {"role": "system", "content": "be brief"}
TOOL_CALL = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
said = texts.filter(str.strip)
json_leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | texts
json_leaves |= st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    json_leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)


def written_as(form: str, *examples: Example) -> list[dict[str, Any]]:
    """Rows of ``examples`` in a file of ``form``, empty columns left out as readers see them."""
    survey = Survey(form)
    for example in examples:
        check_fit(form, example)
        survey.see(example)
    layout = layout_of(survey)
    rows = [layout.row(example) for example in examples]
    return [{column: row[column] for column in layout.columns} for row in rows]


@pytest.mark.parametrize(
    ("payload", "shape", "messages"),
    [
        ({"messages": [USER, ANSWER], "text": "x"}, "messages", [USER, ANSWER]),
        (
            {"conversations": [{"from": "human", "value": "ask"}, {"from": "gpt", "value": "say"}]},
            "conversations",
            [USER, ANSWER],
        ),
        (
            {"conversations": [{"role": "user", "value": "ask"}, ANSWER], "system": "be brief"},
            "conversations",
            [SYSTEM, USER, ANSWER],
        ),
        ({"messages": [SYSTEM, USER, ANSWER], "system": "no"}, "messages", [SYSTEM, USER, ANSWER]),
        (
            {"instruction": "ask", "input": "", "output": "say", "system": ""},
            "instruction and output",
            [USER, ANSWER],
        ),
        (
            {"instruction": "ask", "context": "this", "response": "say"},
            "instruction and output",
            [{"role": "user", "content": "ask\nthis"}, ANSWER],
        ),
        (
            {"instruction": "ask", "output": "say", "history": [["a", "b"]], "system": "be brief"},
            "instruction and output",
            [
                SYSTEM,
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"},
                USER,
                ANSWER,
            ],
        ),
        ({"prompt": "ask", "completion": "say"}, "prompt and completion", [USER, ANSWER]),
        ({"prompt": [USER], "completion": [ANSWER]}, "prompt and completion", [USER, ANSWER]),
        ({"prompt": [USER], "completion": "say"}, "prompt and completion", [USER, ANSWER]),
        ({"prompt": "ask", "completion": [ANSWER]}, "prompt and completion", [USER, ANSWER]),
        (
            {"question": "ask", "answer": 42.5, "system_prompt": "be brief"},
            "question and answer",
            [SYSTEM, USER, {"role": "assistant", "content": "42.5"}],
        ),
        (
            {"messages": None, "question": "ask", "answer": "say"},
            "question and answer",
            [USER, ANSWER],
        ),
        ({"text": "alone", "messages": "none"}, "text", []),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "content": [{"type": "text", "text": "say"}]},
                ]
            },
            "messages",
            [USER, ANSWER],
        ),
        ({"messages": [USER, {**TOOL_CALL, "content": None}]}, "messages", [USER, TOOL_CALL]),
    ],
)
def test_usual_payloads_are_recognised(
    payload: dict[str, Any], shape: str, messages: list[dict[str, Any]]
) -> None:
    example = recognised(payload)
    assert (example.shape, list(example.messages)) == (shape, messages)
    assert example.used <= payload.keys()


def test_a_field_map_names_other_fields() -> None:
    payload = {"q": {"body": "ask"}, "a.b": "say", "role": "be brief", "messages": [USER, ANSWER]}
    fields = {"prompt": "q.body", "completion": "a.b", "system": "role"}
    example = recognised(payload, checked_field_map(fields))
    assert list(example.messages) == [SYSTEM, USER, ANSWER]
    assert (example.shape, example.used) == ("as mapped", {"q", "a.b", "role"})
    assert recognised(payload, {"text": "q.body"}).text == "ask"
    assert list(recognised(payload, {"system": "role"}).messages) == [SYSTEM, USER, ANSWER]
    turns = recognised({"log": [{"from": "human", "value": "ask"}, ANSWER]}, {"messages": "log"})
    assert list(turns.messages) == [USER, ANSWER]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"promt": "q"}, "'promt' is no part of an example; map prompt, completion"),
        ({"prompt": ""}, "'prompt' is mapped to no field; write prompt=FIELD"),
        ({"prompt": "q"}, "names prompt, and that makes no example; map prompt and completion"),
        ({"text": "t", "messages": "m"}, "names messages, text, and that makes no example"),
    ],
)
def test_field_maps_that_cannot_be_right(fields: dict[str, str], fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        checked_field_map(fields)


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        ({}, r"has no shape that is known \(it has no fields\)"),
        ({"prompt": "a", "chosen": "b"}, r"no shape that is known \(its fields: prompt, chosen\)"),
        ({"messages": []}, "has no answer of an assistant"),
        ({"messages": [USER]}, "has no answer of an assistant"),
        ({"messages": [USER, {"role": "assistant", "content": " \n"}]}, "has no answer"),
        ({"messages": [USER, "hi"]}, 'holds "hi" as message 2, which is no object'),
        (
            {"messages": [{"role": "narrator", "content": "x"}]},
            'role "narrator" in message 1; known',
        ),
        ({"messages": [{"content": "x"}]}, "has the role null in message 1"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "has the role"),
        ({"messages": [{"role": "user"}]}, "holds null as content of message 1, which is no text"),
        ({"messages": [{"role": "user", "content": [{"image": "x"}]}]}, "content of message 1"),
        ({"instruction": "a", "output": ""}, "has an empty completion"),
        ({"instruction": " ", "input": "", "output": "b"}, "has an empty prompt"),
        ({"instruction": "a", "output": {"b": 1}}, 'holds {"b": 1} as its completion, which is no'),
        ({"instruction": "a", "output": "b", "history": ["c"]}, 'holds "c" in its history'),
        ({"instruction": "a", "output": "b", "history": [["c", 1]]}, "in its history"),
        (
            {"question": "a", "answer": "b", "system": ["c"]},
            "as its system prompt, which is no text",
        ),
        ({"prompt": [1], "completion": "say"}, "as its prompt, which is no text"),
        ({"prompt": [USER], "completion": ""}, "has no answer of an assistant"),
        ({"text": " "}, "has an empty text"),
    ],
)
def test_payloads_that_do_not_fit(payload: dict[str, Any], fault: str) -> None:
    with pytest.raises(UnfitError, match=fault.replace("{", r"\{")):
        recognised(payload)


def test_a_mapped_field_that_is_missing() -> None:
    with pytest.raises(UnfitError, match=r"has no 'a' \(its fields: q, messages\)"):
        recognised({"q": "x", "messages": [USER, ANSWER]}, {"prompt": "q", "completion": "a"})


@st.composite
def dialogues(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Messages whose last one is an answer."""
    system = draw(st.lists(said, max_size=1))
    turns = draw(st.lists(st.tuples(texts, said), min_size=1, max_size=3))
    messages = [{"role": "system", "content": text} for text in system]
    for asked, answered in turns:
        messages += [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answered},
        ]
    return messages


@settings(deadline=None)
@given(dialogues(), st.sampled_from(["chat", "trl", "axolotl", "llamafactory"]))
def test_dialogues_come_back_from_every_form_that_holds_them(
    messages: list[dict[str, Any]], form: str
) -> None:
    spelt = [
        {"from": {"user": "human"}.get(m["role"], m["role"]), "value": m["content"]}
        for m in messages
    ]
    for payload in ({"messages": messages}, {"conversations": spelt}):
        example = recognised(payload)
        assert list(example.messages) == messages
        two_turns = Example("messages", (USER, ANSWER, USER, ANSWER))
        row = written_as(form, example, two_turns)[0]
        assert row == {"messages": messages}
        assert recognised(json.loads(json.dumps(row))).messages == example.messages
        turn = single_turn(example)
        assert (turn is not None) == (len(messages) - (messages[0]["role"] == "system") == 2)
        if turn is not None:
            assert list(turn.messages) == messages


@settings(deadline=None)
@given(said, texts, said, st.sampled_from(["", "be brief"]))
def test_single_turns_come_back_from_every_form(
    prompt: str, extra: str, completion: str, system: str
) -> None:
    payload = {"instruction": prompt, "input": extra, "output": completion, "system": system}
    example = recognised(payload)
    assert example.turn == Turn(prompt, completion, extra, system)
    for form in FORMS[1:-1]:
        again = recognised(written_as(form, example)[0])
        assert again.messages == example.messages
        assert form == "chat" or again.asked is not None or form == "axolotl"
    plain = recognised({"prompt": prompt, "completion": completion})
    assert written_as("trl", plain) == [{"prompt": prompt, "completion": completion}]
    assert written_as("instruction", plain) == [
        {"instruction": prompt, "input": "", "output": completion}
    ]


TURN = recognised({"instruction": "ask", "output": "say"})
STRINGS = recognised({"prompt": "ask", "completion": "say"})
LISTS = recognised({"prompt": [SYSTEM, USER], "completion": [ANSWER]})
DIALOGUE = recognised({"messages": [USER, ANSWER, USER, ANSWER]})
TOOLS = recognised({"messages": [USER, TOOL_CALL, ANSWER], "tools": [{"name": "f"}]})
TEXT = recognised({"text": "alone"})
WITH_SYSTEM = recognised({"instruction": "ask", "output": "say", "system": "be brief"})


@pytest.mark.parametrize(
    ("form", "examples", "layout", "columns"),
    [
        ("chat", [TURN, DIALOGUE], "messages", ["messages"]),
        ("chat", [TURN, TOOLS], "messages", ["messages", "tools"]),
        ("instruction", [TURN, STRINGS], "alpaca", ["instruction", "input", "output"]),
        (
            "instruction",
            [TURN, WITH_SYSTEM],
            "alpaca",
            ["instruction", "input", "output", "system"],
        ),
        ("trl", [STRINGS], "strings", ["prompt", "completion"]),
        ("trl", [STRINGS, TURN], "answers", ["prompt", "completion"]),
        ("trl", [LISTS, WITH_SYSTEM], "answers", ["prompt", "completion"]),
        ("trl", [STRINGS, DIALOGUE], "messages", ["messages"]),
        ("trl", [TEXT], "text", ["text"]),
        ("axolotl", [TURN], "messages", ["messages"]),
        ("axolotl", [TOOLS], "messages", ["messages", "tools"]),
        ("axolotl", [TEXT], "text", ["text"]),
        ("llamafactory", [TURN, STRINGS], "alpaca", ["instruction", "input", "output"]),
        ("llamafactory", [TURN, DIALOGUE], "messages", ["messages"]),
        ("llamafactory", [TEXT], "text", ["text"]),
    ],
)
def test_the_layout_follows_from_what_all_examples_share(
    form: str, examples: list[Example], layout: str, columns: list[str]
) -> None:
    survey = Survey(form)
    for example in examples:
        check_fit(form, example)
        survey.see(example)
    found = layout_of(survey)
    assert (found.name, list(found.columns)) == (layout, columns)
    for row in map(found.row, examples):
        assert set(columns) <= row.keys()


def test_tools_are_json_text_and_null_where_there_are_none() -> None:
    with_tools, without = written_as("trl", TOOLS, TURN)
    assert json.loads(with_tools["tools"]) == [{"name": "f"}]
    assert without["tools"] is None
    assert with_tools["messages"][1]["tool_calls"] == TOOL_CALL["tool_calls"]


@pytest.mark.parametrize(
    ("form", "example", "fault"),
    [
        ("chat", TEXT, "is text alone, without an answer to learn"),
        ("instruction", TEXT, "is text alone"),
        ("instruction", DIALOGUE, "has 4 messages, which are more than one turn"),
        ("instruction", TOOLS, "calls tools, which this form does not hold"),
        (
            "llamafactory",
            TOOLS,
            "has messages of user, function_call, assistant, where user and assistant must take",
        ),
        (
            "llamafactory",
            recognised({"messages": [USER, USER, ANSWER]}),
            "has messages of user, user, assistant, where user and assistant must take turns",
        ),
        ("llamafactory", recognised({"messages": [USER, ANSWER, USER]}), "must take turns"),
    ],
)
def test_examples_that_a_form_cannot_hold(form: str, example: Example, fault: str) -> None:
    with pytest.raises(UnfitError, match=fault):
        check_fit(form, example)


def test_turns_are_taken() -> None:
    assert alternating((SYSTEM, USER, ANSWER, USER, ANSWER))
    for messages in ((), (SYSTEM,), (USER,), (ANSWER, USER), (USER, SYSTEM, ANSWER)):
        assert not alternating(messages)


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"form": "json"}, "'json' is no format; choose one of plain, chat"),
        ({"weights": "loss"}, "weights are 'loss'; choose column or repeats"),
        ({"size": 0}, "size is 0; ask for at least one"),
        ({"validation": 1.0}, "validation is 1; choose a share between 0 and 1"),
        ({"validation": float("nan")}, "validation is nan"),
        ({"validation": 0.1, "radius": -1.0}, "radius is -1; it must be 0 or more"),
        ({"radius": 0.1}, "a radius is given, but no validation share; set one"),
        ({"seed": -1}, "seed is -1; choose 0 or more"),
        ({"shuffle": -2}, "shuffle is -2"),
        ({"form": "chat", "fields": {"prompt": "a"}}, "and that makes no example"),
        ({"fields": {"text": ""}}, "'text' is mapped to no field; write text=FIELD"),
        ({"form": "dataflex", "size": 3}, "one p for each row of the pool; it takes no other"),
    ],
)
def test_settings_that_cannot_be_right(wrong: dict[str, Any], fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        ExportSettings(**wrong)
    assert ExportSettings("dataflex").form == "dataflex"


def test_trainers_read_no_weights_so_rows_are_repeated_for_them() -> None:
    assert not ExportSettings().repeats
    assert not ExportSettings("trl", weights="column").repeats
    assert ExportSettings("trl").repeats
    assert ExportSettings(weights="repeats").repeats


@settings(deadline=None)
@given(st.lists(texts | st.sampled_from(TRACE) | st.just("payload_tsds_id"), unique=True))
def test_no_payload_field_is_lost_to_a_column_of_ours(names: list[str]) -> None:
    columns = free_names(names)
    assert list(columns) == names
    assert len({*columns.values(), *TRACE}) == len(names) + len(TRACE)
    assert all(columns[name] == name for name in names if name not in TRACE)


def test_where_a_row_is_from() -> None:
    row = {"id": 2**63, "probability": 0.5, "rank": 3, "weight": 2, "payload": {}}
    assert list(trace_of(row, repeated=False, id_as_text=False).items()) == list(
        zip(TRACE, (2**63, 0.5, 3, 2), strict=True)
    )
    assert list(trace_of(row, repeated=True, id_as_text=True).values()) == [
        *(str(2**63), 0.5, 3, 1)
    ]


def test_rows_come_in_rank_order_or_mixed_by_a_seed() -> None:
    chosen, weights = np.array([4, 2, 9]), np.array([2, 1, 3])
    assert written_order(chosen, weights, shuffle=None).tolist() == [4, 4, 2, 9, 9, 9]
    mixed = [written_order(np.arange(50), np.ones(50, int), shuffle=seed) for seed in (1, 1, 2)]
    assert mixed[0].tolist() == mixed[1].tolist() != mixed[2].tolist()
    assert sorted(mixed[0]) == list(range(50)) != mixed[0].tolist()


def without_nulls(value: Any) -> Any:
    """``value`` without the keys that hold null: a missing key is null in a table."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def parquet_round_trip(
    path: Path, rows: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    kinds: dict[str, ValueKinds] = {}
    for row in rows:
        for name, value in row.items():
            kinds.setdefault(name, ValueKinds()).see(value)
    with path.open("wb") as stream:
        assert write_parquet(stream, iter(rows), kinds) == len(rows)
    as_text = irregular(kinds)
    read = pq.read_table(path).to_pylist()
    for row in read:
        row.update({name: json.loads(row[name]) for name in as_text if row[name] is not None})
    return read, as_text


@settings(max_examples=examples(50), deadline=None)
@given(
    st.lists(st.dictionaries(texts, json_values, min_size=1, max_size=4), min_size=1, max_size=4)
)
def test_any_payload_comes_back_from_parquet(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    read, _ = parquet_round_trip(path, rows)
    assert without_nulls(read) == without_nulls(rows)


@settings(max_examples=examples(25), deadline=None)
@given(st.data(), st.integers(1, 4))
def test_regular_payloads_become_typed_columns(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: int
) -> None:
    regular = st.fixed_dictionaries(
        {
            "n": st.integers(-(2**63), 2**63 - 1),
            "x": st.floats(allow_nan=False) | st.integers(-(2**53), 2**53),
            "yes": st.booleans() | st.none(),
            "messages": st.lists(st.fixed_dictionaries({"role": texts, "content": texts})),
            "meta": st.fixed_dictionaries(
                {"deep": st.lists(st.lists(texts))}, optional={"a": texts}
            ),
        }
    )
    rows = data.draw(st.lists(regular, min_size=count, max_size=count))
    path = tmp_path_factory.getbasetemp() / "regular.parquet"
    read, as_text = parquet_round_trip(path, rows)
    assert as_text == []
    assert without_nulls(read) == without_nulls(rows)


@pytest.mark.parametrize(
    ("values", "arrow"),
    [
        ([1, 2, None], "int64"),
        ([1, 2**64 - 1], "uint64"),
        ([1, 0.5, -(2**53)], "double"),
        ([2**53 + 1, 0.5], None),
        ([-1, 2**63], None),
        ([2**64], None),
        ([True, 1], None),
        (["a", 1], None),
        ([None], "string"),
        ([[], [None]], "list<item: string>"),
        ([[1], ["a"]], None),
        ([{"a": 1}, {"b": ["x"]}, {}], "struct<a: int64, b: list<item: string>>"),
        ([{}], None),
        ([{"a": 1}, [1]], None),
        ([{f"k{i}": i} for i in range(257)], None),
        ([json.loads("[" * 20 + "]" * 20)], None),
    ],
)
def test_a_column_has_a_type_if_it_is_regular(values: list[Any], arrow: str | None) -> None:
    kinds = ValueKinds()
    for value in values:
        kinds.see(value)
    found = kinds.arrow_type()
    assert (None if found is None else str(found).replace("element", "item")) == arrow


def exact_distances(rows: Any, metric: Metric) -> Any:
    points = np.asarray(rows, dtype=np.float32).astype(np.float64)
    if metric == "Cosine":
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return cdist(points, points, "cityblock" if metric == "Manhattan" else "euclidean")


def first_of_component(near: Any) -> list[int]:
    labels = connected_components(near)[1].tolist()
    return [labels.index(label) for label in labels]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(12))
def test_groups_are_the_connected_components_of_near_pairs(metric: Metric, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, dimension = int(rng.integers(1, 150)), int(rng.integers(1, 24))
    rows = 10.0 ** rng.uniform(-2, 3) * rng.normal(size=(count, dimension))
    rows[rng.integers(count, size=count // 3)] = rows[rng.integers(count, size=count // 3)]
    distances = exact_distances(rows, metric)
    radius = 0.0 if seed % 4 == 0 else float(np.quantile(distances, rng.uniform(0, 0.2)))
    groups = near_groups(rows.astype(np.float32), radius, metric)
    assert groups.tolist() == first_of_component(distances <= radius * (1 + 1e-12))


def test_chains_and_copies_over_many_blocks_are_one_group() -> None:
    line = np.c_[np.arange(3_000.0), np.zeros(3_000)][np.random.default_rng(0).permutation(3_000)]
    rows = np.r_[line, np.tile([[-50.0, 3.0]], (2_000, 1))].astype(np.float32)
    calls: list[tuple[str, int, int]] = []
    groups = near_groups(rows, 1.0, "Euclid", lambda *call: calls.append(call))
    assert groups.tolist() == [0] * 3_000 + [3_000] * 2_000
    assert calls[-1] == ("groups", 5_000, 5_000)
    assert len(calls) > 1
    assert near_groups(rows[:0], 1.0, "Euclid").tolist() == []


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_the_share_is_met_by_whole_groups(share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = clustered_rows(400, 8, 150, seed=seed, spread=0.05)
    groups = near_groups(rows.astype(np.float32), 0.2, "Euclid")
    weights = rng.integers(1, 4, size=400)
    keys = point_keys(rng.permutation(400).tolist())
    chosen = validation_rows(groups, weights, keys, share, seed)
    for group in np.unique(groups):
        assert len(set(chosen[groups == group].tolist())) == 1
    largest = np.bincount(groups, weights=weights).max()
    assert abs(weights[chosen].sum() - share * weights.sum()) <= max(0.5, largest / 2)
    # Neither the order of the rows nor the numbers of the groups play a part.
    order = rng.permutation(400)
    again = validation_rows(groups[order], weights[order], keys[order], share, seed)
    assert again.tolist() == chosen[order].tolist()
    other = validation_rows(groups, weights, keys, share, seed + 100)
    assert other.tolist() != chosen.tolist()


def test_both_sides_of_a_split_hold_something() -> None:
    keys, ones = point_keys(list(range(10))), np.ones(10, dtype=np.int64)
    two = np.array([0] * 6 + [6] * 4)
    for share in (0.01, 0.5, 0.99):
        chosen = validation_rows(two, ones, keys, share, 0)
        assert 0 < chosen.sum() < 10
    assert validation_rows(two, ones, keys, 0.01, 0).tolist() == [False] * 6 + [True] * 4
    with pytest.raises(InputError, match="all 10 rows are near-duplicates of each other"):
        validation_rows(np.zeros(10, dtype=np.int64), ones, keys, 0.1, 0)
