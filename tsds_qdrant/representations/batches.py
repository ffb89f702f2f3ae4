"""Texts of like length share a forward pass, so that little padding is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

CPU_TOKENS = 4_096
"""Tokens of one pass on a processor, padding among them: more pass its cache, and take longer."""


def batches_by_length(
    lengths: Sequence[int], most_texts: int, most_tokens: int | None = None
) -> Iterator[list[int]]:
    """Numbers of the texts of each pass, the longest texts first.

    Args:
        lengths: of all texts.
        most_texts: of one pass.
        most_tokens: texts of a pass times the longest of them, unless one text has more.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(order):
        texts = most_texts
        if most_tokens is not None:
            texts = max(1, min(texts, most_tokens // max(1, lengths[order[start]])))
        yield order[start : start + texts]
        start += texts
