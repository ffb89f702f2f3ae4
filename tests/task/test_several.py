"""Several tasks in one: weights, names, and what is joined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_oracle import edge_pool

from tsds_qdrant import TaskExamples
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.representations.cut import Cut
from tsds_qdrant.task.given import GivenTasks, named_source
from tsds_qdrant.task.settings import Reading
from tsds_qdrant.task.several import reading_of, together


def examples(weights: list[float], **more: Any) -> TaskExamples:
    count = len(weights)
    rows = np.arange(2.0 * count, dtype=np.float32).reshape(count, 2)
    texts = [f"text {number}" for number in range(count)]
    return TaskExamples(rows, texts, np.array(weights), **more)


WEIGHT = st.floats(0.01, 100)


@given(
    first=st.lists(WEIGHT, min_size=1, max_size=5),
    second=st.lists(WEIGHT, min_size=1, max_size=5),
    weight=WEIGHT,
)
def test_a_task_weighs_what_it_is_said_to_however_many_examples_show_it(
    first: list[float], second: list[float], weight: float
) -> None:
    found = together({"a": examples(first), "b": examples(second)}, {"b": weight})
    names = np.array(found.tasks)
    assert found.weights[names == "a"].sum() == pytest.approx(1.0)
    assert found.weights[names == "b"].sum() == pytest.approx(weight)
    ratios = found.weights[names == "a"] / np.array(first)
    assert ratios == pytest.approx(np.full(len(first), ratios[0]))
    assert len(found.vectors) == len(found.texts) == len(first) + len(second)


def test_what_only_one_task_knows_is_not_known_of_both() -> None:
    margins, norms = np.array([1.0, 2.0]), np.ones((2, 1))
    one = examples([1, 1], margins=margins, norms=norms, groups=["x", "y"], way="targets")
    other = examples([1], cut=Cut(1, 1, 8), dropped="one was left out")
    found = together({"a": one, "b": other})
    assert (found.margins, found.norms, found.way) == (None, None, "")
    assert found.groups == ["a/x", "a/y", "b"]
    assert found.cut == Cut(1, 1, 8)
    assert found.dropped == "b: one was left out"
    both = together({"a": one, "b": one})
    assert both.margins is not None
    assert both.margins.tolist() == [1.0, 2.0, 1.0, 2.0]
    assert both.way == "targets"


def test_one_task_stays_what_it_is() -> None:
    alone = examples([1, 2])
    assert together({"a": alone}) is alone
    with pytest.raises(SettingsError, match="--task-weight a=2 is the weight of the one task"):
        together({"a": alone}, {"a": 2.0})
    with pytest.raises(SettingsError, match="names the task 'c', and the tasks are a, b"):
        together({"a": alone, "b": alone}, {"c": 2.0})


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("dir/space.jsonl.gz", "space", "dir/space.jsonl.gz"),
        ("space=a.csv", "space", "a.csv"),
        ("a/b=c.csv", "b=c", "a/b=c.csv"),  # no name has a slash
        ("collection:wanted", "wanted", "collection:wanted"),
        ("w=collection:wanted", "w", "collection:wanted"),
        ("=a.csv", "=a", "=a.csv"),
    ],
)
def test_names_of_tasks(text: str, name: str, source: str) -> None:
    assert named_source(text) == (name, source)


def test_a_file_with_such_a_name_is_that_file(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n=1.csv").touch()
    assert named_source("n=1.csv") == ("n=1", "n=1.csv")


def test_facts_make_the_same_flags(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = GivenTasks(
        queries=("x=a.csv", "collection:c"),
        queries_filter={"must": []},
        task_weight=(("x", 2.0),),
    )
    facts = given.facts()
    assert facts["source"] == [f"x={tmp_path / 'a.csv'}", "collection:c"]
    assert facts["task_weight"] == ["x=2"]
    assert "like_ids" not in facts
    assert GivenTasks(queries="a.csv").facts() == {"source": str(tmp_path / "a.csv")}


@pytest.mark.parametrize(
    ("record", "said", "read_by"),
    [
        ({"text": "of the task"}, {"text_field": "para"}, {}),
        ({"text": "of the task"}, {"template": "{title}: {para}"}, {}),
        ({"Para": "of the task"}, {"text_field": "para"}, {"text_field": "para"}),
        ({"text": "of the task", "para": "x"}, {"text_field": "para"}, {"text_field": "para"}),
        ({"text": "of the task"}, {"text_field": "nowhere"}, {"text_field": "nowhere"}),
        ({"words": "of the task"}, {"text_field": "para"}, {"text_field": "para"}),
    ],
)
def test_a_field_that_only_points_have_is_theirs_alone(
    tmp_path: Path, record: dict[str, Any], said: dict[str, str], read_by: dict[str, str]
) -> None:
    source = tmp_path / "task.jsonl"
    source.write_text(json.dumps(record), encoding="utf-8")
    payloads = [{"para": "of a point", "title": "a title"}] * 2
    with edge_pool(np.eye(2, 4), payloads=payloads) as pool:
        reading = reading_of(str(source), Reading(**said), pool)
    assert reading.text_template().to_dict() == read_by
