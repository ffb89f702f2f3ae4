"""Candidates without a vector are said, a mixture is refused, and the advice ends both."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from conftest import MakeCollection
from letter_kinds import Revised, letter_kinds

from tsds_qdrant import SelectionSettings, create_collection, open_collection, select
from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.limits import Limits
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MADE_FIELD, MANIFESTS
from tsds_qdrant.errors import CollectionMismatchError
from tsds_qdrant.ingestion.represent import represent
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.progress import notices_to
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.showing import Showing
from tsds_qdrant.represented.marks import described, kept_of, standing
from tsds_qdrant.represented.whole import check_whole

TEXT = Showing(TextTemplate(text_field="text"))
PLACE = ("--qdrant", "store", "--collection", "pool")
TASK = (*PLACE, "--vector", "letters", "--queries", "Q.npy")
COUNT = 40


@pytest.fixture(autouse=True)
def _kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with letter_kinds():
        yield


def payloads() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [{"text": "".join(rng.choice([*"abcd"], size=5)), "n": k} for k in range(COUNT)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with create_collection("store", "pool", dimension=2) as pool:
        rows = np.random.default_rng(1).normal(size=(COUNT, 2)).astype(np.float32)
        pool.upsert(range(COUNT), rows, payloads())
    np.save("Q.npy", np.array([[1, 2, 0], [0, 3, 1]], dtype=np.float32))
    run("represent", "letters", *PLACE, "--text-field", "text", "--no-upper")
    return tmp_path


def spoil(pool: Collection, ids: list[int]) -> None:
    """Another program writes vectors of its own."""
    pool.set_vectors(ids, np.full((len(ids), 3), 7, dtype=np.float32), space="letters")
    pool.delete_payload(f"{MADE_FIELD}.letters", ids)


def advised(text: str, words: str) -> None:
    run(*shlex.split(text.split(words)[1].splitlines()[0].rstrip("."))[1:])


def test_a_mixture_is_refused_by_every_command_that_searches(store: Path) -> None:
    run("select", *TASK, "--size", 5, "--state", "t.run", "--out", "before.jsonl")
    with open_collection("store", "pool") as pool:
        spoil(pool, [3, 4])
    for words in (
        ("select", *TASK, "--size", 5, "--out", "no.jsonl"),
        ("select", *TASK, "--size", 5, "--out", "no.jsonl", "--strategy", "similarity-max"),
        ("path", *TASK, "--alphas", ".5"),
        ("compare", *TASK, "--size", 5),
        ("reselect", "t.run", "--out", "no.jsonl"),
    ):
        said = run(*words, code=1).stderr
        assert "2 of 40 vectors 'letters' of collection 'pool' were made otherwise" in said
    assert not Path("no.jsonl").exists()
    advised(said, "make them again: ")
    run("select", *TASK, "--size", 5, "--out", "after.jsonl")
    assert rows_of("after.jsonl") == rows_of("before.jsonl")
    run("reselect", "t.run", "--out", "again.jsonl")
    assert [row["id"] for row in rows_of("again.jsonl")] == [
        row["id"] for row in rows_of("before.jsonl")
    ]


def test_candidates_that_a_filter_leaves_out_are_not_looked_at(store: Path) -> None:
    with open_collection("store", "pool") as pool:
        spoil(pool, [3, 4])
    above = json.dumps({"must": [{"key": "n", "range": {"gt": 4}}]})
    run("select", *TASK, "--size", 5, "--out", "a.jsonl", "--filter", above)
    below = json.dumps({"must": [{"key": "n", "range": {"lt": 4}}]})
    said = run("select", *TASK, "--size", 1, "--out", "b.jsonl", "--filter", below, code=1).stderr
    assert "1 of 4 vectors 'letters'" in said


def test_candidates_without_a_vector_are_said_and_then_made(store: Path) -> None:
    with open_collection("store", "pool") as pool:
        more = [{"text": "abbbbbbb", "n": 70}, {"text": "bbb", "n": 71}]
        pool.upsert([70, 71], np.ones((2, 2), dtype=np.float32), more)
    np.save("Q.npy", np.array([[1, 7, 0], [0, 3, 1]], dtype=np.float32))
    asked = ("select", *TASK, "--size", 5, "--strategy", "similarity-max", "--keep-task-examples")
    done = run(*asked, "--out", "a.jsonl", "--state", "t.run")
    said = "2 of 42 candidates have no vector 'letters' yet and cannot be selected"
    assert said in done.stderr
    assert not {70, 71} & {row["id"] for row in rows_of("a.jsonl")}
    advised(done.stderr, "this makes them: ")
    done = run(*asked, "--out", "b.jsonl")
    assert "cannot be selected" not in done.stderr
    assert 70 in {row["id"] for row in rows_of("b.jsonl")}
    run("reselect", "t.run", "--out", "c.jsonl")
    assert [row["id"] for row in rows_of("c.jsonl")] == [row["id"] for row in rows_of("b.jsonl")]


def test_other_spaces_are_asked_nothing(store: Path) -> None:
    with open_collection("store", "pool") as pool:
        spoil(pool, [3, 4])
        asked: list[Any] = []
        info = described(pool)
        count = type(pool).count
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                type(pool), "count", lambda self, where=None: asked.append(where) or count(self)
            )
            check_whole(pool, info, None)
        assert asked == []
        heard: list[str] = []
        with notices_to(heard.append):
            select(pool, np.ones((1, 2)), SelectionSettings.of(sizes=(3,)))
        assert heard == []


def test_limits_that_forbid_filters_forbid_nothing_else(store: Path) -> None:
    with open_collection("store", "pool", vector="letters") as pool:
        spoil(pool, [3, 4])
        with pytest.raises(CollectionMismatchError):
            Searcher(pool)
        for limits in (Limits(unindexed_filter=False), Limits(exact=False), Limits(conditions=4)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(type(pool), "limits", limits)
                check_whole(pool, described(pool), None)


def test_a_run_refuses_vectors_that_were_made_otherwise_since(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("select", *TASK, "--size", 5, "--state", "t.run", "--out", "a.jsonl")
    run("reselect", "t.run")
    monkeypatch.setattr(Revised, "revision", 2)
    said = run("represent", "letters", *PLACE, "--text-field", "text", code=1).stderr
    assert "model.revision" in said
    run("represent", "letters", *PLACE, "--text-field", "text", "--no-upper", "--again")
    for words in (
        ("reselect", "t.run"),
        ("export", "t.run", "--out", "train.jsonl"),
        ("report", "t.run", "--out", "page.html"),
        ("explain", "t.run", "--id", "3"),
    ):
        said = run(*words, code=1).stderr
        assert said == (
            "error: the vectors 'letters' of collection 'pool' were made otherwise since the run; "
            "select again with --state\n"
        )
    run("select", *TASK, "--size", 5, "--state", "u.run", "--out", "b.jsonl")
    run("reselect", "u.run")
    assert rows_of("a.jsonl") == rows_of("b.jsonl")


def test_all_is_known_without_metadata(make_collection: MakeCollection) -> None:
    """As for an API key that may write points alone."""
    rows = np.random.default_rng(1).normal(size=(COUNT, 2))
    pool = make_collection(metric="Euclid", vectors=rows, payloads=payloads(), name="pool")
    represent(pool, Revised(), TEXT, kind="letters", remembered={"letters": 3})
    pool.update_metadata({MANIFESTS: {}})
    view = pool.at("letters")
    info = described(view)
    if not is_server(pool.info().location):  # whoever may write there may write metadata too
        assert kept_of(view, "letters") is None
        return
    kept = kept_of(view, "letters")
    assert kept is not None
    assert info.metadata[MANIFESTS]["letters"] == kept.stored()
    assert standing(view, "letters", kept) == standing(pool, "letters", kept)
    spoil(pool, [5])
    with pytest.raises(CollectionMismatchError, match="1 of 40"):
        Searcher(view, SearchSettings())


def test_the_command_that_makes_it_again_has_all_that_it_was_made_by(store: Path) -> None:
    from tsds_qdrant.represented.advice import represent_command

    made = shlex.split("represent letters --letters 4 --name odd --no-upper")
    run(*made, *PLACE, "--template", "a\\n{text} \\\\t{n?}")
    with open_collection("store", "pool") as pool:
        kept = kept_of(pool, "odd")
        assert kept is not None
        assert kept.manifest["text"] == {"template": "a\n{text} \\t{n?}"}
        command = represent_command(pool.info(), "odd", kept, again=True)
        on_server = replace(pool.info(), location="http://localhost:6333")
        assert represent_command(on_server, "odd", kept).endswith(" --write")
    assert shlex.split(command)[:3] == ["tsds-qdrant", "represent", "letters"]
    assert {"--letters", "4", "--no-upper", "--name", "odd"} <= set(shlex.split(command))
    run(*shlex.split(command)[1:])
    with open_collection("store", "pool") as pool:
        assert kept_of(pool, "odd") == kept
