"""Draws within bounds: never beyond a bound, and never less than what fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from tsds_qdrant import Bounds, SelectionSettings
from tsds_qdrant.errors import SettingsError, SupportError
from tsds_qdrant.selection.bounded import BoundedDraw
from tsds_qdrant.selection.quotas import NULL, Caps, Neighbors, Quota, Traits
from tsds_qdrant.selection.sampling import Sample

many = settings(max_examples=examples(300), deadline=None)
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
    wanted = Bounds(
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
    wanted, faults = draw.bounds, []
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
    if draw.bounds.token_budget is not None:
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
    draw = BoundedDraw(Bounds(quotas=tuple(quotas)), found)
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
    sample = Caps(30, neighbors).draw(order, size)

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
        ({"max_per_group": 0}, "max_per_group is 0; choose 1 or more"),
        ({"group_field": "a"}, "the group field 'a' needs a maximum"),
        ({"max_per_group": 1, "bandwidth": 0.0}, "near-duplicates are known by the bandwidth"),
        ({"max_per_group": 1, "regularizer": "uniform"}, "near-duplicates are known by"),
        ({"token_budget": 9, "sampler": "multinomial"}, "'multinomial' draws candidates again"),
    ],
)
def test_settings_that_do_not_fit(given: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        SelectionSettings.of(sizes=(5,), **given)


def test_a_size_that_the_message_names_is_possible() -> None:
    found = [Traits({"source": ("web",)}) for _ in range(70)]
    found += [Traits({"source": (f"s{k}",)}) for k in range(20)]
    draw = BoundedDraw(Bounds(quotas=(Quota("source", 0.3),)), found)
    order = np.arange(90)
    with pytest.raises(SupportError, match="leave only 35 of 90 candidates") as caught:
        draw.check(draw.draw(order, 50), order, 50)
    possible = int(str(caught.value).split("ask for ")[1].split(",")[0])
    assert possible == 28
    assert len(draw.draw(order, possible).candidates) == possible
    assert len(draw.draw(order, possible + 1).candidates) < possible + 1


def test_nothing_binds_nothing() -> None:
    draw = BoundedDraw(Bounds(), [Traits() for _ in range(9)])
    sample = draw.draw(np.arange(9)[::-1], 4)
    assert sample.candidates.tolist() == [8, 7, 6, 5]
    assert (sample.met, sample.tokens, type(sample)) == ((), None, Sample)
