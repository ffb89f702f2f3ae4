"""A model that is a function: what it makes of a text is plain, and takes no time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsds_qdrant.arrays import Float32Array

LETTERS = "abcdefgh"


def counted(texts: Sequence[str]) -> Float32Array:
    """(n, 8) how often each of the first letters stands in a text, and a little more than that."""
    rows = [[text.count(letter) + 0.1 + 0.01 * len(text) for letter in LETTERS] for text in texts]
    return np.array(rows, dtype=np.float32).reshape(len(texts), len(LETTERS))


def made_up(count: int, seed: int = 0) -> list[str]:
    """``count`` different texts of these letters."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice([*LETTERS], size=rng.integers(2, 7))) for _ in range(4 * count)]
    return [f"{' '.join(words[4 * k : 4 * k + 4])} {k}" for k in range(count)]


class Counting:
    """The same behind ``encode``, as most libraries have it; counts what it is asked."""

    def __init__(self) -> None:
        self.texts = 0

    def encode(self, texts: Sequence[str]) -> list[list[float]]:
        self.texts += len(texts)
        rows: list[list[float]] = counted(texts).tolist()
        return rows
