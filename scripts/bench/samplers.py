"""How a sample is best drawn from the probabilities of TSDS, on real text with classes.

The texts, tasks and figures of ``bench.classes``, at three sizes n. A rule chooses alpha: the
effective sample size of p is a multiple of n, or that in which near-duplicates count as one
("different"), n candidates have p > 0, or 2 n draws with replacement give n different ones
("draws"). A sampler then takes n distinct candidates:

``stable``   successive sampling: the least -ln(u) / p
``poisson``  sequential Poisson sampling: the least u / p
``pareto``   Pareto sampling, which is conditional Poisson sampling but for small differences
             (Bondesson, Traat, Lundqvist 2006), by the odds of u to those of n p
``top``      the largest p; equal ones by number
``thinned``  the largest p times density, less what those that are taken already stand for

Searches are exact, and densities those of the whole pool. Beside the figures of ``bench.classes``
there are the share of the class in the first quarter of the file, and what of the selection
changes when one candidate in a hundred, drawn at random from the others, is deleted.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from bench.classes import (
    CACHE,
    SMALLEST_CLASS,
    ClassTask,
    Texts,
    read_texts,
    selected,
    stored,
    vectors_of,
)

from tsds_qdrant.collections.ids import point_keys, uniform_noise
from tsds_qdrant.files.outputs import write_json
from tsds_qdrant.neighbors.deepening import FIRST_DEPTH
from tsds_qdrant.neighbors.geometry import pairwise_distances
from tsds_qdrant.neighbors.units import BANDWIDTH_SHARE
from tsds_qdrant.selection.sampling import EFFECTIVE as MOST_EFFECTIVE
from tsds_qdrant.selection.thinning import thinned
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.spread import Spread
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.strategies.likeness import Likeness

SHARES = (0.003, 0.01, 0.05)
"""Sizes, as shares of the pool."""
DEPTH = 9_000
"""Neighbours of a task example that are listed."""
FARTHEST = 0.62
"""No derived bandwidth is larger."""
EFFECTIVE = ("effective 1", "effective 1.5", "effective 2", "effective 3")
RULES = (*EFFECTIVE, "different 1", "different 1.5", "support", "draws")
SAMPLERS = ("stable", "poisson", "pareto", "top", "thinned")
OTHERS = ("tsds", "round-robin", "similarity-max", "similarity-mean")
FIGURES = ("share", "first", "coverage", "copies", "churn")
BLOCK = 2_000


def pairs_within(vectors: Any, radius: float) -> scipy.sparse.csr_matrix:
    """(n, n) distances of all pairs within ``radius``."""
    rows, columns, values = [], [], []
    for start in range(0, len(vectors), BLOCK):
        block = pairwise_distances(vectors[start : start + BLOCK], vectors, "Cosine")
        row, column = np.nonzero(block < radius)
        rows.append(row + start)
        columns.append(column)
        values.append(block[row, column])
    shape = (len(vectors), len(vectors))
    found = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return scipy.sparse.csr_matrix(found, shape=shape)


@dataclass(frozen=True)
class Problem:
    """A task over the texts.

    Attributes:
        distances: (M, n) from task examples to candidates.
        rows: (n,) which texts are candidates.
        pairs: distances of near texts, of all of them.
    """

    distances: Any
    rows: Any
    pairs: scipy.sparse.csr_matrix

    def without(self, gone: Any) -> Problem:
        """Without the texts ``gone``."""
        left = ~np.isin(self.rows, gone)
        return Problem(self.distances[:, left], self.rows[left], self.pairs)

    @cached_property
    def path(self) -> RegularizationPath:
        """What every alpha selects."""
        order = np.argsort(self.distances, axis=1, kind="stable")[:, :DEPTH]
        lists = NeighborLists.from_rows(order, np.take_along_axis(self.distances, order, axis=1))
        ends = lists.distances[lists.offsets[:-1] + FIRST_DEPTH - 1]
        scale = float(np.median(ends))
        count = lists.queries
        densities = 1.0 + self.near(scale).sum(axis=1).A1
        sweep = Sweep.over(lists, densities, np.full(count, 1 / count))
        return RegularizationPath(sweep, scale, len(self.rows), limit=sweep.horizon)

    def near(self, scale: float) -> scipy.sparse.csr_matrix:
        """(n, n) values of the kernel, none between a candidate and itself."""
        bandwidth = BANDWIDTH_SHARE * scale
        if bandwidth > FARTHEST:
            sys.exit(f"a bandwidth is {bandwidth:.3f}; raise FARTHEST")
        found = self.pairs[self.rows][:, self.rows]
        found.data = np.maximum(0.0, 1.0 - np.square(found.data / bandwidth))
        found.setdiag(0.0)
        found.eliminate_zeros()
        return found

    def likeness(self, p: Any) -> Likeness:
        """How far candidates with p > 0 stand for each other."""
        support, path = np.flatnonzero(p), self.path
        near = self.near(path.cost_scale)[support][:, support]
        masses = (p * path.densities)[support]
        return Likeness(masses, path.entered[support], near.indptr, near.indices, near.data)

    def probabilities(self, rule: str, size: int) -> Any:
        """(n,) p by that rule for alpha."""
        path, (name, *given) = self.path, rule.split()
        if name in ("effective", "different"):
            times = float(given[0])
            spread = (
                Spread(effective=times) if name == "effective" else Spread(times, MOST_EFFECTIVE)
            )
            threshold = path.threshold_for_effective_size(size, spread)
        elif name == "support":
            threshold = path.threshold_for_support(size)
        else:
            threshold = first_where(path, lambda p: distinct(p, 2 * size) >= size)
        if not threshold <= path.limit:
            sys.exit(f"{rule} {size}: lists of {DEPTH} do not reach that far")
        return path.sweep.probabilities(threshold, path.candidates)


def distinct(p: Any, draws: int) -> float:
    """Expected number of different candidates in that many draws with replacement."""
    return float(-np.expm1(draws * np.log1p(-np.minimum(p, 1 - 1e-12))).sum())


def first_where(path: RegularizationPath, holds: Callable[[Any], bool]) -> float:
    """The first breakpoint, by bisection, at which p ``holds``."""
    steps = np.unique(path.sweep.thresholds)
    low, high = -1, int(np.searchsorted(steps, path.limit, side="right")) - 1
    while high - low > 1:
        middle = (low + high) // 2
        enough = holds(path.sweep.probabilities(steps[middle], path.candidates))
        low, high = (low, middle) if enough else (middle, high)
    return float(steps[high])


def capped(p: Any, size: int) -> Any:
    """(n,) chances to be drawn: ``size`` p, at most 1, and ``size`` in all."""
    chances = np.minimum(1.0, size * p)
    for _ in range(100):
        free = chances < 1.0
        short = size - np.count_nonzero(~free)
        scaled = np.where(free, p * short / max(p[free].sum(), 1e-300), 1.0)
        if (new := np.minimum(1.0, scaled)).max() <= 1.0 and np.allclose(new, chances):
            break
        chances = new
    return chances


def drawn(sampler: str, p: Any, given: Problem, size: int, seed: int) -> Any:
    """(size,) texts, best first."""
    support = np.flatnonzero(p > 0)
    keys = point_keys(given.rows[support].tolist())
    if sampler == "thinned":
        return given.rows[support[thinned(given.likeness(p), keys)[:size]]]
    u, p = uniform_noise(keys, seed), p[support]
    if sampler == "pareto":
        chances = np.minimum(capped(p, size), 1 - 1e-12)
        rank = u / (1 - u) * (1 - chances) / chances
    else:
        rank = {"stable": -np.log(u) / p, "poisson": u / p, "top": -p}[sampler]
    return given.rows[support[np.argsort(rank, kind="stable")[:size]]]


def run_class(
    given: Texts, pairs: scipy.sparse.csr_matrix, label: str, seed: int, rules: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Figures of every rule, sampler and other strategy for one class and seed."""
    asked = ClassTask.drawn(given, label, seed)
    task, apart = asked.task, asked.apart
    rows = np.setdiff1d(np.arange(len(given.texts)), apart)
    distances = pairwise_distances(given.vectors[task], given.vectors[rows], "Cosine")
    problem = Problem(distances.astype(np.float64), rows, pairs)
    gone = np.random.default_rng(seed).choice(rows, len(rows) // 100, replace=False)
    smaller = problem.without(gone)

    def figures(ids: Any) -> dict[str, float]:
        first = given.labels[ids[: max(1, len(ids) // 4)]] == label
        return {"first": float(first.mean()), **asked.figures(given, ids)}

    for share in SHARES:
        size = round(share * len(rows))
        facts = {"class": label, "seed": seed, "n": size}
        for rule in rules:
            p, q = problem.probabilities(rule, size), smaller.probabilities(rule, size)
            mass = float(p[given.labels[rows] == label].sum())
            for sampler in SAMPLERS if rule != "support" else ("thinned",):
                ids = drawn(sampler, p, problem, size, seed)
                later = drawn(sampler, q, smaller, size, seed)
                lost = np.isin(ids, gone).sum()
                churn = (len(np.setdiff1d(ids, later)) - lost) / size
                made = {"rule": rule, "sampler": sampler, "mass": mass, "churn": float(churn)}
                yield facts | made | figures(ids)
        for method in OTHERS:
            ids = np.array(selected(given, method, task, apart, asked.settings(size, seed)))
            yield facts | {"rule": method, "sampler": "", "churn": 0.0} | figures(ids)


def print_tables(runs: list[dict[str, Any]]) -> None:
    """For each size the means over classes and seeds."""
    for size in dict.fromkeys(run["n"] for run in runs):
        print(f"\n| n = {size}: alpha by | sampler | mass of p | {' | '.join(FIGURES)} |")
        print("| --- " * (3 + len(FIGURES)) + "|")
        ways = dict.fromkeys((run["rule"], run["sampler"]) for run in runs)
        for rule, sampler in ways:
            here = [run for run in runs if (run["n"], run["rule"]) == (size, rule)]
            here = [run for run in here if run["sampler"] == sampler]
            mass = f"{np.mean([run['mass'] for run in here]):.3f}" if "mass" in here[0] else ""
            means = [f"{np.mean([run[name] for run in here]):.3f}" for name in FIGURES]
            print(f"| {rule} | {sampler} | {mass} | {' | '.join(means)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=Path, default=CACHE, help="that of bench/run classes")
    parser.add_argument("--vectors", type=Path, help="ready .npy, one row for each text")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--rules", nargs="+", choices=RULES, default=RULES, help="for alpha")
    parser.add_argument("--classes", nargs="+", help="some alone")
    parser.add_argument("--json", type=Path, help="every run; in the cache by default")
    options = parser.parse_args()
    texts = list(read_texts(options.cache))
    vectors = vectors_of([row["text"] for row in texts], options.cache, options.vectors)
    counts = Counter(row["label"] for row in texts)
    classes = sorted(label for label, count in counts.items() if count >= SMALLEST_CLASS)
    runs: list[dict[str, Any]] = []
    with stored(texts, vectors) as given:
        pairs = pairs_within(vectors, FARTHEST)
        print(f"{len(texts):,} texts, {pairs.nnz:,} near pairs", file=sys.stderr)
        for seed in options.seeds:
            for label in options.classes or classes:
                runs += run_class(given, pairs, label, seed, options.rules)
                print(f"seed {seed}, {label}", file=sys.stderr, flush=True)
            write_json(options.json or options.cache / "samplers.json", runs)
    print_tables(runs)


if __name__ == "__main__":
    main()
