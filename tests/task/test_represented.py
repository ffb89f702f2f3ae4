"""Task examples in spaces that ``represent`` made: the same vectors as made by hand."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run
from letter_kinds import Revised, letter_kinds

from tsds_qdrant import SelectionSettings, create_collection, open_collection, select
from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.errors import (
    BadRecordError,
    CollectionMismatchError,
    SettingsError,
    TsdsError,
    UnsupportedCollectionError,
)
from tsds_qdrant.guards.settings import GuardSettings
from tsds_qdrant.guards.sources import guard_against
from tsds_qdrant.progress import notices_to
from tsds_qdrant.represented import opening, queries
from tsds_qdrant.task.examples import TaskExamples
from tsds_qdrant.task.settings import Reading
from tsds_qdrant.task.sources import task_examples

LETTERS = "abcde"
TASK = ["abba", "cab", "deed"]
COUNT = 60


def texts_of(count: int = COUNT, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice([*LETTERS], size=6)) for _ in range(count)]


def letters_of(texts: Sequence[str], count: int = 3) -> Float32Array:
    rows = [[text.count(letter) for letter in LETTERS[:count]] for text in texts]
    return np.array(rows, dtype=np.float32)


def made_of_texts(
    place: Path, texts: Sequence[str], name: str = "pool", **metadata: Any
) -> Collection:
    """A collection of texts; its own vectors say nothing."""
    metadata = {"text": {"text_field": "text"}, **metadata}
    made = create_collection(str(place), name, dimension=2, metadata=metadata)
    rows = np.random.default_rng(1).normal(size=(len(texts), 2)).astype(np.float32)
    made.upsert(range(len(texts)), rows, [{"text": text} for text in texts])
    return made


@pytest.fixture(autouse=True)
def _kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with letter_kinds():
        yield


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A collection ``pool`` with ``letters``, and ``centred`` of these."""
    made_of_texts(tmp_path / "store", texts_of()).close()
    represent("letters")
    represent("centred", "--of", "letters")
    written(tmp_path / "task.jsonl", TASK)
    Revised.texts()
    return tmp_path


def represent(kind: str, *words: str, collection: str = "pool") -> None:
    run("represent", kind, "--qdrant", "store", "--collection", collection, *words)


def written(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def examples(vector: str, source: str = "task.jsonl", **reading: Any) -> TaskExamples:
    with open_collection("store", "pool", vector=vector) as pool:
        return task_examples(source, pool.info(), Reading(**reading), collection=pool)


def test_texts_become_the_vectors_of_the_space(store: Path) -> None:
    found = examples("letters")
    assert found.vectors.tolist() == letters_of(TASK).tolist()
    assert found.texts == TASK
    mean = letters_of(texts_of()).mean(axis=0, dtype=np.float64)
    assert examples("centred").vectors == pytest.approx(letters_of(TASK) - mean, abs=1e-6)


@pytest.mark.parametrize("vector", ["letters", "centred"])
def test_p_is_that_of_vectors_made_by_hand(store: Path, vector: str) -> None:
    rows, wanted = letters_of(texts_of()), letters_of(TASK)
    if vector == "centred":
        mean = rows.mean(axis=0, dtype=np.float64)
        rows, wanted = ((one - mean).astype(np.float32) for one in (rows, wanted))
    with create_collection("hand", "pool", dimension=3, metric="Euclid") as by_hand:
        by_hand.upsert(range(COUNT), rows)
        expected = select(by_hand, wanted, SelectionSettings.of(sizes=(9,)))
    with open_collection("store", "pool", vector=vector) as pool:
        found = select(pool, examples_in(pool), SelectionSettings.of(sizes=(9,)))
    assert found.selected_ids == expected.selected_ids
    assert found.transport.alpha == expected.transport.alpha
    both = [dict(zip(one.ids, one.probabilities, strict=True)) for one in (found, expected)]
    assert both[0] == pytest.approx(both[1], abs=1e-9)


def examples_in(pool: Collection) -> TaskExamples:
    return task_examples("task.jsonl", pool.info(), collection=pool)


def test_vectors_derived_from_those_of_the_text_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = texts_of()
    rows = letters_of(texts, 4) + np.float32(0.5)
    with create_collection(
        *("store", "pool"),
        dimension=4,
        metadata={"model": "four", "max_length": 8, "text": {"text_field": "text"}},
    ) as made:  # under Cosine, so that vectors are stored with length 1
        made.upsert(range(COUNT), rows, [{"text": text} for text in texts])
    represent("centred")
    represent("centred", "--of", "centred", "--name", "twice")
    written(tmp_path / "task.jsonl", TASK)
    asked: list[tuple[str, Any]] = []

    class Four:
        def __init__(self, name: str, **how: Any) -> None:
            asked.append((name, how["max_length"]))

        def encode(self, texts: Sequence[str], on_batch: Any = None) -> Float32Array:
            return letters_of(texts, 4) + np.float32(0.5)

    monkeypatch.setattr(opening, "embedder_named", Four)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    own = letters_of(TASK, 4) + np.float32(0.5)
    expected = own / np.linalg.norm(own, axis=1, keepdims=True) - unit.mean(axis=0)
    assert examples("centred").vectors == pytest.approx(expected, abs=1e-6)
    assert asked == [("four", 8)]
    assert examples("twice").vectors == pytest.approx(expected, abs=1e-6)
    with pytest.raises(CollectionMismatchError, match=r"derived from those of model 'four'.*leave"):
        examples("centred", model="five")


def test_a_space_whose_maker_is_not_known_is_no_source(tmp_path: Path) -> None:
    made_of_texts(tmp_path / "store", texts_of()).close()
    represent("centred")
    written(tmp_path / "task.jsonl", TASK)
    with pytest.raises(SettingsError, match=r"does not say which model made those; .* \.npy"):
        examples("centred")
    np.save("Q.npy", np.ones((2, 2), dtype=np.float32))
    assert len(examples("centred", "Q.npy").vectors) == 2


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"text": "buzz"}, "gives numbers that are not finite, so it has no vector 'letters'"),
        ({"text": ""}, "text"),
        ({"other": "abc"}, "text"),
        ({"text": None}, "text"),
    ],
)
def test_an_example_without_a_vector_is_named(store: Path, bad: Any, said: str) -> None:
    with Path("task.jsonl").open("a") as stream:
        stream.write(json.dumps(bad) + "\n")
    with pytest.raises(BadRecordError, match=said) as error:
        examples("letters")
    assert "task.jsonl:4'" in str(error.value)
    Path("task.jsonl").write_text("".join(Path("task.jsonl").read_text().splitlines(True)[:3]))
    assert len(examples("letters").vectors) == 3


def test_a_task_that_would_be_made_otherwise_is_refused(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Revised, "revision", 2)
    for vector in ("letters", "centred"):
        with pytest.raises(CollectionMismatchError, match=r"the task's.*\(model\.revision\)"):
            examples(vector)
    monkeypatch.setattr(Revised, "revision", 1)
    examples("letters")


def test_candidates_whose_source_was_made_again_are_refused(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Revised, "revision", 2)
    represent("letters", "--again")
    assert examples("letters").vectors.tolist() == letters_of(TASK).tolist()
    with pytest.raises(CollectionMismatchError, match="the candidates' vectors 'centred'") as said:
        examples("centred")
    run(*shlex.split(str(said.value).split("make them again: ")[1])[1:])
    mean = letters_of(texts_of()).mean(axis=0)
    assert examples("centred").vectors == pytest.approx(letters_of(TASK) - mean, abs=1e-6)


@pytest.mark.parametrize("harm", ["gone", "cut", "other"])
def test_what_was_learnt_and_is_not_there_is_learnt_again(store: Path, harm: str) -> None:
    (file,) = Path("store/pool/tsds_representations").iterdir()
    content = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2] if harm == "cut" else b"PK\x03\x04 else")
    with pytest.raises(TsdsError, match=f"{file.name}.*or learn it again") as said:
        examples("centred")
    run(*shlex.split(str(said.value).split("learn it again: ")[1])[1:])
    assert len(examples("centred").vectors) == 3


def test_the_task_is_made_once(store: Path) -> None:
    first = examples("letters")
    assert Revised.texts() == TASK
    again = examples("letters")
    assert Revised.texts() == []
    assert again.vectors.tolist() == first.vectors.tolist()
    assert again.texts == first.texts
    written(Path("task.jsonl"), [*TASK[:2], "dead"])
    assert examples("letters").vectors.tolist() == letters_of([*TASK[:2], "dead"]).tolist()
    assert len(Revised.texts()) == 3
    represent("letters", "--name", "five", "--letters", "5")
    Revised.texts()
    assert examples("five").vectors.shape == (3, 5)
    assert len(Revised.texts()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["cut", "empty", "swapped", "directory", "read-only"])
def test_a_cache_that_cannot_be_used_is_done_without(
    store: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples("letters")
    (file,) = Path("cache/tsds-qdrant/queries").iterdir()
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-40])
    elif harm == "empty":
        file.write_bytes(b"")
    elif harm == "swapped":
        np.savez(file, rows=np.ones((2, 3), dtype=np.float32))
    elif harm == "directory":
        file.unlink()
        file.mkdir()
    else:
        Path("blocked").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", "blocked")
    Revised.texts()
    assert examples("letters").vectors.tolist() == letters_of(TASK).tolist()
    assert Revised.texts() == TASK
    examples("letters")
    assert Revised.texts() == ([] if harm in ("cut", "empty", "swapped") else TASK)


def test_the_cache_forgets_what_was_not_used_for_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_FILES", 3)
    rows = np.ones((1, 2), dtype=np.float32)

    def kept() -> list[str]:
        return sorted(file.stem for file in Path("cache/tsds-qdrant/queries").iterdir())

    for key in "abc":
        queries.remember(key, rows)
        file = Path(f"cache/tsds-qdrant/queries/{key}.npz")
        past = ord(key) * 10**9
        os.utime(file, ns=(past, past))
    assert queries.recalled("a", 1) is not None
    queries.remember("d", rows)
    assert kept() == ["a", "c", "d"]
    monkeypatch.setattr(queries, "MOST_BYTES", 2 * Path(file).stat().st_size)
    queries.remember("e", rows)
    assert len(kept()) == 2
    queries.remember("f", np.ones((1000, 2), dtype=np.float32))
    assert "f" not in kept()


def test_vectors_of_a_file_are_taken_as_they_are(store: Path) -> None:
    np.save("Q.npy", letters_of(TASK))
    assert examples("letters", "Q.npy").vectors.tolist() == letters_of(TASK).tolist()


def test_points_of_a_collection_made_in_the_same_way(store: Path) -> None:
    made_of_texts(store / "store", TASK, "task").close()
    with pytest.raises(CollectionMismatchError, match="'task' has no vectors 'letters'") as said:
        examples("letters", "collection:task")
    run(*shlex.split(str(said.value).split("make them: ")[1])[1:])
    assert examples("letters", "collection:task").vectors.tolist() == letters_of(TASK).tolist()


def test_points_of_a_collection_made_otherwise(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_of_texts(store / "store", TASK, "task").close()
    monkeypatch.setattr(Revised, "revision", 2)
    represent("letters", collection="task")
    with pytest.raises(CollectionMismatchError, match=r"the task's.*\(model\.revision\)"):
        examples("letters", "collection:task")
    with create_collection("store", "foreign", dimension=3) as made:
        made.add_space(Space.dense("letters", 3, "Euclid"))
    with pytest.raises(CollectionMismatchError, match="by something else than represent"):
        examples("letters", "collection:foreign")


def test_points_of_a_collection_of_which_some_were_made_otherwise(store: Path) -> None:
    made_of_texts(store / "store", TASK, "task").close()
    represent("letters", collection="task")
    with open_collection("store", "task") as task:
        task.set_vectors([0], np.zeros((1, 3), dtype=np.float32), space="letters")
        task.delete_payload("_tsds_made.letters", [0])
    with pytest.raises(CollectionMismatchError, match=r"1 of 3 vectors 'letters' of .* 'task'"):
        examples("letters", "collection:task")


@pytest.mark.parametrize("said", [{"model": "other"}, {"max_length": 9}, {"backend": "onnx"}])
def test_a_setting_that_the_kind_does_not_have(store: Path, said: dict[str, Any]) -> None:
    flag = f"--{next(iter(said)).replace('_', '-')}"
    with pytest.raises(SettingsError, match=f"{flag} does not belong to the vectors 'letters'"):
        examples("letters", **said)


def test_the_model_of_other_vectors_is_not_taken(tmp_path: Path) -> None:
    made_of_texts(tmp_path / "store", texts_of(), model="for-the-others").close()
    with open_collection("store", "pool") as pool:
        pool.add_space(Space.dense("mine", 3, "Euclid"))
        pool.set_vectors([0], np.ones((1, 3), dtype=np.float32), space="mine")
    written(tmp_path / "task.jsonl", TASK)
    with pytest.raises(SettingsError, match="does not say which model made its vectors"):
        examples("mine")


def test_the_collection_is_asked_for(store: Path) -> None:
    with (
        open_collection("store", "pool", vector="letters") as pool,
        pytest.raises(SettingsError, match="give the open collection too"),
    ):
        task_examples("task.jsonl", pool.info())


def test_a_kind_of_a_newer_version(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tsds_qdrant.representations import catalog

    monkeypatch.setattr(catalog, "KINDS", {})
    with pytest.raises(CollectionMismatchError, match="'represent letters', which this version"):
        examples("letters")


@pytest.mark.parametrize(
    ("kind", "said"),
    [("bags", "'bags' of collection 'pool' is sparse"), ("lengths", "'lengths' .* no vector")],
)
def test_what_cannot_be_searched(store: Path, kind: str, said: str) -> None:
    represent(kind)
    with pytest.raises(UnsupportedCollectionError, match=f"{said}.*choose one with --vector"):
        examples(kind)


def test_copies_of_test_items_are_found_in_the_space(store: Path) -> None:
    wanted = SelectionSettings.of(sizes=(20,))
    settings = GuardSettings(sources=("test.jsonl",), ngrams=0, radius=0.5)
    with open_collection("store", "pool", vector="letters") as pool:
        free = select(pool, examples_in(pool), wanted).selected_ids
        copied = letters_of([texts_of()[int(free[0])]])
        same = {k for k, text in enumerate(texts_of()) if (letters_of([text]) == copied).all()}
        written(store / "test.jsonl", [texts_of()[int(free[0])]])
        guard = guard_against(settings, pool.info(), collection=pool)
        found = select(pool, examples_in(pool), wanted, guard=guard).selected_ids
    assert same & set(free)
    assert not same & set(found)


@pytest.mark.parametrize(
    ("records", "count"),
    [
        ([{"prompt": "ab", "chosen": "c", "rejected": "d"}] * 2 + [{"text": "abc"}], 2),
        ([{"prompt": "ab", "chosen": "c", "rejected": "d"}], 1),
        ([{"text": "abc"}, {"prompt": "ab", "completion": "c"}], 0),
        ([{"text": "abc", "rejected": "d"}], 0),
    ],
)
def test_preferences_that_count_by_their_chosen_answer_are_said(
    tmp_path: Path, records: list[dict[str, str]], count: int
) -> None:
    made_of_texts(tmp_path / "store", texts_of(), text={}).close()
    represent("letters")
    Path("mixed.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    said: list[str] = []
    with notices_to(said.append):
        examples("letters", "mixed.jsonl")
    told = [line for line in said if "are preferences" in line]
    assert len(told) == (count > 0)
    if count:
        assert told[0].startswith(f"{count} of {len(records)} task examples are preferences")
        assert "the strategy 'rose' goes by both answers" in told[0]
