"""What ``mirror``, and others on a folder of qdrant-client, say where something cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import run
from qdrant_client import QdrantClient, models

from tsds_qdrant import create_collection, open_collection

ROWS = np.random.default_rng(2).normal(size=(40, 6)).astype(np.float32)
STORE = ("--qdrant", "store", "--collection", "pool")
FOLDER = ("--qdrant", "local", "--collection", "pool")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with a pool, and the same in a folder of qdrant-client."""
    monkeypatch.chdir(tmp_path)
    np.save("Q.npy", ROWS[:3])
    payloads = [{"topic": f"t{k % 3}", "text": f"word{k} of text"} for k in range(len(ROWS))]
    with create_collection("store", "pool", dimension=6) as pool:
        pool.upsert(range(len(ROWS)), ROWS, payloads)
    client = QdrantClient(path="local")
    params = models.VectorParams(size=6, distance=models.Distance.COSINE)
    client.create_collection("pool", vectors_config=params)
    points = zip(ROWS, payloads, strict=True)
    client.upsert(
        "pool",
        [models.PointStruct(id=k, vector=r.tolist(), payload=p) for k, (r, p) in enumerate(points)],
    )
    client.close()


def error_of(*words: object, code: int = 1) -> str:
    lines = run(*words, code=code).stderr.splitlines()
    (said,) = (line for line in lines if line.startswith("error: "))
    return said


def refused(*words: object, code: int = 1) -> str:
    """The sentence that a command ends with; nothing else is there afterwards."""
    before = sorted(Path().iterdir())
    said = error_of(*words, code=code)
    assert sorted(Path().iterdir()) == before
    return said


@pytest.mark.parametrize("place", [STORE, FOLDER])
@pytest.mark.parametrize(
    ("where", "words"),
    [
        (
            "topik=t1",
            "has the field 'topik' that --filter names (its fields: topic, text); did you mean",
        ),
        (
            "topic=t7",
            "matches the filter; no point has 't7' in 'topic', where others have",
        ),
    ],
)
def test_a_filter_that_no_point_matches_makes_no_mirror(
    place: tuple[str, ...], where: str, words: str
) -> None:
    said = refused("mirror", *place, "--to", "mirror", "--filter", where)
    assert words in said
    select = ("--queries", "Q.npy", "--size", 3, "--out", "o.jsonl", "--filter", where)
    assert error_of("select", *place, *select) == said
    run("mirror", *place, "--to", "mirror", "--filter", "topic=t1")
    with open_collection("mirror", "pool") as made:
        assert made.count() == 13
    again = refused("mirror", *place, "--to", "mirror", "--filter", where, "--replace")
    assert words in again


def test_what_would_write_to_a_folder_says_to_mirror_it() -> None:
    mirroring = "tsds-qdrant mirror --qdrant local --collection pool --to local-mirror"
    for words in (
        ("represent", "bm25", *FOLDER),
        ("index", *FOLDER),
        ("write-back", "task.run", *FOLDER, "--name", "task"),
    ):
        assert f"which is only read; mirror it with '{mirroring}' and work there" in refused(*words)
    select = ("--queries", "Q.npy", "--size", 3, "--out", "o.jsonl")
    said = refused("select", *FOLDER, *select, "--strategy", "less")
    assert said.endswith(
        f"{mirroring} && tsds-qdrant represent gradient --model MODEL --qdrant local-mirror "
        f"--collection pool"
    )
    Path("like.txt").write_text("7\n")
    select = ("--like-ids", "like.txt", *select[2:], "--strategy", "bm25")
    said = refused("select", *FOLDER, *select)
    commands = said.split("make them: ")[1].split(" && ")
    assert commands[0] == mirroring
    assert commands[1] == "tsds-qdrant represent bm25 --qdrant local-mirror --collection pool"
    for command in commands:
        run(*command.split()[1:])
    with open_collection("local-mirror", "pool") as made:
        assert "bm25" in made.spaces
    said = refused("select", *STORE, *select)
    assert said.endswith("make them: tsds-qdrant represent bm25 --qdrant store --collection pool")
    said = refused("ingest", "--vectors", "Q.npy", *FOLDER)
    assert "ingest into a directory of its own, --qdrant local-tsds say" in said


def test_check_of_a_folder_says_why_nothing_is_written_and_what_it_takes() -> None:
    lines = dict(
        line.strip().split(": ", 1)
        for line in run("check", *FOLDER).stdout.splitlines()
        if ": " in line
    )
    assert (
        "'local' is a folder of qdrant-client's local mode, which is only read"
        in (lines["write-back"])
    )
    size = json.loads(run("check", *FOLDER, "--json").stdout)["bytes"]["total"]
    assert size >= Path("local/collection/pool/storage.sqlite").stat().st_size
    assert lines["on disk"] == f"{size / 1000:.1f} kB"


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("local", "'local' is a folder of qdrant-client's local mode, which is only read; choose"),
        ("store/pool", "store/pool' is a collection itself; choose another --to"),
        ("Q.npy", "Q.npy' is a file; give --to a directory"),
        ("Q.npy/in", "Q.npy' is a file; give --to a directory"),
        ("/proc/mirror", "choose another --to"),
        ("", "--to is empty; give a directory"),
        (" ", "--to is empty; give a directory"),
    ],
)
def test_a_place_where_no_mirror_can_be(to: str, words: str) -> None:
    for place in (FOLDER, STORE):
        said = refused("mirror", *place, "--to", to, code=1 if to.strip() else 2)
        assert words in said
        assert "make room" not in said
        assert "give --qdrant" not in said
