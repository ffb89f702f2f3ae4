"""``--strategy``, and flags from files, on the commands themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from typer.main import get_command

from tsds_qdrant.cli import app
from tsds_qdrant.errors import SettingsError, TsdsError

PLACE = ["--qdrant", "store", "--collection", "pool", "--queries", "Q.npy"]
NEEDED = [*PLACE, "--size", "5", "--out", "s.jsonl"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 points with texts and groups, and four task examples of both forms."""
    directory = tmp_path_factory.mktemp("config")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(120, 8)).astype(np.float32)
    np.save(directory / "X.npy", rows)
    np.save(directory / "Q.npy", rows[:4] + 0.1)
    records = [json.dumps({"text": f"text {k % 7} of {k}", "group": k % 5}) for k in range(120)]
    (directory / "pool.jsonl").write_text("\n".join(records))
    run(
        *("ingest", directory / "pool.jsonl", "--vectors", directory / "X.npy"),
        *("--qdrant", directory / "store", "--collection", "pool", "--id-field", "text"),
    )
    return directory


@pytest.fixture
def here(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands are run; ``store`` and ``Q.npy`` are there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").symlink_to(store / "store")
    (tmp_path / "Q.npy").symlink_to(store / "Q.npy")
    return tmp_path


def read(name: str, *words: object) -> dict[str, Any]:
    """What a command makes of ``words``, value by parameter."""
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    return dict(command.make_context(name, [str(word) for word in words]).params)


def refused(name: str, *words: object) -> str:
    with pytest.raises(TsdsError) as caught:
        read(name, *words)
    return str(caught.value)


def job(text: str) -> tuple[str, str]:
    Path("job.toml").write_text(text)
    return "--config", "job.toml"


@pytest.mark.parametrize("flag", ["--strategy", "--method"])
@pytest.mark.parametrize("words", ["{} dsir", "{}=dsir"])
def test_a_command_has_the_flags_of_the_strategy_named(flag: str, words: str) -> None:
    given = words.format(flag).split()
    assert "alpha" in read("select", *NEEDED)
    assert "alpha" not in read("select", *NEEDED, *given)
    done = run("select", *NEEDED, *given, "--alpha", 0.5, code=2)
    assert done.stderr == (
        "error: --alpha is no option of strategy 'dsir' but of tsds; leave it out\n"
    )
    assert "No such option: --alhpa" in run("select", *NEEDED, *given, "--alhpa", 1, code=2).stderr


def test_which_strategy_is_named() -> None:
    assert "'best' is no strategy; choose one of tsds" in refused("select", "--strategy", "best")
    both = ("--strategy", "dsir", "--method", "random")
    assert "give one of them" in refused("select", *NEEDED, *both)
    last = read("select", *NEEDED, "--strategy", "dsir", "--strategy=tsds")
    assert "alpha" in last
    assert "requires an argument" in run("select", "--strategy", code=2).stderr


@pytest.mark.parametrize("flag", ["--strategy", "--method"])
def test_tsds_uniform_is_short_for_a_regularizer(flag: str, here: Path) -> None:
    assert read("select", *NEEDED, flag, "tsds-uniform")["regularizer"] == "uniform"
    assert read("select", *NEEDED)["regularizer"] == "kde"
    said = refused("select", *NEEDED, flag, "tsds-uniform", "--regularizer", "tv", "--alpha", 0.5)
    assert said == f"{flag} tsds-uniform means --regularizer uniform, not 'tv'; leave one out"
    file = job('strategy = "tsds-uniform"\n')
    assert read("select", *NEEDED, *file)["regularizer"] == "uniform"
    file = job('regularizer = "kde"\n')
    uniform = read("select", *NEEDED, *file, flag, "tsds-uniform")
    assert uniform["regularizer"] == "uniform"


def test_a_file_names_the_strategy_and_words_win(here: Path) -> None:
    file = job('strategy = "dsir"\nseed = 3\n')
    assert "alpha" not in read("select", *NEEDED, *file)
    assert read("select", *NEEDED, *file, "--strategy", "tsds")["seed"] == 3
    file = job('strategy = "dsir"\nalpha = 0.5\n')
    assert "'alpha' in 'job.toml' is no flag of strategy 'dsir'" in refused("select", *file)
    assert read("select", *NEEDED, *file, "--strategy", "tsds")["alpha"] == 0.5


def test_a_flag_displaces_its_rival_in_a_file(here: Path) -> None:
    file = job("ratio = 0.5\nalpha = 0.5\n")
    given = read("select", *PLACE, *file, "--size=7", "--support", 9, "--out", "s.jsonl")
    assert (given["ratio"], given["alpha"], given["support"]) == (None, None, 9)


def test_values_of_a_file_take_the_form_that_suits_them(here: Path) -> None:
    file = job(
        'qdrant = "store"\ncollection = "pool"\nqueries = "Q.npy"\nout = "s.jsonl"\n'
        'size = [5, 10]\nfilter = {must = [{key = "group", match = {value = 1}}]}\n'
        'quota = "group=2:0.9"\nexact = true\nno-scans = false\nbandwidth = "auto"\n'
    )
    run("select", *file)
    settings = json.loads(Path("s.jsonl.manifest.json").read_text())["settings"]
    assert settings["wanted"]["sizes"] == [5, 10]
    assert settings["search"] == {
        "where": {"must": [{"key": "group", "match": {"value": 1}}]},
        **{"exact": True, "scans": True, "recall": 0.98},
    }
    assert settings["bounds"]["quotas"] == [{"field": "group", "share": 0.9, "value": "2"}]
    assert settings["strategy"]["bandwidth"] is None


SELECTIONS: list[Sequence[object]] = [
    ("--size", 9, "--seed", 4, "--alpha", 0.4, "--bandwidth", 0),
    ("--size", "5,9", "--quota", "group=1:0.5", "--quota", "group:0.3", "--exact"),
    ("--ratio", 0.1, "--regularizer", "uniform", "--filter", '{"must_not": []}', "--no-scans"),
    ("--size", 9, "--strategy", "round-robin", "--max-per-group", 3, "--group-field", "group"),
    ("--size", 9, "--strategy", "random", "--seed", 2),
]


@pytest.mark.parametrize("words", SELECTIONS, ids=str)
def test_a_manifest_selects_in_the_same_way_again(here: Path, words: Sequence[object]) -> None:
    run("select", *PLACE, *words, "--out", "first.jsonl")
    run("select", "--config", "first.jsonl.manifest.json", "--out", "again.jsonl")
    told = [json.loads(Path(f"{name}.jsonl.manifest.json").read_text()) for name in NAMES]
    assert told[0]["settings"] == told[1]["settings"]
    named = words[words.index("--strategy") + 1] if "--strategy" in words else "tsds"
    assert told[0]["strategy"] == told[1]["strategy"] == named
    for size in told[0]["samples"]:
        one = "" if len(told[0]["samples"]) == 1 else f"-{size}"
        first, again = (rows_of(f"{name}{one}.jsonl") for name in NAMES)
        assert first == again


NAMES = ("first", "again")


def test_another_strategy_takes_of_a_manifest_what_is_not_the_first_one_s(here: Path) -> None:
    run("select", *NEEDED, "--alpha", 0.5, "--seed", 3)
    file = ("--config", "s.jsonl.manifest.json")
    run("select", *file, "--strategy", "round-robin", "--out", "r.jsonl")
    told = json.loads(Path("r.jsonl.manifest.json").read_text())["settings"]
    assert told["strategy"] == {"name": "round-robin"}
    assert told["wanted"]["seed"] == 3
    given = read("path", *file)
    assert given["collection"] == "pool"
    assert read("compare", *file)["seed"] == 3


def test_a_manifest_keeps_test_items_out_again(here: Path) -> None:
    np.save("T.npy", np.load("Q.npy")[:2])
    run("select", *NEEDED, "--exclude", "T.npy", "--exclude-radius", 0.6, "--exclude-ngrams", 5)
    first = json.loads(Path("s.jsonl.manifest.json").read_text())
    assert first["contamination"]["kept_out"]["radius"]
    run("select", "--config", "s.jsonl.manifest.json", "--out", "again.jsonl")
    again = json.loads(Path("again.jsonl.manifest.json").read_text())
    assert again["contamination"] == first["contamination"]
    assert rows_of("again.jsonl") == rows_of("s.jsonl")


def test_a_manifest_says_how_task_examples_and_runs_are_read(here: Path) -> None:
    queries = {"source": "t.jsonl", "count": 5, "weight_field": "w", "template": "{a} {b}"}
    parts = {"guard": {"template": "{q}", "fail": True}, "run": {"state": "task.run"}}
    manifest = {"settings": {"wanted": {"ratio": 0.5}}, "queries": queries, **parts}
    Path("m.json").write_text(json.dumps(manifest))
    given = read("select", "--config", "m.json", *PLACE[:4])
    assert [given[name] for name in ("queries", "weight_field", "template")] == [
        *(["t.jsonl"], "w", "{a} {b}"),
    ]
    assert given["exclude_template"] == "{q}"
    assert given["fail_on_contamination"]
    assert given["state"] == Path("task.run")


def test_a_manifest_of_version_0_1_is_flat(here: Path) -> None:
    settings = {"sizes": [5], "alpha": 0.5, "seed": 1, "where": None, "quotas": [], "scans": False}
    place = {"location": "store", "name": "pool", "vector": ""}
    old = {"settings": settings, "collection": place, "queries": {"source": "Q.npy"}}
    Path("old.json").write_text(json.dumps(old))
    given = read("select", "--config", "old.json", "--out", "s.jsonl")
    assert [given[name] for name in ("alpha", "seed", "scans")] == [0.5, 1, False]


def test_a_manifest_with_a_setting_that_is_none_is_refused(here: Path) -> None:
    settings = {"wanted": {"sizes": [5], "sides": 3}}
    Path("new.json").write_text(json.dumps({"settings": settings}))
    said = refused("select", "--config", "new.json")
    assert re.match(r"'sides' in 'new.json' is no flag of strategy 'tsds'", said)
    assert "'sides' in 'new.json' is no flag of 'path'" in refused("path", "--config", "new.json")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.toml", None, "'absent.toml' does not exist; check the path"),
        ("job.yaml", "size: 1", "'job.yaml' is no file of flags; give a .toml file"),
        ("job.json", "[1]", "'job.json' is no manifest; give X.manifest.json"),
        ("job.json", '{"settings": 1}', "'job.json' is no manifest"),
        ("job.json", '{"settings": {"wanted": [1]}}', "'job.json' is no manifest"),
        ("job.json", "{}", "'job.json' is no manifest"),
        ("job.json", "{", "'job.json' is no JSON"),
        ("job.toml", "\ud800", "'job.toml' cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used(here: Path, name: str, content: str, said: str) -> None:
    if content is not None:
        Path(name).write_bytes(content.encode("utf-8", "surrogatepass"))
    assert said in refused("select", "--config", name)


@pytest.mark.parametrize("name", ["select", "compare", "path", "ingest", "reselect", "watch"])
def test_repeated_jobs_take_files(here: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"'zzz' in 'job\.toml' is no flag of"):
        read(name, *([] if name == "path" else ["x"]), *job("zzz = 1\n"))


def test_jobs_around_a_run(here: Path) -> None:
    given = read("watch", "task.run", *job('every = "5m"\nonce = true\nmax-failures = 2\n'))
    assert (given["once"], given["max_failures"]) == (True, 2)
    given = read("reselect", "task.run", *job('out = "s.jsonl"\nask-api-key = true\n'))
    assert (given["out"], given["ask_api_key"]) == (Path("s.jsonl"), True)
    given = read("ingest", "p.jsonl", *job('qdrant = "s"\ncollection = "c"\nbatch_size = 8\n'))
    assert given["batch_size"] == 8
