"""Limits of strict mode: read, kept by every request, in the way of no answer that they allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from door import Door, Request, open_door
from door_limits import leaves, size
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from playback import Clock, Reply, failed
from qdrant_client import models

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.limits import Limits, check_filter_limits, conditions
from tsds_qdrant.collections.matching import matching
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import (
    CollectionError,
    DepthError,
    RequestRejectedError,
    UnsupportedCollectionError,
)
from tsds_qdrant.neighbors.allowed import EF_LADDER, ladder
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.progress import notices_to

COUNT = 60
GRID = np.random.default_rng(5).integers(0, 3, (COUNT, 4)).astype(np.float32) + 1
"""Many points are equal, so that hits tie at every cut."""
PAYLOADS = [{"lang": "en" if k % 3 else "de", "n": k // 7} for k in range(COUNT)]
EN = {"must": [{"key": "lang", "match": {"value": "en"}}]}
METRICS = ("Euclid", "Manhattan", "Cosine", "Dot")


def fill(door: Door, name: str = "p", metric: str = "Euclid", rows: ArrayLike = GRID) -> None:
    params = models.VectorParams(size=4, distance=models.Distance(metric))
    door.client.create_collection(name, vectors_config=params)
    points = models.Batch(
        ids=list(range(COUNT)), vectors=np.asarray(rows).tolist(), payloads=PAYLOADS
    )
    door.client.upsert(name, points)
    door.facts(name).indexes["n"] = "integer"


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with open_door() as door:
        for metric in METRICS:
            fill(door, metric, metric)
        fill(door)
        yield door


@contextmanager
def limited(
    door: Door, name: str = "p", clock: Clock | None = None, **strict: Any
) -> Iterator[ServerCollection]:
    """The collection through the door, with these limits; ``clock`` is the time of both sides."""
    clock = clock or Clock()
    door.clock = clock
    door.limit(name, **strict)
    door.requests.clear()
    reached = Connection(patience=clock.patience())
    try:
        with ServerCollection.open(door.url, name, connection=reached) as opened:
            yield opened
    finally:
        door.limit(name, enabled=False)


@contextmanager
def unlimited(door: Door, name: str = "p") -> Iterator[ServerCollection]:
    with ServerCollection.open(":memory:", name, connection=Connection(client=door.client)) as own:
        yield own


def searches_of(door: Door) -> list[dict[str, Any]]:
    asked = [one.body["searches"] for one in door.requests if one.path.endswith("query/batch")]
    return [search for searches in asked for search in searches]


def rows_of(hits: Hits) -> list[list[tuple[float, PointId]]]:
    ends = np.cumsum(hits.counts)
    pairs = list(zip(hits.distances.round(6).tolist(), hits.ids, strict=True))
    return [pairs[end - count : end] for count, end in zip(hits.counts, ends, strict=True)]


FIELDS = st.sampled_from(["a", "b.c"])
CONDITIONS = st.one_of(
    st.builds(lambda key: {"key": key, "match": {"value": "x"}}, FIELDS),
    st.builds(lambda key, n: {"key": key, "match": {"any": ["x"] * n}}, FIELDS, st.integers(1, 5)),
    st.builds(lambda key, n: {"key": key, "match": {"except": [1] * n}}, FIELDS, st.integers(1, 5)),
    st.builds(lambda n: {"has_id": list(range(n))}, st.integers(0, 5)),
    st.just({"is_empty": {"key": "a"}}),
    st.just({"has_vector": ""}),
)


@st.composite
def filters(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    def condition() -> Any:
        kind = draw(st.sampled_from(["plain", "filter", "nested"])) if depth else "plain"
        if kind == "plain":
            return draw(CONDITIONS)
        inner = draw(filters(depth - 1))
        return inner if kind == "filter" else {"nested": {"key": "a", "filter": inner}}

    where: dict[str, Any] = {}
    for clause in draw(
        st.sets(st.sampled_from(["must", "should", "must_not", "min_should"]), min_size=1)
    ):
        many = [condition() for _ in range(draw(st.integers(1, 2)))]
        where[clause] = many if len(many) > 1 or draw(st.booleans()) else many[0]
        if clause == "min_should":
            where[clause] = {"conditions": many, "min_count": 1}
    return where


@given(filters())
def test_conditions_are_counted_as_qdrant_counts_them(where: Mapping[str, Any]) -> None:
    found = [one for _, one in leaves(models.Filter.model_validate(dict(where)))]
    largest = max(map(size, found), default=0)
    assert conditions(where) == len(found)
    check_filter_limits(where, Limits(conditions=len(found), condition_size=largest), "p")
    with pytest.raises(RequestRejectedError, match=rf"this one has .*raised to {len(found)}$"):
        check_filter_limits(where, Limits(conditions=len(found) - 1), "p")
    if largest:
        with pytest.raises(
            RequestRejectedError, match=rf"one has {largest} .*raised to {largest}$"
        ):
            check_filter_limits(where, Limits(condition_size=largest - 1), "p")


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@settings(deadline=None)
@given(
    limit=st.integers(1, 9),
    room=st.none() | st.integers(0, 9),
    listed=st.none() | st.integers(1, 9),
    wanted=st.integers(1, COUNT),
    where=st.sampled_from([None, EN]),
    exact=st.booleans(),
)
def test_hits_come_in_pieces_as_deep_as_the_limits_let_them(
    door: Door,
    metric: str,
    limit: int,
    room: int | None,
    listed: int | None,
    wanted: int,
    where: Any,
    exact: bool,
) -> None:
    strict: dict[str, Any] = {"max_query_limit": limit, "condition_max_size": listed}
    strict |= {"filter_max_conditions": room, "search_allow_exact": exact}
    queries = GRID[:3] + np.float32(0.25)
    if metric == "Dot":
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    with unlimited(door, metric) as pool:
        truth = pool.search(queries, limit=wanted, where=where)
    given_filter = conditions(where)
    free = 10 * COUNT if room is None else max(0, room - given_filter)
    deepest = limit + free * (listed or 10 * COUNT)
    with limited(door, metric, **strict) as pool:
        depth = pool.limits.depth(where)
        assert min(depth or COUNT, COUNT) == min(deepest, COUNT)
        if room is not None and room < given_filter:
            with pytest.raises(RequestRejectedError, match="filter_max_conditions"):
                pool.search(queries, limit=wanted, where=where, exact=exact)
            return
        if wanted > deepest:
            with pytest.raises(
                DepthError, match=rf"needs {wanted} hits.*max_query_limit {limit}.*raised to"
            ):
                pool.search(queries, limit=wanted, where=where, exact=exact)
            assert not searches_of(door)
            return
        done: list[int] = []
        found = pool.search(queries, limit=wanted, where=where, exact=exact, on_batch=done.append)
    assert sum(done) == len(queries)
    assert np.array_equal(found.counts, truth.counts)
    for mine, theirs in zip(rows_of(found), rows_of(truth), strict=True):
        assert [distance for distance, _ in mine] == [distance for distance, _ in theirs]
        assert len({point for _, point in mine}) == len(mine)
        before_ties = {pair for pair in theirs if pair[0] != theirs[-1][0]}
        assert before_ties <= {*mine}
    assert all(search["limit"] <= limit for search in searches_of(door))


def test_a_radius_ends_the_pieces(door: Door) -> None:
    with unlimited(door) as pool:
        truth = pool.search(GRID[:5], limit=COUNT, max_distance=1.5)
    with limited(door, max_query_limit=2) as pool:
        found = pool.search(GRID[:5], limit=COUNT, max_distance=1.5)
    assert [sorted(row) for row in rows_of(found)] == [sorted(row) for row in rows_of(truth)]
    assert 0 < min(truth.counts) <= max(truth.counts) < COUNT


def test_a_server_that_gives_excluded_points_again_is_not_asked_for_ever(door: Door) -> None:
    stuck = [{"points": [{"id": 1, "version": 0, "score": 1.0}]}]

    def repeating(request: Request) -> Reply | None:
        if not request.path.endswith("query/batch"):
            return None
        return 200, {}, {"result": stuck, "status": "ok", "time": 0.0}

    with limited(door, max_query_limit=1) as pool:
        door.hook = repeating
        try:
            assert pool.search(GRID[:1], limit=5).ids == [1]
        finally:
            door.hook = lambda request: None


@pytest.mark.parametrize("where", [None, EN])
def test_points_are_counted_where_exact_counts_are_refused(door: Door, where: Any) -> None:
    with unlimited(door) as pool:
        count = pool.count(where)
    with limited(door, search_allow_exact=False, max_query_limit=7) as pool:
        assert pool.count(where) == count
        assert pool.info().count == COUNT
        assert not pool.info().limits.exact
    assert not [one for one in door.requests if one.path.endswith("count")]
    assert len([one for one in door.requests if one.path.endswith("scroll")]) >= count // 7


@pytest.mark.parametrize("allowed", [None, 1, 16, 100, 127])
def test_no_walk_keeps_more_candidates_than_is_allowed(door: Door, allowed: int | None) -> None:
    with limited(door, search_max_hnsw_ef=allowed) as pool:
        pool.search(GRID[:2], limit=5, ef=512)
        assert [one["params"]["hnsw_ef"] for one in searches_of(door)] == [allowed or 512] * 2
        assert all("oversampling" not in one["params"]["quantization"] for one in searches_of(door))


def test_ef_is_left_out_where_none_is_allowed() -> None:
    assert Limits(ef=0).allowed_ef(128) is None
    assert Limits().allowed_ef(128) == 128


@given(st.none() | st.integers(0, 2_000))
def test_the_ladder_of_ef_has_a_step_that_is_allowed(allowed: int | None) -> None:
    steps = ladder(allowed)
    assert list(steps) == sorted({*steps})
    assert max(steps) == min(EF_LADDER[-1], EF_LADDER[-1] if allowed is None else allowed)
    assert {ef for ef in EF_LADDER if allowed is None or ef <= allowed} <= {*steps}


@pytest.mark.parametrize(
    ("allowed", "wanted", "sent"),
    [(None, 3.5, 3.5), (1.0, 3.5, 1.0), (2.0, 1.5, 1.5), (0.5, 3.5, None), (2.0, None, None)],
)
def test_oversampling_is_cut_to_what_is_allowed(
    allowed: float | None, wanted: float | None, sent: float | None
) -> None:
    assert Limits(oversampling=allowed).allowed_oversampling(wanted) == sent


def test_searches_come_in_batches_that_are_allowed(door: Door) -> None:
    with unlimited(door) as pool:
        truth = pool.search(GRID[:9], limit=3, exact=True)
    with limited(door, search_max_batchsize=4) as pool:
        found = pool.search(GRID[:9], limit=3, exact=True)
    assert [d for row in rows_of(found) for d, _ in row] == [
        d for row in rows_of(truth) for d, _ in row
    ]
    assert len(searches_of(door)) == 9


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("limit", [1, 4, None])
def test_points_are_searched_among_a_few_ids_at_a_time(
    door: Door, size: int, limit: int | None
) -> None:
    ids = [3, 40, 7, 9, 21, 22, 23, 55]
    with unlimited(door) as pool:
        truth = Searcher(pool).among(GRID[:4], ids, kind="probe_searches", radius=2.0)
    with limited(door, condition_max_size=size, max_query_limit=limit) as pool:
        found = Searcher(pool).among(GRID[:4], ids, kind="probe_searches", radius=2.0)
    assert [sorted(row) for row in rows_of(found)] == [sorted(row) for row in rows_of(truth)]
    assert [row == sorted(row, key=lambda hit: hit[0]) for row in rows_of(found)] == [True] * 4
    assert max(found.counts) > 1


@settings(deadline=None)
@given(
    room=st.none() | st.integers(0, 3),
    listed=st.none() | st.integers(1, 9),
    limit=st.none() | st.integers(1, 50),
    ids=st.lists(st.integers(0, 2 * COUNT), unique=True, max_size=COUNT),
    where=st.sampled_from([None, EN]),
)
def test_what_matches_a_filter_is_found_within_the_limits(
    door: Door,
    room: int | None,
    listed: int | None,
    limit: int | None,
    ids: list[int],
    where: Any,
) -> None:
    strict: dict[str, Any] = {"filter_max_conditions": room, "condition_max_size": listed}
    truth = {k for k in ids if k < COUNT and (where is None or PAYLOADS[k]["lang"] == "en")}
    with limited(door, max_query_limit=limit, **strict) as pool:
        if room == 0 and where and ids:
            with pytest.raises(RequestRejectedError, match=r"to 0, .*filter_max_conditions"):
                matching(pool, where, ids)
        else:
            assert matching(pool, where, ids) == truth
            pages = -(-COUNT // (limit or COUNT)) + 2
            lists = -(-len(ids) // min(listed or 50, limit or 50)) + 2
            scrolls = [one for one in door.requests if one.path.endswith("scroll")]
            assert len(scrolls) <= max(pages, lists)


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
@pytest.mark.parametrize("descending", [False, True])
def test_points_come_in_the_order_of_a_number_few_at_a_time(
    door: Door, limit: int, descending: bool
) -> None:
    with limited(door, max_query_limit=limit) as pool:
        pages = list(pool.scroll_ordered("n", descending=descending))
    found = [pair for page in pages for pair in page]
    assert dict(found) == {k: one["n"] for k, one in enumerate(PAYLOADS)}
    assert len(found) == COUNT
    assert [n for _, n in found] == sorted((n for _, n in found), reverse=descending)


def test_unit_length_is_checked_by_as_many_points_as_without_limits(door: Door) -> None:
    rows = GRID / np.linalg.norm(GRID, axis=1, keepdims=True)
    rows[40] *= 3
    fill(door, "long", "Dot", rows)
    with (
        limited(door, "long", max_query_limit=1) as pool,
        pytest.raises(UnsupportedCollectionError, match="40"),
    ):
        pool.check_distances()


def test_nothing_is_searched_without_a_graph_where_scans_are_refused(door: Door) -> None:
    with limited(door, search_allow_exact=False) as pool:
        searcher = Searcher(pool)
        object.__setattr__(searcher.info.limits, "searches", False)
        with pytest.raises(UnsupportedCollectionError, match=r"m is 0.*search_allow_exact"):
            searcher.nearest(GRID[:1], 3)
    assert not searches_of(door)


class Refusals:
    """Counts the answers 429 of a door."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, request: Request) -> Reply | None:
        reply = request.apply()
        self.count += reply[0] == 429
        return reply


@pytest.mark.parametrize(
    ("rate", "strict", "where", "tokens"),
    [
        (10, {}, None, 40),
        (10, {}, EN, 80),
        (3, {"search_max_batchsize": 2}, None, 40),
        (600, {}, None, 40),
        (1, {}, None, 40),
    ],
)
def test_reads_are_paced_so_that_none_is_refused(
    door: Door, rate: int, strict: Mapping[str, Any], where: Any, tokens: int
) -> None:
    clock, said = Clock(), list[str]()
    with limited(door, clock=clock, read_rate_limit=rate, **strict) as pool:
        door.hook = refusals = Refusals()
        try:
            with notices_to(said.append):
                pool.search(GRID[:40], limit=3, where=where)
                pool.search(GRID[:40], limit=2, where=where)
        finally:
            door.hook = lambda request: None
    assert refusals.count == 0
    waited = max(0, 2 * tokens - rate) * 60 / rate
    assert clock.now == pytest.approx(waited, abs=60 / rate)
    assert len(said) == (tokens > rate)
    if said:
        assert said[0].startswith(
            f"collection 'p' allows {rate} reads a minute (strict mode, read_"
        )
        assert "this takes about" in said[0]


def test_a_read_that_no_minute_allows_is_refused_at_once(door: Door) -> None:
    with (
        limited(door, read_rate_limit=1) as pool,
        pytest.raises(RequestRejectedError, match=r"counts as 2 .*read_rate_limit.*raised to 2"),
    ):
        pool.search(GRID[:1], limit=1, where=EN)
    assert not searches_of(door)


def test_reads_of_others_are_waited_for(door: Door) -> None:
    clock = Clock()
    with limited(door, clock=clock, read_rate_limit=60) as pool:
        reads = door.facts("p").limits.reads
        assert reads is not None
        reads.take(60)
        assert len(pool.search(GRID[:50], limit=1).ids) == 50
    assert 45 <= clock.now <= 120


def test_ids_are_listed_where_each_would_count(door: Door) -> None:
    clock = Clock()
    ids = [*range(0, 50, 2), 99]
    with unlimited(door) as pool:
        truth = pool.retrieve(ids, vectors=True)
    with limited(door, clock=clock, read_rate_limit=6) as pool:
        found = pool.retrieve(ids, vectors=True)
        assert pool.existing(ids) == {*range(0, 50, 2)}
    assert [record.id for record in found] == ids[:-1]
    for mine, theirs in zip(found, truth, strict=True):
        assert mine.payload == theirs.payload
        assert np.array_equal(mine.vector, theirs.vector)
    assert clock.now == 0
    with limited(door, clock=clock, read_rate_limit=6, filter_max_conditions=0) as pool:
        assert [record.id for record in pool.retrieve(ids)] == ids[:-1]
    assert clock.now == pytest.approx((len(ids) - 6) * 10, abs=10)


def test_writes_are_small_and_paced(door: Door) -> None:
    clock, said = Clock(), list[str]()
    strict = {"upsert_max_batchsize": 4, "write_rate_limit": 30}
    fill(door, "w")
    with limited(door, "w", clock=clock, **strict) as pool, notices_to(said.append):
        door.hook = refusals = Refusals()
        try:
            pool.upsert(list(range(100, 130)), GRID[:30], [{"n": k} for k in range(30)])
            pool.set_payload("mark", list(range(100, 130)), [{"x": k} for k in range(30)])
            pool.delete(list(range(100, 110)))
        finally:
            door.hook = lambda request: None
    assert refusals.count == 0
    assert clock.now == pytest.approx(80, abs=5)  # 70 points, 30 of them at once
    assert len(said) == 1
    stored = door.client.scroll("w", limit=1_000)[0]
    assert len(stored) == COUNT + 20
    assert all(
        point.payload == {"n": k, "mark": {"x": k}} for k, point in enumerate(stored[COUNT:], 10)
    )


def test_payloads_are_cleared_a_few_at_a_time_without_a_further_condition(door: Door) -> None:
    clock, tagged = Clock(), {"key": "t.a.n", "range": {"gte": 0}}
    fill(door, "c")
    with limited(door, "c", clock=clock, write_rate_limit=30, filter_max_conditions=1) as pool:
        door.hook = refusals = Refusals()
        try:
            pool.set_payload("t.a", list(range(40)), [{"n": k} for k in range(40)])
            pool.clear_payload("t.a", {"must": [tagged]}, by="t.a.n")
        finally:
            door.hook = lambda request: None
        assert pool.count({"must": [tagged]}) == 0
    assert refusals.count == 0
    assert clock.now == pytest.approx(100, abs=5)  # 80 points, 30 of them at once


@pytest.mark.parametrize("rate", [10, 7, 1])
def test_points_are_written_again_at_the_rates_of_both(door: Door, rate: int) -> None:
    with limited(door, read_rate_limit=rate, write_rate_limit=600) as pool:
        before = door.client.scroll("p", limit=COUNT, with_vectors=True)
        pool.write_again([0, 5, *range(8, 20), 1_000])
        assert door.client.scroll("p", limit=COUNT, with_vectors=True) == before


@pytest.mark.parametrize(
    ("keys", "key", "writes"),
    [
        ({}, None, True),
        ({"m": "manage"}, "m", True),
        ({"r": "read"}, "r", False),
        ({"t": {"p": "rw"}}, "t", True),
        ({"t": {"p": "r"}}, "t", False),
    ],
)
def test_the_rights_of_a_key_show_without_a_write(
    door: Door, keys: dict[str, Any], key: str | None, writes: bool
) -> None:
    door.keys = keys
    before = door.client.scroll("p", limit=1_000)
    try:
        with ServerCollection.open(door.url, "p", connection=Connection(api_key=key)) as pool:
            rights = pool.rights()
    finally:
        door.keys = {}
    assert rights.writes is writes
    assert ("TSDS_QDRANT_API_KEY" in rights.refusal) is not writes
    assert door.client.scroll("p", limit=1_000) == before


@pytest.mark.parametrize(
    ("status", "text", "writes"),
    [
        (400, "Bad request: Empty update request", True),
        (400, "Wrong input: Shard key not specified", True),
        (422, "Validation error in JSON body: points must not be empty", None),
        (500, "Service internal error: none", None),
    ],
)
def test_rights_are_unknown_where_the_answer_is_another_one(
    door: Door, status: int, text: str, writes: bool | None
) -> None:
    with limited(door) as pool:
        door.hook = lambda request: failed(status, text) if request.writes else None
        try:
            assert pool.rights().writes is writes
        finally:
            door.hook = lambda request: None


LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_query_limit": st.integers(1, 20),
        "search_max_batchsize": st.integers(1, 5),
        "search_max_hnsw_ef": st.integers(1, 200),
        "search_allow_exact": st.booleans(),
        "search_max_oversampling": st.sampled_from([1.0, 1.5, 3.0]),
        "filter_max_conditions": st.integers(0, 9),
        "condition_max_size": st.integers(0, 9),
        "unindexed_filtering_retrieve": st.booleans(),
        "read_rate_limit": st.integers(1, 50),
        "write_rate_limit": st.integers(1, 50),
        "upsert_max_batchsize": st.integers(1, 9),
        "max_timeout": st.integers(1, 90),
    },
)


@settings(deadline=None)
@given(LIMITS, st.sampled_from([None, EN]))
@example({"filter_max_conditions": 0}, None)
@example({"condition_max_size": 0}, None)
@example({"read_rate_limit": 1}, None)
@example({"read_rate_limit": 2, "max_query_limit": 3}, EN)
def test_no_request_breaks_a_limit(door: Door, strict: dict[str, Any], where: Any) -> None:
    """Whatever the limits are: a refusal is our own, before Qdrant has to say it."""
    refused: list[Any] = []

    def watching(request: Request) -> Reply | None:
        reply = request.apply()
        if reply[0] not in (200, 404):
            refused.append(reply[2])
        return reply

    with limited(door, **strict) as pool:
        door.hook = watching
        try:
            pool.count(where)
            pool.search(GRID[:7], limit=12, where=where, ef=300, exact=pool.limits.exact)
            pool.retrieve([1, 2, 3, 50])
            matching(pool, where, list(range(30)))
            pool.set_payload("k", [1, 2, 3], [{"x": 1}] * 3)
        except (CollectionError, DepthError) as error:
            assert "strict mode" in str(error) or "payload index" in str(error)  # noqa: PT017
        finally:
            door.hook = lambda request: None
    unindexed = strict.get("unindexed_filtering_retrieve") is False and where
    assert not refused or unindexed
