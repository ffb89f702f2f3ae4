"""Kill ``ingest``, ``select`` and ``reselect`` at random moments, run them again, and compare.

An undisturbed run and a killed one, repeated until it ends by itself, must leave the same
collection (ids, payloads, vectors), the same run state and the same selection.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tsds_qdrant import SelectionSettings, open_collection, select
from tsds_qdrant.runs.state import RunState

POOL, MORE, DIMENSION, SIZE = 1_500, 3_000, 32, 20
COMMAND = (sys.executable, "-m", "tsds_qdrant")
PLACE = ("--qdrant", "store", "--collection", "pool")
INGEST = ("ingest", "pool.jsonl", "--vectors", "X.npy", *PLACE, "--id-field", "n")
MORE_INGEST = ("ingest", "more.jsonl", "--vectors", "Y.npy", *PLACE, "--id-field", "n")
SELECT = (
    *("select", *PLACE, "--queries", "Q.npy", "--size", str(SIZE), "--alpha", "0.5"),
    *("--cost-scale", "1", "--bandwidth", "0.8", "--exact"),
    *("--state", "task.run", "--out", "selected.jsonl"),
)
RESELECT = ("reselect", "task.run", "--out", "selected.jsonl")


@dataclass
class Tally:
    """What happened: kills that hit a living command, by command, and runs that were needed."""

    kills: dict[str, int] = field(default_factory=lambda: {"ingest": 0, "select": 0, "reselect": 0})
    runs: int = 0
    histories: int = 0


def write_inputs(directory: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, DIMENSION))

    def rows(count: int) -> Any:
        near = centres[rng.integers(0, 40, count)]
        return (near + 0.3 * rng.normal(size=(count, DIMENSION))).astype(np.float32)

    def write(name: str, vectors: str, numbers: range, drawn: Any) -> None:
        np.save(directory / vectors, drawn)
        lines = (json.dumps({"n": f"n{k}", "text": f"text {k}"}) + "\n" for k in numbers)
        (directory / name).write_text("".join(lines), encoding="utf-8")

    write("pool.jsonl", "X.npy", range(POOL), rows(POOL))
    # The last third of the pool comes again with other vectors.
    first = POOL - POOL // 3
    write("more.jsonl", "Y.npy", range(first, first + MORE), rows(MORE))
    np.save(directory / "Q.npy", rows(30))


def finish(directory: Path, words: tuple[str, ...]) -> float:
    """Run a command to its end and return how long that took."""
    started = time.perf_counter()
    done = subprocess.run([*COMMAND, *words], cwd=directory, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return time.perf_counter() - started


def kill(directory: Path, words: tuple[str, ...], seconds: float) -> bool:
    """Run a command, kill it after ``seconds``; False where it had ended before."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, *words], cwd=directory, **quiet) as child:
        try:
            child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
        spoken = (child.stderr.read() if child.stderr else b"").decode(errors="replace")
        code = child.wait()
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"{' '.join(words)} ended with {code} after a kill: {spoken}")
    return code == -signal.SIGKILL


def contents(directory: Path) -> dict[str, Any]:
    """Everything that must not depend on kills."""
    collection = open_collection(str(directory / "store"), "pool")
    try:
        ids = [point_id for page in collection.scroll_ids() for point_id in page]
        records = collection.retrieve(ids, vectors=True)
        settings = SelectionSettings.of(
            sizes=(SIZE,), alpha=0.5, cost_scale=1.0, bandwidth=0.8, exact=True
        )
        scratch = select(collection, np.load(directory / "Q.npy"), settings)
    finally:
        collection.close()
    state = RunState(directory / "task.run")
    arrays = state.arrays()
    drawn = sorted(zip(arrays["drawn_keys"].tolist(), arrays["drawn_probabilities"], strict=True))
    lines = (directory / "selected.jsonl").read_text(encoding="utf-8").splitlines()
    selected = [json.loads(line) for line in lines]
    return {
        "points": [(r.id, r.content, np.asarray(r.vector).tobytes()) for r in records],
        "selected": [(row["id"], row["payload"], row["query"]) for row in selected],
        "from scratch": [(point_id,) for point_id in scratch.selected_ids],
        "support": [tuple(key) for key, _ in drawn],
        "p": np.array([p for _, p in drawn]),
    }


def differences(plain: dict[str, Any], killed: dict[str, Any]) -> list[str]:
    """Names of what differs."""
    found = [name for name in plain if name != "p" and plain[name] != killed[name]]
    if not found and np.abs(plain["p"] - killed["p"]).max(initial=0.0) > 1e-9:
        found.append("p")
    found += [
        f"{name} from scratch"
        for name, result in (("plain", plain), ("killed", killed))
        if [row[0] for row in result["selected"]] != [row[0] for row in result["from scratch"]]
    ]
    return found


def kill_test(directory: Path, kills: int, seed: int = 0) -> Tally:
    """Play histories until ``kills`` kills have hit; raise where a result differs."""
    rng, tally = np.random.default_rng(seed), Tally()
    plain = directory / "plain"
    plain.mkdir()
    write_inputs(plain, seed)
    times = {
        "ingest": finish(plain, INGEST),
        "select": finish(plain, SELECT),
        "more": finish(plain, MORE_INGEST),
        "reselect": finish(plain, RESELECT),
    }
    expected = contents(plain)
    while sum(tally.kills.values()) < kills:
        left = kills - sum(tally.kills.values())
        tally.histories += 1
        place = directory / f"killed-{tally.histories}"
        place.mkdir()
        write_inputs(place, seed)
        for words, name in (
            (INGEST, "ingest"),
            (SELECT, "select"),
            (MORE_INGEST, "more"),
            (RESELECT, "reselect"),
        ):
            for _ in range(min(int(rng.integers(1, 4)), left)):
                tally.runs += 1
                if kill(place, words, float(rng.uniform(0.0, times[name]))):
                    tally.kills[words[0]] += 1
                    left -= 1
                if words is MORE_INGEST and rng.random() < 0.5:  # a look at what is half stored
                    tally.runs += 1
                    finish(place, RESELECT)
            finish(place, words)
        found = differences(expected, contents(place))
        if found:
            raise SystemExit(f"history {tally.histories} differs in {', '.join(found)}: {place}")
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="kill-test-"))
    tally = kill_test(directory, options.kills, options.seed)
    shutil.rmtree(directory)  # a result that differs is left to be looked at
    for command, count in tally.kills.items():
        print(f"{command}: killed {count} times")
    print(
        f"{tally.histories} histories, {tally.runs} disturbed runs: collection, state and "
        f"selection equal those of undisturbed runs"
    )


if __name__ == "__main__":
    main()
