"""Several spaces behind one open collection: views, additions, vectors set one space at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from backends import Backend, ClientBackend, EdgeBackend
from conftest import MakeCollection

from tsds_qdrant.collections.distance import score_to_distance
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import REPRESENTATION
from tsds_qdrant.collections.spaces import Space, chosen_space
from tsds_qdrant.collections.values import METRICS, Metric
from tsds_qdrant.errors import (
    CollectionError,
    CollectionMismatchError,
    CollectionNotFoundError,
    InputError,
    SettingsError,
    UnsupportedCollectionError,
)
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ingest import ingest_records, ingest_vectors
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.settings import RecordSettings
from tsds_qdrant.sparse import SparseRows

GRAD = Space.dense("grad", 3, "Dot")
WORDS = Space.sparse("words")
ROWS = np.array([[1, 0], [0, 1], [3, 4], [-1, 0]], np.float32)
GRADS = np.array([[1, 2, 3], [0, 0, 5], [-1, 0, 0], [2, 2, 2]], np.float32)
BAGS = SparseRows.of([{3: 1.0, 1: -2.0}, {7: 0.5}, {}, {1: 4.0, 9: 1.0}])


@pytest.fixture
def spaced(make_collection: MakeCollection) -> Collection:
    """Four points in three spaces; point 4 has the unnamed vector alone."""
    payloads = [{"k": k, "deep": {"a": [k]}} for k in range(5)]
    vectors = np.concatenate([ROWS, [[5, 5]]])
    made = make_collection(
        metric="Euclid", vectors=vectors, payloads=payloads, name="spaced", metadata={"n": 1}
    )
    made.add_space(GRAD)
    made.add_space(WORDS)
    made.set_vectors(range(4), GRADS, space="grad")
    made.set_vectors(range(4), BAGS, space="words")
    return made


def everything(collection: Collection) -> list[dict[str, Any]]:
    """All that is stored of each point, space by space."""
    ids = list(chain.from_iterable(collection.scroll_ids()))
    points: list[dict[str, Any]] = [
        {"id": record.id, "payload": record.payload} for record in collection.retrieve(ids)
    ]
    for name, space in collection.spaces.items():
        for point, record in zip(
            points, collection.at(name).retrieve(ids, payloads=False, vectors=True), strict=True
        ):
            assert record.id == point["id"]
            assert (record.vector is None) or (record.sparse is None)
            point[name] = None
            if space.kind == "dense" and record.vector is not None:
                point[name] = record.vector.tolist()
            elif record.sparse is not None:
                (pair,) = record.sparse.pairs()
                point[name] = dict(zip(*pair, strict=True))
    return points


def test_vectors_of_one_space_are_deleted(spaced: Collection) -> None:
    before = everything(spaced)
    spaced.delete_vectors([0, 3, 4, 99], space="grad")
    spaced.delete_vectors([1], space="words")
    for point in before:
        point["grad"] = None if point["id"] in (0, 3) else point["grad"]
        point["words"] = None if point["id"] == 1 else point["words"]
    assert everything(spaced) == before
    assert spaced.at("grad").vectors(range(5))[0] == [1, 2]
    with pytest.raises(CollectionNotFoundError):
        spaced.delete_vectors([0], space="none")


def test_vectors_of_many_points(spaced: Collection) -> None:
    ids, rows = spaced.at("grad").vectors([3, 4, 99, 0])
    found = dict(zip(ids, rows.tolist(), strict=True))
    assert found == {0: GRADS[0].tolist(), 3: GRADS[3].tolist()}
    assert spaced.at("grad").vectors([4])[1].shape == (0, 3)
    spaced.set_vectors([3], GRADS[:1], space="grad")
    spaced.delete([0])
    ids, rows = spaced.at("grad").vectors([3, 0])
    assert (ids, rows.tolist()) == ([3], [GRADS[0].tolist()])
    assert rows.dtype == np.float32


class TestAdding:
    def test_a_new_collection_has_one_space(self, make_collection: MakeCollection) -> None:
        collection = make_collection(5, "Manhattan")
        assert dict(collection.spaces) == {"": Space.dense("", 5, "Manhattan")}
        assert collection.info().metadata == {}

    def test_spaces_are_listed_here_and_after_opening_again(
        self, backend: Backend, spaced: Collection
    ) -> None:
        wanted = {"": Space.dense("", 2, "Euclid"), "grad": GRAD, "words": WORDS}
        assert dict(spaced.spaces) == wanted
        before = everything(spaced)
        spaced.close()
        with backend.open("spaced") as again:
            assert dict(again.spaces) == wanted
            assert everything(again) == before

    def test_the_same_again_is_fine_another_is_not(self, spaced: Collection) -> None:
        before = everything(spaced)
        for space in (GRAD, WORDS, Space.dense("", 2, "Euclid")):
            spaced.add_space(space)
        assert everything(spaced) == before
        for other in (
            Space.dense("grad", 4, "Dot"),
            Space.dense("grad", 3, "Cosine"),
            Space.sparse("grad"),
            Space.dense("words", 3),
            Space.sparse("words", idf=True),
            Space.dense("", 3, "Euclid"),
        ):
            with pytest.raises(CollectionMismatchError, match="another name"):
                spaced.add_space(other)
        assert everything(spaced) == before

    @pytest.mark.parametrize(
        "space",
        [
            Space("x", "dense", None, "Dot"),
            Space("x", "dense", 2, "Dot", True),
            Space("x", "dense", 2, "Dot", idf=True),
        ],
    )
    def test_what_cannot_be_added(self, make_collection: MakeCollection, space: Space) -> None:
        with pytest.raises(SettingsError, match="'x'"):
            make_collection(2).add_space(space)

    def test_the_space_searched_so_far_becomes_the_default(
        self, backend: Backend, spaced: Collection
    ) -> None:
        assert spaced.info().metadata == {"n": 1, REPRESENTATION: ""}
        spaced.close()
        with backend.open("spaced") as again:
            assert again.info().vector == ""
            again.update_metadata({REPRESENTATION: "grad"})
            again.add_space(Space.dense("more", 2))
            assert again.info().metadata[REPRESENTATION] == "grad"
        with backend.open("spaced") as other:
            assert (other.info().vector, other.info().dimension) == ("grad", 3)
        with backend.open("spaced", vector="") as first:
            assert first.info().vector == ""

    def test_a_default_that_is_not_there_is_no_default(
        self, backend: Backend, spaced: Collection
    ) -> None:
        spaced.update_metadata({REPRESENTATION: "gone"})
        spaced.close()
        with backend.open("spaced") as opened:  # others were added later than the unnamed one
            assert opened.info().vector == ""
        with pytest.raises(UnsupportedCollectionError, match=r"'words' .* is sparse.*--vector"):
            backend.open("spaced", vector="words")

    def test_several_that_have_names(self) -> None:
        named = {name: Space.dense(name, 2) for name in ("one", "two")}
        with pytest.raises(CollectionNotFoundError, match=r"'one', 'two'; .*--vector"):
            chosen_space(named, None, "gone", "pool")

    def test_a_metric_that_is_none_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="'Foo' is no metric; choose one of Cosine"):
            Space.dense("d", 4, "Foo")  # type: ignore[arg-type]

    def test_a_space_is_added_through_a_view(self, backend: Backend, spaced: Collection) -> None:
        spaced.at("words").add_space(Space.dense("late", 2))
        assert "late" in spaced.spaces
        assert spaced.info().metadata[REPRESENTATION] == ""


def test_the_default_of_several_dense_spaces() -> None:
    spaces = {name: Space.dense(name, 2) for name in ("a", "b")}
    assert chosen_space(spaces, None, "b", "c").name == "b"
    assert chosen_space(spaces, "a", "b", "c").name == "a"
    assert chosen_space({**spaces, "w": WORDS}, None, "b", "c").name == "b"
    for nonsense in (None, "x", 3, ["a"]):
        with pytest.raises(CollectionNotFoundError, match="'a', 'b'"):
            chosen_space(spaces, None, nonsense, "c")
    assert chosen_space({"a": spaces["a"], "w": WORDS}, None, "w", "c").name == "a"


class TestViews:
    def test_each_view_searches_its_space(self, spaced: Collection) -> None:
        grad, words = spaced.at("grad"), spaced.at("words")
        assert [view.info().vector for view in (spaced, grad, words)] == ["", "grad", "words"]
        assert [view.info().dimension for view in (spaced, grad, words)] == [2, 3, 0]
        assert [view.info().metric for view in (spaced, grad, words)] == ["Euclid", "Dot", "Dot"]
        assert {view.info().count for view in (spaced, grad, words)} == {5}
        for exact in (True, False):
            assert spaced.search(ROWS[2:3], limit=1, exact=exact).ids == [2]
            hits = grad.search(np.eye(3, dtype=np.float32)[2:], limit=9, exact=exact)
            assert hits.ids == [1, 0, 3, 2]
            assert hits.scores.tolist() == [5, 3, 2, 0]
        assert grad.at("").search(ROWS[2:3], limit=1).ids == [2]

    def test_a_point_may_lack_a_vector(self, spaced: Collection) -> None:
        (record,) = spaced.at("grad").retrieve([4], vectors=True)
        assert (record.vector, record.sparse) == (None, None)
        assert record.payload["k"] == 4
        spaced.add_space(Space.dense("empty", 2))
        for exact in (True, False):
            hits = spaced.at("empty").search(ROWS[:2], limit=3, exact=exact)
            assert (hits.ids, hits.counts.tolist()) == ([], [0, 0])
        assert spaced.count({"must": [{"has_vector": "grad"}]}) == 4

    def test_an_unknown_space(self, spaced: Collection) -> None:
        for call in (
            lambda: spaced.at("image"),
            lambda: spaced.set_vectors([1], ROWS[:1], space="image"),
        ):
            with pytest.raises(CollectionNotFoundError, match=r"no space 'image'.*'grad', 'words'"):
                call()

    def test_closing_a_view_does_nothing_closing_the_collection_closes_all(
        self, spaced: Collection
    ) -> None:
        view = spaced.at("grad")
        with spaced.at("grad") as other:
            other.count()
        spaced.at("").close()
        assert view.count() == spaced.count() == 5
        spaced.close()
        for one in (view, spaced):
            with pytest.raises(CollectionError, match="is closed; open it again"):
                one.retrieve([1])

    def test_what_one_view_writes_the_others_see(self, spaced: Collection) -> None:
        views = [spaced, spaced.at("grad"), spaced.at("grad")]
        query = np.array([[0, 0, 1]], np.float32)

        def best(view: Collection) -> Any:
            return view.search(query, limit=1, exact=True).ids[0]

        for view in views[1:]:
            assert best(view) == 1
        assert spaced.search(ROWS[:1], limit=1, exact=True).ids == [0]
        spaced.set_vectors([3], np.array([[0, 0, 9]], np.float32), space="grad")
        assert [best(view) for view in views[1:]] == [3, 3]
        views[1].set_vectors([2], np.array([[0, 0, 10]], np.float32))
        assert [best(view) for view in views[1:]] == [2, 2]
        views[1].delete([2, 0])
        assert [view.count() for view in views] == [3, 3, 3]
        assert best(views[2]) == 3
        assert spaced.search(ROWS[:1], limit=1, exact=True).ids != [0]

    def test_the_wrong_kind_of_search(self, spaced: Collection) -> None:
        with pytest.raises(UnsupportedCollectionError, match=r"'words'.*sparse, not dense"):
            spaced.at("words").search(ROWS, limit=1)
        with pytest.raises(UnsupportedCollectionError, match=r"'words'.*sparse, not dense"):
            spaced.at("words").upsert([1], ROWS[:1])
        with pytest.raises(UnsupportedCollectionError, match="Euclid, not sparse"):
            spaced.search_sparse(BAGS, limit=1)


class TestSetVectors:
    def test_nothing_else_is_touched(self, spaced: Collection) -> None:
        before = everything(spaced)
        spaced.set_vectors([1], np.array([[7, 8, 9]], np.float32), space="grad")
        spaced.set_vectors(
            [2, 1], SparseRows.of([{5: 1.5}, {0: -1.0, 2**32 - 1: 2.0}]), space="words"
        )
        spaced.set_vectors([4], np.array([[6, 6]], np.float32))
        before[1] |= {"grad": [7, 8, 9], "words": {0: -1.0, 2**32 - 1: 2.0}}
        before[2] |= {"words": {5: 1.5}}
        before[4] |= {"": [6, 6]}
        assert everything(spaced) == before

    def test_ids_that_do_not_exist_are_ignored(self, spaced: Collection) -> None:
        before = everything(spaced)
        ids = [99, 1, "c0ffee00-1234-4321-8765-0123456789ab"]
        spaced.set_vectors(ids, GRADS[:3], space="grad")
        spaced.set_vectors([77], BAGS.part(0, 1), space="words")
        spaced.set_vectors([], np.empty((0, 3), np.float32), space="grad")
        before[1]["grad"] = GRADS[1].tolist()
        assert everything(spaced) == before

    def test_many_in_batches(self, make_collection: MakeCollection) -> None:
        rng = np.random.default_rng(0)
        collection = make_collection(vectors=rng.normal(size=(2_345, 4)))
        collection.add_space(GRAD)
        rows = rng.normal(size=(2_345, 3)).astype(np.float32)
        collection.set_vectors(range(2_345), rows, space="grad")
        stored = collection.at("grad").retrieve(range(2_345), vectors=True)
        np.testing.assert_array_equal([record.vector for record in stored], rows)

    @pytest.mark.parametrize(
        ("space", "rows", "message"),
        [
            ("grad", [[1.0, 2.0]], "dimension 3"),
            ("grad", [[1.0, np.nan, 0.0]], "vector 0 holds NaN"),
            ("unit", [[0.0, 0.0]], "vector 0 has length zero"),
            ("grad", np.ones((2, 3)), "1 ids and 2 vectors"),
            ("words", SparseRows.of([{1: np.inf}]), "vector 0 holds NaN, infinity"),
            ("words", SparseRows.of([{-1: 1.0}]), r"outside 0 to 2\^32"),
            ("words", BAGS, "1 ids and 4 vectors"),
        ],
    )
    def test_bad_vectors_are_refused(
        self, spaced: Collection, space: str, rows: Any, message: str
    ) -> None:
        spaced.add_space(Space.dense("unit", 2))
        before = everything(spaced)
        with pytest.raises(InputError, match=message):
            spaced.set_vectors([1], rows, space=space)
        assert everything(spaced) == before

    def test_the_wrong_kind(self, spaced: Collection) -> None:
        with pytest.raises(UnsupportedCollectionError, match="not sparse"):
            spaced.set_vectors([1], BAGS.part(0, 1), space="grad")
        with pytest.raises(UnsupportedCollectionError, match="not dense"):
            spaced.set_vectors([1], GRADS[:1], space="words")


class TestUpsert:
    @pytest.mark.parametrize("payloads", [True, False])
    def test_other_vectors_stay(self, spaced: Collection, payloads: bool) -> None:
        before = everything(spaced)
        new = np.array([[8, 8], [9, 9], [2, 2]], np.float32)
        given = [{"new": 1}, {}, {"new": 3}]
        spaced.upsert([1, 50, 4], new, given if payloads else None)
        before[1] |= {"": [8, 8], "payload": given[0] if payloads else {}}
        before[4] |= {"": [2, 2], "payload": given[2] if payloads else {}}
        before.append({"id": 50, "payload": {}, "": [9, 9], "grad": None, "words": None})
        assert everything(spaced) == before

    def test_through_a_view(self, spaced: Collection) -> None:
        before = everything(spaced)
        spaced.at("grad").upsert([0, 60], GRADS[1:3], [{"a": 1}, {"a": 2}])
        before[0] |= {"grad": GRADS[1].tolist(), "payload": {"a": 1}}
        before.append(
            {"id": 60, "payload": {"a": 2}, "": None, "grad": GRADS[2].tolist(), "words": None}
        )
        assert everything(spaced) == before

    def test_many_old_and_new(self, make_collection: MakeCollection) -> None:
        rng = np.random.default_rng(1)
        rows = rng.normal(size=(2_000, 4)).astype(np.float32)
        collection = make_collection(metric="Euclid", vectors=rows[:1_500])
        collection.add_space(GRAD)
        grads = rng.normal(size=(1_500, 3)).astype(np.float32)
        collection.set_vectors(range(1_500), grads, space="grad")
        collection.upsert(range(2_000), -rows, [{"k": k} for k in range(2_000)])
        records = collection.retrieve(range(2_000), vectors=True)
        np.testing.assert_array_equal([record.vector for record in records], -rows)
        assert [record.payload for record in records] == [{"k": k} for k in range(2_000)]
        kept = collection.at("grad").retrieve(range(2_000), vectors=True)
        np.testing.assert_array_equal([record.vector for record in kept[:1_500]], grads)
        assert all(record.vector is None for record in kept[1_500:])

    def test_bad_vectors_change_nothing(self, spaced: Collection) -> None:
        before = everything(spaced)
        with pytest.raises(InputError):
            spaced.upsert([1, 2], np.array([[1, 1], [np.nan, 1]], np.float32))
        with pytest.raises(InputError, match="2 ids and 1 vectors"):
            spaced.upsert([1, 2], ROWS[:1])
        assert everything(spaced) == before


@dataclass(frozen=True)
class Here(Destination):
    """A collection of whatever engine the test runs on."""

    opened: ClassVar[Callable[[], Collection]]

    def existing(self) -> Collection | None:
        return type(self).opened()


class Lengths:
    """Embeds a text as its length and its words."""

    name = "lengths"

    def encode(self, texts: Any, on_batch: Any = None) -> np.ndarray:
        return np.array([[len(text), 1 + text.count(" ")] for text in texts], np.float32)


@pytest.fixture
def place(backend: Backend, make_collection: MakeCollection) -> Destination:
    Here.opened = lambda: backend.open("pool")
    make_collection(2, "Euclid", name="pool").close()
    return Here("here", "pool")


def with_grads(backend: Backend) -> list[dict[str, Any]]:
    """Give every point of the pool a second and a third vector."""
    with backend.open("pool") as pool:
        ids = list(chain.from_iterable(pool.scroll_ids()))
        pool.add_space(GRAD)
        pool.add_space(WORDS)
        grads = np.arange(3 * len(ids), dtype=np.float32).reshape(-1, 3)
        pool.set_vectors(ids, grads, space="grad")
        pool.set_vectors(ids, SparseRows.of([{k: 1.0} for k in range(len(ids))]), space="words")
        return everything(pool)


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
def test_ingest_of_records_erases_no_other_vector(
    backend: Backend, place: Destination, tmp_path: Path
) -> None:
    def ingest(texts: list[str], **extra: Any) -> tuple[int, int, int]:
        lines = "".join(f'{{"id": {k}, "text": "{text}"}}\n' for k, text in enumerate(texts))
        (tmp_path / "pool.jsonl").write_text(lines)
        template = TextTemplate(text_field="text")
        report = ingest_records(
            place,
            [str(tmp_path / "pool.jsonl")],
            template=template,
            embedder=Lengths(),
            settings=RecordSettings(id_field="id"),
            **extra,
        )
        return report.added, report.updated, report.unchanged

    assert ingest(["a", "b b", "c"]) == (3, 0, 0)
    before = {point["id"]: point for point in with_grads(backend)}
    assert ingest(["a", "changed text", "c", "new"]) == (1, 1, 2)
    with backend.open("pool") as pool:
        after = everything(pool)
    assert len(after) == 4
    for point in after:
        if point["payload"]["text"] == "new":
            assert point["grad"] is None
        else:
            old = before[point["id"]]
            assert (point["grad"], point["words"]) == (old["grad"], old["words"])
        if point["payload"]["text"] == "changed text":
            assert point[""] == [12, 2]


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
def test_ingest_of_vectors_erases_no_other_vector(backend: Backend, place: Destination) -> None:
    ingest_vectors(place, ROWS)
    before = with_grads(backend)
    report = ingest_vectors(place, np.concatenate([ROWS[:1], -ROWS[1:], [[9, 9]]]))
    assert (report.added, report.updated, report.unchanged) == (1, 3, 1)
    with backend.open("pool") as pool:
        after = everything(pool)
    assert [point["grad"] for point in after[:4]] == [point["grad"] for point in before]
    assert [point["words"] for point in after[:4]] == [point["words"] for point in before]
    assert after[1][""] == (-ROWS[1]).tolist()


class TestScores:
    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("exact", [True, False])
    def test_a_distance_follows_from_its_score(
        self, make_collection: MakeCollection, metric: Metric, exact: bool
    ) -> None:
        rows = np.random.default_rng(2).normal(size=(60, 6)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        collection = make_collection(metric=metric, vectors=rows)
        collection.check_distances()
        for radius in (None, 1.0):
            hits = collection.search(rows[:4], limit=9, exact=exact, max_distance=radius)
            assert len(hits.scores) == len(hits.ids) == hits.counts.sum()
            assert (score_to_distance(hits.scores, metric) == hits.distances).all()
            assert (hits.scores == hits.scores.astype(np.float32)).all()

    @pytest.mark.parametrize("exact", [True, False])
    def test_products_of_any_length(self, make_collection: MakeCollection, exact: bool) -> None:
        rng = np.random.default_rng(3)
        rows = (rng.normal(size=(200, 8)) * rng.uniform(0.1, 30, (200, 1))).astype(np.float32)
        queries = (5 * rng.normal(size=(7, 8))).astype(np.float32)
        collection = make_collection(metric="Dot", vectors=rows)
        hits = collection.search(queries, limit=11, exact=exact)
        products = queries.astype(np.float64) @ rows.T.astype(np.float64)
        wanted = np.argsort(-products, axis=1)[:, :11]
        assert hits.ids == wanted.ravel().tolist()
        np.testing.assert_allclose(
            hits.scores.reshape(7, 11), np.take_along_axis(products, wanted, 1), rtol=1e-4
        )

    def test_distances_are_refused_where_products_are_none(
        self, backend: Backend, make_collection: MakeCollection
    ) -> None:
        make_collection(metric="Dot", vectors=[[0, 1], [0.0, 1.01]], name="products").close()
        with backend.open("products") as collection:
            for call in (collection.check_distances, lambda: Searcher(collection)):
                with pytest.raises(
                    UnsupportedCollectionError, match=r"point 1 has length 1\.01, not 1"
                ):
                    call()

    def test_the_first_vectors_of_the_space_are_looked_at(self, spaced: Collection) -> None:
        spaced.check_distances()
        with pytest.raises(UnsupportedCollectionError, match="point 0 has length"):
            spaced.at("grad").check_distances()
        with pytest.raises(UnsupportedCollectionError, match=r"'words'.*choose a dense one"):
            spaced.at("words").check_distances()

    def test_a_query_of_another_length_has_no_distances(
        self, make_collection: MakeCollection
    ) -> None:
        collection = make_collection(metric="Dot", vectors=np.eye(3))
        searcher = Searcher(collection)
        with pytest.raises(InputError, match="query 0 is not of unit length"):
            searcher.nearest(np.array([[2, 0, 0]], np.float32), 1)


def test_an_engine_that_holds_its_own_collections_has_one_handle(
    backend: Backend, spaced: Collection
) -> None:
    if isinstance(backend, EdgeBackend):
        assert spaced.at("grad")._shard is spaced._shard  # type: ignore[attr-defined]
    else:
        assert isinstance(backend, ClientBackend)
        assert spaced.at("grad")._session is spaced._session  # type: ignore[attr-defined]
