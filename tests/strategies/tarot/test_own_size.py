"""The laws of the contract where the strategy chooses the size itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from contract_pool import SHELF, Case, Counted, Live, Outcome, Row, outcome, rows_of, same
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from profiles import examples

from tsds_qdrant import Keeping, Quota, begin_run, reopen, reselect, select
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings

ROW = Row("tarot", ({"sizes": ()}, {"sizes": (), "folds": 2}, {"sizes": (), "repeats": 3.0}))
LAW = settings(max_examples=examples(40), deadline=None)
seeds = given(seed=st.integers(0, 2**32), grid=st.booleans())


@pytest.fixture(scope="module", autouse=True)
def _emptied() -> Iterator[None]:
    yield
    SHELF.clear()


def case_of(seed: int, grid: bool) -> Case:
    case = Case(ROW, seed, grid)
    enough(case)
    return case


def enough(case: Case, known: int = 0) -> None:
    """At least two task examples, which can judge each other."""
    while len(case.task.vectors) < 2:
        case.task = case.new_task(known)


def asked(case: Case) -> SelectionSettings:
    bounds = {}
    if "repeats" not in case.variant and case.rng.random() < 0.4:
        bounds["quotas"] = (Quota("source", float(case.rng.choice([0.5, 0.8]))),)
        if case.rng.random() < 0.5:
            bounds |= {"max_per_group": 3, "group_field": "author"}
    return case.settings(**bounds)


@pytest.mark.slow
@LAW
@seeds
def test_it_chooses_the_same_again(seed: int, grid: bool) -> None:
    case = case_of(seed, grid)
    wanted, pool = asked(case), case.opened()
    first, again = (outcome(lambda: select(pool, case.task, wanted)) for _ in range(2))
    assume(same(first, again))
    assert isinstance(first, Selection)
    assert json.dumps(rows_of(first)) == json.dumps(rows_of(again))  # type: ignore[arg-type]
    (size,) = rows_of(first)
    assert first.preference.size == size >= 1
    other = first.settings.strategy.with_settings(fold_seed=7)
    assert other.fold_seed == 7


@LAW
@seeds
def test_a_filter_gives_what_a_smaller_collection_gives(seed: int, grid: bool) -> None:
    case = case_of(seed, grid)
    wanted = asked(case)
    where = {"must_not": [{"key": "author", "match": {"value": "a0"}}]}
    filtered = wanted.altered(where=where)
    kept = [one["author"] != "a0" for one in case.payloads]
    assume(any(kept))
    pool = case.opened()
    found = outcome(lambda: select(pool, case.task, filtered))
    pool = case.opened(kept)
    same(found, outcome(lambda: select(pool, case.task, wanted)), ROW)


@pytest.mark.slow
@LAW
@seeds
def test_a_guard_gives_what_deleting_the_copies_gives(seed: int, grid: bool) -> None:
    case = case_of(seed, grid)
    wanted, guard = asked(case), case.guard()
    pool = case.opened()
    found = outcome(lambda: select(pool, case.task, wanted, guard=guard))
    assume(isinstance(found, Selection))
    assert found.contamination is not None
    copies = {finding.id for finding in found.contamination.findings}
    pool = case.opened([point_id not in copies for point_id in case.ids])
    assert same(found, outcome(lambda: select(pool, case.task, wanted)), ROW)


@pytest.mark.slow
@LAW
@seeds
def test_repair_gives_what_starting_over_gives(seed: int, grid: bool) -> None:
    case = case_of(seed, grid)
    wanted = asked(case)
    by_sequence, guarded = (case.rng.random(2) < 0.5).tolist()
    guard = case.guard() if guarded else None
    pool = case.opened()

    def scratch() -> Selection:
        fresh = None if guard is None else type(guard)(guard.held_out, guard.template)
        return select(pool, case.task, wanted, guard=fresh)

    with TemporaryDirectory() as directory:
        live = Live(case, pool, whole=by_sequence)
        keeping = Keeping(detect_updates=not by_sequence)
        state = RunState.create(Path(directory) / "task.run")
        first = outcome(
            lambda: begin_run(state.path, pool, case.task, wanted, guard=guard, keeping=keeping)[1]
        )
        assume(same(first, outcome(scratch)))
        told = True
        for _ in range(3):
            live.step()
            if case.rng.random() < 0.3:
                case.task, told = case.new_task(known=2), False
                enough(case, known=2)
            queries = None if told else case.task
            done: Outcome = outcome(
                lambda: reselect(state, collection=pool, queries=queries).selection  # noqa: B023
            )
            told = same(done, outcome(scratch), ROW) or told
            if isinstance(done, Selection):
                counted = Counted(pool)
                assert same(reselect(state, collection=counted).selection, done)
                assert same(reopen(state, counted).selection, done)
                assert not counted.searches
                assert not counted.read["payloads"]


@LAW
@seeds
def test_a_reopened_run_is_the_run(seed: int, grid: bool) -> None:
    case = case_of(seed, grid)
    wanted, pool = asked(case), case.opened()
    with TemporaryDirectory() as directory:
        path = Path(directory) / "task.run"
        first = outcome(lambda: begin_run(path, pool, case.task, wanted)[1])
        assume(isinstance(first, Selection))
        Live(case, pool, whole=True).step()
        counted = Counted(pool)
        later = reopen(path, counted).selection
        assert not counted.searches
        for size, rows in rows_of(first).items():
            mine = list(later.sample_rows(size))
            for name in ("id", "weight"):
                assert [one[name] for one in mine] == [one[name] for one in rows]
        assert later.evidence.facts() == first.evidence.facts()


def test_sizes_ratios_and_budgets_come_first() -> None:
    case = case_of(3, grid=False)
    pool = case.opened()
    for given_settings, wanted in (
        ({"sizes": (4,)}, 4),
        ({"ratio": 0.2, "sizes": ()}, None),
        ({"token_budget": 30, "token_field": "tokens", "sizes": ()}, None),
    ):
        made = SelectionSettings.of("tarot", **given_settings)
        assert not made.own_size
        found = select(pool, case.task, made)
        assert found.preference.size is None
        assert wanted in (None, len(found.selected_ids))
    assert SelectionSettings.of("tarot").own_size
    assert not SelectionSettings.of("uot").own_size
    with pytest.raises(SettingsError, match="no size is given"):
        select(pool, case.task, SelectionSettings.of("uot"))
    assert np.isfinite(found.nearest_distance[found.samples[max(found.samples)].candidates]).all()
