"""Embedded collections with a damaged file, or half made: what is said, and that it helps."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as edge
from commands import run
from locked import open_elsewhere

from tsds_qdrant.collections import create_collection, open_collection
from tsds_qdrant.errors import (
    CollectionError,
    CollectionLockedError,
    CollectionNotFoundError,
    DamagedCollectionError,
)

POINTS = 300
VECTORS = np.random.default_rng(0).normal(size=(POINTS, 4)).astype(np.float32)
REPAIR = "repair-store --qdrant store --collection pool"
INGEST = "ingest pool.jsonl --vectors X.npy --id-field n --qdrant store --collection pool"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a collection of 300 points in one segment, with their records beside."""
    monkeypatch.chdir(tmp_path)
    lines = (f'{{"n": {k}, "text": "text {k}"}}\n' for k in range(POINTS))
    Path("pool.jsonl").write_text("".join(lines))
    np.save("X.npy", VECTORS)
    run(*INGEST.split())
    return Path("store", "pool")


def cut(name: str, size: int = 0) -> Callable[[Path], None]:
    return lambda store: os.truncate(files(store, name)[0], size)


def gone(name: str) -> Callable[[Path], None]:
    return lambda store: files(store, name)[0].unlink()


def garble(name: str) -> Callable[[Path], None]:
    def garbled(store: Path) -> None:
        for file in files(store, name):
            with file.open("r+b") as written:
                written.write(np.random.default_rng(1).bytes(min(4096, file.stat().st_size)))

    return garbled


def files(store: Path, name: str) -> list[Path]:
    found = list(store.glob(name))
    assert found
    return found


def too_deep(store: Path) -> None:
    """The engine takes a payload that its log cannot give back."""
    shard = edge.EdgeShard.load(str(store))
    value: object = "leaf"
    for _ in range(124):
        value = [value]
    shard.update(edge.UpdateOperation.upsert_points([edge.Point(7, [1.0] * 4, {"a": value})]))
    shard.close()


LOG_DAMAGES = {
    "too deep": too_deep,
    "cut": cut("wal/open-1"),
    "cut behind": cut("wal/open-2"),
    "garbled": garble("wal/open-*"),
    "no first index": cut("wal/first-index"),
}


@pytest.mark.parametrize("damage", LOG_DAMAGES.values(), ids=LOG_DAMAGES)
def test_a_damaged_log_is_set_aside(store: Path, damage: Callable[[Path], None]) -> None:
    damage(store)
    said = run("check", "--qdrant", "store", "--collection", "pool", code=1).stderr
    assert re.fullmatch(r"error: .* its write-ahead log is damaged \(.*\n", said)
    advised = re.search(r"run 'tsds-qdrant (.*)'$", said.strip())
    assert advised is not None
    told = run(*shlex.split(advised[1])).stderr
    assert "all of its 300 points were read" in told
    assert "'store/pool/wal' to 'store/pool/wal.damaged-1'" in told
    assert Path("store/pool/wal.damaged-1/open-1").exists()
    changed = 1 if damage is too_deep else 0  # point 7 holds what was stored last
    again = f"added 0, updated {changed}, unchanged {POINTS - changed}"
    consent = ["--overwrite"] if changed else []  # it was not stored by an ingest
    assert again in run(*INGEST.split(), *consent).stderr
    damage(store)
    assert "wal.damaged-2" in run(*REPAIR.split()).stderr


@pytest.mark.parametrize("writes", [1, 40])
def test_what_is_written_after_a_repair_is_stored(store: Path, writes: int) -> None:
    """The log begins again, and counts on from the operations that the segments know."""
    rows, moved = VECTORS[:2], VECTORS[2:3] / np.linalg.norm(VECTORS[2])
    with open_collection("store", "pool") as pool:
        for _ in range(writes):
            pool.upsert([400, 401], rows, [{"n": 1}, {"n": 2}])
    cut("wal/open-1")(store)
    run(*REPAIR.split())
    for _ in range(2):
        with open_collection("store", "pool") as pool:
            prints = [pool.fingerprint()]
            pool.delete([400])
            prints.append(pool.fingerprint())
            pool.upsert([401], moved, [{"n": 3}])
            prints.append(pool.fingerprint())
            pool.set_payload("a", [401], [{"b": 1}])
            prints.append(pool.fingerprint())
            assert pool.existing([400, 401]) == {401}
            assert len({*prints}) == len(prints)
        with open_collection("store", "pool") as pool:
            assert pool.fingerprint() == prints[-1]
            (found,) = pool.retrieve([400, 401], vectors=True)
            assert (found.id, found.payload) == (401, {"n": 3, "a": {"b": 1}})
            assert found.vector == pytest.approx(moved[0], abs=1e-6)
            pool.upsert([400, 401], rows, [{"n": 1}, {"n": 2}])


@pytest.mark.parametrize(
    ("damage", "kept", "said"),
    [
        (cut("edge_config.json"), POINTS, "edge_config.json.damaged-1"),
        (garble("edge_config.json"), POINTS, "edge_config.json.damaged-1"),
        (gone("edge_config.json"), POINTS, "made the missing settings"),
        (lambda store: (store / "tsds.json").write_text("[1]"), POINTS, "how texts were made"),
        (cut("tsds.json", size=9), POINTS, "tsds.json.damaged-1"),
        (cut("segments/*/segment.json", size=20), None, "the points of the segment"),
        (cut("segments/*/payload_storage/tracker.dat"), None, "the points of the segment"),
        (gone("segments/*/payload_storage/page_0.dat"), None, "the points of the segment"),
    ],
)  # fmt: skip
def test_other_damage_is_set_aside_and_stored_again(
    store: Path, damage: Callable[[Path], None], kept: int | None, said: str
) -> None:
    damage(store)
    with pytest.raises(DamagedCollectionError, match="tsds-qdrant repair-store --qdrant store"):
        open_collection("store", "pool")
    told = run(*REPAIR.split()).stderr
    assert said in told
    count = re.search(r"all of its (\d+) points", told)
    assert count is not None
    if kept is not None:
        assert int(count[1]) == kept
    run(*INGEST.split())
    with open_collection("store", "pool") as collection:
        assert collection.count() == POINTS
        records = collection.retrieve(range(POINTS), vectors=True)
    assert [record.content["text"] for record in records] == [f"text {k}" for k in range(POINTS)]


@pytest.mark.parametrize(
    "damage",
    [
        cut("segments/*/vector_storage/vectors/status.dat"),  # the engine panics
        cut("segments/*/vector_storage/vectors/chunk_0.mmap"),
        garble("segments/*/payload_storage/page_0.dat"),
    ],
)
def test_what_cannot_be_mended_says_what_is_left_to_do(
    store: Path, damage: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    damage(store)
    said = run(*REPAIR.split(), code=1).stderr
    assert "panicked" not in capfd.readouterr().err
    assert said.count("\n") == 1
    assert re.search("cannot be (mended|read)", said)
    assert "restore 'store/pool' from a copy, or move it away and ingest again" in said
    store.rename("away")
    assert "added 300" in run(*INGEST.split()).stderr


def test_a_sound_collection_is_left_alone(store: Path) -> None:
    said = run(*REPAIR.split(), code=1).stderr
    assert "needs no repair: its 300 points can all be read; nothing was changed" in said
    assert not list(store.rglob("*damaged*"))
    assert "unchanged 300" in run(*INGEST.split()).stderr


def test_an_open_collection_is_not_repaired(store: Path) -> None:
    with open_elsewhere("store", "pool"):
        garble("wal/open-*")(store)
        for words in (REPAIR, "check --qdrant store --collection pool"):
            said = run(*words.split(), code=1).stderr
            assert said.count("is open in another process; close that one, then try again") == 1
    assert not list(store.glob("*damaged*"))


def test_what_is_not_there_is_not_repaired(store: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="it holds pool"):
        open_collection("store", "none")
    assert "it holds pool" in run(*REPAIR.replace(" pool", " none").split(), code=1).stderr
    there = "--qdrant http://localhost:1 --collection c"
    assert "a server mends its own" in run("repair-store", *there.split(), code=2).stderr


@pytest.mark.parametrize("left", [(), ("wal",), ("wal", "segments")])
def test_what_a_killed_maker_left_is_made_again(tmp_path: Path, left: tuple[str, ...]) -> None:
    for name in left:
        (tmp_path / "pool" / name).mkdir(parents=True)
    (tmp_path / "pool").mkdir(exist_ok=True)
    with pytest.raises(CollectionNotFoundError, match="it holds none"):
        open_collection(str(tmp_path), "pool")
    with create_collection(str(tmp_path), "pool", dimension=4) as collection:
        collection.upsert([1], VECTORS[:1])
    with open_collection(str(tmp_path), "pool") as collection:
        assert collection.count() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pool"]


@pytest.mark.parametrize("name", ["notes.txt", "wal/open-1", "tsds.json"])
def test_files_of_somebody_else_are_in_the_way(tmp_path: Path, name: str) -> None:
    file = tmp_path / "pool" / name
    file.parent.mkdir(parents=True)
    file.write_text("kept")
    if name == "wal/open-1":
        (tmp_path / "pool/other").mkdir()
    with pytest.raises(CollectionError, match=r"is in the way .*; move it away, or choose another"):
        create_collection(str(tmp_path), "pool", dimension=4)
    assert file.read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["pool"]


KILLED_MAKER = """
import os, sys
from tsds_qdrant.collections.edge import making
def killed(*_): os.kill(os.getpid(), 9)
setattr(making, sys.argv[1], killed)
from tsds_qdrant.collections import create_collection
create_collection("store", "pool", dimension=4)
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", ["write_metadata", "_put", "_clear_unfinished"])
def test_a_maker_killed_on_the_way_leaves_no_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.chdir(tmp_path)
    maker = subprocess.run([sys.executable, "-c", KILLED_MAKER, step], check=False)
    assert maker.returncode == -9
    (draft,) = Path("store").iterdir()
    with pytest.raises(CollectionNotFoundError, match="it holds none"):
        open_collection("store", "pool")
    os.utime(draft, (0, 0))
    create_collection("store", "pool", dimension=4).close()
    assert [path.name for path in Path("store").iterdir()] == ["pool"]


MAKER = """
import sys, time
from tsds_qdrant.collections import create_collection
from tsds_qdrant.errors import TsdsError
while time.time() < float(sys.argv[1]): pass
try:
    collection = create_collection("store", "pool", dimension=4)
except TsdsError as error:
    print(type(error).__name__, error)
else:
    print("made", flush=True)
    sys.stdin.read()
    collection.close()
"""


@pytest.mark.slow
def test_of_several_makers_one_succeeds(tmp_path: Path) -> None:
    for _ in range(3):
        start = str(time.time() + 1.0)
        makers = [
            subprocess.Popen(
                [sys.executable, "-c", MAKER, start], cwd=tmp_path, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            for _ in range(3)
        ]  # fmt: skip
        lines = [maker.stdout.readline() for maker in makers if maker.stdout]
        for maker in makers:
            maker.communicate()
            assert maker.returncode == 0
        assert sum(line == "made\n" for line in lines) <= 1
        for line in lines:
            assert re.match("made|Collection(Exists|Locked)Error .*(exists already|is open)", line)
        assert [path.name for path in (tmp_path / "store").iterdir()] == ["pool"]
        open_collection(str(tmp_path / "store"), "pool").close()
        shutil.rmtree(tmp_path / "store")


def test_every_way_to_name_a_place_leads_to_the_same_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("elsewhere").mkdir()
    Path("link").symlink_to("elsewhere")
    Path("elsewhere/pool").symlink_to(tmp_path / "disk")
    create_collection("link", "pool", dimension=4).close()
    assert Path("disk/edge_config.json").exists()
    places = ("link", "./elsewhere", str(tmp_path / "link"), "elsewhere/../link/")
    with open_elsewhere("link", "pool"):
        for location in places:
            with pytest.raises(CollectionLockedError, match="open in another process"):
                open_collection(location, "pool")
    with open_collection("link", "pool") as pool:
        pool.upsert([1], np.ones((1, 4), dtype=np.float32))
        for location in places:
            with open_collection(location, "pool") as same:
                assert same.existing([1]) == {1}
