"""What trainers read beside the rows: entries of LLaMA-Factory, lines of Axolotl."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import exported
import pytest
import yaml
from exported import Made, payload_of

from tsds_qdrant.errors import InputError, OutputError

make = exported.make


def test_llamafactory_entries_are_merged(make: Callable[..., Made]) -> None:
    made = make()
    listed = Path("dataset_info.json")
    other = {"alpaca_en": {"hf_hub_url": "x/y"}, "known": {"file_name": "known.jsonl", "é": [1]}}
    listed.write_text(json.dumps(other))
    report = made.export("task.jsonl", "llamafactory", validation=0.2)
    assert report.datasets == ["task", "task-validation"]
    entry = {
        "formatting": "alpaca",
        "columns": {"prompt": "instruction", "query": "input", "response": "output"},
    }
    assert json.loads(listed.read_text()) == {
        **other,
        "task": {"file_name": "task.jsonl", **entry},
        "task-validation": {"file_name": "task-validation.jsonl", **entry},
    }
    made.export("task.jsonl", "llamafactory", size=20)  # in place of the one before
    assert list(json.loads(listed.read_text())) == [*other, "task", "task-validation"]
    before = listed.read_bytes()
    with pytest.raises(OutputError, match="'alpaca_en' for something else; give --out another"):
        made.export("alpaca_en.jsonl", "llamafactory")
    with pytest.raises(OutputError, match="'known' for something else"):
        made.export("known.parquet", "llamafactory")
    assert listed.read_bytes() == before
    for broken in ("{", "[]"):
        listed.write_text(broken)
        with pytest.raises(InputError, match="write to another directory"):
            made.export("new.jsonl", "llamafactory")
        assert listed.read_text() == broken
    assert not list(Path().glob("alpaca_en.jsonl")) + list(Path().glob("new.jsonl"))


def test_llamafactory_dialogues_and_texts(make: Callable[..., Made]) -> None:
    turn = [{"from": "human", "value": "ask"}, {"from": "gpt", "value": "say"}]
    made = make([{"conversations": turn * 2, "system": "be brief"}, payload_of(0)])
    made.export("task.parquet", "llamafactory")
    (entry,) = json.loads(Path("dataset_info.json").read_text()).values()
    assert entry == {
        "file_name": "task.parquet",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }


def test_axolotl_lines_are_yaml_for_both_files(make: Callable[..., Made]) -> None:
    made = make()
    Path("a: #b").mkdir()
    report = made.export("a: #b/train.parquet", "axolotl", validation=0.2)
    dataset = {
        "ds_type": "parquet",
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"},
        "roles_to_train": ["assistant"],
    }
    assert yaml.safe_load(report.config) == {
        "datasets": [{"path": "a: #b/train.parquet", **dataset}],
        "test_datasets": [{"path": "a: #b/train-validation.parquet", **dataset, "split": "train"}],
        "val_set_size": 0,
    }
