"""One candidate, equal candidates, and sizes of the whole pool, by every command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run

POOLS = {
    "one": np.array([[1.0, 2.0, 3.0]]),
    "equal": np.full((7, 3), 0.5),
    "distinct": np.random.default_rng(4).normal(size=(9, 3)),
}


@pytest.fixture(params=POOLS)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, int]:
    """Flags of a collection, with a task in ``Q.npy``, and how many candidates it has."""
    monkeypatch.chdir(tmp_path)
    rows = POOLS[request.param].astype(np.float32)
    np.save("X.npy", rows)
    np.save("Q.npy", np.random.default_rng(5).normal(size=(2, 3)).astype(np.float32))
    texts = [json.dumps({"text": f"candidate {k}"}) + "\n" for k in range(len(rows))]
    Path("pool.jsonl").write_text("".join(texts))
    flags = "--qdrant store --collection pool"
    run("ingest", "pool.jsonl", "--vectors", "X.npy", *flags.split())
    return f"{flags} --queries Q.npy", len(rows)


@pytest.mark.slow
def test_every_command_takes_the_whole_pool(place: tuple[str, int]) -> None:
    flags, count = place
    for wanted in (f"--size {count}", "--ratio 1", f"--size {count} --strategy similarity-max"):
        run(*f"select {flags} {wanted} --out kept.jsonl".split())
        assert len({row["id"] for row in rows_of("kept.jsonl")}) == count
    chosen = f"--size {(count + 1) // 2} --out kept.jsonl --probabilities p.jsonl --state a.run"
    said = run(*f"select {flags} {chosen} --report a.html".split()).stderr
    p = [row["probability"] for row in rows_of("p.jsonl")]
    assert sum(p) == pytest.approx(1)
    if len({tuple(row) for row in np.load("X.npy").tolist()}) == 1:
        assert p == pytest.approx([1 / count] * count)
        why = "there is one candidate" if count == 1 else "all candidates are equally far from it"
        assert f"the task has no influence: {why}" in said
        assert f"The task has no influence here: {why}" in Path("a.html").read_text()
    one = rows_of("kept.jsonl")[0]["id"]
    for line in (
        f"explain a.run --id {one}",
        "reselect a.run --out again.jsonl",
        "watch a.run --once",
        "report a.run --out b.html",
        f"path {flags}",
        f"path {flags} --plot path.svg",
        f"compare {flags} --size {count}",
    ):
        run(*line.split())
    assert Path("again.jsonl").read_bytes() == Path("kept.jsonl").read_bytes()
    shown = json.loads(run(*f"path {flags} --json".split()).stdout)
    assert len(shown["points"]) + len(shown["pool_alphas"]) == 10


def test_a_size_beyond_the_pool_says_what_the_pool_has(place: tuple[str, int]) -> None:
    flags, count = place
    told = f"error: {count + 1} candidates are wanted but the pool has {count}; ask for at most"
    for command in ("select --out kept.jsonl", "select --alpha 0.5 --out kept.jsonl", "compare"):
        said = run(*f"{command} {flags} --size {count + 1}".split(), code=1).stderr
        assert said == f"{told} {count}\n"
    assert not Path("kept.jsonl").exists()
