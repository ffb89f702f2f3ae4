"""One case of the benchmark: a selection against the plain pipeline and the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from bench.pools import Float32Array, Pool
from bench.speed.clock import alternate, clocked, say
from bench.speed.memory import order_for, peak_of
from bench.speed.plain import FloatArray, PlainSelection
from bench.speed.store import COLLECTION, built_collection, built_index, known_truth, plain_over
from bench.speed.traffic import MeteredCollection, plain_traffic
from bench.speed.truth import Truth

from tsds_qdrant import SelectionSettings, open_collection, select
from tsds_qdrant.selection.selection import Selection

COST_SCALE = 1.0
LARGEST_SAMPLE = 1_000


@dataclass(frozen=True)
class Case:
    """What is selected from, for how many task examples, and at which alpha (C = 1)."""

    pool: Pool
    examples: int
    alpha: float

    @property
    def queries(self) -> Float32Array:
        """(M, D) the task examples."""
        return self.pool.queries[: self.examples]

    @property
    def task(self) -> dict[str, float]:
        """Alpha, C and h."""
        bandwidth = self.pool.bandwidth
        return {"alpha": self.alpha, "cost_scale": COST_SCALE, "bandwidth": bandwidth}

    def settings(self, *, exact: bool = False) -> SelectionSettings:
        """Settings that draw as many candidates as there are task examples."""
        sizes = (min(len(self.queries), LARGEST_SAMPLE),)
        return SelectionSettings.of(sizes=sizes, exact=exact, **self.task)

    def facts(self) -> dict[str, Any]:
        """What stands in front of each row."""
        pool = {"pool": self.pool.name, "candidates": len(self.pool.vectors)}
        return {**pool, "examples": len(self.queries), **self.task}


def compare_case(
    case: Case, *, repeats: int, patience: float, complete: bool, memory: bool
) -> dict[str, Any]:
    """Run all contenders over ``case`` in turn, and measure everything once that has no seconds.

    Args:
        case: which one.
        repeats: runs of each contender.
        patience: seconds after which a contender does not run again.
        complete: compute all densities of the plain pipeline.
        memory: measure the peak memory too.
    """
    say(f"{case.pool.name}, {len(case.queries)} task examples, alpha {case.alpha:g}")
    stored, trained = built_collection(case.pool), built_index(case.pool)
    truth = known_truth(case.pool, case.queries, **case.task)
    plain = plain_over(case.pool.directory, case.pool.vectors)

    def plain_run() -> tuple[float, PlainSelection]:
        done = plain.select(case.queries, complete=complete, **case.task)
        return done.seconds, done

    collection = open_collection(str(stored.path), COLLECTION)
    metered = MeteredCollection(collection)
    select(metered, case.queries, case.settings())

    def ours(exact: bool) -> Callable[[], Selection]:
        return lambda: select(collection, case.queries, case.settings(exact=exact))

    done = alternate(
        {"select": clocked(ours(False)), "exact": clocked(ours(True)), "plain": plain_run},
        repeats,
        patience,
    )
    collection.close()
    slowest = done["plain"][0].median
    selected: Selection = done["select"][1]
    rows = [
        {"timing": timing, "times": slowest / timing.median}
        | (
            _plain_row(result, truth, selected.transport.densities_needed)
            if name == "plain"
            else _our_row(result, truth, len(case.pool.vectors))
        )
        for name, (timing, result) in done.items()
    ]
    mine, theirs = metered.traffic, plain_traffic(plain, case.queries)
    result = {
        **case.facts(),
        "rows": rows,
        "truth": {"needed": truth.needed, "depth": truth.depth},
        "searches": asdict(selected.counts),
        "total": {
            "ours": stored.total + done["select"][0].median,
            "plain": trained.total + slowest,
            "stages": {**stored.seconds, **trained.seconds},
            "earlier": stored.earlier or trained.earlier,
        },
        "traffic": {"ours": mine.figures(), "plain": theirs.figures()},
    }
    if memory:
        say("  peak memory of three fresh processes")
        order = order_for(
            case.pool.directory,
            stored.path,
            COLLECTION,
            len(case.queries),
            metered.calls,
            **case.task,
        )
        result["memory"] = {kind: peak_of(kind, order) for kind in ("ours", "engine", "plain")}
    return result


def variation(a: FloatArray, b: FloatArray) -> float:
    """Total variation between two probabilities (N,)."""
    return float(np.abs(a - b).sum() / 2)


def _our_row(selection: Selection, truth: Truth, candidates: int) -> dict[str, Any]:
    probabilities = np.zeros(candidates)
    probabilities[np.array(selection.ids, dtype=np.int64)] = selection.probabilities
    how = f"ef {selection.ef}" if selection.ef else f"scan, {selection.scan_reason}"
    exact = selection.settings.search.exact
    return {
        "what": "select --exact" if exact else f"select ({how})",
        "variation": variation(probabilities, truth.probabilities),
        "bound": selection.transport.accuracy.variation_limit,
        "neighbors": int(selection.transport.solution.problem.lists.depths.sum()),
        "densities": selection.counts.density_searches,
        "needed": selection.transport.densities_needed,
        "support": selection.transport.solution.support,
        "hits": selection.counts.hits,
        "seconds": selection.seconds,
        "share": 1.0,
    }


def _plain_row(done: PlainSelection, truth: Truth, needed: int) -> dict[str, Any]:
    what = "plain pipeline"
    if done.share < 1:
        what += f" (extrapolated from {100 * done.share:.2g} % of its densities)"
    return {
        "what": what,
        "variation": variation(done.probabilities, truth.probabilities),
        "neighbors": done.neighbors,
        "densities": len(done.union),
        "needed": needed,
        "support": int(np.count_nonzero(done.probabilities)),
        "share": done.share,
    }
