"""What LLaMA-Factory makes of a file and of its dataset_info.json.

By the rules of its parser, its converter for the formatting ``sharegpt`` and ``alpaca``, its
formatter of calls and tools, and its count of tokens for media, each of which is an error here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

MEDIA = {"images": "<image>", "videos": "<video>", "audios": "<audio>"}


def read_llamafactory(directory: Path, name: str) -> list[dict[str, Any]]:
    """Examples of the dataset ``name``: ``prompt``, ``response``, ``system``, ``tools``, media."""
    entry = json.loads((directory / "dataset_info.json").read_text("utf-8"))[name]
    file = directory / entry["file_name"]
    if file.suffix == ".parquet":
        rows = pq.read_table(file).to_pylist()
    else:
        rows = [json.loads(line) for line in file.read_bytes().split(b"\n") if line]
    convert = {"sharegpt": _from_sharegpt, "alpaca": _from_alpaca}[entry["formatting"]]
    return [_checked(convert(row, entry), row, entry["columns"]) for row in rows]


def _from_sharegpt(row: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    tags = entry["tags"]  # a tag that is missing is none at all
    role, content = tags["role_tag"], tags["content_tag"]
    messages = row[entry["columns"]["messages"]]
    system = ""
    if messages and messages[0][role] == tags.get("system_tag"):
        system, messages = messages[0][content], messages[1:]
    asking = {tags["user_tag"]: "user", tags.get("observation_tag"): "observation"}
    answering = {tags["assistant_tag"]: "assistant", tags.get("function_tag"): "function"}
    aligned = []
    for turn, message in enumerate(messages):
        known = (asking, answering)[turn % 2]
        assert message[role] in known, f"{message[role]} at turn {turn}"
        assert message.keys() == {role, content}
        aligned.append({"role": known[message[role]], "content": message[content]})
    assert aligned
    assert len(aligned) % 2 == 0
    return {"prompt": aligned[:-1], "response": aligned[-1:], "system": system}


def _from_alpaca(row: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    columns = entry["columns"]
    asked = [row[columns[part]] for part in ("prompt", "query") if part in columns]
    prompt = [{"role": "user", "content": "\n".join(text for text in asked if text)}]
    response = []
    if "response" in columns:
        response = [{"role": "assistant", "content": row[columns["response"]]}]
    system = row[columns["system"]] if "system" in columns else ""
    return {"prompt": prompt, "response": response, "system": system}


def _checked(
    example: dict[str, Any], row: dict[str, Any], columns: dict[str, str]
) -> dict[str, Any]:
    messages = [*example["prompt"], *example["response"]]
    assert all(isinstance(message["content"], str) for message in messages)
    for message in messages:
        if message["role"] == "function":
            calls = json.loads(message["content"])
            for call in calls if isinstance(calls, list) else [calls]:
                assert isinstance(call["name"], str)
                assert not isinstance(call["arguments"], str)
    tools = row[columns["tools"]] if "tools" in columns else ""
    if tools:
        assert all("name" in tool for tool in json.loads(tools))
    media = {name: row[columns[name]] or [] for name in MEDIA if name in columns}
    for name, token in MEDIA.items():
        count = sum(message["content"].count(token) for message in messages)
        assert count == len(media.get(name, [])), f"{count} {token}, {media}"
    return {**example, "tools": json.loads(tools or "[]"), **media}
