"""Points in the order of a payload number: every one once, however many share a number."""

from __future__ import annotations

import random
from itertools import chain
from typing import Any

import numpy as np
import pytest
from backends import Backend, ClientBackend
from conftest import MakeCollection
from hypothesis import given
from hypothesis import strategies as st

from tsds_qdrant.collections.ordered import Valued, ordered_pages
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import RequestRejectedError

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
COUNT = 300
TIES = {number: number % 3 if number % 5 else 1 for number in range(COUNT)}


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.collections.edge.reads.SCROLL_PAGE", 7)
    monkeypatch.setattr("tsds_qdrant.collections.server.reads.SCROLL_PAGE", 7)


def numbered(
    make: MakeCollection, numbers: list[Any], *, real: bool = False, field: str = "n"
) -> Collection:
    payloads = [{"n": number, "odd": k % 2} for k, number in enumerate(numbers)]
    collection = make(vectors=np.ones((len(numbers), 2)), payloads=payloads)
    collection.index_payload(field, "float" if real else "integer")
    return collection


def check_order(pages: list[list[Valued]], wanted: dict[PointId, Any], descending: bool) -> None:
    found = list(chain.from_iterable(pages))
    values = [value for _, value in found]
    assert values == sorted(values, reverse=descending)
    assert dict(found) == wanted
    assert len(found) == len(wanted)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("descending", [False, True])
def test_many_ties(make_collection: MakeCollection, descending: bool) -> None:
    collection = numbered(make_collection, list(TIES.values()))
    pages = list(collection.scroll_ordered("n", descending=descending))
    check_order(pages, dict(TIES), descending)
    assert len(pages) > 3


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("descending", [False, True])
def test_different_numbers(make_collection: MakeCollection, descending: bool) -> None:
    numbers = np.random.default_rng(0).permutation(COUNT).tolist()
    collection = numbered(make_collection, numbers)
    pages = list(collection.scroll_ordered("n", descending=descending))
    check_order(pages, dict(enumerate(numbers)), descending)
    assert [len(page) for page in pages[:3]] == [7, 7, 7]


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("limit", [1, 6, 7, 8, 150, 1_000])
def test_a_limit(make_collection: MakeCollection, limit: int) -> None:
    collection = numbered(make_collection, list(TIES.values()))
    found = list(chain.from_iterable(collection.scroll_ordered("n", descending=True, limit=limit)))
    assert len(found) == len(dict(found)) == min(limit, COUNT)
    assert [value for _, value in found] == sorted(TIES.values(), reverse=True)[:limit]
    assert all(TIES[int(point_id)] == value for point_id, value in found)


@pytest.mark.slow
@pytest.mark.usefixtures("small_pages")
def test_a_filter_and_points_without_the_number(make_collection: MakeCollection) -> None:
    numbers = [None if k % 4 == 0 else k // 40 for k in range(200)]
    collection = numbered(make_collection, numbers)
    where = {"must": [{"key": "odd", "match": {"value": 1}}]}
    wanted = {k: n for k, n in enumerate(numbers) if n is not None}
    check_order(list(collection.scroll_ordered("n")), dict(wanted), False)
    odd = {k: n for k, n in wanted.items() if k % 2}
    check_order(list(collection.scroll_ordered("n", where=where)), dict(odd), False)


@pytest.mark.usefixtures("small_pages")
def test_real_numbers(make_collection: MakeCollection) -> None:
    numbers = np.round(np.random.default_rng(1).normal(size=200), 1).tolist()
    collection = numbered(make_collection, numbers, real=True)
    for descending in (False, True):
        pages = list(collection.scroll_ordered("n", descending=descending))
        check_order(pages, dict(enumerate(numbers)), descending)


@pytest.mark.usefixtures("small_pages")
def test_numbers_beyond_what_a_float_tells_apart(make_collection: MakeCollection) -> None:
    numbers = [2**60 + 100 + k // 9 for k in range(300)]
    collection = numbered(make_collection, numbers)
    for descending in (False, True):
        pages = list(collection.scroll_ordered("n", descending=descending))
        check_order(pages, dict(enumerate(numbers)), descending)


def test_no_point_has_the_number(make_collection: MakeCollection) -> None:
    collection = numbered(make_collection, [1, 2, 3], field="other")
    assert list(collection.scroll_ordered("other")) == []
    assert list(numbered(make_collection, []).scroll_ordered("n")) == []


def test_a_field_without_an_index(backend: Backend, make_collection: MakeCollection) -> None:
    if isinstance(backend, ClientBackend) and backend.location == ":memory:":
        pytest.skip("local mode orders by any field")
    collection = make_collection(vectors=np.eye(2), payloads=[{"n": 1}, {"n": 2}])
    for call in (lambda: list(collection.scroll_ordered("n")), lambda: collection.largest("n")):
        with pytest.raises(
            RequestRejectedError, match=r"no range index on the payload field 'n'.*make an integer"
        ):
            call()


NUMBERS = st.lists(st.one_of(st.integers(0, 3), st.sampled_from([0.5, 1.5])), max_size=60)


@given(NUMBERS, st.integers(1, 9), st.none() | st.integers(1, 70), st.booleans(), st.randoms())
def test_any_order_of_ties(
    numbers: list[float], page: int, limit: int | None, descending: bool, chance: random.Random
) -> None:
    """An engine may pick any of the points that share the last number, another each time."""
    sign = -1 if descending else 1

    def ask(wanted: int, start: Any) -> list[Valued]:
        points: list[Valued] = [
            (k, n) for k, n in enumerate(numbers) if start is None or sign * n >= sign * start
        ]
        chance.shuffle(points)
        return sorted(points, key=lambda point: sign * point[1])[:wanted]

    pages = list(ordered_pages(ask, page=page, descending=descending, limit=limit))
    found = list(chain.from_iterable(pages))
    assert all(pages)
    assert len(found) == len(dict(found)) == min(len(numbers), limit or len(numbers))
    assert all(numbers[int(k)] == n for k, n in found)
    wanted = sorted(numbers, reverse=descending)[: len(found)]
    assert [n for _, n in found] == wanted


def test_several_numbers_of_a_point_come_once_each() -> None:
    entries: list[Valued] = [(1, 5), (2, 5), (2, 5), (2, 5), (1, 6), (3, 7)]

    def ask(wanted: int, start: Any) -> list[Valued]:
        return [one for one in entries if start is None or one[1] >= start][:wanted]

    found = list(chain.from_iterable(ordered_pages(ask, page=1)))
    assert found == [(1, 5), (2, 5), (1, 6), (3, 7)]


def test_more_ties_than_one_request_may_ask_for() -> None:
    def ask(wanted: int, start: Any) -> list[Valued]:
        assert wanted <= 10
        return [(k, 1) for k in range(20)][:wanted]

    with pytest.raises(RequestRejectedError, match=r"at least 10 points share the value 1.*10"):
        list(ordered_pages(ask, page=4, most=10))


@pytest.mark.parametrize("kind", [int, float])
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 9), st.booleans(), st.randoms())
def test_ties_beyond_one_request_are_asked_for_by_their_value(
    kind: type[float], drawn: list[int], most: int, descending: bool, chance: random.Random
) -> None:
    numbers, sign = [kind(n) for n in drawn], -1 if descending else 1

    def ask(wanted: int, start: Any) -> list[Valued]:
        assert 1 <= wanted <= most
        points: list[Valued] = [
            (k, n) for k, n in enumerate(numbers) if start is None or sign * n >= sign * start
        ]
        chance.shuffle(points)
        return sorted(points, key=lambda point: sign * point[1])[:wanted]

    def equal(value: float) -> list[PointId]:
        return [k for k, n in enumerate(numbers) if n == value]

    pages = ordered_pages(ask, page=most, descending=descending, most=most, equal=equal)
    found = list(chain.from_iterable(pages))
    assert dict(found) == dict(enumerate(numbers))
    assert [n for _, n in found] == sorted(numbers, reverse=descending)
