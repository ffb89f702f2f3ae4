"""One process opens an embedded collection as often as it likes; other processes do not."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from locked import open_elsewhere

from tsds_qdrant import create_collection, open_collection
from tsds_qdrant.collections.edge.locks import locked
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.errors import CollectionError, CollectionLockedError, CollectionNotFoundError

OPEN = "import sys; from tsds_qdrant import open_collection; open_collection(*sys.argv[1:]).close()"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with create_collection(tmp_path / "store", "pool", dimension=3) as made:
        made.upsert([1, 2], np.eye(3, dtype=np.float32)[:2])
    return tmp_path / "store"


def others_can(store: Path) -> bool:
    """Whether another process can open the collection."""
    words = [sys.executable, "-c", OPEN, str(store), "pool"]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0 or "CollectionLockedError" in done.stderr, done.stderr
    return done.returncode == 0


def write(collection: Collection, point: int) -> None:
    collection.upsert([point], np.ones((1, 3), dtype=np.float32))


def test_what_one_writes_the_other_reads_and_the_last_to_close_lets_others_in(store: Path) -> None:
    first = open_collection(store, "pool")
    second = open_collection(store, "pool")
    write(first, 3)
    assert second.count() == first.count() == 3
    write(second, 4)
    nearest = first.search(np.ones((1, 3), dtype=np.float32), limit=2, exact=True)
    assert sorted(nearest.ids) == [3, 4]
    first.close()
    assert not others_can(store)
    assert second.existing([3, 4]) == {3, 4}
    first.close()
    assert second.count() == 4
    second.close()
    assert others_can(store)
    with open_collection(store, "pool") as again:
        assert again.count() == 4


def test_a_closed_collection_is_opened_again_and_not_shared(store: Path) -> None:
    closed = open_collection(store, "pool")
    closed.close()
    with open_collection(store, "pool") as again:
        write(again, 5)
        assert again.count() == 3
    closed.close()
    with pytest.raises(CollectionError, match="is closed; open it again"):
        closed.existing([1])


def test_a_cell_that_is_run_again_and_closed_lets_others_in(store: Path) -> None:
    for number in (3, 4, 5):
        collection = open_collection(store, "pool")
        write(collection, number)
    assert collection.count() == 5
    collection.close()
    assert not locked(store / "pool")


@pytest.mark.slow
def test_what_nobody_refers_to_lets_others_in(store: Path) -> None:
    collection = open_collection(store, "pool")
    view = collection.at("")
    del collection
    gc.collect()
    assert open_collection(store, "pool").count() == view.count() == 2
    assert locked(store / "pool")
    del view
    gc.collect()
    assert not locked(store / "pool")


def test_a_space_that_one_adds_the_other_searches(store: Path) -> None:
    with open_collection(store, "pool") as first, open_collection(store, "pool") as second:
        first.add_space(Space("own", "dense", 2, "Cosine"))
        first.at("own").set_vectors([1], np.ones((1, 2), dtype=np.float32))
        with open_collection(store, "pool", vector="own") as third:
            assert third.info().dimension == 2
            assert third.vectors([1])[0] == second.at("own").vectors([1])[0] == [1]
        with pytest.raises(CollectionNotFoundError):
            open_collection(store, "pool", vector="other")


def test_a_store_that_was_removed_and_made_again_is_another_one(store: Path) -> None:
    old = open_collection(store, "pool")
    shutil.rmtree(store)
    with pytest.raises(CollectionNotFoundError):
        open_collection(store, "pool")
    with create_collection(store, "pool", dimension=5) as new:
        assert (new.info().dimension, new.count(), old.info().dimension) == (5, 0, 3)
        with open_collection(store, "pool") as again:
            assert again.info().dimension == 5
    assert others_can(store)


def test_another_process_is_refused_by_name(store: Path) -> None:
    with open_elsewhere(store, "pool"), pytest.raises(CollectionLockedError, match="another proce"):
        open_collection(store, "pool")
    with open_collection(str(store), "pool"):
        assert not others_can(store)
    assert others_can(store)
