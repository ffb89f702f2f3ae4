"""A run keeps its guard, and its repair is a guarded selection from scratch."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from contaminated_pool import TEXT, Pool, contaminated, held_out, nothing_left
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from pool_oracle import METRICS, probabilities_of, same
from profiles import examples

from tsds_qdrant import Keeping, SelectionSettings, begin_run, create_collection, reselect, select
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric, PointId
from tsds_qdrant.errors import ContaminationError, StateError, SupportError
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.runs.reopen import reopen
from tsds_qdrant.selection.quotas import Quota

few = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.slow
@few
@given(seed=st.integers(0, 2**32), radius=st.sampled_from([0.3, 0.8]))
def test_what_is_kept_out_while_bounds_look_further(seed: int, radius: float) -> None:
    pool = Pool(seed)
    payloads = [{**one, "kind": "b" if k % 6 else "a"} for k, one in enumerate(pool.payloads)]
    wanted = SelectionSettings.of(sizes=(6,), quotas=(Quota("kind", 0.5, "b"),), exact=True)
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


@pytest.mark.slow
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
    wanted = SelectionSettings.of(
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
                keeping=Keeping(detect_updates=True),
                guard=pool.guard(radius, 3),
            )
            for _ in range(3):
                ids = step(collection, pool, ids)
                # What changed is named, as a text that changed in place shows in no vector.
                try:
                    done = reselect(state, collection=collection, named=ids)
                except SupportError:
                    with pytest.raises(SupportError):
                        select(collection, pool.queries, wanted, guard=pool.guard(radius, 3))
                    continue
                same(
                    done.selection,
                    select(collection, pool.queries, wanted, guard=pool.guard(radius, 3)),
                )


def test_a_run_keeps_its_guard(tmp_path: Path) -> None:
    collection, pool, wanted = contaminated(tmp_path)
    guard = pool.guard(0.4, 3)
    state, first = begin_run(tmp_path / "run", collection, pool.queries, wanted, guard=guard)
    assert first.contamination is not None
    assert first.contamination.findings
    again = reopen(state, collection).selection
    assert probabilities_of(again) == probabilities_of(first)
    assert again.contamination is not None
    assert again.contamination.figures() == first.contamination.figures()
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
    assert not (tmp_path / "run").exists()
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
    flat = {key: value for group in facts["settings"].values() for key, value in group.items()}
    for name in ("name", "quotas", "token_budget", "token_field", "max_per_group", "group_field"):
        del flat[name]
    facts |= {"settings": flat, **facts.pop("knowledge"), **facts.pop("evidence")}
    del facts["guard"], facts["traits"], arrays["excluded_keys"]
    state.save(facts, arrays, {})
    same(reselect(state, collection=collection).selection, first)
    collection.close()
