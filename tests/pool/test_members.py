"""Who is a candidate, against plain counting, on every engine."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeCollection
from marked import marks
from plain_strategies import NEEDY, PLAIN, UNNAMED
from pool_oracle import UnscannableCollection, edge_pool

from tsds_qdrant import (
    SelectionSettings,
    TaskExamples,
    begin_run,
    check,
    compare,
    reselect,
    select,
)
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import METRICS, Metric, PointId
from tsds_qdrant.errors import InputError, SupportError, UnsupportedCollectionError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.planning.strategies import catalogue
from tsds_qdrant.pool.members import NEXT_LOOK, Members, members

COUNT = 60
HAVING = [k for k in range(COUNT) if k % 3]
KIND = {"must": [{"key": "kind", "match": {"value": 1}}]}
CONTENTS = [{"kind": k % 2, "text": f"w{k % 5} x", **marks(k)} for k in range(COUNT)]
UNIT = np.random.default_rng(0).normal(size=(COUNT, 4)).astype(np.float32)
UNIT /= np.linalg.norm(UNIT, axis=1, keepdims=True)
TASK = TaskExamples(UNIT[:3], ["w1 x", "w2 y", "w3 z"], np.ones(3))


def lacking(make_collection: MakeCollection, metric: Metric = "Cosine") -> Collection:
    """A collection two thirds of whose points have the vector ``text``, which is searched."""
    pool = make_collection(vectors=UNIT[:, :2], payloads=CONTENTS, metric="Euclid")
    pool.add_space(Space.dense("text", 4, metric))
    pool.set_vectors(HAVING, UNIT[HAVING], space="text")
    return pool.at("text")


def candidates(pool: Collection, where: Any = None, **more: Any) -> Members:
    return members(pool, pool.info(), where, **more)


def ids_of(found: Members) -> list[PointId]:
    return list(chain.from_iterable(found.pages()))


@pytest.mark.parametrize("metric", METRICS)
def test_points_that_lack_the_vector_are_none(
    make_collection: MakeCollection, metric: Metric
) -> None:
    pool = lacking(make_collection, metric)
    found, of_kind = candidates(pool), candidates(pool, KIND)
    assert (found.count, ids_of(found)) == (len(HAVING), HAVING)
    odd = [k for k in HAVING if k % 2]
    assert (of_kind.count, ids_of(of_kind)) == (len(odd), odd)
    assert of_kind.having({"key": "text", "match": {"value": "w1 x"}}) == sum(
        k % 5 == 1 for k in odd
    )


def test_nothing_is_asked_for_where_all_have_it(make_collection: MakeCollection) -> None:
    pool = make_collection(vectors=UNIT)
    assert candidates(pool).where is None
    assert candidates(pool).count == COUNT


@pytest.mark.parametrize("strategy", PLAIN)
def test_every_strategy_selects_all_that_have_it(
    make_collection: MakeCollection, strategy: str
) -> None:
    pool = lacking(make_collection)
    for wanted in ({"sizes": (len(HAVING),)}, {"sizes": (), "ratio": 1.0}):
        found = select(pool, TASK, SelectionSettings.of(strategy, **wanted))
        assert sorted(map(int, found.selected_ids)) == HAVING
        assert found.candidates == len(HAVING)
    with pytest.raises(SupportError, match=f"only {len(HAVING)} have a vector 'text'; ask for"):
        select(pool, TASK, SelectionSettings.of(strategy, sizes=(len(HAVING) + 1,)))
    half = select(pool, TASK, SelectionSettings.of(strategy, ratio=0.5, where=KIND))
    assert len(half.selected_ids) == np.ceil(len([k for k in HAVING if k % 2]) / 2)


def test_all_strategies_are_compared_and_listed(make_collection: MakeCollection) -> None:
    pool = lacking(make_collection)
    found = compare(pool, TASK, SelectionSettings.of(ratio=0.5))
    assert (found.candidates, found.size) == (len(HAVING), len(HAVING) // 2)
    assert found.left_out.keys() == NEEDY
    assert all(set(run.ids) <= set(HAVING) for run in found.runs)
    assert all(one.usable == (one.name in UNNAMED) for one in catalogue(pool))
    pool.delete(HAVING)
    assert {one.name for one in catalogue(pool) if one.usable} == {"random", "dsir", "adapt"}


def test_a_point_that_gets_the_vector_came(make_collection: MakeCollection, tmp_path: Path) -> None:
    pool, wanted = lacking(make_collection), SelectionSettings.of("random", ratio=1.0)
    state, _ = begin_run(tmp_path / "task.run", pool, TASK, wanted)
    pool.set_vectors([0, 3], UNIT[[0, 3]])
    done = reselect(state, collection=pool)
    assert (done.changes.came, done.changes.gone) == ([0, 3], [])
    assert done.selection.candidates == len(HAVING) + 2
    assert not reselect(state, collection=pool).changes.came


def test_without_any_candidate_the_reason_is_said(make_collection: MakeCollection) -> None:
    pool = lacking(make_collection)
    pool.add_space(Space.dense("new", 4))
    bare = pool.at("new")
    with pytest.raises(InputError, match=f"none of its {COUNT} points has a vector 'new'; choose"):
        Searcher(bare)
    with pytest.raises(InputError, match=r"no point that matches the filter has a vector 'new'"):
        select(bare, TASK, SelectionSettings.of(sizes=(1,), where=KIND))
    report = check(bare)
    assert (report.verdict, report.having) == ("does not work", 0)


@pytest.mark.parametrize("zeros", [1, 16, 17, 40, COUNT])
def test_zero_vectors_are_found_on_every_engine(
    make_collection: MakeCollection, zeros: int
) -> None:
    rows = UNIT.copy()
    empty = sorted(np.random.default_rng(zeros).permutation(COUNT)[:zeros].tolist())
    rows[empty] = 0
    pool = make_collection(vectors=rows, payloads=CONTENTS, metric="Dot")
    found = candidates(pool)
    assert list(found.zero) == empty
    assert ids_of(found) == [k for k in range(COUNT) if k not in empty]
    of_kind = candidates(pool, KIND)
    assert list(of_kind.zero) == [k for k in empty if k % 2]
    condition = {"key": "kind", "match": {"value": 1}}
    assert found.having(condition) == of_kind.count
    report = check(pool)
    assert report.zero == found.zero
    if zeros < COUNT:
        assert report.verdict == "works with a warning"
        chosen = select(pool, TASK, SelectionSettings.of("random", ratio=1.0)).selected_ids
        assert sorted(map(int, chosen)) == ids_of(found)
    else:
        assert f"the vectors of all {COUNT} points are zero; ingest others" in report.problems[0]


@pytest.mark.parametrize("datatype", ["float32", "float16", "uint8"])
def test_zero_vectors_of_every_datatype(datatype: str) -> None:
    """Those next to zero are left as they are by Qdrant too; NaN hides none."""
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 200, size=(3 * NEXT_LOOK, 4)).astype(np.float32) + 1
    empty = np.sort(rng.permutation(len(rows))[: NEXT_LOOK + 40])
    rows[empty] = 0
    if datatype == "float32":
        rows[empty[::7]] = [1e-5, 0, -2e-5, 0]
        rows[np.setdiff1d(np.arange(len(rows)), empty)[:20]] = np.nan
    with edge_pool(rows, "Cosine", datatype=datatype, unchecked=True) as pool:
        assert list(candidates(pool).zero) == empty.tolist()
        assert not candidates(pool, scans=False).zero


def test_zero_vectors_are_candidates_where_they_have_a_distance() -> None:
    rows = np.zeros((5, 3), np.float32)
    for metric in ("Euclid", "Manhattan"):
        with edge_pool(rows, metric) as pool:  # type: ignore[arg-type]
            assert candidates(pool).count == 5


def test_zero_vectors_are_never_chosen_without_scans() -> None:
    """They cannot be counted then: they are left out where they are met, or the point is named."""
    rows = np.concatenate([UNIT, np.zeros((20, 4), np.float32)])
    with edge_pool(rows, "Cosine", unchecked=True) as collection:
        pool: Any = UnscannableCollection(collection)
        found = select(pool, TASK, SelectionSettings.of(sizes=(50,)))
        assert max(map(int, found.selected_ids)) < COUNT
        for strategy in ("similarity-max", "random"):
            with pytest.raises(UnsupportedCollectionError, match=r"point \d+ .* one of zeros;"):
                select(pool, TASK, SelectionSettings.of(strategy, sizes=(79,), seed=1))


def test_zero_vectors_of_a_large_pool_are_not_looked_for(
    make_collection: MakeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = UNIT[:20].copy()
    rows[[4, 7]] = 0
    pool = make_collection(vectors=rows, metric="Dot")
    monkeypatch.setattr("tsds_qdrant.pool.members.SCANNED_FLOATS", 79)
    assert not members(pool, pool.info(), None).zero
    assert any("not looked for in so large" in note for note in check(pool).notes)
    settings = SelectionSettings.of(sizes=(16,), alpha=0.01, cost_scale=1, bandwidth=1)
    assert not {4, 7} & set(select(pool, TASK, settings).selected_ids)
