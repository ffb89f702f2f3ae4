"""Representations of a whole collection: complete, marked, resumable, and never mixed."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pytest
from conftest import MakeCollection
from letters import Bags, Centred, Lengths, Letters

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MADE_FIELD, Stamp
from tsds_qdrant.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    InputError,
    SettingsError,
    UnsupportedCollectionError,
)
from tsds_qdrant.ingestion import represent as job
from tsds_qdrant.ingestion.represent import represent
from tsds_qdrant.ingestion.represent_report import RepresentReport, RepresentSettings
from tsds_qdrant.ingestion.stored import change_of
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.showing import Showing
from tsds_qdrant.represented.marks import Standing, kept_of, standing

TEXTS = ["abc", "aab", "bbb", "caz", "", "c", "abcabc", "dd"]
FINE = [k for k, text in enumerate(TEXTS) if text and "z" not in text]
TEXT = Showing(TextTemplate(text_field="text"))


@pytest.fixture
def pool(make_collection: MakeCollection) -> Collection:
    """Eight points; one shows no text, and the vector of another cannot be made."""
    rows = np.random.default_rng(1).normal(size=(len(TEXTS), 2))
    payloads = [{"text": text, "n": k, "deep": {"a": [k]}} for k, text in enumerate(TEXTS)]
    return make_collection(metric="Euclid", vectors=rows, payloads=payloads, name="pool")


def made(collection: Collection, one: Any = None, **settings: Any) -> RepresentReport:
    run = RepresentSettings(**settings)
    return represent(collection, one or Letters(), TEXT, settings=run, kind="letters")


def stored(collection: Collection, name: str) -> dict[Any, Any]:
    ids = list(chain.from_iterable(collection.scroll_ids()))
    records = collection.at(name).retrieve(ids, payloads=False, vectors=True)
    rows = {}
    for record in records:
        if record.sparse is not None:
            ((indices, values),) = record.sparse.pairs()
            rows[record.id] = dict(zip(indices, values, strict=True))
        elif record.vector is not None:
            rows[record.id] = record.vector.tolist()
    return rows


def marks(collection: Collection, name: str) -> dict[Any, Any]:
    ids = list(chain.from_iterable(collection.scroll_ids()))
    found = collection.retrieve(ids, payloads=[MADE_FIELD])
    kept = {record.id: record.payload.get(MADE_FIELD, {}).get(name) for record in found}
    return {
        point_id: {key: value for key, value in mark.items() if key not in ("fp", "kept")}
        for point_id, mark in kept.items()
        if mark
    }


def letters_of(text: str) -> list[float]:
    return [float(text.count(letter)) for letter in "abc"]


def test_each_point_has_its_vector_and_values(pool: Collection) -> None:
    before = {r.id: (r.payload, r.vector.tolist()) for r in pool.retrieve(range(8), vectors=True)}  # type: ignore[union-attr]
    report = made(pool)
    assert (report.read, report.made, report.count) == (8, 6, 8)
    assert dict(report.without) == {"nonfinite": 1, "no_text": 1}
    assert stored(pool, "letters") == {k: letters_of(TEXTS[k]) for k in FINE}
    assert marks(pool, "letters") == {
        **{k: {"length": len(TEXTS[k])} for k in FINE},
        3: {"length": 3, "status": "nonfinite"},
        4: {"status": "no_text"},
    }
    after = {r.id: (r.content, r.vector.tolist()) for r in pool.retrieve(range(8), vectors=True)}  # type: ignore[union-attr]
    assert after == before


def test_a_second_run_makes_what_is_new_alone(pool: Collection) -> None:
    made(pool)
    assert made(pool).read == 0
    pool.upsert([70, 71], np.ones((2, 2), np.float32), [{"text": "ca"}, {"text": "cc"}])
    again = Letters()
    assert (made(pool, again).made, again.seen) == (2, ["ca", "cc"])
    assert stored(pool, "letters")[71] == [0, 0, 2]


def test_what_an_upsert_of_somebody_else_erased_is_made_again(pool: Collection) -> None:
    made(pool)
    kept = kept_of(pool, "letters")
    assert kept is not None
    pool.delete([2])
    pool.upsert([0, 2], np.ones((2, 2), np.float32), [{"text": "cab"}, {"text": "bbb"}])
    # Our own upsert keeps the other vectors; point 0 has the one of another text.
    assert standing(pool, "letters", kept) == Standing(8, 4, 2, 1)
    again = Letters()
    made(pool, again)
    assert again.seen == ["cab", "bbb"]
    assert stored(pool, "letters")[0] == [1, 1, 1]
    assert standing(pool, "letters", kept) == Standing(8, 6, 2, 0)


def test_a_vector_that_cannot_be_made_again_is_gone(pool: Collection) -> None:
    made(pool)
    other = Showing(TextTemplate(template="{text}{z?}"))
    payloads = [{"text": "abz"}, {}]
    ids = [5, 6]
    rows = np.stack([one.vector for one in pool.retrieve(ids, vectors=True)])  # type: ignore[misc]
    pool.upsert(ids, rows, payloads)
    report = represent(pool, Letters(), other, settings=RepresentSettings(again=True))
    assert dict(report.without) == {"nonfinite": 2, "no_text": 2}
    assert set(stored(pool, "letters")) == {0, 1, 2, 7}
    kept = kept_of(pool, "letters")
    assert kept is not None
    assert standing(pool, "letters", kept) == Standing(8, 4, 4, 0)


def test_an_interrupted_run_goes_on_where_it_was(
    pool: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "FIRST_PART", 2)
    monkeypatch.setattr(job, "LARGEST_PART", 2)
    seen: list[str] = []
    for parts in (1, 2, 9):
        one = Letters(dies_after=parts)
        try:
            made(pool, one)
        except KeyboardInterrupt:
            assert parts < 9
        seen += one.seen
    assert sorted(seen) == sorted(text for text in TEXTS if text)  # no work twice
    assert stored(pool, "letters") == {k: letters_of(TEXTS[k]) for k in FINE}


@pytest.mark.parametrize("moment", ["set_vectors", "set_payload"])
def test_a_run_that_is_killed_while_it_writes_leaves_nothing_wrong(
    moment: str, pool: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(type(pool), moment, dies)
        with pytest.raises(KeyboardInterrupt):
            made(pool)
    kept = kept_of(pool, "letters")
    assert kept is not None
    half = standing(pool, "letters", kept)
    assert half is not None
    assert half.made == 0
    assert half.otherwise == (6 if moment == "set_payload" else 0)
    made(pool)
    assert standing(pool, "letters", kept) == Standing(8, 6, 2, 0)
    assert stored(pool, "letters") == {k: letters_of(TEXTS[k]) for k in FINE}


def test_another_setting_is_no_mixture(pool: Collection) -> None:
    made(pool)
    with pytest.raises(CollectionMismatchError, match=r"made otherwise \(letters\).*--again"):
        made(pool, Letters(4))
    other = Showing(TextTemplate(template="{text}{text}"))
    with pytest.raises(CollectionMismatchError, match=r"otherwise \(text.template, text.text"):
        represent(pool, Letters(), other)
    with pytest.raises(CollectionMismatchError, match="dimension 3"):
        made(pool, Letters(4), again=True)
    assert represent(pool, Letters(), other, settings=RepresentSettings(again=True)).made == 6
    assert stored(pool, "letters")[0] == [2, 2, 2]
    assert made(pool, Letters(4, "four")).made == 6
    assert stored(pool, "four")[7] == [0, 0, 0, 2]


def test_a_filter_leaves_the_others_for_later(pool: Collection) -> None:
    where = {"must": [{"key": "n", "range": {"lt": 3}}]}
    assert made(pool, where=where).made == 3
    kept = kept_of(pool, "letters")
    assert kept is not None
    assert standing(pool, "letters", kept) == Standing(8, 3, 0, 0)
    assert standing(pool, "letters", kept, where) == Standing(3, 3, 0, 0)
    assert made(pool).made == 3


def test_sparse_rows_and_values_alone(pool: Collection) -> None:
    made(pool, Bags(name="bags"))
    made(pool, Lengths(name="lengths"))
    bags = {k: {i: n for i, n in enumerate(letters_of(TEXTS[k])) if n} for k in FINE}
    assert {k: row for k, row in stored(pool, "bags").items() if row} == {
        k: row for k, row in bags.items() if row
    }
    assert "lengths" not in pool.spaces
    assert marks(pool, "lengths")[6] == {"length": 6}
    assert marks(pool, "lengths")[3] == {"length": 3}
    assert made(pool, Bags(name="bags")).read == made(pool, Lengths(name="lengths")).read == 0


def test_what_is_learnt_is_learnt_once(
    pool: Collection, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    made(pool)
    report = made(pool, Centred("letters"))
    assert (report.made, report.missing) == (6, 2)
    rows = np.array([letters_of(TEXTS[k]) for k in FINE])
    wanted = dict(zip(FINE, (rows - rows.mean(axis=0)).tolist(), strict=True))
    found = stored(pool, "centred")
    assert {k: pytest.approx(row, abs=1e-6) for k, row in found.items()} == wanted
    pool.upsert([70], np.ones((1, 2), np.float32), [{"text": "aaaa"}])
    made(pool)
    second = Centred("letters")
    assert made(pool, second).made == 1
    assert second.mean == pytest.approx(rows.mean(axis=0))
    assert stored(pool, "centred")[70] == pytest.approx([4, 0, 0] - rows.mean(axis=0), abs=1e-6)
    assert made(pool, Centred("letters"), again=True).made == 7
    other = Showing(TextTemplate(template="{text}{text}"))
    represent(pool, Letters(), other, settings=RepresentSettings(again=True))
    with pytest.raises(CollectionMismatchError, match=r"source\.made_by"):
        made(pool, Centred("letters"))


def test_nothing_takes_the_place_of_another_kind(pool: Collection) -> None:
    made(pool)
    for again in (False, True):
        with pytest.raises(SettingsError, match="'letters' cannot be made of itself; give it ano"):
            made(pool, Centred("letters", "letters"), again=again)
        settings = RepresentSettings(again=again)
        with pytest.raises(CollectionMismatchError, match="is of the kind letters, not lengths; "):
            represent(pool, Lengths(), TEXT, settings=settings, kind="lengths")
    assert stored(pool, "letters") == {k: letters_of(TEXTS[k]) for k in FINE}
    made(pool, Bags(name="bags"))
    with pytest.raises(UnsupportedCollectionError, match=r"'bags' .* is sparse, not dense"):
        made(pool, Centred("bags"))


def test_sources_that_are_not_there(pool: Collection) -> None:
    with pytest.raises(CollectionNotFoundError, match="has no space 'gradient'"):
        made(pool, Centred("gradient"))
    made(pool, where={"must": [{"key": "n", "match": {"value": 99}}]})
    with pytest.raises(InputError, match=r"no candidate has a vector 'letters'; name another"):
        made(pool, Centred("letters"))


def test_an_ingest_that_changes_a_point_takes_its_marks(pool: Collection) -> None:

    made(pool)
    (record,) = pool.retrieve([0])
    assert MADE_FIELD in change_of(record, {"text": "new"}, Stamp("w" * 16, 2))[1]
