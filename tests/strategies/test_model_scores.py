"""Perplexity and instruction-following difficulty, by fields of payloads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import add_made, kept_as, plain_pool
from pool_oracle import LimitedCollection
from profiles import examples

from tsds_qdrant import SelectionSettings, select
from tsds_qdrant.collections.limits import Limits
from tsds_qdrant.errors import InputError, SettingsError, SupportError
from tsds_qdrant.progress import notices_to

FEW = settings(max_examples=examples(20), deadline=None)
TASK = np.ones((1, 2), dtype=np.float32)


def chosen(pool: Any, strategy: str, size: int, **more: Any) -> list[Any]:
    asked = SelectionSettings.of(strategy, sizes=(size,), near_copies="keep", **more)
    found = select(pool, TASK, asked)
    assert {row["probability"] for row in found.sample_rows(size)} == {None}
    return [(row["id"], row["score"]) for row in found.sample_rows(size)]


def with_scores(pool: Any, values: list[dict[str, Any]], name: str = "hidden") -> None:
    """Marks of ``represent hidden`` with ``values``."""
    kept = replace(kept_as("hidden", {}, has_vectors=False), settings={"without_prompt": True})
    add_made(pool, kept, range(len(values)), values=values, name=name)


@pytest.mark.slow
@FEW
@given(seed=st.integers(0, 2**32), few=st.booleans())
def test_parts_of_the_order(seed: int, few: bool) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 40))
    numbers = rng.integers(1, 5 if few else 1000, size=count).astype(float) / 4
    order = sorted(range(count), key=lambda k: (numbers[k], k))
    size = int(rng.integers(1, count + 1))
    with plain_pool(count) as pool:
        with_scores(pool, [{"perplexity": one} for one in numbers.tolist()])
        low = chosen(pool, "perplexity", size, part="low")
        high = chosen(pool, "perplexity", size, part="high")
        middle = chosen(pool, "perplexity", size, part="middle")
    assert low == [(k, numbers[k]) for k in order[:size]]
    assert [k for k, _ in high] == sorted(range(count), key=lambda k: (-numbers[k], k))[:size]
    # Nobody who was left out is nearer to the median by rank than one who was taken.
    below, upto = (
        [int((numbers < x).sum()) for x in numbers],
        [int((numbers <= x).sum()) for x in numbers],
    )
    off = [abs((a + b - 1) / 2 - (count - 1) / 2) for a, b in zip(below, upto, strict=True)]
    taken = {k for k, _ in middle}
    assert max(off[k] for k in taken) <= min(
        [off[k] for k in range(count) if k not in taken] or [np.inf]
    )
    if len(set(numbers.tolist())) == count:
        places = sorted(order.index(k) for k in taken)
        assert places == list(range(places[0], places[0] + size))


def test_the_difficulty_is_below_one() -> None:
    values = [0.5, 1.0, 0.99, 1.7, 0.2, None, 0.99]
    with plain_pool(len(values)) as pool:
        with_scores(pool, [{} if one is None else {"ifd": one} for one in values])
        said: list[str] = []
        with notices_to(said.append):
            assert chosen(pool, "ifd", 4) == [(2, 0.99), (6, 0.99), (0, 0.5), (4, 0.2)]
        assert said == [
            "1 of 7 candidates have no number in '_tsds_made.hidden.ifd'; those cannot be selected"
        ]
        told = "5 candidates are wanted but only 4 of 6 have an IFD below 1; ask for at most 4"
        with pytest.raises(SupportError, match=told):
            chosen(pool, "ifd", 5)
        assert len(chosen(pool, "ifd", 4)) == 4  # as advised
        assert "_tsds_made.hidden.ifd" in pool.info().payload_indexes


def test_without_an_index_all_payloads_are_read() -> None:
    """As on a server that has none, and where nothing may be written."""
    numbers = [3.0, 1.0, 2.0]
    payloads = [{"text": "t", "inner": {"loss": one}} for one in numbers]
    with plain_pool(3, payloads) as pool:
        limited = LimitedCollection(pool, Limits(writes=False))
        found = chosen(limited, "perplexity", 3, part="low", score="inner.loss")
        assert found == [(1, 1.0), (2, 2.0), (0, 3.0)]
        assert "inner.loss" not in pool.info().payload_indexes
        assert chosen(pool, "perplexity", 3, part="low", score="inner.loss") == found
        assert "inner.loss" in pool.info().payload_indexes


def test_what_is_lacking_is_said() -> None:
    with plain_pool(3, [{"text": "t", "n": "three"}] * 3) as pool:
        told = "number in '_tsds_made.hidden.perplexity'; .* hidden --model MODEL --qdrant "
        with pytest.raises(InputError, match=told):
            chosen(pool, "perplexity", 1)
        with pytest.raises(InputError, match="--model MODEL --without-prompt --qdrant"):
            chosen(pool, "ifd", 1)
        with pytest.raises(InputError, match="number in 'n'; name another field with --score"):
            chosen(pool, "ifd", 1, score="n")
    with pytest.raises(SettingsError, match="part is 'mid'; choose one of low, middle, high"):
        SelectionSettings.of("perplexity", part="mid")
