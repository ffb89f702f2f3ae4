"""Points are changed in part, and nothing else of them; payloads are scrolled and counted."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from conftest import MakeCollection

from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.errors import CollectionMismatchError, InputError, RequestRejectedError

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local")
ROWS = np.eye(3, 2, dtype=np.float32) + 1


def test_other_fields_and_other_vectors_stay(make_collection: MakeCollection) -> None:
    names = ["text", "a.b", "with space", "ä", "theirs"]
    payloads = [dict.fromkeys(names, k) for k in range(3)]
    pool = make_collection(2, "Euclid", vectors=ROWS, payloads=payloads)
    pool.add_space(Space("other", "dense", 3, "Euclid"))
    pool.at("other").set_vectors([0, 1, 2], np.ones((3, 3)))
    new = [{"text": "new", "n": 1}, {}, {"text": "lost"}]
    pool.amend([2, 0, 77], ROWS[:3] * 5, new, [["a.b", "with space"], ["ä"], []])
    found = pool.retrieve([0, 1, 2, 77], vectors=True)
    assert [record.id for record in found] == [0, 1, 2]
    assert found[0].payload == {"text": 0, "a.b": 0, "with space": 0, "theirs": 0}
    assert found[1].payload == payloads[1]
    assert found[2].payload == {"text": "new", "n": 1, "ä": 2, "theirs": 2}
    assert np.array_equal([r.vector for r in found], [ROWS[1] * 5, ROWS[1], ROWS[0] * 5])
    others = pool.at("other").retrieve([0, 1, 2], vectors=True)
    assert np.array_equal([record.vector for record in others], np.ones((3, 3)))


def test_nothing_changes_where_something_is_wrong(make_collection: MakeCollection) -> None:
    pool = make_collection(2, "Euclid", vectors=ROWS, payloads=[{"n": k} for k in range(3)])
    for rows, payload in ((np.ones((1, 5)), {}), ([[np.nan, 1]], {}), ([[1, 1]], {"n": 2**70})):
        with pytest.raises((InputError, CollectionMismatchError)):
            pool.amend([1], np.asarray(rows, dtype=np.float32), [payload], [["n"]])
    (kept,) = pool.retrieve([1], vectors=True)
    assert kept.payload == {"n": 1}
    assert kept.vector is not None
    assert kept.vector.tolist() == ROWS[1].tolist()


def test_scroll_brings_the_fields_that_are_asked_for(
    make_collection: MakeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsds_qdrant.collections.edge.reads.SCROLL_PAGE", 2)
    monkeypatch.setattr("tsds_qdrant.collections.server.reads.SCROLL_PAGE", 2)
    payloads = [{"n": k, "o": {"w": str(k), "x": 1}} for k in range(3)]
    pool = make_collection(vectors=ROWS, payloads=payloads)
    found = list(chain.from_iterable(pool.scroll(["o"])))
    assert [(r.id, r.payload) for r in found] == [(k, {"o": payloads[k]["o"]}) for k in range(3)]
    where = {"must": [{"key": "n", "range": {"gte": 1}}]}
    assert [r.payload for page in pool.scroll(where=where) for r in page] == payloads[1:]
    assert pool.retrieve([1], payloads=["n"])[0].payload == {"n": 1}


def test_values_are_counted(make_collection: MakeCollection) -> None:
    payloads = [{"o": {"w": word}, "n": k} for k, word in enumerate("aba")]
    pool = make_collection(vectors=ROWS, payloads=payloads)
    pool.index_payload("o.w", "keyword")
    assert pool.facet("o.w") == {"a": 2, "b": 1}
    pool.index_payload("n")
    assert pool.facet("o.w", {"must": [{"key": "n", "range": {"gte": 1}}]}) == {"a": 1, "b": 1}


def test_values_without_an_index_are_not_counted(make_collection: MakeCollection) -> None:
    pool = make_collection(vectors=ROWS, payloads=[{"w": "a"}] * 3)
    if pool.info().location == ":memory:":
        pytest.skip("local mode needs no index")
    with pytest.raises(RequestRejectedError, match="w"):
        pool.facet("w")
