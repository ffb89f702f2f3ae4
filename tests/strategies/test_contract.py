"""What every strategy keeps to, whatever it prefers.

A new strategy is one more row of ``ROWS``; the toy shows that this is all.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from contract_pool import (
    METADATA,
    SHELF,
    Case,
    Counted,
    Live,
    Row,
    in_a_dent,
    outcome,
    rows_of,
    same,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from made_spaces import represent_words
from oracles import pairwise_distances
from profiles import examples

from tsds_qdrant import (
    ExportSettings,
    Keeping,
    Quota,
    Run,
    Tagging,
    begin_run,
    create_collection,
    explain,
    export,
    new_run,
    open_collection,
    reopen,
    reselect,
    select,
    write_back,
)
from tsds_qdrant.collections.values import Payload, PointId
from tsds_qdrant.errors import SupportError
from tsds_qdrant.guards.held_out import nearest_items
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.watch import WatchSettings, watch
from tsds_qdrant.selection.bounds import Bounds
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.strategies.catalog import CATALOG
from tsds_qdrant.strategies.model_scores import PARTS

SETTLED = {"cost_scale": 1.0, "bandwidth": 0.5}
ROWS = (
    Row(
        "tsds",
        (
            SETTLED,
            {**SETTLED, "alpha": 0.3},
            {**SETTLED, "alpha": 0.6, "regularizer": "uniform"},
            {**SETTLED, "alpha": 0.6, "regularizer": "tv"},
            {**SETTLED, "sampler": "top"},
        ),
        tolerance=1e-9,
        loose=("query", "distance"),
        excused=in_a_dent,
    ),
    Row("round-robin"),
    Row("similarity-max"),
    Row("similarity-mean"),
    Row("less"),
    Row("rose"),
    Row("dsdm", ({"refit": 0.0}, {"refit": 0.0, "margin_field": "tokens"})),
    Row(
        "gradex",
        (
            {"source": "source"},
            {"source": "author", "choice": "ensemble", "subsets": 20, "strength": 0.1},
            {"source": "author", "margin_field": "tokens", "rows": 3, "sources": 2},
        ),
    ),
    Row("rds"),
    Row("bm25", represent=represent_words, sums=True),
    Row("perplexity", tuple({"score": "hardness", "part": one} for one in PARTS)),
    Row("ifd", ({"score": "hardness"},)),
    Row("tarot"),
    Row("uot"),
    Row("random"),
    Row("dsir"),
    Row(
        "adapt",
        (
            {"clusters": "author", "scores": ("tokens",)},
            {"clusters": "source", "scores": ("tokens",), "strata": 3, "budgets": "spread"},
        ),
    ),
    Row(
        "window",
        (
            {"difficulty": "tokens"},
            {"difficulty": "tokens", "width": 0.4},
            {"difficulty": "tokens", "classes": "source"},
        ),
        by_size="width",
    ),
    Row("toy", ({}, {"letters": "author"})),
)


@pytest.fixture(scope="module", autouse=True)
def _with_a_toy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CATALOG, "toy", "toy_strategy:Toy")
        yield
    SHELF.clear()


INDEPENDENT = tuple(row for row in ROWS if not row.sums)


def law(number: int, rows: tuple[Row, ...] = ROWS) -> Callable[[Callable[..., None]], Any]:
    """A test of all ``rows``, on ``number`` pools by chance."""

    def made(test: Callable[..., None]) -> Any:
        drawn = given(seed=st.integers(0, 2**32), grid=st.booleans())(test)
        few = settings(
            max_examples=examples(number),
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        return pytest.mark.parametrize("row", rows, ids=lambda row: row.strategy)(few(drawn))

    return made


def test_every_strategy_is_under_the_contract() -> None:
    assert {row.strategy for row in ROWS} == set(CATALOG)


@law(40)
def test_the_same_seed_gives_the_same_bytes(row: Row, seed: int, grid: bool) -> None:
    case = Case(row, seed, grid)
    pool = case.opened()
    first, again, other = (
        outcome(lambda: select(pool, case.task, case.settings(seed=one)))  # noqa: B023
        for one in (seed, seed, seed + 1)
    )
    assume(same(first, again))
    assert isinstance(first, Selection)
    assert isinstance(again, Selection)
    assert json.dumps(rows_of(first)) == json.dumps(rows_of(again))
    if first.preference.probabilities is None:
        assert same(other, first)


@law(40)
def test_smaller_samples_come_first_in_larger_ones(row: Row, seed: int, grid: bool) -> None:
    case = Case(row, seed, grid)
    pool = case.opened()
    found = outcome(lambda: select(pool, case.task, case.settings()))
    alone = outcome(lambda: select(pool, case.task, case.settings(sizes=case.sizes[:1])))
    assume(isinstance(found, Selection))
    samples = rows_of(found)
    ids = [row["id"] for row in samples[max(samples)]]
    assert len(set(ids)) == len(ids) == max(samples)
    for size, rows in samples.items():
        assert rows == samples[max(samples)][:size]
    follows = case.row.by_size and case.row.by_size not in case.variant
    if found.preference.ordered and not follows:  # elsewhere p follows the largest size
        assert rows_of(alone) == {case.sizes[0]: samples[case.sizes[0]]}


@law(20)
def test_rows_name_the_nearest_task_example(row: Row, seed: int, grid: bool) -> None:
    case = Case(row, seed, grid)
    found = outcome(lambda: select(case.opened(), case.task, case.settings()))
    assume(isinstance(found, Selection))
    metric = "Cosine" if case.metric == "Dot" else case.metric
    apart = pairwise_distances(case.task.vectors, case.rows, metric)
    for one in rows_of(found)[max(case.sizes)]:
        far = apart[:, case.ids.index(one["id"])]
        assert one["distance"] == pytest.approx(far[one["query"]], abs=1e-3)
        if "query" not in row.loose:
            assert one["distance"] <= far.min() + 1e-3


@law(40, INDEPENDENT)
def test_a_filter_gives_what_a_smaller_collection_gives(row: Row, seed: int, grid: bool) -> None:
    case = Case(row, seed, grid)
    where = {"must_not": [{"key": "author", "match": {"value": "a0"}}]}
    kept = [one["author"] != "a0" for one in case.payloads]
    assume(any(kept))
    pool = case.opened()
    found = outcome(lambda: select(pool, case.task, case.settings(where=where)))
    pool = case.opened(kept)
    wanted = outcome(lambda: select(pool, case.task, case.settings()))
    same(found, wanted, row)


@pytest.mark.slow
@law(80, INDEPENDENT)
def test_a_guard_gives_what_deleting_the_copies_gives(row: Row, seed: int, grid: bool) -> None:
    case = Case(row, seed, grid)
    guard = case.guard()
    pool = case.opened()
    found = outcome(lambda: select(pool, case.task, case.settings(), guard=guard))
    assume(isinstance(found, Selection))
    assert found.contamination is not None
    copies = {finding.id for finding in found.contamination.findings}
    pool = case.opened([point_id not in copies for point_id in case.ids])
    wanted = outcome(lambda: select(pool, case.task, case.settings()))
    assert same(found, wanted, row)
    place = {point_id: k for k, point_id in enumerate(case.ids)}
    chosen = [place[point_id] for point_id in found.selected_ids]
    held_out = guard.held_out
    if held_out.has_vectors:
        distances = nearest_items(case.rows[chosen], held_out.vectors, case.metric)[1]
        assert distances.min() > held_out.reach.radius - 1e-6
    assert not {case.payloads[k]["text"] for k in chosen} & set(held_out.excerpts)


@pytest.mark.slow
@law(120)
def test_repair_gives_what_starting_over_gives(row: Row, seed: int, grid: bool) -> None:
    case = Case(row, seed, grid)
    by_sequence, guarded = (case.rng.random(2) < 0.5).tolist()
    guard = case.guard() if guarded else None
    asked = case.settings(**(some_bounds(case) if case.rng.random() < 0.3 else {}))

    def scratch() -> Selection:
        fresh = None if guard is None else type(guard)(guard.held_out, guard.template)
        return select(pool, case.task, asked, guard=fresh)

    pool = case.opened()
    with TemporaryDirectory() as directory:
        live = Live(case, pool, whole=by_sequence)
        keeping = Keeping(detect_updates=not by_sequence)
        state = RunState.create(Path(directory) / "task.run")
        first = outcome(
            lambda: begin_run(state.path, pool, case.task, asked, guard=guard, keeping=keeping)[1]
        )
        assume(same(first, outcome(scratch)))
        told = True
        for _ in range(3):
            live.step()
            if case.rng.random() < 0.3:
                case.task, told = case.new_task(known=2), False
            queries = None if told else case.task
            done = outcome(lambda: reselect(state, collection=pool, queries=queries).selection)  # noqa: B023
            told = same(done, outcome(scratch), row) or told
            if isinstance(done, Selection):
                check_nothing_is_done_twice(state, Counted(pool), done)


def check_nothing_is_done_twice(state: RunState, pool: Counted, last: Selection) -> None:
    """Reselecting without a change, and reopening, search nothing and read no payload."""
    for selecting in (
        lambda: reselect(state, collection=pool).selection,
        lambda: reopen(state, pool).selection,
    ):
        assert same(selecting(), last)
        assert not pool.searches
        assert not pool.read["payloads"]


@pytest.mark.slow
@law(60)
def test_a_reopened_run_is_the_run(row: Row, seed: int, grid: bool) -> None:
    """Whatever has changed in the collection since, and whatever it was bounded by."""
    case = Case(row, seed, grid)
    asked = some_bounds(case) if case.rng.random() < 0.5 else {}
    guard = case.guard() if case.rng.random() < 0.5 else None
    pool = case.opened()
    with TemporaryDirectory() as directory:
        path = Path(directory) / "task.run"
        first = outcome(
            lambda: begin_run(path, pool, case.task, case.settings(**asked), guard=guard)[1]
        )
        assume(isinstance(first, Selection))
        counted = Counted(pool)
        assert same(reopen(path, counted).selection, first)
        Live(case, pool, whole=True).step()
        later = reopen(path, counted).selection
        for size in first.samples:
            for mine, theirs in zip(later.sample_rows(size), first.sample_rows(size), strict=True):
                assert mine["id"] == theirs["id"]
                assert mine["probability"] == theirs["probability"]
        assert not counted.searches


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.strategy)
def test_more_than_there_are_is_refused(row: Row) -> None:
    case = Case(row, 4, grid=False)
    pool, count = case.opened(), len(case.ids)
    told = (
        f"{count + 1} candidates are wanted but only {count} have a vector without a name; ask for"
    )
    if row.strategy == "ifd":
        below = sum(one["hardness"] < 1 for one in case.payloads)
        told = f"wanted but only {below} of {count} have an IFD below 1; ask for at most {below}"
    with pytest.raises(SupportError, match=told):
        select(pool, case.task, case.settings(sizes=(count + 1,)))
    if row.strategy != "ifd":
        told = f"{count + 1} candidates are wanted but the pool has {count}; ask for at most"
    with pytest.raises(SupportError, match=told):
        select(case.opened(strangers=False), case.task, case.settings(sizes=(count + 1,)))


@pytest.mark.slow
@law(60)
def test_samples_keep_to_bounds_and_take_what_fits(row: Row, seed: int, grid: bool) -> None:
    case = Case(row, seed, grid)
    asked = some_bounds(case)
    pool = case.opened()
    found = outcome(lambda: select(pool, case.task, case.settings(**asked)))
    assume(isinstance(found, Selection))
    bounds = found.settings.bounds
    order = preferred(found)
    for size, rows in sorted(rows_of(found).items(), reverse=True):
        ids = [one["id"] for one in rows]
        wanted = size if found.settings.wanted.sizes else None
        assert wanted in (None, len(ids)) or bounds.token_budget is not None
        assert ids == walked(case, bounds, order, wanted)
        order = ids  # smaller samples come from within the larger


def some_bounds(case: Case) -> dict[str, Any]:
    """One or more kinds of bounds."""
    rng, asked = case.rng, {}
    chosen = rng.random(4) < 0.5
    if chosen[0] or not chosen.any():
        asked["quotas"] = (Quota("source", float(rng.choice([0.4, 0.5, 0.8]))),)
    if chosen[1]:
        asked["max_per_group"], asked["group_field"] = int(rng.integers(1, 5)), "author"
    if chosen[2]:
        asked["token_budget"], asked["token_field"] = int(rng.integers(12, 80)), "tokens"
        if chosen[3]:
            asked["sizes"] = ()
    return asked


def preferred(found: Selection) -> list[PointId]:
    """The candidates that could be drawn, in the order of the draw."""
    order = found.preference.drawn
    assert order is not None
    return [found.ids[candidate] for candidate in order.tolist()]


def walked(case: Case, bounds: Bounds, order: Sequence[PointId], size: int | None) -> list[PointId]:
    """Each of ``order`` that fits beside those taken before, until there are ``size``."""
    content = dict(zip(case.ids, case.payloads, strict=True))
    taken: list[PointId] = []
    for point_id in order:
        if len(taken) == size:
            break
        if fits([content[one] for one in [*taken, point_id]], bounds, size):
            taken.append(point_id)
    return taken


def fits(sample: Sequence[Payload], bounds: Bounds, size: int | None) -> bool:
    """Whether ``sample`` keeps to ``bounds``, counted plainly."""
    budget = bounds.token_budget
    tokens = sum(one["tokens"] for one in sample)
    if budget is not None and tokens > budget:
        return False
    for quota in bounds.quotas:
        for value in {one.get(quota.field) for one in sample}:
            those = [one for one in sample if one.get(quota.field) == value]
            if size is not None and len(those) > quota.share * size + 1e-9:
                return False
            spent = sum(one["tokens"] for one in those)
            if budget is not None and spent > quota.share * budget + 1e-9:
                return False
    groups = [one["author"] for one in sample]
    most = bounds.max_per_group
    return most is None or all(groups.count(name) <= most for name in groups)


@pytest.mark.slow
@law(30)
def test_exports_and_tags_are_those_of_the_sample(row: Row, seed: int, grid: bool) -> None:
    case = Case(row, seed, grid)
    pool = case.opened()
    with TemporaryDirectory() as directory:
        path, out = Path(directory) / "task.run", Path(directory) / "train.jsonl"
        first = outcome(lambda: begin_run(path, pool, case.task, case.settings())[1])
        assume(isinstance(first, Selection))
        rows = rows_of(first)[max(case.sizes)]
        content = dict(zip(case.ids, case.payloads, strict=True))
        export(path, out, ExportSettings(), collection=pool)
        lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert [line["tsds_rank"] for line in lines] == list(range(len(rows)))
        for line, one in zip(lines, rows, strict=True):
            assert str(line["tsds_id"]) == str(one["id"])
            assert line["tsds_probability"] == one["probability"]
            assert {**line, **content[one["id"]]} == line
        report = write_back(pool, first, Tagging("task", "r1"))
        assert report.written == len(rows)
        tagged = {
            record.id: record.payload["tsds"]["task"]
            for record in pool.retrieve(case.ids)
            if "tsds" in record.payload
        }
        assert tagged.keys() == {one["id"] for one in rows}
        for one in rows:
            tag = tagged[one["id"]]
            assert (tag["rank"], tag["run"]) == (one["rank"], "r1")
            assert tag.get("probability") == pytest.approx(one["probability"])
        again = write_back(pool, first, Tagging("task", "r1"))
        assert (again.written, again.cleared, again.unchanged) == (0, 0, len(rows))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.strategy)
def test_a_watch_sees_a_change(row: Row, tmp_path: Path) -> None:
    case = Case(row, 1, grid=False)
    collection = create_collection(
        str(tmp_path / "store"), "pool", dimension=3, metric=case.metric, metadata=METADATA
    )
    live = Live(case, collection, whole=True)
    live.write(case.ids, case.payloads)
    state, _ = begin_run(tmp_path / "task.run", collection, case.task, case.settings())
    collection.close()
    once = WatchSettings(once=True)
    (event,) = watch(state, once, threading.Event())
    assert (event["event"], event["searches"]) == ("unchanged", 0)
    with open_collection(str(tmp_path / "store"), "pool") as collection:
        live.collection = collection
        while live.sequence < 4:
            live.step()
    (event,) = watch(state, once, threading.Event())
    assert event["event"] == "changed"
    with open_collection(str(tmp_path / "store"), "pool") as collection:
        scratch = select(collection, case.task, case.settings())
        assert same(reopen(state, collection).selection, scratch, row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.strategy)
def test_cards_say_what_is_so(row: Row) -> None:
    """Strategies that need no texts take vectors alone; the task matters where the card says so."""
    case, card = Case(row, 2, grid=False), row.kind.card
    other = case.new_task()
    pool = case.opened()
    found = select(pool, case.task, case.settings())
    if not card.needs_texts:
        bare = select(pool, case.task.vectors, case.settings(), query_weights=case.task.weights)
        assert same(bare, found)
    changed = select(pool, other, case.settings())
    assert (preferred(changed) != preferred(found)) == card.task_aware
    counted = Counted(pool)
    select(counted, case.task, case.settings())
    assert bool(counted.searches) != card.reads_all


@pytest.mark.slow
@law(60, INDEPENDENT)
def test_strangers_change_nothing(row: Row, seed: int, grid: bool) -> None:
    """Points without the vector, and vectors of zeros where directions count, are no candidates."""
    case = Case(row, seed, grid)
    asked = [case.settings(), case.settings(sizes=(), ratio=0.5)]
    asked.append(case.settings(where={"must_not": [{"key": "author", "match": {"value": "a0"}}]}))
    asked.append(case.settings(**some_bounds(case)))
    pool = case.opened(strangers=False)
    wanted = [outcome(lambda: select(pool, case.task, one)) for one in asked]  # noqa: B023
    pool = case.opened()
    for one, alone in zip(asked, wanted, strict=True):
        found = outcome(lambda: select(pool, case.task, one))  # noqa: B023
        if same(found, alone, row):
            assert isinstance(found, Selection)
            assert isinstance(alone, Selection)
            assert found.candidates == alone.candidates


@law(40)
def test_every_point_can_be_explained(row: Row, seed: int, grid: bool) -> None:
    case = Case(row, seed, grid)
    guard = case.guard() if case.rng.random() < 0.5 else None
    where = {"must_not": [{"key": "author", "match": {"value": "a0"}}]}
    asked = case.settings(where=where)
    pool = case.opened()
    run = outcome(lambda: new_run(pool, case.task, asked, guard=guard))
    assume(isinstance(run, Run))
    found = run.selection
    points = {point.id: point for point in explain(run, case.ids).points}
    assert list(points) == case.ids
    copies = set()
    if found.contamination is not None:
        copies = {finding.id for finding in found.contamination.findings}
    drawn = {one["id"]: one for one in rows_of(found)[max(case.sizes)]}
    known_verdicts = {"not drawn", "not preferred", "near copy", *row.kind.reasons.VERDICTS}
    for content, (point_id, point) in zip(case.payloads, points.items(), strict=True):
        assert point.text == content["text"]
        if content["author"] == "a0":
            assert point.verdict == "filtered out"
        elif point_id in copies:
            assert point.verdict == "kept out"
        elif point_id in drawn:
            assert point.verdict == "drawn"
            assert point.probability == drawn[point_id]["probability"]
        else:
            assert point.verdict in known_verdicts
    assert rows_of(run.selection) == rows_of(select(pool, case.task, asked, guard=guard))
