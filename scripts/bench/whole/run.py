"""The whole way: vectors on disk to a selection on disk, in fresh processes, nothing prepared.

Ours by scan (ingest, select), ours with a graph (ingest --index, select), the plain pipeline that
does what the published reference implementation does, and the same on a flat index of faiss. Each
starts from a .npy and ends with a file of ids; all ways of a pool are gone in turn.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

from bench.pools import Pool, synthetic, taken_from
from bench.speed.cases import variation
from bench.speed.clock import Timing, alternate, machine, say, shown
from bench.speed.store import known_truth
from bench.speed.tables import section, size_text, to_json
from bench.whole.texts import demo_pool
from bench.whole.ways import BY_FAISS, WAYS, Job, Walked, go

from tsds_qdrant.errors import TsdsError

EXAMPLES, ALPHA, SIZE = 200, 0.5, 1_000
POOL_PART = 10
"""At most this part of a pool is drawn."""
SIZES, TEXTS = (10_000, 100_000, 1_000_000), 3_000
SCANNED, GRAPHED, PLAIN = "by scan", "with a graph", "plain pipeline"


def options_of(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/run whole",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--sizes", type=_numbers, default=SIZES, help="of synthetic pools")
    parser.add_argument("--dimension", type=int, default=384, help="of the synthetic pools")
    parser.add_argument(
        "--texts", type=int, default=TEXTS, help="docstrings of the demo to embed; 0 for none"
    )
    parser.add_argument("--vectors", type=Path, help="a pool of ready vectors as well (.npy)")
    parser.add_argument("--without", action="append", choices=[*WAYS], default=[], help="a way")
    parser.add_argument("--repeats", type=int, default=1, help="times that each way is gone")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="none is gone again after this many seconds"
    )
    parser.add_argument("--store", type=Path, help="keep pools and truths here")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    return parser.parse_args(words)


def jobs_of(options: argparse.Namespace, store: Path) -> Iterator[Job]:
    """One job for each pool."""
    for size in options.sizes:
        say(f"pool of {size:,}")
        yield _job(synthetic(store, size, options.dimension), EXAMPLES)
    if options.texts:
        try:
            yield _job(demo_pool(store, options.texts), EXAMPLES)
        except TsdsError as error:
            say(f"no real texts: {error}; install '.[demo]'")
    if options.vectors:
        yield _job(taken_from(store, options.vectors), EXAMPLES)


def measure(options: argparse.Namespace, store: Path) -> dict[str, Any]:
    """Every way of every pool."""
    names = [name for name in WAYS if name not in options.without]
    if find_spec("faiss") is None:
        say("no plain pipeline: faiss is not installed; install '.[bench]'")
        names = [name for name in names if name not in BY_FAISS]
    return {
        "machine": machine(),
        "options": {name: str(value) for name, value in vars(options).items()},
        "pools": [_compared(job, names, options, store) for job in jobs_of(options, store)],
    }


def _compared(
    job: Job, names: Sequence[str], options: argparse.Namespace, store: Path
) -> dict[str, Any]:
    say(f"{job.pool.name}, {job.examples} task examples, {job.size} to select")
    contenders = {name: partial(go, name, job, store) for name in names}
    done = alternate(contenders, options.repeats, options.patience)
    queries = job.pool.queries[: job.examples]
    truth = known_truth(job.pool, queries, **job.task).probabilities
    vectors = job.pool.vectors.nbytes
    ways = {
        name: {
            "timing": timing,
            "stages": way.stages,
            "share": way.share,
            "peak": way.peak,
            "own": way.own,
            "variation": variation(way.probabilities, truth),
        }
        for name, (timing, way) in done.items()
    }
    facts = {"pool": job.pool.name, "examples": job.examples, "size": job.size, "bytes": vectors}
    return {**facts, "ways": ways, "break_even": _break_even(done)}


def _break_even(done: dict[str, tuple[Timing, Walked]]) -> int | None:
    """Selections after which the graph has paid; None where it has not, or was not measured."""
    if not {SCANNED, GRAPHED} <= done.keys():
        return None
    scan, graph = done[SCANNED][1].stages, done[GRAPHED][1].stages
    saved = scan["select"] - graph["select"]
    return max(1, ceil(graph["index"] / saved)) if saved > 0 else None


def report(found: dict[str, Any]) -> Iterator[str]:
    """Lines of the report: the machine, and two tables."""
    facts = found["machine"]
    yield (
        f"{facts['cores']} cores ({facts['processor']}), load average "
        f"{', '.join(map(str, facts['load']))} at the start. Trust the ratios."
    )
    yield from section("The whole way", _ways(found["pools"]))
    yield from section("When a graph has paid", _graphs(found["pools"]))


def _ways(pools: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    head = ("pool", "way", "seconds", "of these", "times as fast as plain")
    rows = [(*head, "peak memory / vectors", "without files", "total variation to the truth")]
    for pool in pools:
        ways = pool["ways"]
        plain = ways[PLAIN]["timing"].median if PLAIN in ways else None
        for name, way in ways.items():
            scaled = f" (scaled up from {100 * way['share']:.2g} % of its densities)"
            stages = ", ".join(f"{stage} {shown(s)} s" for stage, s in way["stages"].items())
            memory = (way["peak"], way["own"])
            rows.append(
                (
                    pool["pool"],
                    name + (scaled if way["share"] < 1 else ""),
                    str(way["timing"]),
                    stages,
                    "" if plain is None else f"{plain / way['timing'].median:.1f}",
                    *(f"{size_text(b)}, {b / pool['bytes']:.2f}" if b else "" for b in memory),
                    f"{way['variation']:.1e}",
                )
            )
    return rows


def _graphs(pools: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    rows = [("pool", "build", "select by scan", "select with a graph", "it has paid after")]
    for pool in pools:
        if {SCANNED, GRAPHED} <= pool["ways"].keys():
            scan, graph = (pool["ways"][name]["stages"] for name in (SCANNED, GRAPHED))
            seconds = (graph["index"], scan["select"], graph["select"])
            paid = pool["break_even"]
            after = "never" if paid is None else f"{paid} selections"
            rows.append((pool["pool"], *(f"{shown(s)} s" for s in seconds), after))
    return rows


def _job(pool: Pool, examples: int) -> Job:
    wanted = min(SIZE, len(pool.vectors) // POOL_PART)
    return Job(pool, min(examples, len(pool.queries)), ALPHA, wanted)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    options = options_of(words)
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        store = options.store or Path(place)
        store.mkdir(parents=True, exist_ok=True)
        found = measure(options, store)
    print("\n".join(report(found)))
    if options.json:
        options.json.write_text(to_json(found), encoding="utf-8")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


if __name__ == "__main__":
    main()
