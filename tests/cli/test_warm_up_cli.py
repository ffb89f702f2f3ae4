"""``warm-up``: what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import run
from tiny_models import saved_model
from warm_pool import PAYLOADS

PLACE = ("--qdrant", "./store", "--collection", "pool")
SMALL = ("--rank", 2, "--batch", 4, "--epochs", 2, "--device", "cpu", "--at-least", 8)


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "".join(json.dumps({"q": one["instruction"], "a": one["output"]}) for one in PAYLOADS)
    Path("pool.jsonl").write_text(text.replace("}{", "}\n{"))
    np.save("X.npy", np.random.default_rng(0).normal(size=(len(PAYLOADS), 3)).astype("float32"))
    run("ingest", "pool.jsonl", "--vectors", "X.npy", *PLACE)


@pytest.mark.slow
def test_it_says_what_was_learnt_and_goes_on() -> None:
    saved_model(Path("lm"))
    words = ("warm-up", *PLACE, "--model", "./lm", "--map", "prompt=q,completion=a", *SMALL)
    done = run(*words, "--out", "warm")
    # transformers draws bars where it was imported before, as this test has done.
    said = [line for line in done.stderr.splitlines() if line and not line.startswith("Loading")]
    first, *epochs, last = said
    assert first == "learnt 8 of 40 candidates"
    assert [line.split(":")[0] for line in epochs] == ["epoch 1", "epoch 2"]
    assert epochs[1].endswith("checkpoint-4")
    assert last == f"wrote {Path('warm').resolve()}"
    assert {path.name for path in Path("warm").iterdir()} == {
        *("checkpoint-2", "checkpoint-4", "warm-up.json"),
    }
    again = json.loads(run(*words, "--out", "warm", "--json").stdout)
    assert (again["resumed"], again["trained"], again["pool"]) == (2, 8, 40)
    filtered = ("--filter", '{"must": [{"key": "a", "match": {"value": "yes "}}]}')
    part = json.loads(run(*words, *filtered, "--out", "some", "--json").stdout)
    assert (part["pool"], part["trained"]) == (8, 8)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--share", 2), 2, "share is 2; choose it above 0 and at most 1"),
        (("--share", "nan"), 2, "share is nan"),
        (("--dropout", 1), 2, "dropout is 1"),
        (("--learning-rate", 0), 2, "learning_rate is 0; choose more than 0"),
        (("--targets", "q_proj,,v_proj"), 2, "name layers, as in q_proj,v_proj"),
        (("--map", "prompt"), 2, "write PART=FIELD"),
        (("--dtype", "int8"), 2, "--dtype is 'int8'"),
        (("--model", "./nowhere"), 1, "nowhere' of the model does not exist"),
        (("--out", "pool.jsonl"), 1, "'pool.jsonl' cannot be a directory of checkpoints"),
        (("--out", "."), 1, "holds other files"),
        (("--collection", "pond"), 1, "pond"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    words: tuple[object, ...], code: int, said: str
) -> None:
    usual = ("warm-up", *PLACE, "--model", "./lm", "--out", "warm")
    done = run(*usual, *words, code=code)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
