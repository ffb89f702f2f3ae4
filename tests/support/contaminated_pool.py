"""A random pool with test items among its points, and what guards it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import reject
from pool_oracle import random_rows

from tsds_qdrant import SelectionSettings, create_collection
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.errors import InputError
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.held_out import HeldOut, Reach
from tsds_qdrant.records import TextTemplate

TEXT = TextTemplate(text_field="text")


def held_out(texts: Sequence[str], ngram: int = 13) -> HeldOut:
    return HeldOut.of(texts, None, Reach(ngram))


class Pool:
    """Random vectors with texts of few words, task examples, and test items among them."""

    def __init__(self, seed: int, grid: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.grid = grid
        self.count = int(self.rng.integers(40, 160))
        self.rows, self.payloads = self.vectors(self.count), self.texts(self.count)
        self.queries = self.vectors(int(self.rng.integers(1, 6)))
        chosen = self.rng.integers(self.count, size=int(self.rng.integers(1, 12)))
        self.items = self.rows[chosen]
        self.item_texts = [self.payloads[k]["text"] for k in chosen.tolist()]

    def vectors(self, count: int) -> Any:
        return random_rows(self.rng, (count, 3), self.grid)

    def texts(self, count: int) -> list[dict[str, Any]]:
        words = self.rng.integers(0, 8, size=(count, 4))
        return [{"text": " ".join(f"w{word}" for word in row)} for row in words.tolist()]

    def guard(self, radius: float, ngram: int, **said: Any) -> Guard:
        vectors = self.items if radius else None
        return Guard(HeldOut.of(self.item_texts, vectors, Reach(ngram, radius)), TEXT, **said)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Give an example up if all candidates copy test items."""
    try:
        yield
    except InputError as error:
        if "are excluded" not in str(error):
            raise
        reject()


def contaminated(directory: Path) -> tuple[EdgeCollection, Pool, SelectionSettings]:
    pool = Pool(5)
    collection = create_collection(
        str(directory / "store"),
        "pool",
        dimension=3,
        metric="Euclid",
        metadata={"text": {"text_field": "text"}},
    )
    collection.upsert(range(pool.count), pool.rows, pool.payloads)
    assert isinstance(collection, EdgeCollection)
    return collection, pool, SelectionSettings.of(sizes=(6,))
