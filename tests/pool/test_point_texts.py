"""The text of a point: one rule, whatever made the collection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from framework_payloads import FRAMEWORKS
from pool_oracle import edge_pool

from tsds_qdrant.errors import BadRecordError
from tsds_qdrant.pool.texts import point_template, text_of
from tsds_qdrant.progress import notices_to
from tsds_qdrant.records import TextTemplate

TEXTS = [f"the whole text of number {n}" for n in range(8)]


def pool_of(payloads: list[dict[str, Any]]) -> Any:
    return edge_pool(np.ones((len(payloads), 2), dtype=np.float32), payloads=payloads)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_texts_of_frameworks(name: str) -> None:
    made = FRAMEWORKS[name]
    said: list[str] = []
    with pool_of([made.payload(n, text, "news") for n, text in enumerate(TEXTS)]) as pool:
        with notices_to(said.append):
            way = point_template(pool)
            assert point_template(pool) == way
        records = pool.retrieve(range(len(TEXTS)))
    assert [text_of(record.content, way) for record in records] == TEXTS
    assert way.in_words == made.text
    wanted = [] if made.text == "text" else [f"'{made.text}' is taken, which 8 of 8 points"]
    assert len(said) == len(wanted)
    assert all(one in sentence for one, sentence in zip(wanted, said, strict=True))


def test_what_suits_most_points_is_taken_and_others_show_their_own() -> None:
    payloads = [{"page_content": "a"}, {"document": "b"}, {"document": "c", "n": 1}, {"n": 2}]
    with pool_of(payloads) as pool:
        way = point_template(pool)
        shown = [text_of(record.content, way) for record in pool.retrieve(range(4))]
    assert way.in_words == "document"
    assert shown == ["a", "b", "c", '{"n": 2}']


def test_of_fields_that_all_points_have_the_more_usual_one_is_taken() -> None:
    with pool_of([{"content": "a", "text": "t", "body": "x"}] * 3) as pool:
        assert point_template(pool).in_words == "text"
    with pool_of([{"content": "a"}, *[{"content": "b", "text": "t"}] * 5]) as pool:
        assert point_template(pool).in_words == "content"


def test_optional_fields_of_some_points_are_part_of_the_text() -> None:
    rows = [{"instruction": "do", "output": "done"}] * 3
    with pool_of([*rows, {"instruction": "do", "input": "this", "output": "done"}]) as pool:
        way = point_template(pool)
        shown = [text_of(record.content, way) for record in pool.retrieve([0, 3])]
    assert shown == ["do\ndone", "do\nthis\ndone"]
    assert way.in_words == r"{instruction}\n{input?}\n{output}"


def test_who_decides() -> None:
    mine, none = TextTemplate("title"), TextTemplate("headline")
    payloads = [{"title": "t", "story": "s", "document": "d"}] * 3
    with pool_of(payloads) as pool:
        assert point_template(pool, mine) == point_template(pool, mine, shared=True) == mine
        assert point_template(pool, none) == none
        assert point_template(pool, none, shared=True).in_words == "document"
        assert point_template(pool, TextTemplate()).in_words == "document"
        pool.update_metadata({"text": {"text_field": "story"}})
        assert point_template(pool, mine) == mine
        own = TextTemplate("story")
        assert point_template(pool) == point_template(pool, mine, shared=True) == own


def test_nothing_is_known_of_points_without_a_usual_field() -> None:
    with pool_of([{"n": 1}, {"name": "x"}]) as pool:
        assert not point_template(pool).to_dict()
    with pool_of([]) as pool:
        assert not point_template(pool).to_dict()


def test_points_of_another_shape_are_read_by_their_own() -> None:
    """By everybody who reads texts: a pool that two programs have filled keeps test items out."""
    payloads: list[dict[str, Any]] = [{"page_content": f"first {n}"} for n in range(5)]
    payloads += [{"document": "the test item"}, {"n": 1}]
    with pool_of(payloads) as pool:
        way = point_template(pool)
        records = [record.content for record in pool.retrieve(range(7))]
    assert way.in_words == "page_content"
    assert [way.suits(record) for record in records] == [True] * 5 + [False] * 2
    assert way.render(records[5]) == "the test item"
    with pytest.raises(BadRecordError, match="'page_content'"):
        way.render(records[6])
    assert TextTemplate.from_dict(way.to_dict()) == way
    with pytest.raises(BadRecordError, match="'page_content'"):
        TextTemplate.from_dict(way.to_dict()).render(records[5])
