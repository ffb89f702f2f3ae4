"""Small representations: counts of letters of a text, and what is derived from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from tsds_qdrant.representations.base import (
    NONFINITE,
    OK,
    Arrays,
    Encoded,
    Examples,
    Kind,
    OnBatch,
    Plain,
)
from tsds_qdrant.sparse import SparseRows


class Letters(Plain):
    """How often a text has each of the first letters of the alphabet; one with a 'z' has none."""

    kind: Kind = "dense"
    metric = "Dot"

    def __init__(self, letters: int = 3, name: str = "letters", dies_after: int = 10**9) -> None:
        self.letters, self.name, self.left = letters, name, dies_after
        self.seen: list[str] = []

    @property
    def dimension(self) -> int | None:
        return self.letters

    def manifest(self) -> dict[str, Any]:
        return {"kind": "letters", "letters": self.letters}

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        texts = [one.text for one in examples]  # type: ignore[union-attr]
        self.seen += texts
        rows = [[text.count(chr(97 + k)) for k in range(self.letters)] for text in texts]
        return Encoded(
            np.array(rows, dtype=np.float32).reshape(len(texts), self.letters),
            [NONFINITE if "z" in text else OK for text in texts],
            {"length": [len(text) for text in texts]},
        )

    targets = candidates


class Bags(Letters):
    """The same as sparse rows."""

    kind: Kind = "sparse"
    dimension: ClassVar[None] = None  # type: ignore[assignment]

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        made = super().candidates(examples, on_batch)
        assert isinstance(made.rows, np.ndarray)
        bags = [{k: float(n) for k, n in enumerate(row) if n} for row in made.rows]
        return Encoded(SparseRows.of(bags), made.status, made.values)


class Lengths(Letters):
    """Nothing but a number."""

    kind: Kind = "payload"
    dimension: ClassVar[None] = None  # type: ignore[assignment]

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        return Encoded.fine(None, len(examples), super().candidates(examples).values)


class Centred:
    """Vectors less their mean, which is learnt."""

    kind: Kind = "dense"
    metric = "Euclid"
    dialogues = False

    def __init__(self, source: str, name: str = "centred") -> None:
        self.source, self.name = source, name
        self.mean: Any = None

    @property
    def fitted(self) -> bool:
        return self.mean is not None

    @property
    def dimension(self) -> int | None:
        return len(self.mean)

    def manifest(self) -> dict[str, Any]:
        return {"kind": "centred"}

    def fit(self, blocks: Callable[[], Iterator[Examples]], count: int) -> None:
        total = sum(np.asarray(block, dtype=np.float64).sum(axis=0) for block in blocks())
        self.mean = total / count

    def arrays(self) -> Arrays:
        return {"mean": self.mean}

    def restore(self, arrays: Arrays) -> None:
        self.mean = arrays["mean"]

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        rows = np.asarray(examples, dtype=np.float64) - self.mean
        return Encoded.fine(rows.astype(np.float32), len(rows))

    targets = candidates
