"""The command line, from help to files."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import run
from typer.main import get_command

from tsds_qdrant import SelectionSettings, Tsds, open_collection, select, trace_path
from tsds_qdrant.cli import app

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
SECRET = "s3cret-key-of-a-server"
START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from tsds_qdrant.cli import main; main()"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 points in 16 dimensions around 20 centres; five task examples near two of them."""
    directory = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 16))
    rows = (centres[np.arange(400) % 20] + 0.3 * rng.normal(size=(400, 16))).astype(np.float32)
    np.save(directory / "X.npy", rows)
    np.save(directory / "Q.npy", centres[[0, 0, 0, 1, 1]] + 0.3 * rng.normal(size=(5, 16)))
    records = (json.dumps({"text": f"text {k}", "group": k % 20}) + "\n" for k in range(400))
    (directory / "pool.jsonl").write_text("".join(records))
    done = run(
        *("ingest", directory / "pool.jsonl", "--vectors", directory / "X.npy", "--json"),
        *("--qdrant", directory / "store", "--collection", "pool", "--id-field", "text"),
    )
    assert json.loads(done.stdout)["added"] == 400
    return directory


@pytest.fixture
def place(store: Path) -> list[str]:
    return ["--qdrant", str(store / "store"), "--collection", "pool"]


@pytest.fixture
def task(store: Path, place: list[str]) -> list[str]:
    return [*place, "--queries", str(store / "Q.npy")]


def examples(text: str) -> list[list[str]]:
    """Command lines below "Example:", without the name of the program."""
    below = text.split("Example:")[1].split("Options:")[0].replace("\\\n", " ")
    return [
        shlex.split(line)[1:] for line in below.splitlines() if line.strip().startswith("tsds-")
    ]


def test_every_command_is_listed() -> None:
    listed = run("--help").stdout.split("Commands:")[1]
    assert re.findall(r"^  ([\w-]+)", listed, re.MULTILINE) == list(COMMANDS)
    assert run("-h").stdout == run("--help").stdout
    assert re.fullmatch(r"tsds-qdrant \d+\.\d+\S*\n", run("--version").stdout)


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_ends_in_an_example_that_parses(name: str | None) -> None:
    shown = run(*([name] if name else []), "--help").stdout
    found = examples(shown)
    assert found
    for words in found:
        assert name in (None, words[0])
        command, given = COMMANDS[words[0]], list(words[1:])
        if hasattr(command, "commands"):  # a group
            command, given = command.commands[given[0]], given[1:]
        with command.make_context(words[0], given) as context:
            assert context.params
    for option in COMMANDS[name].params if name else ():
        assert getattr(option, "help", None), f"{name} {option.name} has no help"


def test_every_format_holds_the_same_selection(store: Path, task: list[str]) -> None:
    for name in ("s.jsonl", "s.jsonl.gz", "s.csv", "s.parquet", "s.ids"):
        result = run("select", *task, "--size", 12, "--sampler", "top", "--out", store / name)
        assert result.stdout == ""
        assert f"wrote {store / name}" in result.stderr
    rows = [json.loads(line) for line in (store / "s.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    assert list(rows[0]) == ["id", "payload", "rank", "probability", "weight", "query", "distance"]
    assert {row["payload"]["group"] for row in rows} <= {0, 1}
    assert gzip.decompress((store / "s.jsonl.gz").read_bytes()) == (store / "s.jsonl").read_bytes()
    with (store / "s.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    flat = [{name: row[f"payload.{name}"] for name in ("text", "group")} for row in table]
    assert flat == [{k: str(v) for k, v in row["payload"].items()} for row in rows]
    assert [float(row["probability"]) for row in table] == [row["probability"] for row in rows]
    assert pq.read_table(store / "s.parquet")["id"].to_pylist() == [row["id"] for row in rows]
    assert (store / "s.ids").read_text().splitlines() == [row["id"] for row in rows]


def test_several_sizes_are_nested_and_probabilities_complete(store: Path, task: list[str]) -> None:
    out, p_file = store / "n.ids", store / "p.jsonl"
    run("select", *task, "--size", "10,50", "--out", out, "--probabilities", p_file)
    small, large = ((store / f"n-{size}.ids").read_text().split() for size in (10, 50))
    assert len(small) == 10
    assert len(set(large)) == 50
    assert set(small) < set(large)
    assert not out.exists()
    rows = [json.loads(line) for line in p_file.read_text().splitlines()]
    assert list(rows[0]) == ["id", "probability", "density", "query", "distance"]
    p = [row["probability"] for row in rows]
    assert p == sorted(p, reverse=True)
    assert p[-1] > 0
    assert sum(p) == pytest.approx(1.0)
    assert set(large) <= {row["id"] for row in rows}


def test_the_manifest_says_what_the_library_says(store: Path, task: list[str]) -> None:
    out = store / "m.jsonl"
    printed = run("select", *task, "--size", 20, "--seed", 7, "--out", out, "--json")
    told = json.loads((store / "m.jsonl.manifest.json").read_text())
    shown = json.loads(printed.stdout)
    assert printed.stderr == ""
    collection = open_collection(str(store / "store"), "pool")
    chosen = select(collection, np.load(store / "Q.npy"), SelectionSettings.of(sizes=(20,), seed=7))
    collection.close()
    evidence = chosen.transport
    for part in (told, shown):
        solution = part["solution"]
        assert solution["alpha"] == evidence.alpha
        assert solution["cost_scale"] == evidence.cost_scale
        assert solution["bandwidth"] == evidence.bandwidth
        assert solution["support"] == evidence.solution.support
        assert solution["effective_sample_size"] == evidence.solution.effective_size
        assert solution["transport_cost"] == evidence.solution.transport_cost
        assert part["settings"]["wanted"]["seed"] == 7
        assert part["queries"] == {"source": str(store / "Q.npy"), "count": 5}
        assert part["collection"]["points"] == 400
        assert part["samples"] == {"20": {"distinct": 20, "draws": 20}}
    ids = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    assert ids == chosen.selected_ids


def test_the_same_seed_gives_the_same_bytes(store: Path, task: list[str]) -> None:
    drawn = []
    for name, seed in (("a.jsonl", 1), ("b.jsonl", 1), ("c.jsonl", 2)):
        seeded = ("--seed", seed, "--sampler", "stable")
        run("select", *task, "--size", 20, *seeded, "--out", store / name)
        drawn.append((store / name).read_bytes())
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_ratio_and_a_filter(store: Path, task: list[str]) -> None:
    only = json.dumps({"must": [{"key": "group", "match": {"any": [0, 5]}}]})
    out = store / "r.jsonl"
    run("select", *task, "--ratio", 0.1, "--filter", only, "--out", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 4  # a tenth of the 40 that match
    assert {row["payload"]["group"] for row in rows} <= {0, 5}


def test_path_as_table_json_and_picture(store: Path, task: list[str]) -> None:
    picture = store / "path.svg"
    table = run("path", *task, "--alphas", "0.8,0.5,0.2", "--plot", picture)
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["alpha", "neighbours", "support", "effective", "distance"]
    assert [line.split()[0] for line in lines[2:]] == ["0.8", "0.5", "0.2"]
    assert "<svg" in picture.read_text()
    shown = json.loads(run("path", *task, "--alphas", "0.8,0.5,0.2", "--json").stdout)
    collection = open_collection(str(store / "store"), "pool")
    queries = np.load(store / "Q.npy")
    traced = trace_path(collection, queries, Tsds(), alphas=(0.8, 0.5, 0.2))
    collection.close()
    assert shown["points"] == [vars(point) for point in traced.points]
    assert [str(point["support"]) for point in shown["points"]] == [
        line.split()[2] for line in lines[2:]
    ]


def test_check_tells_whether_selection_will_work(place: list[str], tmp_path: Path) -> None:
    shown = json.loads(run("check", *place, "--json").stdout)
    facts = [shown[key] for key in ("collection", "points", "dimension", "metric", "ok")]
    assert facts == ["pool", 400, 16, "Cosine", True]
    talk = run("check", *place)
    assert "400" in talk.stdout
    assert talk.stderr == "selection will work\n"


def test_the_place_may_come_from_the_environment(store: Path) -> None:
    words = ("check", "--collection", "pool", "--json")
    shown = json.loads(run(*words, TSDS_QDRANT=str(store / "store")).stdout)
    assert shown["location"] == str(store / "store")


def test_the_key_of_a_server_shows_nowhere(store: Path, task: list[str], tmp_path: Path) -> None:
    key = {"TSDS_QDRANT_API_KEY": SECRET}
    spoken = run("select", *task, "--size", 5, "--out", tmp_path / "k.jsonl", **key).output
    spoken += run("check", *task[:4], "--json", **key).output
    server = ("--qdrant", "http://127.0.0.1:9", "--collection", "pool")
    spoken += run("check", *server, "--json", code=3, **key).output
    spoken += run("ingest", "--vectors", store / "X.npy", *server, code=3, **key).output
    assert "http://127.0.0.1:9 gives no answer" in spoken
    assert SECRET not in spoken
    assert len(list(tmp_path.iterdir())) == 2
    for file in tmp_path.iterdir():
        assert SECRET not in file.read_text()


@pytest.mark.slow
def test_ctrl_c_ends_an_ingest_that_can_be_repeated(store: Path, tmp_path: Path) -> None:
    rows = np.repeat(np.load(store / "X.npy"), 4, axis=0)
    np.save(tmp_path / "X.npy", rows)
    records = [json.dumps({"n": k}) + "\n" for k in range(len(rows))]
    words = [sys.executable, "-c", START, "ingest", "-", "--vectors", str(tmp_path / "X.npy")]
    words += ["--qdrant", str(tmp_path / "store"), "--collection", "pool"]
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipe) as child:  # type: ignore[call-overload]
        child.stdin.write("".join(records[:1_200]))
        child.stdin.flush()  # one chunk is stored, the next waits for its records
        while child.poll() is None and not (tmp_path / "store/pool/tsds.json").exists():
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        spoken = child.communicate(timeout=60)
    assert child.returncode == 130
    assert spoken == (
        "",
        "interrupted; files that were written are whole, run it again\n",
    )
    again = subprocess.run(words, input="".join(records), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"read {len(rows)}, " in again.stderr
    assert f"{len(rows)} points" in again.stderr
