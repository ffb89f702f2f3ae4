"""Bad data gets one sentence with the value and the next step, before anything is embedded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from letter_counts import Counting, counted, made_up
from locked import open_elsewhere

from tsds_qdrant import ingest, open_collection, select_from
from tsds_qdrant.errors import (
    BadRecordError,
    CollectionLockedError,
    CollectionMismatchError,
    EmbeddingError,
    InputError,
    SettingsError,
    SupportError,
    TsdsError,
    UnsupportedCollectionError,
)

TEXTS = made_up(12)
X = np.random.default_rng(0).normal(size=(20, 4))
NAN, ZERO = X.copy(), X.copy()
NAN[3, 2], ZERO[7] = np.nan, 0

BAD: list[tuple[Any, Any, dict[str, Any], type[TsdsError], str]] = [
    (X, X[:3, :2], {}, InputError, "the task has 2 dimensions and the pool 4; make both by"),
    ([], X, {}, InputError, "'pool' is empty, a list without rows; give at least one row"),
    (pd.DataFrame({"text": []}), TEXTS, {}, InputError, "'pool' is empty, a DataFrame without"),
    (X, [], {}, InputError, "'task' is empty"),
    (X[:0], X, {}, InputError, "'pool' is empty, its shape is (0, 4)"),
    (X[0], X, {}, InputError, "'pool' holds an array of shape (4,); it must be (vectors, dim"),
    (X > 0, X, {}, InputError, "'pool' holds bool; convert it with .astype('float32')"),
    (X, X, {"size": 21}, SupportError, "size is 21, and the pool has 20 rows; give size=20"),
    (TEXTS, TEXTS, {"size": 99}, SupportError, "size is 99, and the pool has 12 rows"),
    (X, X, {"size": None}, SettingsError, "no size is given; give size=1000 or ratio=0.01"),
    (NAN, X, {}, InputError, "vector 3 holds NaN or infinity; remove or repair that row"),
    (X, NAN, {}, InputError, "row 3 of 'task' holds NaN or infinity; remove or repair it"),
    (ZERO, X, {}, InputError, "vector 7 has length zero"),
    (X, ZERO, {}, InputError, "task example 7 has length zero"),
    (X, TEXTS, {"model": None}, SettingsError, "the task is a list without any; give model"),
    ([*TEXTS, {"text": "a"}], TEXTS, {}, InputError, 'row 12 of \'pool\' is {"text": "a"}, of t'),
    ([{"text": "a"}, "b"], TEXTS, {}, InputError, "row 1 of 'pool' is \"b\", of type str, amo"),
    ([*TEXTS, None], TEXTS, {}, InputError, "row 12 of 'pool' is null, of type NoneType"),
    ([*TEXTS, " "], TEXTS, {}, InputError, "row 12 of 'pool' is empty in 'text'; fill it"),
    (pd.Series(["a", np.nan]), TEXTS, {}, InputError, "row 1 of 'pool' is null"),
    ([1, 2, 3], TEXTS, {}, InputError, "'pool' holds 1, of type int, no text and no record; give"),
    ({"text": TEXTS}, TEXTS, {}, InputError, "a dict of columns becomes one by pandas.DataFrame"),
    ({"a", "b"}, TEXTS, {}, InputError, "'pool' is a set"),
    (None, TEXTS, {}, InputError, "'pool' is a NoneType, null; give a list of texts"),
    (b"bytes", TEXTS, {}, InputError, "'pool' is a bytes"),
    ([[1.0, 2.0], [1.0]], X, {}, InputError, "the rows of 'pool' are no vectors of one length"),
    (pd.DataFrame([[1, 2]], columns=["t", "t"]), TEXTS, {}, InputError, "the column 't' twice"),
    (pd.DataFrame({"body": ["a"]}), TEXTS, {"text_field": "bdy", "size": 1}, InputError,
     "row 0 of 'pool' has no field 'bdy' (its fields: body); did you mean 'body'?"),
    (pd.DataFrame({"x": ["a"]}), TEXTS, {"size": 1}, BadRecordError,
     "row 0 of 'pool' has no field that is known to hold its text (its fields: x); name it with "
     "text_field or template"),
    (pd.DataFrame({"body": TEXTS}), pd.DataFrame({"q": ["a"]}), {"text_field": "body"}, InputError,
     "row 0 of 'task' has no field 'body' (its fields: q); name one of them (task_text_field"),
    ("pool.jsonl", TEXTS, {}, InputError, "'pool' is \"pool.jsonl\", which is no file; give the"),
    (Path("nowhere/x.npy"), X, {}, InputError, "'nowhere/x.npy' does not exist; check the path"),
    ("what is a socket?", TEXTS, {}, InputError, "no file; give the path of one, or texts"),
    ("some text " * 500, TEXTS, {}, InputError, "which is no file; give the path of one, or texts"),
    (TEXTS, TEXTS, {"payloads": [{}] * 12}, InputError, "payloads are given, and 'pool' is a list"),
    (X, X, {"payloads": [{"a": 1}]}, InputError, "20 vectors for 1 records; give one row each"),
    (X, X, {"payloads": X}, InputError, "payloads are a ndarray; give records, or texts"),
    (TEXTS, TEXTS, {"model": 5}, SettingsError, "model is 5; give the name of a model, an object"),
    (TEXTS, TEXTS, {"model": " "}, SettingsError, "model is an empty text"),
    (TEXTS, TEXTS, {"max_length": 20}, SettingsError, "max_length is for a model that is given by"),
    (TEXTS, TEXTS, {"model": len}, EmbeddingError, "the model 'builtins.len' made 12 of 12 texts;"),
    (TEXTS, TEXTS, {"model": lambda texts: np.eye(3)}, EmbeddingError, "shape (3, 3) of 12 texts"),
    (X, X, {"qdrant": "store"}, SettingsError, "qdrant is 'store' and no collection is named"),
    (X, X, {"qdrant": "localhost:6333", "collection": "a"}, SettingsError, "http://localhost:6333"),
    (X, X, {"qdrant": Path("http://a"), "collection": "a"}, SettingsError, "give it as a text"),
    (X, X, {"state": "run"}, SettingsError, "state is 'run', and its collection would be removed"),
    (X, "collection:other", {}, TsdsError, "no collection 'other'"),
    (X, X, {"filter": {"source": "news"}}, SettingsError,
     "filter {'source': 'news'} has no clause 'source'; give \"source=20ng\""),
    (X, X, {"filter": ["source=news"]}, SettingsError, "which is no filter; give \"source=20ng\""),
    (X, X, {"metric": "l2"}, SettingsError, "metric is 'l2'; choose one of Cosine"),
    ([{"text": "a", "id": 1}, {"text": "b", "id": 1}], TEXTS, {"id_field": "id", "size": 1},
     InputError, "row 1 of 'pool' has the id 1 of an earlier record that differs"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("pool", "task", "more", "kind", "words"), BAD, ids=[words[:40] for *_, words in BAD]
)
def test_bad_data_is_refused_with_the_value_and_the_next_step(
    pool: Any, task: Any, more: dict[str, Any], kind: type[TsdsError], words: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    ready = isinstance(pool, np.ndarray) and isinstance(task, np.ndarray)
    more = {"size": 2, **({} if ready else {"model": counted}), **more}
    with pytest.raises(kind) as caught:
        select_from(pool, task, **more)
    message = str(caught.value)
    assert words in message
    assert "--" not in message
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


def test_what_can_be_refused_is_refused_before_a_text_is_embedded() -> None:
    model = Counting()
    for task, more in (
        (TEXTS, {"size": 13}),
        ([*TEXTS, 5], {}),
        (pd.DataFrame({"q": ["a"]}), {"text_field": "text"}),
        (TEXTS, {"seed": -1}),
        (np.array([[np.nan, 1.0]]), {}),
    ):
        with pytest.raises(TsdsError):
            select_from(TEXTS, task, **{"size": 2, "model": model, **more})
    assert model.texts == 0


def test_the_next_step_is_a_next_step() -> None:
    """Advice is followed to its end."""
    assert len(select_from(X, X, size=20, keep_task_examples=True)) == 20
    assert len(select_from((X > 0).astype("float32") + 0.1, X, 2)) == 2
    frame = pd.DataFrame({"body": TEXTS})
    question = pd.DataFrame({"q": TEXTS[:2]})
    more: dict[str, Any] = {"text_field": "body", "task_text_field": "q", "model": counted}
    assert len(select_from(frame, question, 2, **more)) == 2
    more = {"model": counted, "keep_task_examples": True}
    assert len(select_from([*TEXTS, None, " "], TEXTS, 2, on_bad_record="skip", **more)) == 2
    assert len(select_from(pd.DataFrame({"text": TEXTS}), TEXTS, 2, **more)) == 2
    assert len(select_from(X[:, :4], TEXTS[:3], 2, model=lambda t: counted(t)[:, :4])) == 2


class TestModelsAndPlaces:
    """What a kept collection was made with."""

    def test_another_model_is_refused_by_what_it_makes(self, tmp_path: Path) -> None:
        place: dict[str, Any] = {"qdrant": tmp_path, "collection": "pool"}
        ingest(TEXTS, model=counted, **place)

        def other(texts: Any) -> Any:
            return counted(texts)[:, ::-1]

        other.__qualname__, other.__module__ = counted.__qualname__, counted.__module__
        with pytest.raises(CollectionMismatchError, match=r"gives point .* another vector"):
            select_from(TEXTS, TEXTS[:2], 3, model=other, **place)
        renamed = Counting()
        assert len(select_from(TEXTS, TEXTS[:2], 3, model=renamed, **place)) == 3
        with open_collection(tmp_path, "pool") as opened:
            assert opened.info().model == "letter_counts.counted"

    def test_vectors_of_another_dimension_are_refused(self, tmp_path: Path) -> None:
        place: dict[str, Any] = {"qdrant": tmp_path, "collection": "pool"}
        ingest(X, **place)
        with pytest.raises(CollectionMismatchError, match="dimension 2, those of coll"):
            select_from(X[:, :2], X[:2, :2], 3, **place)
        with pytest.raises(InputError, match="of shape 3 x 2 do not fit a collection of dimension"):
            select_from(X, TEXTS[:3], 3, model=lambda t: counted(t)[:, :2], **place)

    def test_a_place_that_another_process_has_open_is_named(self, tmp_path: Path) -> None:
        ingest(X, qdrant=tmp_path, collection="pool")
        with (
            open_elsewhere(tmp_path, "pool"),
            pytest.raises(CollectionLockedError),
        ):
            select_from(X, X[:2], 3, qdrant=tmp_path, collection="pool")
        assert len(select_from(X, X[:2], 3, qdrant=tmp_path, collection="pool")) == 3


def test_progress_is_a_callback_or_bars(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, int, int]] = []
    select_from(TEXTS, TEXTS[:2], 3, model=counted, progress=lambda *said: seen.append(said))
    assert {"ingest", "task examples"} <= {stage for stage, _, _ in seen}
    assert capsys.readouterr().err == ""
    select_from(TEXTS, TEXTS[:2], 3, model=counted, progress=True)
    bars = capsys.readouterr().err
    assert "ingest: 100%" in bars
    assert "task examples: 100%" in bars
    assert "12/12" in bars


def test_the_callers_data_stay_as_they_are() -> None:
    rows = [{"text": text, "vec": row.tolist()} for text, row in zip(TEXTS, X, strict=False)]
    before = [{**row, "vec": [*row["vec"]]} for row in rows]
    select_from(rows, rows[:2], 3, vector_field="vec", drop_columns="text")
    assert rows == before
    vectors = X.copy()
    select_from(vectors, vectors[:2], 3)
    np.testing.assert_array_equal(vectors, X)


def test_a_strategy_of_other_vectors_is_refused_unless_these_are_named() -> None:
    with pytest.raises(UnsupportedCollectionError) as refused:
        select_from(X, X[:3], 2, strategy="less")
    said = str(refused.value)
    assert said.startswith("the strategy 'less' goes by vectors of 'represent gradient', of which")
    assert "to compare other vectors all the same, name them with vector" in said
    assert "--vector" not in said
    assert "or make some: tsds-qdrant represent gradient --model MODEL --qdrant " in said
    assert len(select_from(X, X[:3], 2, strategy="less", vector="")) == 2
    assert len(select_from(X, X[:3], 2, strategy="tarot")) == 2  # which can do without its own
