"""What trainers want beside the file of rows: entries of dataset_info.json, lines of YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import InputError, OutputError
from tsds_qdrant.training.forms import Layout
from tsds_qdrant.training.llamafactory import CALL, RESULT

DATASET_INFO = "dataset_info.json"
_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
_CALL_TAGS = {"observation_tag": RESULT, "function_tag": CALL}
_ALPACA = {"instruction": "prompt", "input": "query", "output": "response", "system": "system"}


def dataset_entry(file: Path, layout: Layout) -> dict[str, Any]:
    """The entry of ``file`` in LLaMA-Factory's dataset_info.json (its data/README.md).

    All columns are named, as a column that an entry leaves out is taken for missing.
    """
    shape: dict[str, Any]
    if layout.name == "messages":
        columns = {column: column for column in layout.columns}
        tags = {**_TAGS, **_CALL_TAGS} if layout.calls else _TAGS
        shape = {"formatting": "sharegpt", "columns": columns, "tags": tags}
    elif layout.name == "text":
        shape = {"formatting": "alpaca", "columns": {"prompt": "text"}}
    else:
        columns = {_ALPACA[column]: column for column in layout.columns}
        shape = {"formatting": "alpaca", "columns": columns}
    return {"file_name": file.name, **shape}


def merged_datasets(path: Path, entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The content of the dataset_info.json at ``path`` with ``entries``; all others stay.

    Raises:
        InputError: the file there is no JSON object.
        OutputError: an entry of that name is there for another file.
    """
    known: dict[str, Any] = {}
    if path.exists():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"'{path}' cannot be read ({error}); repair it, or write to another directory"
            ) from None
        if not isinstance(known, dict):
            raise InputError(f"'{path}' is no JSON object; write to another directory")
    for name, entry in entries.items():
        there = known.get(name, entry)
        if not isinstance(there, dict) or there.get("file_name") != entry["file_name"]:
            raise OutputError(
                f"'{path}' has an entry '{name}' for something else; give --out another name"
            )
    return {**known, **entries}


def axolotl_lines(train: Path, validation: Path | None, layout: Layout) -> str:
    """YAML for an axolotl configuration (docs.axolotl.ai, "Dataset Formats", "Dataset Loading").

    ``val_set_size`` is 0 with a validation file, as axolotl takes one of the two.
    """
    lines = ["datasets:", *_dataset(train, layout)]
    if validation is not None:
        lines += ["test_datasets:", *_dataset(validation, layout), "    split: train"]
        lines += ["val_set_size: 0"]
    return "\n".join(lines) + "\n"


def _dataset(file: Path, layout: Layout) -> list[str]:
    kind = "parquet" if file.suffix.lower() == ".parquet" else "json"
    path = json.dumps(str(file), ensure_ascii=False)  # a JSON string is a YAML one too
    shape = ["    type: completion", "    field: text"]
    if layout.name == "messages":
        shape = ["    type: chat_template", "    field_messages: messages"]
        shape += ["    message_property_mappings:", "      role: role", "      content: content"]
        shape += ["    roles_to_train: [assistant]"]
    return [f"  - path: {path}", f"    ds_type: {kind}", *shape]
