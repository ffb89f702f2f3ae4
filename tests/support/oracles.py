"""Second ways to the same answers: linear programming, a plain heap, brute force."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.transport import Regularizer, TransportProblem, TransportSolution

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Instance:
    """A whole problem: d_ij (M, N), densities (N,), and weights (M,) that sum to 1."""

    distances: Array
    densities: Array
    alpha: float
    cost_scale: float
    query_weights: Array

    def weights(self, regularizer: Regularizer) -> Array:
        """(N,) w_j: 1 / density, or 1 where the regularizer knows no density."""
        return 1 / self.densities if regularizer == "kde" else np.ones(len(self.densities))

    def problem(
        self, lists: NeighborLists | None = None, regularizer: Regularizer = "kde", **more: Any
    ) -> TransportProblem:
        """The problem as the package takes it, with ``lists`` instead of the full ones."""
        return TransportProblem(
            full_lists(self.distances) if lists is None else lists,
            self.densities,
            self.alpha,
            self.cost_scale,
            regularizer,
            self.query_weights,
            **more,
        )


def random_instance(
    seed: int, *, queries: int = 4, candidates: int = 12, ties: bool = False
) -> Instance:
    """A small problem of every shape up to ``queries`` x ``candidates``."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, queries + 1)), int(rng.integers(1, candidates + 1)))
    weights = rng.random(shape[0]) + 0.1
    return Instance(
        rng.choice([0.0, 0.5, 1.0, 1.0, 2.0], size=shape) if ties else 2 * rng.random(shape),
        1 + (rng.choice([0, 0, 0.5, 3], size=shape[1]) if ties else 3 * rng.random(shape[1])),
        float(rng.choice([0.001, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 0.999])),
        float(rng.choice([0.1, 1.0, 5.0])),
        weights / weights.sum(),
    )


def full_lists(distances: Array) -> NeighborLists:
    """Complete neighbour lists of ``distances`` (M, N); ties by candidate number."""
    order = np.argsort(distances, axis=1, kind="stable")
    return NeighborLists.from_rows(order, np.take_along_axis(distances, order, 1), True)


def truncated(lists: NeighborLists, depths: Sequence[int] | npt.NDArray[np.int64]) -> NeighborLists:
    """``lists`` cut to ``depths`` (M,); a list that keeps everything stays complete."""
    starts = lists.offsets[:-1].tolist()
    rows = [slice(start, start + int(n)) for start, n in zip(starts, depths, strict=True)]
    return NeighborLists.from_rows(
        [lists.candidates[row] for row in rows],
        [lists.distances[row] for row in rows],
        lists.complete & (lists.depths == depths),
    )


def cut(x: Instance, seed: int) -> NeighborLists:
    """The lists of ``x`` cut to depths that ``seed`` chooses."""
    lists = full_lists(x.distances)
    return truncated(lists, np.random.default_rng(seed).integers(1, lists.depths + 1))


def worst_case(lists: NeighborLists, candidates: int) -> NeighborLists:
    """``lists`` made whole with everything unlisted as near as the end of each list."""
    rows = np.split(lists.candidates, lists.offsets[1:-1])
    known = np.split(lists.distances, lists.offsets[1:-1])
    rest = [np.setdiff1d(np.arange(candidates), row) for row in rows]
    return NeighborLists.from_rows(
        [np.concatenate(pair) for pair in zip(rows, rest, strict=True)],
        [np.append(d, np.full(len(r), d[-1])) for d, r in zip(known, rest, strict=True)],
        True,
    )


def plan_matrix(solution: TransportSolution, candidates: int) -> Array:
    """(M, N) gamma."""
    lists = solution.problem.lists
    matrix = np.zeros((lists.queries, candidates))
    matrix[lists.query_of_entry, lists.candidates] = solution.plan
    return matrix


def objective(x: Instance, plan: Array, regularizer: Regularizer) -> float:
    """Problem RT as the paper writes it."""
    m = x.query_weights[:, None]
    if regularizer == "tv":
        spread = 0.5 * np.abs(plan - m / plan.shape[1]).sum()
    else:
        w = x.weights(regularizer)
        spread = (np.abs(plan - m * w / w.sum()) / (m * w)).max()
    return float(x.alpha / x.cost_scale * (plan * x.distances).sum() + (1 - x.alpha) * spread)


def solve_lp(
    distances: Array,
    densities: Array,
    alpha: float,
    cost_scale: float,
    query_weights: Array,
    regularizer: Regularizer,
) -> float:
    """The optimal objective of problem RT, with the regulariser written as linear constraints."""
    size = distances.size
    matrix = sp.identity(size)
    if regularizer == "tv":  # one slack for each entry: |gamma_ij - m_i / N| <= t_ij
        slack = np.full(size, (1 - alpha) / 2)
        uniform = np.repeat(query_weights / distances.shape[1], distances.shape[1])
        room: Any = matrix
    else:  # one slack for all: |gamma_ij - m_i w_j / Z| <= m_i w_j t
        weights = 1 / densities if regularizer == "kde" else np.ones(len(densities))
        slack = np.array([1 - alpha])
        uniform = np.outer(query_weights, weights / weights.sum()).ravel()
        room = np.outer(query_weights, weights).reshape(-1, 1)
    row_sums = sp.kron(sp.identity(len(distances)), np.ones((1, distances.shape[1])))
    answer = linprog(
        np.concatenate([alpha / cost_scale * distances.ravel(), slack]),
        A_ub=sp.vstack([sp.hstack([matrix, -room]), sp.hstack([-matrix, -room])]).tocsr(),
        b_ub=np.concatenate([uniform, -uniform]),
        A_eq=sp.hstack([row_sums, sp.csr_matrix((len(distances), len(slack)))]).tocsr(),
        b_eq=query_weights,
        method="highs",
    )
    assert answer.success, answer.message
    return float(answer.fun)


def solve_by_heap(
    candidates: Sequence[Sequence[int]],
    distances: Sequence[Sequence[float]],
    densities: Sequence[float],
    alpha: float,
    cost_scale: float,
) -> Array:
    """(N,) p of complete lists, row by row; one cursor for each query example on a heap."""
    queries, budget = len(candidates), (1 - alpha) * cost_scale / alpha
    total = sum(1 / density for density in densities)
    heap = [(1 / densities[row[0]], query, 0) for query, row in enumerate(candidates)]
    heapq.heapify(heap)
    threshold, slope = float("inf"), 0.0
    while heap and slope < budget:
        threshold, query, k = heapq.heappop(heap)
        if k + 1 < len(candidates[query]):
            gap = distances[query][k + 1] - distances[query][k]
            slope += gap * threshold / queries
            weight = 1 / densities[candidates[query][k + 1]]
            heapq.heappush(heap, (threshold + weight, query, k + 1))
    plan = _filled(candidates, densities, min(threshold, total / 2))
    if slope < budget or threshold > total / 2:
        # Half the pool's weight is in use: go on to p = w / Z if that costs less than it gains.
        pool = [[1 / densities[j] / total for j in row] for row in candidates]
        if total * (_mean_cost(pool, distances) - _mean_cost(plan, distances)) < budget:
            plan = pool
    p = np.zeros(len(densities))
    for masses, row in zip(plan, candidates, strict=True):
        for mass, candidate in zip(masses, row, strict=True):
            p[candidate] += mass / queries
    return p


def _filled(
    candidates: Sequence[Sequence[int]], densities: Sequence[float], threshold: float
) -> list[list[float]]:
    """Rows that sum to 1, filled nearest first to the cap 1 / (density s)."""
    plan: list[list[float]] = []
    for row in candidates:
        left = 1.0
        plan.append([])
        for candidate in row:
            mass = min(left, 1 / densities[candidate] / threshold)
            plan[-1].append(mass)
            left -= mass
    return plan


def _mean_cost(plan: list[list[float]], distances: Sequence[Sequence[float]]) -> float:
    rows = zip(plan, distances, strict=True)
    return sum(m * d for row in rows for m, d in zip(*row, strict=True)) / len(plan)


def pairwise_distances(left: npt.ArrayLike, right: npt.ArrayLike, metric: str) -> Array:
    """Distances in float64; Cosine is the Euclidean distance of the normalised vectors."""
    a, b = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if metric == "Cosine":
        a = a / np.linalg.norm(a, axis=1, keepdims=True)
        b = b / np.linalg.norm(b, axis=1, keepdims=True)
    found: Array = cdist(a, b, "cityblock" if metric == "Manhattan" else "euclidean")
    return found


def brute_densities(points: npt.ArrayLike, bandwidth: float, metric: str = "Euclid") -> Array:
    """(N,) sums of the kernel over all points; 1 at bandwidth 0."""
    rows = np.asarray(points, dtype=np.float64)
    sums = np.ones(len(rows))
    for number in range(len(rows)) if bandwidth else ():
        distances = pairwise_distances(rows[number : number + 1], rows, metric)[0]
        others = np.delete(distances, number)
        sums[number] += sum(1 - (d / bandwidth) ** 2 for d in others.tolist() if d < bandwidth)
    return sums


def brute_force_probabilities(
    points: npt.ArrayLike,
    queries: npt.ArrayLike,
    alpha: float,
    cost_scale: float,
    bandwidth: float,
    metric: str,
) -> Array:
    """(N,) p over all ``points`` by full distance matrices in float64 and the heap."""
    distances = pairwise_distances(queries, points, metric)
    order = np.argsort(distances, axis=1, kind="stable")
    return solve_by_heap(
        order.tolist(),
        np.take_along_axis(distances, order, 1).tolist(),
        brute_densities(points, bandwidth, metric).tolist(),
        alpha,
        cost_scale,
    )


def transport_program(cost: Array, rows: Array, columns: Array) -> float:
    """The least cost of moving ``rows`` (n,) to ``columns`` (m,), as a plain linear program."""
    n, m = cost.shape
    sums = sp.vstack(
        [
            sp.kron(sp.identity(n), np.ones((1, m))),
            sp.kron(np.ones((1, n)), sp.identity(m)),
        ]
    )
    answer = linprog(
        cost.ravel(), A_eq=sums.tocsr(), b_eq=np.concatenate([rows, columns]), method="highs"
    )
    assert answer.success, answer.message
    return float(answer.fun)
