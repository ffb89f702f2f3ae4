"""Commands on collections that keep their vectors in other numbers than float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from commands import rows_of, run
from pool_oracle import engine_distances

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.representations import named

POINTS = 150
RNG = np.random.default_rng(5)
BYTES = RNG.integers(0, 256, size=(POINTS, 12)).astype(np.uint8)
BYTES[100:110] = BYTES[:10]
QUERIES = (BYTES[:9] + RNG.normal(size=(9, 12)) * 8).clip(0, 255).round().astype(np.float32)
DATATYPES = ("float16", "uint8", "turbo8")


def vectors_of(datatype: str) -> tuple[Any, Any]:
    """Ready vectors of a pool, and task examples."""
    if datatype == "uint8":
        return BYTES, QUERIES
    return BYTES.astype(np.float32) - 128, QUERIES - 128


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def empty(datatype: str, metric: str = "Cosine", name: str = "pool") -> list[str]:
    """Make an empty collection; flags that name it."""
    kept_as = getattr(edge.VectorStorageDatatype, datatype.capitalize())
    params = edge.EdgeVectorParams(12, getattr(edge.Distance, metric), datatype=kept_as)
    Path("store").mkdir(exist_ok=True)
    edge.EdgeShard.create(f"store/{name}", edge.EdgeConfig(vectors=params)).close()
    return ["--qdrant", "store", "--collection", name]


def filled(datatype: str, metric: str = "Cosine") -> list[str]:
    """The same with points, and ``q.npy``."""
    pool = empty(datatype, metric)
    rows, queries = vectors_of(datatype)
    np.save("v.npy", rows)
    np.save("q.npy", queries)
    run("ingest", "--vectors", "v.npy", *pool)
    return pool


def truth(queries: Any) -> Any:
    """What the engine says of all points."""
    pool = EdgeCollection.open("store", "pool")
    with pool:
        return engine_distances(pool, queries)


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
def test_a_second_ingest_of_the_same_vectors(place: Path, datatype: str, metric: str) -> None:
    pool = filled(datatype, metric)
    again = json.loads(run("ingest", "--vectors", "v.npy", *pool, "--json").stdout)
    # What Turbo keeps does not say whether it was the same.
    same = 0 if datatype == "turbo8" else POINTS
    assert (again["unchanged"], again["updated"]) == (same, POINTS - same)
    rows = np.load("v.npy").astype(np.float32)
    rows[3, 5] = 77
    rows[4] = rows[5]
    np.save("v.npy", rows)
    again = json.loads(run("ingest", "--vectors", "v.npy", *pool, "--json").stdout)
    assert again["updated"] == (POINTS if datatype == "turbo8" else 2)


INTEGERS = ("u1", "i2", "u2", "i4", ">i4", "u4", "i8", ">i8", "u8", "f2", ">f4", "f8")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("datatype", ["uint8", "float32"])
def test_vectors_of_any_number_type_are_what_they_are(
    place: Path, datatype: str, dtype: str
) -> None:
    """Stored and searched for as the same numbers in float32 are."""
    pool = empty(datatype)
    np.save("v.npy", BYTES.astype(dtype))
    np.save("q.npy", QUERIES.astype(dtype))
    run("ingest", "--vectors", "v.npy", *pool)
    with EdgeCollection.open("store", "pool") as opened:
        stored = [record.vector for record in opened.retrieve(range(POINTS), vectors=True)]
    kept = BYTES.astype(np.float32)
    if datatype == "float32":  # under Cosine
        kept /= np.linalg.norm(kept, axis=1, keepdims=True)
    np.testing.assert_allclose(np.array(stored), kept, rtol=1e-6)
    wanted = ("select", *pool, "--size", 9, "--strategy", "similarity-max", "--out", "o.jsonl")
    run(*wanted, "--queries", "q.npy")
    found = rows_of("o.jsonl")
    np.save("q.npy", QUERIES)
    run(*wanted, "--queries", "q.npy")
    assert rows_of("o.jsonl") == found


def test_whole_numbers_that_float32_cannot_hold(place: Path) -> None:
    rows = BYTES.astype(np.int64)
    rows[3, 5] = 2**24 + 1
    np.save("v.npy", rows)
    for words in (
        ("ingest", "--vectors", "v.npy", *empty("float32")),
        ("ingest", "--vectors", "v.npy", *empty("uint8", name="small")),
        ("path", "--qdrant", "store", "--collection", "small", "--queries", "v.npy"),
    ):
        refused = run(*words, code=1).stderr
        assert "v.npy': vector 3 holds 16777217 in column 5, which float32 cannot" in refused
        assert refused.count("\n") == 1
    np.save("v.npy", rows.astype("float32"))  # the advice
    run("ingest", "--vectors", "v.npy", "--qdrant", "store", "--collection", "new")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "0.5"), (-3.0, "-3.0"), (256.0, "256.0"), (1e9, "1000000000.0")]
)
def test_whoever_gives_vectors_gives_bytes(place: Path, value: float, shown: str) -> None:
    """Task examples of every command, new ones of a run, and test items."""
    pool = filled("uint8")
    usual = ("select", *pool, "--queries", "q.npy", "--size", 9, "--alpha", 0.5)
    run(*usual, "--out", "o.jsonl", "--state", "r.run")
    state = Path("r.run").read_bytes()
    broken = QUERIES.copy()
    broken[4, 2] = value
    np.save("b.npy", broken)
    for words in (
        ("select", *pool, "--queries", "b.npy", "--size", 9, "--out", "x.jsonl"),
        ("path", *pool, "--queries", "b.npy"),
        ("compare", *pool, "--queries", "b.npy", "--size", 9),
        ("reselect", "r.run", "--queries", "b.npy", "--out", "x.jsonl"),
        (*usual, "--out", "x.jsonl", "--exclude", "b.npy", "--exclude-radius", 0.1),
    ):
        refused = run(*words, code=1).stderr
        wanted = "give whole numbers from 0 to 255, scaled as the vectors of collection 'pool' are"
        assert f"b.npy': row 4 holds {shown} in column 2, which a uint8 collec" in refused
        assert wanted in refused
        assert not Path("x.jsonl").exists()
        assert Path("r.run").read_bytes() == state
    np.save("b.npy", np.rint(broken.clip(0, 255)))  # the advice
    run("reselect", "r.run", "--queries", "b.npy", "--out", "x.jsonl")


class Halves:
    """Makes vectors of halves out of texts."""

    name = key = "halves"

    def __init__(self, *_: object, **__: object) -> None: ...

    def encode(self, texts: Any, on_batch: Any = None) -> Any:
        return np.full((len(texts), 12), 0.5, dtype=np.float32)


def test_a_model_that_makes_no_bytes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "SentenceTransformerEmbedder", Halves)
    Path("t.jsonl").write_text('{"text": "one"}\n{"text": "two"}')
    pool = filled("uint8")
    np.save("v.npy", BYTES[:2])
    usual = ("--size", 3, "--alpha", 0.5, "--out", "x.jsonl")
    radius = ("--exclude", "t.jsonl", "--exclude-radius", 0.2, "--text-field", "text")
    run("ingest", "t.jsonl", "--vectors", "v.npy", *pool)
    for words in (
        ("ingest", "t.jsonl", *empty("uint8", name="new"), "--model", "halves"),
        ("select", *pool, "--queries", "t.jsonl", *usual, "--model", "halves"),
        ("select", *pool, "--queries", "q.npy", *usual, *radius, "--model", "halves"),
    ):
        refused = run(*words, code=1).stderr
        assert "model 'halves' makes numbers like 0.5, and collection" in refused
        assert "give ready vectors that are scaled as its own are (.npy)" in refused
    with EdgeCollection.open("store", "new") as opened:
        assert opened.count() == 0
    run("ingest", "t.jsonl", "--vectors", "v.npy", "--qdrant", "store", "--collection", "new")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (256, "vector 3 holds 256.0 in column 5, which a uint8 collection cannot hold"),
        (-1, "vector 3 holds -1.0 in column 5, which a uint8 collection cannot hold"),
        (1000, "vector 3 holds 1000.0 in column 5"),
        (0.25, "vector 3 holds 0.25 in column 5"),
    ],
)
def test_what_a_byte_cannot_hold_is_not_ingested(place: Path, value: float, words: str) -> None:
    rows = BYTES.astype(np.int64 if isinstance(value, int) else np.float32)
    rows[3, 5] = value
    np.save("v.npy", rows)
    pool = empty("uint8")
    assert words in run("ingest", "--vectors", "v.npy", *pool, code=1).output
    opened = EdgeCollection.open("store", "pool")
    with opened:
        assert opened.count() == 0


@pytest.mark.parametrize("datatype", ["float32", *DATATYPES])
def test_check_says_the_datatype(place: Path, datatype: str) -> None:
    pool = filled(datatype)
    shown = run("check", *pool).stdout
    kept = "" if datatype == "float32" else f", {datatype}"
    assert f"vectors: 12 dimensions, Cosine{kept}\n" in shown
    assert json.loads(run("check", *pool, "--json").stdout)["datatype"] == datatype


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["Cosine", "Euclid", "Manhattan"])
@pytest.mark.parametrize("datatype", DATATYPES)
def test_from_selection_to_repair(place: Path, datatype: str, metric: str) -> None:
    """A run is repaired as one from scratch, and its figures are the engine's."""
    pool = filled(datatype, metric)
    scale = {"Cosine": 0.7, "Euclid": 250, "Manhattan": 700}[metric]
    usual = [*pool, "--queries", "q.npy", "--size", 20, "--alpha", 0.4, "--seed", 1]
    usual += ["--cost-scale", scale, "--bandwidth", 0.4 * scale]
    run("select", *usual, "--out", "o.jsonl", "--state", "r.run", "--report", "r.html")
    manifest = json.loads(Path("o.jsonl.manifest.json").read_text())
    assert manifest["collection"]["datatype"] == datatype
    far = truth(np.load("q.npy"))
    for row in rows_of("o.jsonl"):
        exact = far[row["query"], row["id"]]
        assert row["distance"] ** 2 == pytest.approx(exact**2, rel=1e-6, abs=1e-6)
    first = rows_of("o.jsonl")[0]["id"]
    unlisted = int(far.min(axis=0).argmax())
    shown = run("explain", "r.run", "--id", first, "--id", unlisted).stdout
    assert f"{far[:, first].min():.3f}" in shown
    assert f"{far[:, unlisted].min():.3f}" in shown
    run("export", "r.run", "--out", "e.jsonl", "--validation", 0.2)
    run("compare", *pool, "--queries", "q.npy", "--size", 10, "--seeds", 1)

    rows, _ = vectors_of(datatype)
    came = (np.array(rows[:6], dtype=np.float32) * 0.97).round()
    np.save("came.npy", came)
    run("ingest", "--vectors", "came.npy", "--first-id", 1000, *pool)
    run("reselect", "r.run", "--out", "repaired.jsonl")
    run("select", *usual, "--probabilities", "fresh.jsonl", "--out", "o.jsonl")
    fresh = {row["id"]: row["probability"] for row in rows_of("fresh.jsonl")}
    repaired = rows_of("repaired.jsonl")
    assert [row["probability"] for row in repaired] == pytest.approx(
        [fresh[row["id"]] for row in repaired]
    )
    assert any(point_id >= 1000 for point_id in fresh)


@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
@pytest.mark.parametrize("datatype", ["float16", "uint8"])
def test_copies_of_test_items_by_vector(place: Path, datatype: str, metric: str) -> None:
    pool = filled(datatype, metric)
    rows, queries = vectors_of(datatype)
    np.save("copies.npy", rows[2:4])
    np.save("near.npy", queries[5:7])
    for source, radius in (("copies.npy", 1e-6), ("near.npy", 0.1 if metric == "Cosine" else 40)):
        run(
            *("select", *pool, "--queries", "q.npy", "--size", 20, "--alpha", 0.6),
            *("--out", "o.jsonl", "--exclude", source, "--exclude-radius", radius),
            *("--exclude-report", "x.jsonl"),
        )
        found = rows_of("x.jsonl")
        assert {2, 3, 102, 103} <= {row["id"] for row in found} or source == "near.npy"
        assert {5, 6, 105, 106} <= {row["id"] for row in found} or source == "copies.npy"
        far = truth(np.load(source))
        for row in found:
            exact = far[row["test_item"], row["id"]]
            assert row["distance"] ** 2 == pytest.approx(exact**2, rel=1e-6, abs=1e-6)
        chosen = {row["id"] for row in rows_of("o.jsonl")}
        assert not chosen & {row["id"] for row in found}


def test_task_examples_of_other_collections(place: Path) -> None:
    """Bytes for bytes, bytes for floats; unit floats are nothing among bytes."""
    pool = filled("uint8")
    np.save("t.npy", QUERIES)
    for datatype in ("uint8", "float32"):
        run("ingest", "--vectors", "t.npy", *empty(datatype, name=f"task-{datatype}"))
    wanted = truth(QUERIES).min(axis=0)
    run(
        *("select", *pool, "--queries", "collection:task-uint8", "--size", 9),
        *("--strategy", "similarity-max", "--near-copies", "keep", "--out", "o.jsonl"),
        "--keep-task-examples",
    )
    found = [row["distance"] for row in rows_of("o.jsonl")]
    assert np.square(sorted(found)) == pytest.approx(np.square(np.sort(wanted)[:9]), abs=1e-6)
    refused = run(
        *("select", *pool, "--queries", "collection:task-float32", "--size", 9),
        *("--strategy", "similarity-max", "--out", "o.jsonl"),
        code=1,
    )
    assert "query example 0 holds 0." in refused.output
    assert (
        "which a uint8 collection cannot hold; give whole numbers from 0 to 255" in refused.output
    )
    run("ingest", "--vectors", "q.npy", *empty("float16", name="floats"))
    run(
        *("select", "--qdrant", "store", "--collection", "floats", "--size", 5),
        *("--queries", "collection:task-uint8", "--strategy", "round-robin", "--out", "o.jsonl"),
        "--keep-task-examples",
    )
    assert max(row["distance"] for row in rows_of("o.jsonl")) < 0.05
