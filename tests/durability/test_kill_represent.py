"""A represent that is killed and run again leaves what an undisturbed one leaves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import saved_model

from tsds_qdrant import open_collection
from tsds_qdrant.collections.reserved import MADE_FIELD

COMMAND = (sys.executable, "-m", "tsds_qdrant")
PLACE = ("--qdrant", "store", "--collection", "pool")
COUNT = 3_000
WHOLE = {"ngrams": (), "bm25": (), "whitened": (), "clusters": ("--clusters", "5")}
MODEL = ("--model", "tiny", "--max-length", "32")
MODELS = {"hidden": MODEL, "gradient": (*MODEL, "--dimension", "64")}
KINDS = {**WHOLE, **MODELS}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an ingested pool, and a tiny language model."""
    directory = tmp_path_factory.mktemp("killed")
    rng = np.random.default_rng(0)
    np.save(directory / "X.npy", rng.normal(size=(COUNT, 24)).astype(np.float32))
    lines = (
        json.dumps({"prompt": f"question {k}", "completion": f"answer {k % 37} to it"}) + "\n"
        for k in range(COUNT)
    )
    (directory / "pool.jsonl").write_text("".join(lines))
    run(directory, "ingest", "pool.jsonl", "--vectors", "X.npy", *PLACE)
    saved_model(directory / "tiny")
    return directory


def run(directory: Path, *words: str) -> None:
    done = subprocess.run([*COMMAND, *words], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


KILLED = """
import os, signal, sys
from tsds_qdrant.cli import main
from tsds_qdrant.collections.edge.collection import EdgeCollection
method, left = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]
whole = getattr(EdgeCollection, method)
def dying(*args, **kwargs):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*args, **kwargs)
setattr(EdgeCollection, method, dying)
main()
"""
"""The command, in a process that kills itself when it calls a method for the n-th time."""
MOMENTS = [("set_vectors", 0), ("set_vectors", 2), ("set_payload", 1), ("set_payload", 2)]


def killed(directory: Path, moment: tuple[str, int], *words: str) -> None:
    command = [sys.executable, "-c", KILLED, moment[0], str(moment[1]), *words]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert done.returncode in (-9, 137), (done.returncode, done.stderr)


def everything(directory: Path, name: str) -> dict[Any, Any]:
    """Vectors and marks of all points."""
    with open_collection(str(directory / "store"), "pool", vector="") as opened:
        ids = list(chain.from_iterable(opened.scroll_ids()))
        view = opened.at(name) if name in opened.spaces else opened
        own = name in opened.spaces
        found = {}
        for record in view.retrieve(ids, payloads=[MADE_FIELD], vectors=own):
            mark = dict(record.payload[MADE_FIELD][name])
            mark.pop("kept", None)
            vector: Any = record.vector
            if record.sparse is not None:
                vector = [x for pair in record.sparse.pairs() for x in pair]
            found[record.id] = (vector, mark)
    return found


def same(one: Any, other: Any) -> bool:
    """Equal, numbers of other batches but for rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float | int | np.ndarray):
        return np.allclose(one, other, rtol=1e-4, atol=1e-5)
    return bool(one == other)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["ngrams", *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k != "ngrams")]
)
def test_kills_change_nothing(kind: str, place: Path, tmp_path: Path) -> None:
    words = ("represent", kind, *PLACE, *KINDS[kind])
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    for directory in (calm, wild):
        shutil.copytree(place, directory)
    run(calm, *words)
    for moment in MOMENTS:
        if moment[0] == "set_payload" or kind != "clusters":  # labels have no vectors
            killed(wild, moment, *words)
    run(wild, *words)
    expected, found = everything(calm, kind), everything(wild, kind)
    assert len(expected) == COUNT
    assert expected.keys() == found.keys()
    assert not [k for k in expected if not same(expected[k][1], found[k][1])]
    assert not [k for k in expected if not same(expected[k][0], found[k][0])]
