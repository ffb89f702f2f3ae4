"""Random pools that the contract of strategies is tried on: copies, ties, texts and sources."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import qdrant_edge as edge
from pool_oracle import OtherCollection, random_rows

from tsds_qdrant import SelectionSettings, TaskExamples
from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import SEQUENCE_FIELD
from tsds_qdrant.collections.values import METRICS, Metric, Payload, PointId, Record
from tsds_qdrant.errors import InputError, SupportError
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.held_out import HeldOut, Reach
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.solver.spread import effective_sample_size
from tsds_qdrant.strategies.base import Strategy
from tsds_qdrant.strategies.catalog import strategy_class

DIMENSION = 3
METADATA = {"text": {"text_field": "text"}, "sequence": 1, "settled": 1}
TEXT = TextTemplate(text_field="text")


@dataclass(frozen=True)
class Row:
    """One strategy under the contract.

    Attributes:
        strategy: its name in the catalogue.
        variants: settings to try, by the names of their fields; they settle whatever else a
            strategy would derive from its first look at a pool.
        tolerance: by how much probabilities of equal selections may differ, as sums run in
            another order.
        loose: columns of the rows that depend on how far lists are known; they are not compared.
        by_size: a smaller selection alone is another one than the beginning of a larger one, unless
            the variant settles the field of that name.
        excused: says of a selection, and of the one that it should equal, whether they may differ.
        represent: makes of points that were written what the strategy looks at.
        sums: it depends on sums over all that is stored, so neither a filter nor a guard equals a
            smaller collection.
    """

    strategy: str
    variants: tuple[Mapping[str, Any], ...] = ({},)
    tolerance: float = 0.0
    loose: tuple[str, ...] = ()
    by_size: str = ""
    excused: Callable[[Selection, Selection], bool] = lambda found, wanted: False
    represent: Callable[[Collection, Sequence[PointId], Sequence[Payload]], None] = (
        lambda pool, ids, payloads: None
    )
    sums: bool = False

    @property
    def kind(self) -> type[Strategy]:
        return strategy_class(self.strategy)

    @property
    def metrics(self) -> tuple[Any, ...]:
        return self.kind.card.metrics or METRICS


class Shelf:
    """One collection for each metric, emptied and used again, as making one takes its time."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._made: dict[Metric, EdgeCollection] = {}

    def empty(self, metric: Metric) -> EdgeCollection:
        """A collection without points; the one of that metric that was given before is gone."""
        if metric not in self._made:
            directory = self._stack.enter_context(TemporaryDirectory())
            made = EdgeCollection.create(directory, "pool", dimension=DIMENSION, metric=metric)
            self._stack.callback(made.close)
            self._made[metric] = made
        pool = self._made[metric]
        for page in list(pool.scroll_ids()):
            pool.delete(page)
        return pool

    def clear(self) -> None:
        """Close and remove them all."""
        self._made.clear()
        self._stack.close()


SHELF = Shelf()


class Case:
    """A small pool, a task and settings, all by chance."""

    def __init__(self, row: Row, seed: int, grid: bool) -> None:
        self.row, self.grid = row, grid
        self.rng = rng = np.random.default_rng(seed)
        self.metric: Metric = row.metrics[int(rng.integers(len(row.metrics)))]
        self.variant = row.variants[int(rng.integers(len(row.variants)))]
        count = int(rng.integers(15, 70))
        self.ids = self.new_ids(count)
        self.rows, self.payloads = self.vectors(count), self.contents(count)
        for copy in rng.integers(count, size=3).tolist():
            self.rows[copy], self.payloads[copy]["text"] = self.rows[0], self.payloads[0]["text"]
        self.models = [0, 1]
        """Points that later ones copy; those that test items were made of, if there are any."""
        self.task = self.new_task()
        large = int(rng.integers(2, max(3, count // 3)))
        self.sizes = tuple(sorted({int(rng.integers(1, large + 1)), large}))

    def new_ids(self, count: int) -> list[PointId]:
        """Numbers and UUIDs, in no order."""
        numbers = self.rng.integers(0, 2**40, size=count).tolist()
        uuids = self.rng.random(count) < 0.3
        return [str(UUID(int=n << 70)) if one else n for n, one in zip(numbers, uuids, strict=True)]

    def vectors(self, count: int) -> Float32Array:
        rows = random_rows(self.rng, (count, DIMENSION), self.grid)
        if self.metric == "Dot":
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def contents(self, count: int) -> list[Payload]:
        rng = self.rng
        words = rng.integers(0, 8, size=(count, 4)).tolist()
        return [
            {
                "text": " ".join(f"w{word}" for word in row),
                "tokens": int(rng.integers(1, 12)),
                "author": f"a{rng.integers(6)}",
                "hardness": (5 * row[0] + 3 * row[1] + row[2]) % 14 / 10,
            }
            | ({"source": f"s{rng.integers(3)}"} if rng.random() < 0.9 else {})
            for row in words
        ]

    def new_task(self, known: int = 0) -> TaskExamples:
        """Task examples; as many of those that there are come again."""
        count = int(self.rng.integers(1, 6))
        rows, texts = self.vectors(count), [one["text"] for one in self.contents(count)]
        weights = self.rng.integers(1, 4, size=count).astype(np.float64)
        if known:
            rows[:known] = self.task.vectors[: min(known, count)]
        groups = [f"g{k % 2}" for k in range(count)] if count > 2 else []
        return TaskExamples(rows, texts, weights, groups=groups)

    def settings(self, **more: Any) -> SelectionSettings:
        return SelectionSettings.of(
            self.row.strategy, **{"sizes": self.sizes, **self.variant, **more}
        )

    def opened(
        self, kept: Sequence[bool] | None = None, *, strangers: bool = True
    ) -> EdgeCollection:
        """A collection of all points, or of those that are ``kept``.

        With ``strangers`` it has half as many again that are no candidates.
        """
        chosen = np.flatnonzero(np.ones(len(self.ids)) if kept is None else kept).tolist()
        payloads = [{**self.payloads[k], SEQUENCE_FIELD: 1} for k in chosen]
        pool = SHELF.empty(self.metric)
        ids = [self.ids[k] for k in chosen]
        pool.upsert(ids, self.rows[chosen], payloads)
        self.row.represent(pool, ids, payloads)
        if strangers:
            self.let_in_strangers(pool)
        pool.update_metadata(METADATA)
        return pool

    def let_in_strangers(self, pool: EdgeCollection) -> None:
        """Store points without a vector, and where only directions count some of zeros."""
        rng, count = np.random.default_rng(len(self.ids)), len(self.ids) // 2
        ids = [2**41 + k if k % 3 else str(UUID(int=k << 70 | 1)) for k in range(count)]
        payloads = [
            {**self.payloads[k], SEQUENCE_FIELD: 1}
            for k in rng.integers(len(self.ids), size=count).tolist()
        ]
        zero = count // 4 if self.metric in ("Cosine", "Dot") else 0
        upsert_without_vectors(pool, ids[zero:], payloads[zero:])
        upsert_zeros(pool, ids[:zero], payloads[:zero], DIMENSION)

    def guard(self) -> Guard:
        """Keeps out what copies the text of some points, or lies near others."""
        copied, near = self.rng.integers(len(self.ids), size=(2, int(self.rng.integers(1, 4))))
        self.models = [*copied.tolist(), *near.tolist()]
        items = self.rows[near] + self.vectors(len(near)) * 1e-3
        texts = [self.payloads[k]["text"] for k in copied.tolist()]
        reach = Reach(int(self.rng.choice([0, 4])), float(self.rng.choice([0.0, 0.3])))
        return Guard(HeldOut.of(texts, items if reach.radius else None, reach), TEXT)


@dataclass
class Live:
    """A collection that changes, and what it holds."""

    case: Case
    collection: Collection
    whole: bool
    """An update replaces texts and payloads too, not the vector alone."""
    sequence: int = 1
    content: dict[PointId, Payload] = field(init=False)
    bare: list[PointId] = field(default_factory=list)
    """Points that lost their vectors."""

    def __post_init__(self) -> None:
        self.content = dict(zip(self.case.ids, self.case.payloads, strict=True))

    def step(self) -> None:
        """Points come, change and leave; some of them copy points that there were."""
        case, rng = self.case, self.case.rng
        new = case.new_ids(int(rng.integers(0, 5)))
        self.write(new, case.contents(len(new)))
        updated = self.some(3)
        contents = case.contents(len(updated))
        self.write(updated, contents if self.whole else [self.content[i] for i in updated])
        gone = self.some(3)
        self.collection.delete(gone)
        for point_id in gone:
            del self.content[point_id]
        self.change_membership()

    def change_membership(self) -> None:
        """Points lose their vectors, or those that lack one get one."""
        case, rng, pool = self.case, self.case.rng, self.collection
        if not isinstance(pool, EdgeCollection):
            return
        if rng.random() < 0.5:
            bare = self.some(2)
            delete_vectors(pool, bare)
            self.bare += bare
            for point_id in bare:
                del self.content[point_id]
        elif self.bare:
            point_id = self.bare.pop()
            self.write([point_id], case.contents(1))

    def write(self, ids: Sequence[PointId], contents: Sequence[Payload]) -> None:
        """As ``ingest`` does."""
        case = self.case
        if not ids:
            return
        vectors, contents = case.vectors(len(ids)), [dict(one) for one in contents]
        if case.rng.random() < 0.7:
            model = case.models[int(case.rng.integers(len(case.models)))]
            vectors[0] = case.rows[model]
            if self.whole:
                contents[0]["text"] = case.payloads[model]["text"]
        self.sequence += 1
        self.collection.update_metadata({"sequence": self.sequence})
        stamped = [{**one, SEQUENCE_FIELD: self.sequence} for one in contents]
        self.collection.upsert(ids, vectors, stamped)
        case.row.represent(self.collection, ids, stamped)
        self.collection.update_metadata({"settled": self.sequence})
        self.content.update(zip(ids, contents, strict=True))

    def some(self, most: int) -> list[PointId]:
        count = int(self.case.rng.integers(0, most + 1))
        there = list(self.content)
        return [there[k] for k in self.case.rng.permutation(len(there))[:count].tolist()]


def upsert_without_vectors(
    pool: EdgeCollection, ids: Sequence[PointId], payloads: Sequence[Payload]
) -> None:
    """Store points as a client may do and the adapter does not."""
    numbers = [UUID(i) if isinstance(i, str) else i for i in ids]
    points = [edge.Point(i, {}, one) for i, one in zip(numbers, payloads, strict=True)]
    pool._write(edge.UpdateOperation.upsert_points(points))


def upsert_zeros(
    pool: EdgeCollection, ids: Sequence[PointId], payloads: Sequence[Payload], dimension: int
) -> None:
    """Store points with vectors of zeros, which the adapter would refuse under Cosine."""
    numbers = [UUID(i) if isinstance(i, str) else i for i in ids]
    rows = [0.0] * dimension
    points = [edge.Point(i, rows, one) for i, one in zip(numbers, payloads, strict=True)]
    pool._write(edge.UpdateOperation.upsert_points(points))


def delete_vectors(pool: EdgeCollection, ids: Sequence[PointId]) -> None:
    """Take the vectors of stored points away, and nothing else of them."""
    numbers: list[Any] = [UUID(i) if isinstance(i, str) else i for i in ids]
    pool._write(edge.UpdateOperation.delete_vectors(numbers, [""]))
    pool._known.files.remove(ids)


class Counted(OtherCollection):
    """A collection that counts searches, and remembers whose payloads and vectors were read."""

    def __init__(self, collection: Collection) -> None:
        super().__init__(collection)
        self.searches = 0
        self.read: dict[str, list[PointId]] = {"payloads": [], "vectors": []}

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *error: object) -> None:
        """The collection stays open."""

    def search(self, vectors: Float32Array, **more: Any) -> Hits:
        self.searches += len(vectors)
        return self.collection.search(vectors, **more)

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: bool = True, vectors: bool = False
    ) -> list[Record]:
        self.read["payloads"] += list(ids) if payloads else []
        self.read["vectors"] += list(ids) if vectors else []
        return self.collection.retrieve(ids, payloads=payloads, vectors=vectors)


Outcome = Selection | type[Exception]


def outcome(selecting: Callable[[], Selection]) -> Outcome:
    """The selection, or the kind of error if it cannot be."""
    try:
        return selecting()
    except SupportError as error:
        return type(error)
    except InputError as error:
        if not re.search(
            "are excluded|cancel each other out|has no direction to look in", str(error)
        ):
            raise
        return type(error)


def rows_of(selection: Selection) -> dict[int, list[dict[str, Any]]]:
    """The rows of all samples, by size."""
    return {size: list(selection.sample_rows(size)) for size in selection.samples}


def same(found: Outcome, wanted: Outcome, row: Row | None = None) -> bool:
    """Assert that two selections have the same rows, as exactly as ``row`` says (to the last bit).

    Returns whether there are any.
    """
    if not isinstance(found, Selection) or not isinstance(wanted, Selection):
        assert found == wanted
        return False
    if row is not None and row.excused(found, wanted):
        return True
    mine, theirs = rows_of(found), rows_of(wanted)
    assert list(mine) == list(theirs)
    for size, rows in mine.items():
        expected = theirs[size]
        assert [one["id"] for one in rows] == [one["id"] for one in expected]
        for one, other in zip(rows, expected, strict=True):
            for name in () if row is None else row.loose:
                del one[name], other[name]
            if row is not None and row.tolerance:
                p = one.pop("probability")
                assert p == pytest.approx(other.pop("probability"), abs=row.tolerance)
            assert one == other
    return True


def in_a_dent(found: Selection, wanted: Selection) -> bool:
    """Whether alpha followed from the size, and two of them give it.

    The effective size grows along the path but for small dents, and which side of one is found
    depends on how far the path is known; see :class:`RegularizationPath`.
    """
    mine, theirs = found.transport, wanted.transport
    ends = sorted([mine.solution.threshold, theirs.solution.threshold])
    path = theirs.path if theirs.solution.threshold == ends[1] else mine.path
    if path is None or ends[0] == ends[1] or not found.settings.strategy.follows_size:
        return False
    steps = np.unique(path.sweep.thresholds)
    between = steps[(steps >= ends[0] * (1 - 1e-9)) & (steps <= ends[1] * (1 + 1e-9))]
    sizes = [
        effective_sample_size(path.sweep.probabilities(step, path.candidates)) for step in between
    ]
    return bool((np.diff(sizes) < 0).any())
