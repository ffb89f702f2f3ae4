"""DSIR finds the words of the task, and refuses what has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeCollection
from pool_oracle import clustered_rows, edge_pool, near_queries

from tsds_qdrant import (
    Guard,
    HeldOut,
    Reach,
    SelectionSettings,
    TaskExamples,
    TextTemplate,
    begin_run,
    reselect,
    select,
)
from tsds_qdrant.errors import InputError

ROWS = clustered_rows(8, 6, 2)
QUERIES = near_queries(ROWS, 9)


def test_dsir_finds_a_planted_vocabulary(make_collection: MakeCollection) -> None:
    rng = np.random.default_rng(5)
    common = [f"w{k}" for k in range(60)]
    cooking = ["flour", "oven", "butter", "dough", "whisk"]
    texts = [" ".join(rng.choice(common, 12)) for _ in range(300)]
    for k in range(0, 300, 10):
        texts[k] = " ".join([*rng.choice(common, 6), *rng.choice(cooking, 6)])
    task = [" ".join([*rng.choice(common, 6), *rng.choice(cooking, 6)]) for _ in range(20)]
    pool = make_collection(
        vectors=rng.normal(size=(300, 4)),
        payloads=[{"body": text, "_tsds_seq": 1} for text in texts],
        metadata={"text": {"text_field": "body"}},
    )
    vectors = rng.normal(size=(20, 4)).astype(np.float32)
    given = TaskExamples(vectors, task, np.ones(20), TextTemplate(text_field="prompt"))
    asked = SelectionSettings.of("dsir", sizes=(10, 30), seed=2)
    found = select(pool, given, asked)
    assert sorted(found.selected_ids) == list(range(0, 300, 10))
    small = select(pool, given, asked.altered(sizes=(10,)))
    assert small.selected_ids == found.selected_ids[:10]
    rows = list(found.sample_rows(30))
    assert 0.99 < sum(row["probability"] for row in rows) <= 1
    assert found.probabilities.sum() == pytest.approx(1)


def test_dsir_without_texts_is_refused() -> None:
    asked = SelectionSettings.of("dsir", sizes=(2,))
    payloads: list[dict[str, Any]] = [{"text": "one"}, {"text": "two"}, {"title": "three"}]
    with edge_pool(ROWS[:3], payloads=payloads) as pool:
        for texts, told in (
            ([], "the task examples have no texts"),
            (["", ""], "the task examples have no texts"),
            (["a", *[""] * 8], "task example 1 has no text"),
            (["a", "b"], "9 task examples have 2 texts"),
        ):
            with pytest.raises(InputError, match=f"{told}; give records with texts"):
                select(pool, task_of(texts), asked)
        with pytest.raises(InputError, match="the task examples have no texts"):
            select(pool, QUERIES, asked)
        one_each = task_of(["a"] * len(QUERIES))
        with pytest.raises(InputError, match=r"point 2 of collection 'pool' has no text: .*'text'"):
            select(pool, one_each, asked)


def test_the_first_candidate_that_is_not_kept_out_decides_how_texts_are_made() -> None:
    """What a guard keeps out has no influence on how the texts of the others are read."""
    both = [{"text": f"same w{k}", "content": f"w{k % 3} w{k % 2}"} for k in range(1, 8)]
    copy = {"content": "the test item"}
    guard = Guard(HeldOut.of([""], ROWS[:1].astype(np.float32), Reach(0, 1e-3)), TextTemplate())
    given, asked = task_of(["w1 w2"] * len(QUERIES)), SelectionSettings.of("dsir", sizes=(7,))
    with edge_pool(ROWS, payloads=[copy | {"text": "the test item"}, *both]) as pool:
        found = select(pool, given, asked, guard=guard)
    with edge_pool(ROWS[1:], ids=range(1, 8), payloads=both) as pool:
        alone = select(pool, given, asked)
    assert list(found.sample_rows(7)) == list(alone.sample_rows(7))


def test_a_run_decides_again_how_texts_are_made(tmp_path: Path) -> None:
    """The first candidate leaves, and the next one has a more usual field."""
    payloads = [{"content": "w0"}, *({"text": f"w{k}", "content": "w"} for k in range(1, 8))]
    given, asked = task_of(["w1 w2"] * len(QUERIES)), SelectionSettings.of("dsir", sizes=(3,))
    with edge_pool(ROWS, payloads=payloads) as pool:
        state, _ = begin_run(tmp_path / "task.run", pool, given, asked)
        pool.delete([0])
        done = reselect(state, collection=pool).selection
        assert list(done.sample_rows(3)) == list(select(pool, given, asked).sample_rows(3))


def task_of(texts: list[str]) -> TaskExamples:
    return TaskExamples(QUERIES.astype(np.float32), texts, np.ones(len(QUERIES)))
