"""What ``explain`` and the summary say of orders: by perplexity, by difficulty, by windows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run

PLACE = ("--qdrant", "store", "--collection", "pool")
COUNT = 31
HARD = [float(k * k) for k in range(COUNT)]


@pytest.fixture(autouse=True)
def _pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("X.npy", rng.normal(size=(COUNT, 4)).astype(np.float32))
    np.save("Q.npy", rng.normal(size=(2, 4)).astype(np.float32))
    lines = [
        json.dumps({"id": k, "text": f"t{k}", "hard": HARD[k], "kind": "ab"[k % 3 == 0]}) + "\n"
        for k in range(COUNT)
    ]
    Path("pool.jsonl").write_text("".join(lines))
    run("ingest", "pool.jsonl", "--vectors", "X.npy", "--id-field", "id", *PLACE)


def selected(*words: object) -> tuple[str, dict[int, str]]:
    """What ``select`` says, and what ``explain`` says of each candidate."""
    asked = ("--queries", "Q.npy", "--size", 8, "--out", "s.jsonl", "--state", "a.run")
    said = run("select", *PLACE, *asked, *words).stderr
    ids = [word for k in range(COUNT) for word in ("--id", k)]
    parts = run("explain", "a.run", *ids).stdout.strip().split("\n\n")
    return said, {int(part.partition(":")[0]): part for part in parts}


@pytest.mark.parametrize(
    ("part", "aim"),
    [
        ("middle", "those around the median 225"),
        ("low", "the lowest"),
        ("high", "the highest"),
    ],
)
def test_what_was_asked_for_is_said(part: str, aim: str) -> None:
    words = ("--strategy", "perplexity", "--score", "hard", "--part", part)
    said, told = selected(*words, "--near-copies", "keep")
    chosen = [row["payload"]["hard"] for row in rows_of("s.jsonl")]
    span = f"the first ones have {min(chosen):.4g} to {max(chosen):.4g}"
    assert f"by perplexity: {aim}; {span}" in said
    ids = {row["id"] for row in rows_of("s.jsonl")}
    for number, text in told.items():
        assert "preferred" not in text
        assert ("not selected, others come first" in text) == (number not in ids)
        assert f"perplexity {HARD[number]:.4g}; {aim} come first; the last one" in text


@pytest.mark.slow
@pytest.mark.parametrize("step", [0.05, 0.15, 0.3])
@pytest.mark.parametrize("classes", [(), ("--classes", "kind")])
def test_windows_hold_what_was_selected_and_nothing_else(
    step: float, classes: tuple[str, ...]
) -> None:
    said, told = selected("--strategy", "window", "--difficulty", "hard", "--step", step, *classes)
    ids = {row["id"] for row in rows_of("s.jsonl")}
    assert re.search(r"window from \d+\.\d % to \d+\.\d % of 31 candidates by 'hard'", said)
    for number, text in told.items():
        found = re.search(r": ([\d.]+) % are harder; the window goes from (.*) % to (.*) %", text)
        assert found is not None
        place, start, end = map(float, found.groups())
        assert (start <= place < end) == (number in ids)
        assert ("not selected, others come first" in text) == (number not in ids)
