"""What a plan knows of a collection: its size, its tokens, and what is stored already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeCollection
from letters import Centred, Letters
from pool_oracle import edge_pool

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.ingestion.represent import represent
from tsds_qdrant.ingestion.represent_report import RepresentSettings
from tsds_qdrant.planning.budget_pool import given_pool, stored_pool
from tsds_qdrant.planning.budget_settings import PoolFigures
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.showing import Showing
from tsds_qdrant.representations.base import Encoded, Examples, OnBatch

TEXTS = ["abc", "aab", "bbbb", "c", "abcabc", "dd"]
SHOWN = Showing(TextTemplate(text_field="text"))


class Counting(Letters):
    """Letters that count as tokens, every second one as part of an answer."""

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        made = super().candidates(examples)
        lengths = [int(length) for length in made.values["length"]]
        answers = [length // 2 for length in lengths]
        return Encoded(made.rows, made.status, {"tokens": lengths, "answer_tokens": answers})

    targets = candidates


@pytest.fixture
def pool(make_collection: MakeCollection) -> Collection:
    rows = np.random.default_rng(1).normal(size=(len(TEXTS), 2))
    payloads = [{"text": text, "n": k} for k, text in enumerate(TEXTS)]
    return make_collection(metric="Euclid", vectors=rows, payloads=payloads, name="pool")


def made(collection: Collection, one: Any, kind: str, where: Any = None, **kept: Any) -> None:
    settings = RepresentSettings(where=where)
    represent(collection, one, SHOWN, settings=settings, kind=kind, remembered=kept)


def test_tokens_are_estimated_from_texts_and_counted_once_a_model_has(pool: Collection) -> None:
    before = stored_pool(pool, PoolFigures())
    assert before.candidates == len(TEXTS)
    assert before.tokens == pytest.approx(sum(map(len, TEXTS)) / len(TEXTS) / 4)
    assert before.tokens_from.startswith("estimated from 6 texts, 4 bytes a token")
    assert before.stored == {"text": 1.0}
    made(pool, Counting(name="states"), "hidden")
    after = stored_pool(pool, PoolFigures())
    assert after.tokens == pytest.approx(sum(map(len, TEXTS)) / len(TEXTS))
    assert after.tokens_from == "counted by 'states' at 6 of 6 points looked at"
    assert after.answered == pytest.approx(sum(len(t) // 2 for t in TEXTS) / sum(map(len, TEXTS)))
    assert after.stored == {"text": 1.0, "hidden": 1.0}
    assert stored_pool(pool, PoolFigures(tokens=7.5)).tokens == 7.5


def test_a_part_that_is_made_is_a_part_that_is_stored(pool: Collection) -> None:
    some = {"must": [{"key": "n", "range": {"lt": 2}}]}
    made(pool, Counting(name="gradients"), "gradient", some)
    assert stored_pool(pool, PoolFigures()).stored["gradient"] == pytest.approx(1 / 3)
    assert stored_pool(pool, PoolFigures(), some).stored["gradient"] == 1
    assert stored_pool(pool, PoolFigures(), some).candidates == 2
    pool.upsert([70], np.ones((1, 2), np.float32), [{"text": "new"}])
    found = stored_pool(pool, PoolFigures())
    assert found.stored["gradient"] == pytest.approx(2 / 7)


def test_what_is_derived_counts_as_what_it_was_made_of(pool: Collection) -> None:
    made(pool, Counting(name="gradients"), "gradient", {"must": [{"key": "n", "range": {"lt": 4}}]})
    made(pool, Centred("gradients", "white"), "whitened")
    made(pool, Centred("", "plain"), "whitened")
    assert stored_pool(pool, PoolFigures()).stored == pytest.approx({"gradient": 4 / 6, "text": 1})


def test_answers_read_alone_are_a_pass_of_their_own(pool: Collection) -> None:
    made(pool, Counting(name="plain"), "hidden")
    assert "hidden, answers alone" not in stored_pool(pool, PoolFigures()).stored
    made(pool, Counting(name="alone"), "hidden", without_prompt=True)
    assert stored_pool(pool, PoolFigures()).stored["hidden, answers alone"] == 1


def test_pools_that_say_too_little_are_refused(pool: Collection, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--candidates is not given; describe the pool"):
        given_pool(PoolFigures(tokens=3))
    with pytest.raises(SettingsError, match="--tokens is not given"):
        given_pool(PoolFigures(candidates=3))
    with pytest.raises(SettingsError, match="has a number of its own"):
        stored_pool(pool, PoolFigures(candidates=3))
    with pytest.raises(InputError, match="no point matches the filter"):
        stored_pool(pool, PoolFigures(), {"must": [{"key": "n", "match": {"value": 99}}]})
    with edge_pool(np.ones((4, 3)), payloads=[{"n": k} for k in range(4)]) as mute:
        with pytest.raises(InputError, match=r"shows a text to estimate tokens by.*--tokens"):
            stored_pool(mute, PoolFigures())
        assert stored_pool(mute, PoolFigures(tokens=9)).tokens == 9
