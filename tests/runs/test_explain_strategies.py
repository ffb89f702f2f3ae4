"""Explanations under every strategy, against naive methods over the whole pool."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from commands import run as run_command
from marked import marks
from oracles import Array, pairwise_distances
from plain_strategies import PLAIN
from pool_oracle import clustered_rows, edge_pool, near_queries

from tsds_qdrant import (
    Guard,
    HeldOut,
    Keeping,
    Reach,
    SelectionSettings,
    TaskExamples,
    TextTemplate,
)
from tsds_qdrant.cli.explained import lines_of
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.ids import point_keys, uniform_noise
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.representations.words.ngrams import BUCKETS
from tsds_qdrant.runs.begin import begin_run, new_run
from tsds_qdrant.runs.explain import explain
from tsds_qdrant.runs.reopen import reopen
from tsds_qdrant.runs.reselect import reselect
from tsds_qdrant.runs.run import Run
from tsds_qdrant.selection.explanation import PointExplanation
from tsds_qdrant.selection.quotas import Quota
from tsds_qdrant.selection.select import select_for
from tsds_qdrant.strategies.catalog import strategy_class
from tsds_qdrant.strategies.chance import NOISE_STREAM

POOL: Any = clustered_rows(240, 5, 6, spread=0.4)
POOL[200:220] = POOL[:20]  # exact copies, so that there are ties
QUERIES: Any = near_queries(POOL, 7)
SIZES = (5, 20)
SEED = 3
WORDS = [f"w{k}" for k in range(60)]
_rng = np.random.default_rng(8)
POOL_TEXTS = [" ".join([f"only{k}", *_rng.choice(WORDS, 8)]) for k in range(len(POOL))]
TASK_TEXTS = [" ".join(_rng.choice(WORDS[:15], 8)) for _ in QUERIES]
TASK = TaskExamples(QUERIES.astype(np.float32), TASK_TEXTS, np.ones(len(QUERIES)))
RANKINGS = ("round-robin", "similarity-max", "similarity-mean")
BY_CHANCE = ("random", "dsir")
KNOWN = ("tsds", *RANKINGS, *BY_CHANCE)
"""Strategies whose own verdicts and words are tested; the rest of the file takes any."""


def wanted(strategy: str, **more: Any) -> SelectionSettings:
    given = {"sizes": SIZES, "seed": SEED, "near_copies": "keep"}
    return SelectionSettings.of(strategy, **{**given, **more})


def metric_for(strategy: str) -> Any:
    """Euclid, or the first that the strategy works with."""
    known = strategy_class(strategy).card.metrics
    return "Euclid" if "Euclid" in (known or ("Euclid",)) else known[0]


def begun(directory: Path, collection: Collection, settings: SelectionSettings, **more: Any) -> Run:
    keeping = Keeping(query_facts={"texts": TASK_TEXTS})
    path = directory / f"{settings.strategy.name}.run"
    state, _ = begin_run(path, collection, TASK, settings, keeping=keeping, **more)
    return reopen(state, collection)


@contextmanager
def reopened(directory: Path, strategy: str, metric: Any = None, **more: Any) -> Iterator[Run]:
    payloads = [{"text": text, "half": k % 2, **marks(k)} for k, text in enumerate(POOL_TEXTS)]
    with edge_pool(POOL, metric or metric_for(strategy), payloads=payloads) as collection:
        yield begun(directory, collection, wanted(strategy, **more))


def explained(run: Run) -> dict[int, PointExplanation]:
    return {int(point.id): point for point in explain(run, range(len(POOL))).points}


def spoken(run: Run, ids: Any) -> list[str]:
    return "\n".join(lines_of(explain(run, ids))).split("\n\n")


def check_order(points: dict[int, PointExplanation], order: list[int]) -> None:
    """Compare verdicts, ranks and samples with the ``order`` in which candidates are selected."""
    for number, point in points.items():
        rank = order.index(number)
        assert point.text == POOL_TEXTS[number]
        assert point.arrived is False
        assert (point.verdict == "drawn") == (rank < SIZES[-1])
        if point.verdict == "drawn":
            assert point.rank == rank
            assert [one.rank for one in point.samples] == [rank if rank < 5 else None, rank]
        assert all(one.needed is None for one in point.samples)


def check_ranking(points: dict[int, PointExplanation], order: list[int]) -> None:
    check_order(points, order)
    for point in points.values():
        assert point.probability is None
        assert all(one.chance is None for one in point.samples)
        if point.verdict != "drawn":
            assert (point.verdict, point.rank, point.samples) == ("not preferred", None, ())


@pytest.mark.parametrize("metric", ["Cosine", "Euclid", "Manhattan"])
def test_the_nearest_task_example_and_the_last_one_selected(tmp_path: Path, metric: Any) -> None:
    distances = pairwise_distances(QUERIES, POOL, metric)
    best = distances.min(axis=0)
    order = sorted(range(len(POOL)), key=lambda k: (best[k], k))
    with reopened(tmp_path, "similarity-max", metric) as run:
        points = explained(run)
    check_ranking(points, order)
    for number, point in points.items():
        reasons: Any = point.reasons
        query = int(distances[:, number].argmin())
        assert (reasons.nearest.query, reasons.nearest.text) == (query, TASK_TEXTS[query])
        assert reasons.nearest.distance == pytest.approx(best[number], abs=1e-3)
        assert reasons.last == pytest.approx(best[order[19]], abs=1e-3)


@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
def test_the_mean_example_and_the_last_one_selected(tmp_path: Path, metric: Any) -> None:
    mean = QUERIES.mean(axis=0)
    if metric == "Cosine":
        mean = (QUERIES / np.linalg.norm(QUERIES, axis=1, keepdims=True)).mean(axis=0)
    distances = pairwise_distances(mean[None, :], POOL, metric)[0]
    order = sorted(range(len(POOL)), key=lambda k: (round(distances[k], 6), k))
    with reopened(tmp_path, "similarity-mean", metric) as run:
        points = explained(run)
    check_ranking(points, order)
    for number, point in points.items():
        reasons: Any = point.reasons
        assert (reasons.nearest.query, reasons.nearest.text) == (None, "")
        assert reasons.nearest.distance == pytest.approx(distances[number], abs=1e-3)
        assert reasons.last == pytest.approx(distances[order[19]], abs=1e-3)


def naive_turns(distances: Array) -> list[tuple[int, int, int]]:
    """(candidate, task example, its turn) in the order in which candidates are taken."""
    left = set(range(distances.shape[1]))
    taken: list[tuple[int, int, int]] = []
    turn = 0
    while left:
        turn += 1
        for row in range(min(len(distances), len(left))):
            nearest = min(left, key=lambda k: (distances[row][k], k))
            left.remove(nearest)
            taken.append((nearest, row, turn))
    return taken


@pytest.mark.parametrize("metric", ["Cosine", "Euclid", "Manhattan"])
def test_who_took_it_and_when(tmp_path: Path, metric: Any) -> None:
    distances = pairwise_distances(QUERIES, POOL, metric)
    turns = naive_turns(np.round(distances, 6))
    by_candidate = {candidate: (row, turn) for candidate, row, turn in turns[: SIZES[-1]]}
    near = [
        sorted(range(len(POOL)), key=lambda k: (round(row[k], 6), k)) for row in distances.tolist()
    ]
    came_to = [0] * len(QUERIES)
    for candidate, (row, _) in by_candidate.items():
        came_to[row] = max(came_to[row], near[row].index(candidate) + 1)
    with reopened(tmp_path, "round-robin", metric) as run:
        points = explained(run)
        depths = run.known.neighborhoods.lists.depths.tolist()
    check_ranking(points, [candidate for candidate, _, _ in turns])
    assert any(point.reasons.places for point in points.values())  # type: ignore[attr-defined]
    for number, point in points.items():
        reasons: Any = point.reasons
        if number in by_candidate:
            row, turn = by_candidate[number]
            one = reasons.taken
            assert (one.query, one.text, one.turn) == (row, TASK_TEXTS[row], turn)
            assert one.distance == pytest.approx(distances[row, number], abs=1e-3)
            assert one.neighbor == near[row].index(number) + 1
            assert reasons.places == ()
            continue
        assert reasons.taken is None
        listed = [row for row in range(len(QUERIES)) if near[row].index(number) < depths[row]]
        found = {one.query: one for one in reasons.places}
        assert sorted(found) == (listed or [int(distances[:, number].argmin())])
        for row, one in found.items():
            assert one.text == TASK_TEXTS[row]
            assert one.neighbor == (near[row].index(number) + 1 if listed else None)
            assert one.distance == pytest.approx(distances[row, number], abs=1e-3)
            assert one.came_to == came_to[row]
            last = near[row][came_to[row] - 1]
            assert one.end == pytest.approx(distances[row, last], abs=1e-3)
        behind = [(one.neighbor or 0) - one.came_to for one in reasons.places]
        assert behind == sorted(behind)


def test_a_task_example_that_had_no_turn(tmp_path: Path) -> None:
    with reopened(tmp_path, "round-robin", sizes=(3,)) as run:
        points = explained(run)
        lone = [
            point
            for point in points.values()
            for one in point.reasons.places  # type: ignore[attr-defined]
            if one.neighbor is None and one.query >= 3
        ]
        assert lone
        assert "which had no turn" in spoken(run, [lone[0].id])[0]
        assert all(
            (one.came_to, one.end) == (0, None)
            for point in points.values()
            for one in point.reasons.places  # type: ignore[attr-defined]
            if one.query >= 3
        )


def check_chances(points: dict[int, PointExplanation], p: Array, order: list[int]) -> None:
    check_order(points, order)
    for number, point in points.items():
        assert point.verdict in ("drawn", "not drawn")
        assert point.rank == order.index(number)
        assert point.probability == pytest.approx(p[number], rel=1e-9)
        assert len(point.samples) == 2
    for place, size in enumerate(SIZES):
        chances = [points[k].samples[place].chance or 0.0 for k in range(len(POOL))]
        assert sum(chances) == pytest.approx(size)
        assert np.argsort(chances, kind="stable")[-20:].tolist() == (
            np.argsort(p, kind="stable")[-20:].tolist()
        )


def noise() -> Array:
    return uniform_noise(point_keys(range(len(POOL))), SEED + NOISE_STREAM)


def test_chance_alone(tmp_path: Path) -> None:
    order = np.argsort(-noise(), kind="stable").tolist()
    with reopened(tmp_path, "random") as run:
        points = explained(run)
    check_chances(points, np.full(len(POOL), 1 / len(POOL)), order)
    for point in points.values():
        assert [one.chance for one in point.samples] == pytest.approx([5 / 240, 20 / 240])


def naive_log_weights() -> list[float]:
    def buckets(text: str) -> list[int]:
        codes = [zlib.crc32(word.encode()) for word in re.findall(r"\w+", text.lower())]
        grams = codes + [a << 32 | b for a, b in pairwise(codes)]
        return [(gram * 0x9E3779B97F4A7C15 % 2**64 >> 32) % BUCKETS for gram in grams]

    task = Counter(bucket for text in TASK_TEXTS for bucket in buckets(text))
    pool = Counter(bucket for text in POOL_TEXTS for bucket in buckets(text))

    def log_p(counts: Counter[int], bucket: int) -> float:
        return math.log((counts[bucket] + 1) / (counts.total() + BUCKETS))

    return [sum(log_p(task, b) - log_p(pool, b) for b in buckets(text)) for text in POOL_TEXTS]


def test_words_and_chance(tmp_path: Path) -> None:
    weights = np.array(naive_log_weights())
    order = np.argsort(np.log(-np.log(noise())) - weights, kind="stable").tolist()
    p = np.exp(weights - weights.max())
    with reopened(tmp_path, "dsir") as run:
        points = explained(run)
    check_chances(points, p / p.sum(), order)
    for number, point in points.items():
        reasons: Any = point.reasons
        assert reasons.log_weight == pytest.approx(weights[number], abs=1e-9)
        least, most = (np.count_nonzero(weights > weights[number] + e) for e in (1e-9, -1e-9))
        assert least <= reasons.heavier < most  # texts of equal words may differ in the last bits


@pytest.mark.parametrize("strategy", PLAIN)
def test_points_that_are_no_candidates(tmp_path: Path, strategy: str) -> None:
    where = {"must": [{"key": "half", "match": {"value": 0}}]}
    with reopened(tmp_path, strategy, where=where) as run:
        copied = [int(i) for i in run.selection.selected_ids[:3]]
    items = HeldOut.of([POOL_TEXTS[k] for k in copied], None, Reach())
    guard = Guard(items, TextTemplate(text_field="text"))
    payloads = [{"text": text, "half": k % 2, **marks(k)} for k, text in enumerate(POOL_TEXTS)]
    with edge_pool(POOL, metric_for(strategy), payloads=payloads) as collection:
        directory = tmp_path / "guarded"
        directory.mkdir()
        run = begun(directory, collection, wanted(strategy, where=where), guard=guard)
        explanation = explain(run, [*copied, *range(len(POOL))])
        words = "\n".join(lines_of(explanation))
        points = {int(point.id): point for point in explanation.points}
        out = {k for k, one in points.items() if one.verdict == "filtered out"}
        assert out == set(range(1, len(POOL), 2))
        assert {k for k, one in points.items() if one.verdict == "kept out"} == set(copied)
        assert words.count("kept out as a copy of a test item") == len(copied)
        assert words.count("the run's filter leaves it out") == len(out)
        for k in (*out, *copied):
            assert points[k].probability == (0.0 if strategy_class(strategy).has_chances else None)
            assert (points[k].rank, points[k].samples) == (None, ())
            assert points[k].reasons == run.selection.settings.strategy.reasons()
        told = json.loads(json.dumps(explanation.as_dict()))
        assert told["strategy"] == strategy
        assert len({tuple(point) for point in told["points"]}) == 1  # the same keys for all


@pytest.mark.parametrize("strategy", KNOWN)
def test_points_that_came_since(tmp_path: Path, strategy: str) -> None:
    payloads = [{"text": text, **marks(k)} for k, text in enumerate(POOL_TEXTS)]
    with edge_pool(POOL, payloads=payloads) as collection:
        run = begun(tmp_path, collection, wanted(strategy))
        new = np.stack([QUERIES.mean(axis=0), QUERIES[0], QUERIES[0] + 100])
        collection.upsert([1_000, 1_001, 1_002], new, [{"text": "late"}] * 3)
        middle, near, far = explain(run, [1_000, 1_001, 1_002]).points
        assert (middle.arrived, near.arrived, far.arrived) == (True, True, True)
        assert middle.samples == near.samples == far.samples == ()
        verdicts = {
            "tsds": ["not fetched", "not fetched"],
            **{name: ["missed", "not preferred"] for name in RANKINGS},
            **{name: ["not read", "not read"] for name in BY_CHANCE},
        }
        close = middle if strategy == "similarity-mean" else near
        assert [close.verdict, far.verdict] == verdicts[strategy]
        for part in spoken(run, [close.id, far.id]):
            assert "it came after the run's last selection: run 'tsds-qdrant reselect'" in part
            assert "approximate search missed it" not in part
        reselect(tmp_path / f"{strategy}.run", collection=collection)
        (now,) = explain(reopen(tmp_path / f"{strategy}.run", collection), [close.id]).points
        assert now.arrived is False
        assert now.verdict in ("drawn", "not drawn")


@pytest.mark.parametrize("strategy", RANKINGS)
def test_a_point_that_searches_missed(tmp_path: Path, strategy: str) -> None:
    with reopened(tmp_path, strategy) as run:
        first = run.selection.selected_ids[0]
        run.known.neighborhoods.drop(run.known.index.lookup([first]))
        selection = select_for(run.known, run.selection.settings, SIZES)
        lacking = replace(run, selection=selection)
        (point,) = explain(lacking, [first]).points
        assert (point.verdict, point.arrived) == ("missed", False)
        (words,) = spoken(lacking, [first])
        assert "near enough, but no search of the run found it" in words
        assert "approximate search missed it" in words


@pytest.mark.parametrize("strategy", KNOWN)
def test_points_without_a_vector_of_that_name(tmp_path: Path, strategy: str) -> None:
    vectors = {
        name: edge.EdgeVectorParams(POOL.shape[1], edge.Distance.Euclid) for name in ("a", "b")
    }
    edge.EdgeShard.create(str(tmp_path / "pool"), edge.EdgeConfig(vectors=vectors)).close()
    collection = EdgeCollection.open(str(tmp_path), "pool", vector="a")
    rows = POOL.astype(np.float32)
    collection.upsert(
        range(len(POOL)), rows, [{"text": text, **marks(k)} for k, text in enumerate(POOL_TEXTS)]
    )
    points = [
        edge.Point(500 + k, {"b": rows[k].tolist()}, {"text": " ".join(WORDS[20:])})
        for k in range(3)
    ]
    collection._shard.update(edge.UpdateOperation.upsert_points(points))
    collection.close()
    collection = EdgeCollection.open(str(tmp_path), "pool", vector="a")
    run = begun(tmp_path, collection, wanted(strategy, seed=5))
    assert run.selection.candidates == len(POOL)
    drawn, lost = run.selection.selected_ids[:2]
    *bare, whole = explain(run, [500, 501, 502, drawn]).points
    assert whole.verdict == "drawn"
    assert {point.verdict for point in bare} == {"no vector"}
    assert spoken(run, [500])[0].startswith("500: no candidate, it has no vector 'a'")
    collection._shard.update(edge.UpdateOperation.delete_vectors([lost], ["a"]))
    (gone,) = explain(run, [lost]).points
    assert gone.verdict == "lost vector"
    assert "reselect" in spoken(run, [lost])[0]
    done = reselect(tmp_path / f"{strategy}.run", collection=collection)
    assert lost not in done.selection.selected_ids
    assert done.selection.candidates == len(POOL) - 1
    (gone,) = explain(reopen(tmp_path / f"{strategy}.run", collection), [lost]).points
    assert gone.verdict == "no vector"
    collection.close()


@pytest.mark.parametrize("strategy", PLAIN)
def test_points_whose_vector_is_zero(tmp_path: Path, strategy: str) -> None:
    rows = np.concatenate([POOL, np.zeros((3, POOL.shape[1]))])
    texts = [*POOL_TEXTS, *POOL_TEXTS[:3]]
    payloads = [{"text": text, **marks(k)} for k, text in enumerate(texts)]
    with edge_pool(rows, "Cosine", payloads=payloads, unchecked=True) as collection:
        run = begun(tmp_path, collection, wanted(strategy))
        assert run.selection.candidates == len(POOL)
        last = len(POOL) + 2
        (point,) = explain(run, [last]).points
        assert point.verdict == "zero vector"
        assert "no candidate, its vector is zero" in spoken(run, [last])[0]


@pytest.mark.parametrize("strategy", PLAIN)
def test_quotas(tmp_path: Path, strategy: str) -> None:
    with reopened(tmp_path, strategy, sizes=(20,), quotas=(Quota("half", 0.2, "1"),)) as run:
        sample = [int(i) for i in run.selection.selected_ids]
        assert sum(k % 2 for k in sample) <= 4
        points = explained(run)
        refused = [
            point
            for point in points.values()
            if point.verdict == "not drawn" and point.rank in range(20)
        ]
        assert [k for k, point in points.items() if point.verdict == "drawn"] == sorted(sample)
        for k in sample:
            assert points[k].samples[0].rank == sample.index(k)
            assert points[k].samples[0].chance is None
        assert refused
        for part in spoken(run, [point.id for point in refused]):
            assert part.split(": ")[1].startswith("not selected, though it ")
            assert "quotas, budget or groups had no place for it" in part


def test_a_run_that_is_not_kept_and_one_without_a_sample() -> None:
    payloads = [{"text": text, **marks(k)} for k, text in enumerate(POOL_TEXTS)]
    for strategy in PLAIN:
        with edge_pool(POOL, metric_for(strategy), payloads=payloads) as collection:
            run = new_run(collection, TASK, wanted(strategy))
            point = explain(run, run.selection.selected_ids[:1]).points[0]
            assert (point.verdict, point.samples[-1].rank, point.arrived) == ("drawn", 0, None)
    with edge_pool(POOL, payloads=payloads) as collection:
        run = new_run(collection, TASK, SelectionSettings.of(alpha=0.5))
        likely = int(run.selection.probabilities.argmax())
        (point,) = explain(run, [run.selection.ids[likely]]).points
        assert (point.verdict, point.samples) == ("not drawn", ())


SAID = {
    "round-robin": r"taken by task example \d \"w.*\" in its \d(st|nd|rd|th) turn: distance",
    "similarity-max": r"distance \d\.\d+ to task example \d \"w.*; the last one selected is at",
    "similarity-mean": r"distance \d\.\d+ to the mean of the task examples; the last one selected",
    "random": "chance alone decides",
    "dsir": r"log importance weight -?\d+\.\d+: \d+ candidates have more",
    "window": r"difficulty \d\.?\d*: \d+\.\d % are harder; the window goes from \d+\.\d % to",
    "adapt": r"cluster '\d', which goes by '_tsds_made.hidden.\w+': \d\.?\d*, (stratum|cut off)",
    "tsds": "task examples send it mass",
}


@pytest.mark.parametrize("strategy", PLAIN)
def test_the_command(tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    collection = EdgeCollection.create(
        "store", "pool", dimension=POOL.shape[1], metric=metric_for(strategy)
    )
    collection.upsert(
        range(len(POOL)), POOL, [{"text": text, **marks(k)} for k, text in enumerate(POOL_TEXTS)]
    )
    run = begun(Path(), collection, wanted(strategy))
    first, *others = run.selection.selected_ids
    left = next(k for k in range(len(POOL)) if k not in (first, *others))
    explanation = explain(run, [first, left]).as_dict()
    collection.close()
    words = ["explain", f"{strategy}.run", "--id", str(first), "--id", str(left)]
    here, other = run_command(*words).stdout.split("\n\n")
    assert here.startswith(f"{first}: selected, rank 0 of 20")
    assert re.search(SAID.get(strategy, ""), here)
    assert other.startswith(f"{left}: not selected, ")
    told = json.loads(run_command(*words, "--json").stdout)
    assert told == json.loads(json.dumps(explanation))
