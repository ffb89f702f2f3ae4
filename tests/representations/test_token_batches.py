"""Texts that share a forward pass."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsds_qdrant.representations.batches import batches_by_length


@given(
    st.lists(st.integers(0, 300), max_size=60),
    st.integers(1, 9),
    st.none() | st.integers(1, 900),
)
def test_batches_hold_every_text_once_and_no_more_than_they_may(
    lengths: list[int], texts: int, tokens: int | None
) -> None:
    batches = list(batches_by_length(lengths, texts, tokens))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    flat = [lengths[row] for batch in batches for row in batch]
    assert flat == sorted(lengths, reverse=True)
    for batch in batches:
        assert 1 <= len(batch) <= texts
        widest = max(lengths[row] for row in batch)
        assert tokens is None or len(batch) == 1 or len(batch) * widest <= tokens
