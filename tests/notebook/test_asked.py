"""Names of settings are those of the command line, and values that cannot be are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tsds_qdrant.cli import app
from tsds_qdrant.cli.commands import command_of
from tsds_qdrant.cli.select import select_by
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.notebook.asked import ELSEWHERE, OWN, Asked
from tsds_qdrant.selection.quotas import Quota
from tsds_qdrant.strategies.catalog import CATALOG

COMMANDS: Any = get_command(app)
REACHED = {
    *("grpc", "grpc_port", "consistency", "ca_cert", "timeout", "patience", "shard_key"),
    *("scan_device", "scan_memory", "ask_api_key", "api_key"),
}
"""What a Connection says."""
ARGUMENTS = {"qdrant", "collection", "model", "files", "as_json", "form", "help", "help_all"}


def names_of(command: Any) -> set[str]:
    return {
        option.lstrip("-").replace("-", "_").removeprefix("no_scans")
        for parameter in command.params
        for option in parameter.opts
    } - {""}


def said(given: dict[str, Any]) -> str:
    """What is said against settings, or ""."""
    try:
        Asked.of(given)
    except SettingsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("strategy", CATALOG)
def test_every_flag_of_select_and_ingest_is_known(strategy: str) -> None:
    flags = names_of(command_of("select", select_by(strategy)))
    flags |= names_of(COMMANDS.commands["ingest"])
    flags -= REACHED | ARGUMENTS | {"method", "format", "json", "FILE..", *ELSEWHERE, *OWN}
    assert len(flags) > 40
    assert not [
        name for name in flags if "is no setting" in said({"strategy": strategy, name: "5"})
    ]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_flag_that_a_call_has_no_use_for_says_what_to_do(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is no setting of this call; "):
        Asked.of({name: "5"})


def test_texts_and_values_mean_the_same() -> None:
    texts: dict[str, Any] = {
        "size": "5,9", "quota": ["a:0.5"], "drop_columns": "a,b", "filter": '{"must": []}',
        "exclude": "t.jsonl", "rejects": "r.jsonl", "on_bad_record": "skip", "metric": "euclid",
    }  # fmt: skip
    values: dict[str, Any] = {
        "size": (5, 9), "quota": Quota("a", 0.5), "drop_columns": ["a", "b"],
        "filter": {"must": []}, "exclude": [Path("t.jsonl")], "rejects": Path("r.jsonl"),
        "on_bad_record": "skip", "metric": "Euclid",
    }  # fmt: skip
    assert Asked.of(texts) == Asked.of(values)
    assert Asked.of(texts).selection.wanted.sizes == (5, 9)
    uniform = Asked.of({"strategy": "tsds-uniform", "size": 5}).selection.strategy
    assert uniform == Asked.of({"size": 5, "regularizer": "uniform"}).selection.strategy


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sise": 5}, "sise=5 is no setting; did you mean size?"),
        ({"text_fields": "a"}, "did you mean text_field?"),
        ({"xyzzy": 1}, "see 'tsds-qdrant select --help-all'"),
        ({"bandwith": 1}, "did you mean bandwidth?"),
        ({"size": "many"}, "size is 'many'; give whole numbers"),
        ({"size": 2.0}, "size is 2.0; give a whole number (a share of the pool is ratio)"),
        ({"size": True}, "size is True; give a whole number"),
        ({"size": -3}, "size is -3; ask for at least one"),
        ({"size": 3, "ratio": 0.1}, "both a size and a ratio"),
        ({"ratio": "half"}, "ratio is 'half'; give a number"),
        ({"seed": None, "exact": 1}, "exact is 1; give True or False"),
        ({"seed": "x"}, "seed is 'x'; give a whole number"),
        ({"batch_size": 0}, "batch_size is 0; give 1 or more"),
        ({"quota": 5}, "quota is 5; give a text"),
        ({"filter": "lang"}, "filter is 'lang', which is no condition"),
        ({"text_field": 5}, "text_field is 5; give a text"),
        ({"text_field": "a", "template": "{a}"}, "template"),
        ({"strategy": "best"}, "'best' is no strategy"),
    ],
)
def test_a_value_that_cannot_be_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Asked.of(given)
    assert words in str(caught.value)
