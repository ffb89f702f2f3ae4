"""What the terminal says of how good a selection is, and where its advice leads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run
from marked import marks
from plain_strategies import PLAIN

from tsds_qdrant import (
    SelectionSettings,
    TaskExamples,
    begin_run,
    create_collection,
    open_collection,
    reopen,
    select,
)
from tsds_qdrant.neighbors.yardstick import Yardstick
from tsds_qdrant.selection.verdict import Verdict, about, both_ends
from tsds_qdrant.strategies.catalog import strategy_class

NEAR, POOL, EXAMPLES, DIMENSION = 200, 600, 30, 8
WORDS = r"(\d+) of (\d+) lie nearer to the task than its examples lie to each other \(([\d.]+), "
ASK = re.compile(r"ask for about (\d+), or widen the pool")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 points drawn as the task examples are, and 400 elsewhere."""
    directory = tmp_path_factory.mktemp("verdict")
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(POOL, DIMENSION))
    rows[NEAR:] += 4.0
    np.save(directory / "Q.npy", rng.normal(size=(EXAMPLES, DIMENSION)))
    np.save(directory / "one.npy", rng.normal(size=(1, DIMENSION)))
    payloads = [
        {"text": f"text {k} \x1b[31mred\n{'long ' * 50}", "n": k, **marks(k)} for k in range(POOL)
    ]
    with create_collection(
        str(directory / "store"), "pool", dimension=DIMENSION, metric="Euclid"
    ) as made:
        made.upsert(range(POOL), rows, payloads)
    return directory


@pytest.fixture
def task(store: Path) -> list[str]:
    place = ["--qdrant", str(store / "store"), "--collection", "pool"]
    return [*place, "--queries", str(store / "Q.npy")]


def own_distance(store: Path) -> float:
    queries = np.load(store / "Q.npy").astype(np.float32)
    apart = np.linalg.norm(queries[:, None] - queries[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return float(np.median(apart.min(axis=1)))


def test_select_says_it_as_it_is(store: Path, task: list[str], tmp_path: Path) -> None:
    out = tmp_path / "s.jsonl"
    spoken = run("select", *task, "--size", 100, "--out", out).stderr
    lines = spoken.splitlines()
    rows = rows_of(out)
    distances = sorted((row["distance"], row["payload"]["n"]) for row in rows)
    within = sum(row["distance"] <= own_distance(store) for row in rows)
    found = re.match(WORDS, lines[1])
    assert found
    assert (int(found[1]), int(found[2])) == (within, 100)
    assert float(found[3]) == pytest.approx(own_distance(store), rel=1e-3)
    shown = re.findall(r"^  (nearest |farthest|        )  ([\d.]+)  text (\d+) ", spoken, re.M)
    assert [name.strip() for name, _, _ in shown] == ["nearest", "", "", "farthest", ""]
    assert [int(number) for _, _, number in shown] == [
        *(number for _, number in distances[:3]),
        *(number for _, number in distances[-2:]),
    ]
    assert "\x1b" not in spoken
    assert max(map(len, lines)) < 190
    told = json.loads((tmp_path / "s.jsonl.manifest.json").read_text())["yardstick"]
    assert told["examples"] == EXAMPLES
    assert told["distance"] == pytest.approx(own_distance(store), abs=1e-6)
    assert told["nearer"] == {"100": within}
    assert re.search(r"alpha [\d.e-]+ \(1 keeps to the task, 0 spreads out\)", spoken)
    assert "(support)" in spoken
    assert "(effective size)" in spoken


@pytest.mark.parametrize(
    ("sampler", "how", "why"),
    [
        (
            (),
            "the largest p first and near-duplicates thinned out",
            "near-duplicates of them were taken",
        ),
        (("--sampler", "top"), "the largest p first", "p &gt; 0, but others have more"),
        (("--sampler", "stable"), "by chances p", "but chance took others. These"),
        (
            ("--sampler", "multinomial"),
            "by chances p and with replacement",
            "but chance took others",
        ),
    ],
)
def test_words_on_chance_follow_the_sampler(
    task: list[str], tmp_path: Path, sampler: tuple[str, ...], how: str, why: str
) -> None:
    page = tmp_path / "page.html"
    words = ("--size", 20, *sampler, "--out", tmp_path / "s.jsonl", "--report", page)
    spoken = run("select", *task, *words).stderr
    assert re.search(rf"^selected \d+ .*of 600 candidates for {EXAMPLES} .*, {how}$", spoken, re.M)
    assert ("chances" in spoken) == ("chances" in how)
    assert why in re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
    other = run("select", *task, *words[:2], "--strategy", "similarity-max", *words[-4:]).stderr
    assert f"candidates for {EXAMPLES} task examples by similarity-max\n" in other


def test_the_advice_leads_to_a_selection_that_is_like_the_task(
    task: list[str], tmp_path: Path
) -> None:
    """Each time fewer, until what is selected is as near as the task itself."""
    sizes, shares = [400], []
    while True:
        words = ("--size", sizes[-1], "--out", tmp_path / "s.jsonl")
        spoken = run("select", *task, *words).stderr
        found = re.search(WORDS, spoken)
        assert found
        shares.append(int(found[1]) / sizes[-1])
        if not (wanted := ASK.search(spoken)):
            break
        sizes.append(int(wanted[1]))
        assert sizes[-1] < sizes[-2]
    assert len(sizes) < 8
    assert shares[-1] >= 0.9 > shares[0]
    assert 10 <= sizes[-1] < NEAR, (sizes, shares)


def test_path_says_how_many_to_ask_for(store: Path, task: list[str], tmp_path: Path) -> None:
    table = run("path", *task)
    found = re.search(r"(at least )?(\d+) of 600 candidates lie nearer to the task", table.stderr)
    assert found
    rows = np.concatenate([_rows(store)])
    queries = np.load(store / "Q.npy").astype(np.float32)
    nearest = np.linalg.norm(rows[:, None] - queries[None], axis=2).min(axis=1)
    within = int((nearest <= own_distance(store)).sum())
    assert (found[1], int(found[2])) == (None, within)
    assert "(1: " not in table.stderr
    assert "effective: as spread as how many even shares" in table.stderr
    assert "  nearest   " in table.stderr
    told = json.loads(run("path", *task, "--json").stdout)["yardstick"]
    assert (told["nearer"], told["counted"]) == (within, True)
    size = int(re.search(r"ask for about (\d+)", table.stderr)[1])  # type: ignore[index]
    spoken = run("select", *task, "--size", size, "--out", tmp_path / "s.jsonl").stderr
    assert "lie nearer to the task" in spoken
    few = run("path", *task, "--alphas", "0.99").stderr
    said = re.search(r"(at least )?(\d+) of 600", few)
    assert said
    assert int(said[2]) <= within
    assert (said[1] is None) == (int(said[2]) == within)


def _rows(store: Path) -> np.ndarray:
    with open_collection(str(store / "store"), "pool") as pool:
        return np.stack([one.vector for one in pool.retrieve(list(range(POOL)), vectors=True)])


@pytest.mark.parametrize("words", [("select", "--out", "s.jsonl"), ("path",), ("compare",)])
def test_one_example_is_no_yardstick(
    store: Path, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = ("--qdrant", store / "store", "--collection", "pool", "--queries", store / "one.npy")
    sized = () if words == ("path",) else ("--size", 20)
    spoken = run(words[0], *task, *sized, *words[1:]).stderr
    assert "how near is near is not known: there is one task example" in spoken
    assert "lie nearer" not in spoken
    assert "  nearest   " in spoken


def test_a_machine_and_a_pipe_get_no_texts(task: list[str], tmp_path: Path) -> None:
    out = tmp_path / "s.jsonl"
    quiet = run("select", *task, "--size", 20, "--out", out, "--json")
    assert quiet.stderr == ""
    assert json.loads(quiet.stdout)["yardstick"]["examples"] == EXAMPLES
    piped = run("select", *task, "--size", 20, "--out", "-")
    assert all("id" in json.loads(line) for line in piped.stdout.splitlines())


ABLE = [one for one in PLAIN if "Euclid" in (strategy_class(one).card.metrics or ("Euclid",))]


@pytest.mark.parametrize("strategy", ABLE)
def test_every_strategy_is_judged(strategy: str, store: Path, tmp_path: Path) -> None:
    queries = np.load(store / "Q.npy").astype(np.float32)
    task = TaskExamples(queries, [f"text {k}" for k in range(EXAMPLES)], np.ones(EXAMPLES))
    with open_collection(str(store / "store"), "pool") as pool:
        wanted = SelectionSettings.of(strategy, sizes=(10, 50))
        made = select(pool, task, wanted)
        state, kept = begin_run(tmp_path / "task.run", pool, task, wanted)
        again = reopen(state, pool).selection
    for one in (made, kept, again):
        assert one.yardstick is not None
        assert one.yardstick.distance == pytest.approx(own_distance(store), abs=1e-6)
    distances = made.nearest_distance[made.samples[50].candidates]
    assert np.isfinite(distances).all()


NONE = ""
LITTLE = ": the pool has little like the task; widen it"


@pytest.mark.parametrize(
    ("count", "nearer", "more", "advice"),
    [
        (10, 9, 0, NONE),
        (10, 10, 50, NONE),
        (0, 0, 0, NONE),
        (200, 4, 0, LITTLE),
        (200, 0, 3, LITTLE),
        (100, 62, 0, ": ask for about 60, or widen the pool"),
        (100, 62, 500, ": ask for about 60, or widen the pool"),
        (100, 62, 8, ", and 8 others do: ask for about 70, or widen the pool"),
        (400, 2, 33, ", and 33 others do: ask for about 35, or widen the pool"),
        (10, 3, 7, ": ask for fewer, or widen the pool"),
    ],
)
def test_the_words_fit_the_figures(count: int, nearer: int, more: int, advice: str) -> None:
    scale = Yardstick(0.5, 9)
    found = Verdict(count, nearer, more, scale, True)
    assert found.in_words == (
        f"{nearer} of {count} lie nearer to the task than its examples lie to each other "
        f"(0.5, the median){advice}"
    )
    ignoring = Verdict(count, nearer, more, scale, False).advice
    assert ignoring == ("; this strategy does not go by the task" if advice else "")


@pytest.mark.parametrize(
    ("count", "rounded"),
    [(1, 1), (9, 9), (10, 10), (62, 60), (99, 95), (128, 120), (999, 990), (1_234, 1_200)],
)
def test_round_numbers_are_not_larger(count: int, rounded: int) -> None:
    assert about(count) == rounded


@pytest.mark.parametrize("count", range(8))
def test_both_ends_show_nothing_twice(count: int) -> None:
    distances = np.array([5.0, np.nan, 1.0, 3.0, 2.0, 9.0, np.nan, 4.0])[:count]
    rows = np.arange(100, 100 + count)
    head, tail = both_ends(rows, distances)
    known = [row for row in rows if not np.isnan(distances[row - 100])]
    order = sorted(known, key=lambda row: distances[row - 100])
    assert head == order[:3]
    assert tail == order[3:][-2:]
