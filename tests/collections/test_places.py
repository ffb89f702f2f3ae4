"""Names and places of collections: what is taken, and what is said where it is something else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from tsds_qdrant import (
    Destination,
    SelectionSettings,
    begin_run,
    create_collection,
    ingest_vectors,
    open_collection,
    reselect,
    select,
)
from tsds_qdrant.collections import remembered_location
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.errors import (
    CollectionError,
    CollectionLockedError,
    CollectionNotFoundError,
    RequestRejectedError,
    SettingsError,
    UnsupportedCollectionError,
)

ROWS = np.random.default_rng(3).normal(size=(40, 6)).astype(np.float32)
UNIT = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)


def client_folder(folder: Path, names: tuple[str, ...] = ("pool",), metric: str = "Cosine") -> Path:
    """A folder as qdrant-client leaves it."""
    client = QdrantClient(path=str(folder))
    for name in names:
        client.create_collection(
            name, vectors_config=models.VectorParams(size=6, distance=models.Distance(metric))
        )
        client.upsert(
            name,
            [
                models.PointStruct(id=k, vector=row.tolist(), payload={"n": k, "kind": "ab"[k % 2]})
                for k, row in enumerate(ROWS)
            ],
        )
    client.close()
    return folder


# Names


@pytest.mark.parametrize(
    "name",
    [
        "données", "プール", "набор данных", "a b", "-leading", "dots.in.it",
        "CON", "x" * 255, "é" * 127, "emoji😀", "tab.", "a'b", "$(rm)", "%20", "#1",
    ],
)  # fmt: skip
def test_a_name_that_a_directory_can_have_is_taken_and_read_back(tmp_path: Path, name: str) -> None:
    place = str(tmp_path / "store")
    ingest_vectors(Destination(place, name), ROWS)
    with open_collection(place, name) as opened:
        assert opened.info().name == name
        found = opened.search(UNIT[:5], limit=1)
    assert found.ids == [0, 1, 2, 3, 4]
    with pytest.raises(CollectionNotFoundError, match="it holds") as caught:
        open_collection(place, "other")
    assert name in unicodedata.normalize("NFC", str(caught.value))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "'' cannot name a collection: it is empty"),
        ("  ", "it is empty"),
        (" a", "it begins with a space"),
        (".", "it means a directory"),
        ("..", "it means a directory"),
        (".hidden", "it begins with a dot"),
        ("..a", "it begins with a dot"),
        ("a/b", "it holds '/'"),
        ("../a", "it holds '/'"),
        ("/etc", "it holds '/'"),
        ("a\\b", r"it holds '\\'"),
        ("a:b", "it holds ':'"),
        ("a*", r"it holds '\*'"),
        ("a\nb", r"'a\\nb' cannot name .* control character"),
        ("a\0b", "control character"),
        ("\udce9", "no UTF-8"),
        ("x" * 256, r"it is 256 characters long, and a directory's name has 255 bytes at most"),
        ("é" * 128, r"it is 128 characters long \(256 bytes\)"),
        ("日" * 86, r"it is 86 characters long \(258 bytes\)"),
    ],
)
def test_what_cannot_be_a_name_is_said_truly(tmp_path: Path, name: str, words: str) -> None:
    for call in (open_collection, lambda *at: create_collection(*at, dimension=2)):
        with pytest.raises(SettingsError, match=words):
            call(str(tmp_path), name)
    assert list(tmp_path.iterdir()) == []


def test_an_accent_is_the_same_however_it_is_typed(tmp_path: Path) -> None:
    composed, parted = (unicodedata.normalize(form, "données") for form in ("NFC", "NFD"))
    assert composed != parted
    create_collection(str(tmp_path), parted, dimension=2).close()
    open_collection(str(tmp_path), composed).close()
    open_collection(str(tmp_path), parted).close()


def test_a_home_and_links_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    create_collection("~/store", "pool", dimension=2).close()
    assert (tmp_path / "store" / "pool").is_dir()
    (tmp_path / "link").symlink_to(tmp_path / "store")
    monkeypatch.chdir(tmp_path / "store")
    spellings = ["~/store", str(tmp_path / "link"), "../store/", ".", "../link/../store"]
    assert {remembered_location(one) for one in spellings} == {str((tmp_path / "store").resolve())}
    assert remembered_location("http://host:6333") == "http://host:6333"


# Folders of qdrant-client


@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
def test_a_folder_of_the_client_selects_what_an_embedded_collection_does(
    tmp_path: Path, metric: str
) -> None:
    folder = str(client_folder(tmp_path / "local", metric=metric))
    ingest_vectors(Destination(str(tmp_path / "store"), "pool", metric=metric), ROWS)  # type: ignore[arg-type]
    settings = SelectionSettings.of(sizes=(8,), alpha=0.4)
    with open_collection(folder, "pool") as theirs:
        mine = select(theirs, ROWS[:4] + np.float32(0.1), settings).selected_ids
        assert theirs.count({"must": [{"key": "kind", "match": {"value": "b"}}]}) == 20
        stored = theirs.retrieve([5], vectors=True)[0]
    with open_collection(str(tmp_path / "store"), "pool") as ours:
        assert mine == select(ours, ROWS[:4] + np.float32(0.1), settings).selected_ids
    assert stored.vector == pytest.approx(UNIT[5] if metric == "Cosine" else ROWS[5], abs=1e-6)
    assert stored.content == {"n": 5, "kind": "b"}


def test_a_run_over_a_folder_goes_on(tmp_path: Path) -> None:
    folder = str(client_folder(tmp_path / "local", ("pool", "task")))
    state = tmp_path / "task.run"
    with open_collection(folder, "pool") as pool:
        settings = SelectionSettings.of(sizes=(6,), alpha=0.3)
        _, first = begin_run(state, pool, ROWS[:5] + np.float32(0.2), settings)
    again = reselect(state)
    assert (again.changes.came, again.changes.gone) == ([], [])
    assert again.selection.selected_ids == first.selected_ids
    client = QdrantClient(path=folder)
    client.delete("pool", models.PointIdsList(points=[first.selected_ids[0]]))
    client.close()
    assert reselect(state).changes.gone == [first.selected_ids[0]]


def test_vectors_stay_the_same_whatever_is_searched(tmp_path: Path) -> None:
    folder = str(client_folder(tmp_path / "local"))
    seen = set()
    for _ in range(3):
        with open_collection(folder, "pool") as pool:
            for _ in range(4):
                seen.add(
                    b"".join(r.vector.tobytes() for r in pool.retrieve(range(40), vectors=True))
                )
                pool.search(ROWS[:3], limit=5)
    assert len(seen) == 1


def test_nothing_writes_to_a_folder_of_the_client(tmp_path: Path) -> None:
    folder = client_folder(tmp_path / "local")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with open_collection(str(folder), "pool") as pool:
        assert not pool.info().limits.writes
        for call in (
            lambda: pool.upsert([1], ROWS[:1]),
            lambda: pool.delete([1]),
            lambda: pool.set_payload("tsds", [1], [{}]),
            lambda: pool.delete_payload("n", [1]),
            lambda: pool.set_vectors([1], ROWS[:1]),
            lambda: pool.add_space(Space.dense("more", 2)),
            lambda: pool.index_payload("n"),
            lambda: pool.update_metadata({"model": "m"}),
        ):
            with pytest.raises(RequestRejectedError, match="only read; mirror it with 'tsds"):
                call()
    with pytest.raises(UnsupportedCollectionError, match="only read; ingest into a directory of"):
        ingest_vectors(Destination(str(folder), "pool"), ROWS)
    with pytest.raises(UnsupportedCollectionError, match="only read"):
        create_collection(str(folder), "new", dimension=2)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


@pytest.mark.slow
def test_two_collections_of_a_folder_are_open_at_once_and_the_lock_is_true(tmp_path: Path) -> None:
    folder = str(client_folder(tmp_path / "local", ("pool", "task")))
    opener = "import sys; from tsds_qdrant import open_collection; open_collection(*sys.argv[1:])"
    elsewhere = [sys.executable, "-c", opener, folder, "pool"]
    pool = open_collection(folder, "pool")
    task = open_collection(f"{folder}/", "task")
    pool.close()
    assert task.count() == 40
    ran = subprocess.run(elsewhere, capture_output=True, text=True, check=False)
    assert "is open in another process, or in another client of this one; close" in ran.stderr
    task.close()
    task.close()
    assert subprocess.run(elsewhere, capture_output=True, check=False).returncode == 0
    client = QdrantClient(path=folder)
    with pytest.raises(CollectionLockedError, match="another client of this one"):
        open_collection(folder, "pool")
    client.close()


def test_a_closed_collection_of_a_folder_says_so(tmp_path: Path) -> None:
    folder = str(client_folder(tmp_path / "local", ("pool", "task")))
    pool = open_collection(folder, "pool")
    view = pool.at("")
    pool.close()
    for closed in (pool, view):
        with pytest.raises(CollectionError, match="is closed; open it again"):
            closed.search(ROWS[:1], limit=1)
        with pytest.raises(CollectionError, match="is closed; open it again"):
            closed.retrieve([1], vectors=True)
    with open_collection(folder, "task"), pytest.raises(CollectionError, match="is closed"):
        pool.search(ROWS[:1], limit=1)


def test_collections_of_a_folder_are_listed(tmp_path: Path) -> None:
    folder = str(client_folder(tmp_path / "local", ("pool", "task")))
    with pytest.raises(CollectionNotFoundError, match=r"local \(it holds pool, task\)"):
        open_collection(folder, "poll")
    empty = tmp_path / "empty"
    QdrantClient(path=str(empty)).close()
    with pytest.raises(CollectionNotFoundError, match=r"\(it holds none\)"):
        open_collection(str(empty), "pool")


def test_a_broken_folder_is_named(tmp_path: Path) -> None:
    folder = client_folder(tmp_path / "local")
    (folder / "collection" / "pool" / "storage.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(CollectionError, match=r"local' cannot be read \(.*restore it from a copy"):
        open_collection(str(folder), "pool")


# Other places


def test_what_to_give_instead_is_said_and_works(tmp_path: Path) -> None:
    store = tmp_path / "data" / "store"
    create_collection(str(store), "pool", dimension=2).close()
    local = client_folder(tmp_path / "local")
    file = tmp_path / "file.jsonl"
    file.write_text("{}")
    for place, words in {
        store / "pool": f"is a collection itself; give --qdrant {store} --collection pool",
        store / "pool" / "segments": f"a part of a collection; give --qdrant {store} --coll",
        tmp_path / "data": f"holds directories of collections; give --qdrant one of {store} (pool)",
        local / "collection": f"a part of a folder of qdrant-client; give --qdrant {local}",
        local / "collection" / "pool": f"of qdrant-client; give --qdrant {local}",
        file: f"'{file}' is a file; give --qdrant the directory",
        tmp_path / "absent": "(that directory does not exist)",
    }.items():
        with pytest.raises(CollectionNotFoundError) as caught:
            open_collection(str(place), "pool")
        assert f"no collection 'pool' in {place}" in str(caught.value)
        assert words in str(caught.value)
    open_collection(str(store), "pool").close()
    open_collection(str(local), "pool").close()


def test_the_storage_of_a_server_is_left_to_it(tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    (storage / "collections" / "pool" / "0" / "segments").mkdir(parents=True)
    (storage / "raft_state.json").write_text("{}")
    inside = [storage, storage / "collections", storage / "collections" / "pool"]
    for place in (*inside, tmp_path):
        with pytest.raises(CollectionNotFoundError, match="the URL of that server, http://"):
            open_collection(str(place), "pool")
    for place in inside:
        with pytest.raises(UnsupportedCollectionError, match="the URL of that server"):
            ingest_vectors(Destination(str(place), "pool"), ROWS)
    ingest_vectors(Destination(str(tmp_path / "mine"), "pool"), ROWS)
    ingest_vectors(Destination(str(tmp_path), "pool"), ROWS)


def test_a_collection_is_not_made_inside_something_else(tmp_path: Path) -> None:
    store = tmp_path / "store"
    create_collection(str(store), "pool", dimension=2).close()
    with pytest.raises(UnsupportedCollectionError, match=f"give --qdrant {store} --collection"):
        create_collection(str(store / "pool"), "more", dimension=2)
    with pytest.raises(UnsupportedCollectionError, match=f"give --qdrant {store}"):
        create_collection(str(tmp_path), "store", dimension=2)
    create_collection(str(store), "more", dimension=2).close()
    create_collection(str(tmp_path), "beside", dimension=2).close()


def test_a_meta_json_of_somebody_else_is_nothing(tmp_path: Path) -> None:
    for content in ("[]", "{}", '{"collections": 3}', "no json", json.dumps({"collections": {}})):
        (tmp_path / "meta.json").write_text(content)
        with pytest.raises(CollectionNotFoundError, match="it holds none"):
            open_collection(str(tmp_path), "pool")
    create_collection(str(tmp_path), "pool", dimension=2).close()
    open_collection(str(tmp_path), "pool").close()


@pytest.mark.skipif(os.name != "posix", reason="bytes of POSIX")
def test_a_location_that_is_no_utf8_is_taken(tmp_path: Path) -> None:
    place = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xe9")
    with pytest.raises(CollectionNotFoundError):
        open_collection(place, "pool")
