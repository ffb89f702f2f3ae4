"""Methods side by side, by the library and by the command line."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import run
from marked import marks
from oracles import pairwise_distances
from plain_strategies import NEEDY, OF_KINDS, PLAIN, PLAIN_METHODS
from pool_oracle import clustered_rows, edge_pool, near_queries

from tsds_qdrant import (
    CompareSettings,
    SelectionSettings,
    TaskExamples,
    compare,
    open_collection,
    select,
)
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import InputError, SettingsError, SupportError, UnsupportedCollectionError
from tsds_qdrant.planning.comparison import RUN_COLUMNS
from tsds_qdrant.planning.contestants import METHODS

ROWS = clustered_rows(400, 6, 12)
ROWS[200:230] = ROWS[:30] + 1e-3
QUERIES = near_queries(ROWS, 10)
TEXTS = tuple(f"word{k % 7} and more" for k in range(10))
PAYLOADS = [
    {"text": f"word{k % 50} and so on", "source": "ab"[k % 2], "tags": [k % 3, "x"]}
    for k in range(400)
]
EXAMPLES = TaskExamples(QUERIES.astype(np.float32), list(TEXTS), np.ones(10))
SETTINGS = SelectionSettings.of(sizes=(40,))
BASELINES = [name for name in PLAIN if name != "tsds"]


@pytest.fixture(scope="module")
def pool() -> Iterator[EdgeCollection]:
    with edge_pool(ROWS, "Cosine", payloads=PAYLOADS) as collection:
        mark(collection)
        yield collection


def mark(collection: Collection) -> None:
    """Scores and clusters, where ``represent`` writes them."""
    collection.set_payload("_tsds_made", range(400), [marks(k)["_tsds_made"] for k in range(400)])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pool, made by ``ingest``; task examples as vectors and as another collection."""
    directory = tmp_path_factory.mktemp("compare")
    np.save(directory / "X.npy", ROWS.astype(np.float32))
    np.save(directory / "Q.npy", QUERIES.astype(np.float32))
    for name, payloads in (("pool", PAYLOADS), ("task", [{"text": text} for text in TEXTS])):
        lines = (json.dumps({**payload, "n": k}) + "\n" for k, payload in enumerate(payloads))
        (directory / f"{name}.jsonl").write_text("".join(lines))
        rows = directory / ("X.npy" if name == "pool" else "Q.npy")
        run(
            *("ingest", directory / f"{name}.jsonl", "--vectors", rows, "--text-field", "text"),
            *("--qdrant", directory / "store", "--collection", name, "--id-field", "n"),
        )
    with open_collection(str(directory / "store"), "pool") as collection:
        mark(collection)
    return directory


@pytest.fixture
def task(store: Path) -> list[str]:
    place = ["--qdrant", str(store / "store"), "--collection", "pool"]
    return [*place, "--queries", "collection:task"]


def test_figures_equal_those_of_the_selections(pool: EdgeCollection) -> None:
    seeded = SelectionSettings.of(sizes=(40,), seed=3)
    found = compare(pool, EXAMPLES, seeded, CompareSettings(seeds=2))
    assert found.methods == list(PLAIN_METHODS)
    assert found.left_out.keys() == NEEDY
    chosen = select(pool, QUERIES, SelectionSettings.of(sizes=(40,)))
    ours = set(chosen.selected_ids)
    (mine,) = found.runs_of("tsds")
    assert (mine.ids, mine.seed, mine.overlap) == (chosen.selected_ids, None, None)
    assert mine.effective_size == pytest.approx(chosen.transport.solution.effective_size)
    transport = chosen.transport
    assert (found.typical, found.bandwidth) == (transport.cost_scale, transport.bandwidth)
    settings = SelectionSettings.of(sizes=(40,), regularizer="uniform")
    (uniform,) = found.runs_of("tsds-uniform")
    assert uniform.ids == select(pool, QUERIES, settings).selected_ids
    assert [run.seed for run in found.runs_of("random")] == [3, 4]
    between = pairwise_distances(QUERIES, ROWS, "Cosine")
    inside = pairwise_distances(ROWS, ROWS, "Cosine")
    np.fill_diagonal(inside, np.inf)
    for one in found.runs:
        assert len(set(one.ids)) == 40
        if one.method in BASELINES:
            settings = SelectionSettings.of(one.method, sizes=(40,), seed=one.seed or 0)
            assert one.ids == select(pool, EXAMPLES, settings).selected_ids
        ids = [int(k) for k in one.ids]
        near = between[:, ids].min(axis=1)
        assert one.quality.coverage == pytest.approx(near.mean(), abs=1e-6)
        assert one.quality.covered == pytest.approx(np.mean(near <= found.typical))
        assert one.quality.distance == pytest.approx(between[:, ids].min(axis=0).mean(), abs=1e-6)
        assert one.distances == pytest.approx(between[:, ids].min(axis=0), abs=1e-6)
        assert found.yardstick.distance is not None
        nearer = between[:, ids].min(axis=0) <= found.yardstick.distance
        assert one.quality.nearer == nearer.mean()
        copies = inside[np.ix_(ids, ids)].min(axis=1) <= found.bandwidth
        assert one.quality.near_duplicates == copies.mean()
        if one.method != "tsds":
            shared = len(set(one.ids) & ours) / len(set(one.ids) | ours)
            assert one.overlap == pytest.approx(shared)
    random = [r.quality.coverage for r in found.runs_of("random")]
    figure = found.figure("random", "coverage")
    assert figure
    assert figure.mean == pytest.approx(np.mean(random))
    assert figure.spread == pytest.approx(np.std(random, ddof=1))
    assert found.figure("random", "effective_size") is not None
    assert found.figure("round-robin", "effective_size") is None
    assert [r.seed for r in found.runs_of("round-robin")] == [None]
    p_random = found.figure("random", "effective_size")
    assert p_random
    assert p_random.mean == pytest.approx(400)


def test_values_of_a_field_are_counted(pool: EdgeCollection) -> None:
    asked = CompareSettings(methods=("random", "similarity-max"), by="source", target="a")
    found = compare(pool, QUERIES, SETTINGS, asked)
    for one in found.runs:
        share = np.mean([int(k) % 2 == 0 for k in one.ids])
        assert one.shares == pytest.approx({"a": share, "b": 1 - share})
        assert one.target_share == pytest.approx(share)
    assert set(found.values()) == {"a", "b"}
    asked = CompareSettings(methods=("random",), by="tags.*", seeds=1)
    tags = compare(pool, QUERIES, SelectionSettings.of(sizes=(40,), seed=1), asked)
    assert tags.values()[0] == "x"
    assert tags.share("random", "x").mean == 1.0
    assert sum(tags.share("random", str(k)).mean for k in range(3)) == pytest.approx(1.0)
    assert tags.share("random", "y").mean == 0.0
    asked = CompareSettings(methods=("random",), by="source", target="c")
    none = compare(pool, QUERIES, SETTINGS, asked)
    assert {one.target_share for one in none.runs} == {0.0}
    with pytest.raises(InputError, match=r"no point .* 'nosuch' that --by names"):
        compare(pool, QUERIES, SETTINGS, CompareSettings(methods=("random",), by="nosuch"))


@pytest.mark.parametrize("given", [{}, {"bandwidth": 0.2, "cost_scale": 0.9}, {"bandwidth": 0.0}])
def test_units_of_measure_are_the_same_for_all_methods(
    pool: EdgeCollection, given: dict[str, float]
) -> None:
    settings = SelectionSettings.of(sizes=(40,), **given)
    found = [
        compare(pool, QUERIES, settings, CompareSettings(methods=(method,), seeds=1))
        for method in ("tsds", "tsds-uniform", "random")
    ]
    assert len({(one.typical, one.bandwidth) for one in found}) == 1
    chosen = select(pool, QUERIES, settings).transport
    assert (found[2].typical, found[2].bandwidth) == (chosen.cost_scale, chosen.bandwidth)


def test_settings_count_for_the_strategy_that_they_name(pool: EdgeCollection) -> None:
    asked = CompareSettings(methods=("tsds", "tsds-uniform", "random"), seeds=1)
    lower = SelectionSettings.of(sizes=(40,), alpha=0.4, regularizer="tv", sampler="top")
    found = compare(pool, QUERIES, lower, asked)
    for method, regularizer in (("tsds", "kde"), ("tsds-uniform", "uniform")):
        settings = SelectionSettings.of(sizes=(40,), alpha=0.4, regularizer=regularizer)
        assert found.runs_of(method)[0].ids == select(pool, QUERIES, settings).selected_ids
    by_chance = compare(pool, QUERIES, SelectionSettings.of("random", sizes=(40,)), asked)
    chosen = select(pool, QUERIES, SETTINGS)
    assert by_chance.runs_of("tsds")[0].ids == chosen.selected_ids
    assert by_chance.bandwidth == chosen.transport.bandwidth


@pytest.mark.parametrize("metric", ["Cosine", "Manhattan"])
def test_what_cannot_be_used_is_left_out_unless_asked_for(metric: Metric) -> None:
    with edge_pool(ROWS, metric) as collection:
        found = compare(collection, QUERIES, SETTINGS, CompareSettings(seeds=1))
        assert "the task examples have no texts" in found.left_out["dsir"]
        assert "represent hidden" in found.left_out["window"]
        assert "represent clusters" in found.left_out["adapt"]
        assert ("similarity-mean" in found.left_out) == (metric == "Manhattan")
        assert found.methods == [name for name in METHODS if name not in found.left_out]
        with pytest.raises(InputError, match="'dsir' compares words"):
            compare(collection, QUERIES, SETTINGS, CompareSettings(methods=("dsir",)))
        if metric == "Manhattan":
            with pytest.raises(UnsupportedCollectionError, match="metric Manhattan"):
                compare(collection, QUERIES, SETTINGS, CompareSettings(("similarity-mean",)))


def test_weights_of_task_examples_count(pool: EdgeCollection) -> None:
    heavy = np.array([1e9] + [1.0] * 9)
    asked = CompareSettings(methods=("similarity-mean",), seeds=1)
    found = compare(pool, QUERIES, SETTINGS, asked, query_weights=heavy)
    asked = CompareSettings(methods=("similarity-max",), seeds=1)
    alone = compare(pool, QUERIES[:1], SETTINGS, asked)
    assert set(found.runs[0].ids) == set(alone.runs[0].ids)
    assert found.runs[0].quality.coverage == pytest.approx(alone.runs[0].quality.coverage, abs=1e-6)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"methods": ["best"]}, "'best' is no strategy; choose among tsds, tsds-uniform, round-"),
        ({"methods": []}, "at least one strategy and one seed"),
        ({"seeds": 0}, "at least one strategy and one seed"),
        ({"target": "a"}, "the target 'a' is a value of a field"),
    ],
)
def test_wrong_arguments_are_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        CompareSettings(**more)


def test_sizes_are_checked(pool: EdgeCollection) -> None:
    with pytest.raises(SettingsError, match="a comparison needs one size"):
        compare(pool, QUERIES, SelectionSettings.of(sizes=(10, 20)))
    with pytest.raises(SettingsError, match="a comparison needs one size"):
        compare(pool, QUERIES, SelectionSettings.of(alpha=0.5))
    with pytest.raises(SettingsError, match="without quotas, token budgets and groups"):
        compare(pool, QUERIES, SelectionSettings.of(sizes=(10,), max_per_group=2))
    with pytest.raises(SupportError, match="the pool has 400"):
        compare(pool, QUERIES, SelectionSettings.of(sizes=(401,)), CompareSettings(("random",)))
    asked = CompareSettings(methods=("tsds",), seeds=1)
    found = compare(pool, QUERIES, SelectionSettings.of(ratio=0.05), asked)
    assert found.size == 20


def test_the_command_prints_a_table(task: list[str]) -> None:
    done = run("compare", *task, "--size", 40, "--seeds", 2)
    lines = done.stdout.splitlines()
    columns = ["method", "coverage", "covered", "distance", "nearer"]
    columns += ["near-dup", "effective", "overlap", "seconds"]
    assert lines[0].split() == columns
    unnamed = [name for name in PLAIN_METHODS if name not in OF_KINDS]
    assert [line.split()[0] for line in lines[2:]] == unnamed
    named = run("compare", *task, "--vector", "", "--size", 40, "--seeds", 2).stdout.splitlines()
    assert [line.split()[0] for line in named[2:]] == list(PLAIN_METHODS)
    assert "\n40 of 400 candidates for 10 task examples; covered: one within" in done.stderr
    assert re.search(r"\ntsds: \d+ of 40 lie nearer to the task than its examples", done.stderr)
    assert re.search(r"\n  nearest   0\.\d{3}  ", done.stderr)
    line = next(line for line in lines if line.split()[0] == "random")
    assert "+-" in line
    line = next(line for line in lines if line.split()[0] == "round-robin")
    assert "+-" not in line
    assert line.split()[6] == "-"


def test_the_command_says_what_is_left_out(store: Path, task: list[str]) -> None:
    words = [*task[:-1], store / "Q.npy"]
    done = run("compare", *words, "--size", 20, "--seeds", 1, "--by", "source")
    assert "left out dsir: the strategy 'dsir' compares words" in done.stderr
    assert "shares of the values of 'source'" in done.stderr
    table = done.stdout.split("source", 1)[1].splitlines()
    assert {line.split()[0] for line in table[2:]} == {"a", "b"}
    many = run("compare", *words, "--size", 60, "--methods", "random", "--by", "n")
    assert "more values; --json has them all" in many.stderr


def test_json_and_files_hold_the_same(store: Path, task: list[str]) -> None:
    words = ["--size", 20, "--methods", "tsds, random,dsir", "--seeds", 3, "--seed", 5]
    words += ["--by", "source", "--target", "a"]
    places = [store / f"c.{kind}" for kind in ("jsonl", "csv", "parquet")]
    for place in places:
        printed = run("compare", *task, *words, "--out", place, "--json")
        assert printed.stderr == ""
    shown = json.loads(printed.stdout)
    assert [one["method"] for one in shown["methods"]] == ["tsds", "random", "dsir"]
    rows = [json.loads(line) for line in places[0].read_text().splitlines()]
    assert list(rows[0]) == list(RUN_COLUMNS)
    with places[1].open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [float(row["coverage"]) for row in table] == [row["coverage"] for row in rows]
    assert pq.read_table(places[2])["coverage"].to_pylist() == [row["coverage"] for row in rows]
    for one in shown["methods"]:
        mine = [row for row in rows if row["method"] == one["method"]]
        seeds = [] if one["method"] == "tsds" else [5, 6, 7]
        assert one["seeds"] == seeds
        assert [row["seed"] for row in mine] == (seeds or [None])
        assert one["target_share"]["mean"] == pytest.approx(
            np.mean([row["target_share"] for row in mine])
        )
        assert one["shares"]["a"] == one["target_share"]
    told = run("compare", *task, *words).stdout.splitlines()[0]
    assert told.endswith("share a  seconds")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "a comparison needs one size; set one (1000, say) or a ratio (0.01)"),
        (("--size", 5, "--target", "a"), "the target 'a' is a value of a field; name it with --by"),
        (("--size", 5, "--methods", "tsds,best"), "'best' is no strategy"),
        (("--size", 5, "--out", "c.ids"), "'c.ids' would hold ids; end it in .jsonl"),
    ],
)
def test_wrong_usage_of_the_command(task: list[str], words: tuple[Any, ...], told: str) -> None:
    assert told in run("compare", *task, *words, code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize("method", PLAIN_METHODS)
def test_select_writes_the_selection_of_every_method(
    store: Path, task: list[str], method: str
) -> None:
    out = store / f"{method}.jsonl"
    words = [*task, "--vector", "", "--size", "5,30", "--method", method, "--seed", 2]
    assert run("select", *words, "--out", out).stdout == ""
    small, large = (
        [json.loads(line) for line in (store / f"{method}-{size}.jsonl").read_text().splitlines()]
        for size in (5, 30)
    )
    assert small == large[:5] if method in BASELINES else len(small) == 5
    columns = ["id", "payload", "rank", "probability", "weight", "query", "distance"]
    assert [name for name in large[0] if name != "score"] == columns
    assert [row["rank"] for row in large] == list(range(30))
    assert all(row["payload"] == {**PAYLOADS[row["id"]], "n": row["id"]} for row in large)
    between = pairwise_distances(QUERIES, ROWS, "Cosine")
    for row in large:
        assert row["query"] == between[:, row["id"]].argmin()
        assert row["distance"] == pytest.approx(between[:, row["id"]].min(), abs=1e-3)
        has_chance = method in ("tsds", "tsds-uniform", "random", "dsir", "adapt")
        assert (row["probability"] is not None) == has_chance
    told = json.loads((store / f"{method}.jsonl.manifest.json").read_text())
    uniform = method == "tsds-uniform"
    assert told["strategy"] == told["settings"]["strategy"]["name"] == method.split("-uni")[0]
    assert (told["settings"]["strategy"].get("regularizer") == "uniform") == uniform
    assert told["settings"]["wanted"]["seed"] == 2
    assert told["queries"]["source"] == "collection:task"
    assert told["queries"]["count"] == 10
    assert told["collection"]["points"] == 400
    assert told["samples"]["30"]["distinct"] == 30
    words = [*task, "--vector", "", "--size", 30, "--methods", method, "--seed", 2]
    found = run("compare", *words, "--json")
    facts = json.loads(found.stdout)["methods"][0]
    mean = np.mean([row["distance"] for row in large])
    if not facts["seeds"]:
        assert facts["distance"]["mean"] == pytest.approx(mean, abs=1e-6)


def test_select_by_a_simpler_method_prints_its_manifest(store: Path, task: list[str]) -> None:
    out = store / "json.csv"
    words = ("select", *task, "--ratio", 0.05, "--method", "dsir", "--out", out, "--json")
    done = run(*words)
    assert done.stderr == ""
    assert json.loads(done.stdout) == json.loads(Path(f"{out}.manifest.json").read_text())
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 20
    assert all(0 < float(row["probability"]) < 1 for row in rows)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "best"), "'best' is no strategy; choose one of tsds, round-robin"),
        (
            ("--strategy", "random", "--alpha", 0.5),
            "--alpha is no option of strategy 'random' but of tsds; leave it out",
        ),
        (
            ("--strategy", "dsir", "--regularizer", "tv"),
            "--regularizer is no option of strategy 'dsir' but of tsds; leave it out",
        ),
        (("--strategy", "random", "--sampler", "top"), "sampler is top, which the strategy"),
        (("--strategy", "random", "--max-per-group", 2), "does not know near-duplicates"),
        (("--method", "tsds-uniform", "--regularizer", "tv"), "tsds-uniform"),
    ],
)
def test_what_a_strategy_does_not_know_is_refused(
    store: Path, task: list[str], words: tuple[Any, ...], told: str
) -> None:
    out = store / "never.jsonl"
    done = run("select", *task, "--size", 5, *words, "--out", out, code=2)
    assert told in done.stderr
    assert not out.exists()
