"""Select against a plain faiss pipeline and brute force: one run, tables of ratios.

Each pool is stored and indexed once; all contenders of a case then run in turn. Tables go to
stdout, progress to stderr. The default takes about three minutes; --full takes an hour or more.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.pools import Pool, synthetic, taken_from
from bench.speed.cases import Case, compare_case
from bench.speed.clock import machine, say
from bench.speed.ingest import compare_ingest
from bench.speed.reselect import compare_reselect
from bench.speed.tables import report, to_json

EXAMPLES, ALPHA = 200, 0.5
QUICK_SIZES, FULL_SIZES = (10_000, 100_000), (10_000, 100_000, 1_000_000)
VARIED = ((10, 0.5), (2_000, 0.5), (200, 0.1), (200, 0.95))
QUICK_REPEATS, FULL_REPEATS = 2, 3
QUICK_PATIENCE, FULL_PATIENCE = 8.0, 60.0


def options_of(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="10k and 100k candidates (default)")
    form.add_argument("--full", action="store_true", help="up to 1M, other M and alpha as well")
    parser.add_argument("--sizes", type=_sizes, help="candidates of the synthetic pools: 10000,..")
    parser.add_argument("--dimension", type=int, default=384, help="of the synthetic pools")
    parser.add_argument("--vectors", type=Path, help="a pool of ready vectors as well (.npy)")
    parser.add_argument("--repeats", type=int, help="runs of each contender")
    parser.add_argument("--patience", type=float, help="no second run after this many seconds")
    parser.add_argument(
        "--plain-complete",
        action="store_true",
        help="compute all densities of the plain pipeline\n(at 1M a run takes an hour)",
    )
    parser.add_argument("--store", type=Path, help="keep pools, collections and truths here")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    options = parser.parse_args(words)
    options.sizes = options.sizes or (FULL_SIZES if options.full else QUICK_SIZES)
    if options.repeats is None:
        options.repeats = FULL_REPEATS if options.full else QUICK_REPEATS
    if options.patience is None:
        options.patience = FULL_PATIENCE if options.full else QUICK_PATIENCE
    if options.vectors and not options.vectors.is_file():
        parser.error(f"there is no file '{options.vectors}'; give an .npy of vectors")
    return options


def cases_of(pools: Sequence[Pool], full: bool) -> list[Case]:
    """One case for each pool; where ``full``, the others vary one thing at the second pool."""
    base = pools[min(1, len(pools) - 1)]
    found = []
    for pool in pools:
        found.append(Case(pool, min(EXAMPLES, len(pool.queries)), ALPHA))
        if full and pool is base:
            found += [Case(pool, examples, alpha) for examples, alpha in VARIED]
    return found


def measure(options: argparse.Namespace, store: Path) -> dict[str, Any]:
    """Everything, case by case."""
    facts = machine()
    pools = []
    for size in options.sizes:
        say(f"pool of {size:,}")
        pools.append(synthetic(store, size, options.dimension))
    cases = cases_of(pools, options.full)
    if options.vectors:
        ready = taken_from(store, options.vectors)
        cases.append(Case(ready, len(ready.queries), ALPHA))
    effort = {"repeats": options.repeats, "patience": options.patience}
    usual = [case for case in cases if case.examples == EXAMPLES and case.alpha == ALPHA]
    measured = [
        compare_case(
            case,
            complete=options.plain_complete,
            memory=case in usual or not len(case.pool.spare),
            **effort,
        )
        for case in cases
    ]
    ingested = pools[min(1, len(pools) - 1) if options.full else 0].vectors
    say(f"ingest of {len(ingested):,} vectors")
    return {
        "machine": facts,
        "options": {name: str(value) for name, value in vars(options).items()},
        "cases": measured,
        "growth": growth(
            [found for case, found in zip(cases, measured, strict=True) if case in usual]
        ),
        "ingest": compare_ingest(ingested, **effort),
        "reselect": [compare_reselect(case, **effort) for case in usual if len(case.pool.spare)],
    }


def growth(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Searches by the size of the pool, against those of the first."""
    rows = []
    for found in measured:
        counts = found["searches"]
        row = {name: counts[name] for name in ("neighbor_searches", "density_searches")}
        total = sum(row.values())
        first = rows[0]["searches"] if rows else total
        rows.append(
            {**row, "candidates": found["candidates"], "searches": total, "ratio": total / first}
        )
    return rows


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    options = options_of(words)
    if options.store:
        options.store.mkdir(parents=True, exist_ok=True)
        found = measure(options, options.store)
    else:
        with tempfile.TemporaryDirectory(prefix="bench-") as place:
            found = measure(options, Path(place))
    print("\n".join(report(found)))
    if options.json:
        options.json.write_text(to_json(found), encoding="utf-8")


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    main()
