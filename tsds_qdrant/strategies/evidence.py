"""What a preference rests on that comes from an optimal transport problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.neighbors.counted import SearchCounts
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.transport import TransportSolution
from tsds_qdrant.strategies.base import Evidence


@dataclass(frozen=True)
class Accuracy:
    """What a sample of exact searches says about an approximate selection.

    Attributes:
        recall: share of the neighbours in use that the lists hold; None if not measurable.
        density_error: mean relative error of the densities in use.
        variation_bound: bound on the total variation between p and the exact p, estimated.
        lists: how many lists were repeated.
        densities: how many densities were repeated.
        searches_since: searches that a repaired selection has added since this was measured.
    """

    recall: float | None
    density_error: float | None
    variation_bound: float | None
    lists: int = 0
    densities: int = 0
    searches_since: int = 0


@dataclass(frozen=True)
class TransportEvidence(Evidence):
    """A solved transport problem, and how exactly it is known.

    Attributes:
        solution: problem (with alpha and C), plan, probabilities, certificate.
        path: what other alphas would give, as far as the lists reach; None for ``tv``.
        bandwidth: h, given or derived.
        densities_needed: how many densities the solution depends on.
        densities_capped: how many of the densities met the limit and are lower bounds.
        density_limit: that limit.
        accuracy: measured recall and its bound on p; None as long as it is not measured.
        alpha_given: alpha was given, and did not follow from the size.
        counts: searches done.
        ef: of approximate searches; None if there were none.
        scan_reason: why everything was scanned, or "".
    """

    solution: TransportSolution
    path: RegularizationPath | None
    bandwidth: float
    densities_needed: int
    densities_capped: int
    density_limit: int
    counts: SearchCounts
    ef: int | None
    scan_reason: str
    accuracy: Accuracy | None = None
    alpha_given: bool = False

    @property
    def alpha(self) -> float:
        """The alpha that was given, or followed from the size."""
        return self.solution.problem.alpha

    @property
    def cost_scale(self) -> float:
        """C, given or derived."""
        return self.solution.problem.cost_scale

    @property
    def densities(self) -> FloatArray:
        """(n,) densities; 1 where the solution did not need one."""
        return self.solution.problem.densities

    def facts(self) -> dict[str, Any]:
        """The parts ``solution``, ``accuracy`` and ``search`` of the manifest."""
        solution, threshold = self.solution, self.solution.threshold
        return {
            "solution": {
                "alpha": self.alpha,
                "cost_scale": self.cost_scale,
                "bandwidth": self.bandwidth,
                "regime": solution.regime,
                "threshold": threshold if threshold != float("inf") else None,
                "support": solution.support,
                "effective_sample_size": solution.effective_size,
                "transport_cost": solution.transport_cost,
                "converged": solution.converged,
                "primal_objective": solution.certificate.primal,
                "dual_objective": solution.certificate.dual,
                "total_weight": solution.problem.total_weight,
            },
            "search": {
                "densities_needed": self.densities_needed,
                "densities_capped": self.densities_capped,
            },
            "accuracy": self.stored().get("accuracy"),
        }

    def figures(self) -> dict[str, Any]:
        """Support and alpha."""
        return {"support": self.solution.support, "alpha": self.alpha}

    def terms(self) -> dict[str, Any]:
        """Alpha, bandwidth and regularizer."""
        regularizer = self.solution.problem.regularizer
        return {"alpha": self.alpha, "bandwidth": self.bandwidth, "regularizer": regularizer}

    def stored(self) -> dict[str, Any]:
        """The accuracy, which a repair may keep."""
        return {} if self.accuracy is None else {"accuracy": vars(self.accuracy)}

    @property
    def why_even(self) -> str:
        """Why every candidate gets its even share, whatever the task; "" where the task matters."""
        lists = self.solution.problem.lists
        if self.solution.regime != "pool":
            return ""
        if self.solution.support == 1:
            return "there is one candidate"
        if lists.level:
            return "all candidates are equally far from it, so each gets its even share"
        if self.alpha_given:
            return "at this alpha every candidate gets its even share; raise alpha"
        return (
            "what is asked for takes the whole pool, and every candidate gets its even share; ask "
            "for fewer, or loosen bounds"
        )

    def in_words(self) -> list[str]:
        """What alpha, C and h came to, the searches, and what to mind."""
        solution, accuracy, counts = self.solution, self.accuracy, self.counts
        lines = [
            f"alpha {self.alpha:.4g}, cost scale {self.cost_scale:.4g}, "
            f"bandwidth {self.bandwidth:.4g}: {solution.support} candidates with p > 0, "
            f"effective sample size {solution.effective_size:.0f}, "
            f"mean distance {solution.transport_cost:.3f}"
        ]
        if self.why_even:
            lines.append(f"the task has no influence: {self.why_even}")
        searches = counts.neighbor_searches + counts.density_searches
        how = f"exact, {self.scan_reason}"
        if not self.scan_reason:
            recall = accuracy and accuracy.recall
            bound = accuracy and accuracy.variation_bound
            how = f"HNSW with ef {self.ef}, recall "
            how += "not measurable" if recall is None else f"{recall:.3f}"
            how += "" if bound is None else f", p within {bound:.4f} in total variation"
        lines.append(f"{searches} searches in {counts.seconds:.2f} s ({how})")
        if self.densities_capped:
            lines.append(
                f"{self.densities_capped} densities met the limit of {self.density_limit} "
                f"neighbours and are lower bounds"
            )
        return lines
