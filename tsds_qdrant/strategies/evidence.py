"""What a preference rests on: nothing that needs saying, or an optimal transport problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.values import Payload, PointId
from tsds_qdrant.neighbors.counted import SearchCounts
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.transport import TransportSolution
from tsds_qdrant.strategies.curves import Curves


class Evidence:
    """What a preference rests on, for manifest, history, summary and state; here: nothing."""

    def facts(self) -> dict[str, Any]:
        """Parts of the manifest, by name."""
        return {}

    def of_sample(self, candidates: IntArray) -> dict[str, Any]:
        """What the manifest says of a sample of ``candidates`` (k,)."""
        return {}

    def figures(self) -> dict[str, Any]:
        """What the history of a run says of a selection."""
        return {}

    def in_words(self) -> list[str]:
        """Lines of a summary, for a person."""
        return []

    def terms(self) -> dict[str, Any]:
        """What explanations of points speak of, as an alpha."""
        return {}

    def stored(self) -> dict[str, Any]:
        """What :meth:`Strategy.concluded` wants to know after a repair."""
        return {}

    def dropped(self) -> Mapping[PointId, Payload]:
        """Points that are to be pruned for good, as was asked, and the tag of each."""
        return {}

    def curves(self) -> tuple[Curves, ...]:
        """Curves by which something was chosen, for a report."""
        return ()


@dataclass(frozen=True)
class Accuracy:
    """What a sample of exact searches says about an approximate selection.

    Limits hold at 95 %, whatever the searches that were not repeated are like; a search is the
    unit, as its hits are right or wrong together.

    Attributes:
        recall: share of the neighbours in use that the lists hold; None if not measurable.
        density_error: mean relative error of the densities in use.
        variation_bound: total variation between p and the exact p: the mean of what the sample
            has met, plus two standard errors; None where it has met no error.
        lists: how many lists were repeated.
        densities: how many densities were repeated.
        searches_since: searches that a repaired selection has added since this was measured.
        lists_missed: how many of the repeated lists lacked something.
        recall_limit: a lower limit on the mean recall of a list.
        lists_limit: an upper limit on the share of lists that lack something.
        densities_limit: the same for densities, weighted by p.
        variation_limit: an upper limit on the total variation.
        lists_variation: what the lists that were repeated, and the threshold that they move, add.
        densities_variation: what densities add; None, as for lists, where it was not measured.
        asked: the total variation that was asked for.
        shortfall: why it is not known whether that is reached, and what to do; "" where it is.
    """

    recall: float | None
    density_error: float | None
    variation_bound: float | None
    lists: int = 0
    densities: int = 0
    searches_since: int = 0
    lists_missed: int = 0
    recall_limit: float | None = None
    lists_limit: float | None = None
    densities_limit: float | None = None
    variation_limit: float | None = None
    lists_variation: float | None = None
    densities_variation: float | None = None
    asked: float | None = None
    shortfall: str = ""

    @property
    def estimate(self) -> float:
        """Total variation of p by the errors met; 0 where none was."""
        return min(1.0, (self.lists_variation or 0.0) + (self.densities_variation or 0.0))

    def in_words(self) -> str:
        """What was measured, for a person."""
        if self.recall is None:
            return f"recall not measurable; {self.shortfall}".removesuffix("; ")
        repeated = self.lists + self.densities
        if not repeated and self.variation_limit == 0:
            return "p is exact"
        if self.recall == 1 and not (
            self.lists_missed or self.density_error or self.variation_bound
        ):
            limits = {"the lists": self.lists_limit, "the densities": self.densities_limit}
            off = [f"{100 * limit:.0f} % of {what}" for what, limit in limits.items() if limit]
            at_most = f", so at 95 % at most {' and '.join(off)} are off" if off else ""
            return f"no miss in {repeated} repeated searches{at_most}"
        words = f"recall {self.recall:.3f}"
        if self.recall_limit is not None and self.recall_limit < self.recall:
            words += f" (at 95 % at least {self.recall_limit:.2f})"
        if self.variation_bound is not None:
            words += f", p off by about {self.variation_bound:.4f} in total variation"
            if self.variation_limit is not None:
                words += f" (at 95 % at most {self.variation_limit:.2f})"
        return f"{words}, by {repeated} repeated searches"


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
        scanned_from: lists with this limit or a larger one were scans; None for none.
        density_scans: densities were found by scans.
        narrow: what to mind of a bandwidth at which rounding shows, or "".
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
    scanned_from: int | None = None
    density_scans: bool = False
    narrow: str = ""

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
                **({} if self.scanned_from is None else {"scanned_from": self.scanned_from}),
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
            "what is asked for takes all in the pool that is no near-duplicate, so that every "
            "candidate gets its even share; ask for fewer, or loosen bounds"
        )

    def in_words(self) -> list[str]:
        """What alpha came to, the searches, and what to mind; C and h are in the manifest."""
        solution, accuracy, counts = self.solution, self.accuracy, self.counts
        lines = [
            f"alpha {self.alpha:.4g} (1 keeps to the task, 0 spreads out): {solution.support} "
            f"candidates have a share p of the task (support), as spread as "
            f"{solution.effective_size:.0f} even shares (effective size)"
        ]
        if self.why_even:
            lines.append(f"the task has no influence: {self.why_even}")
        searches = counts.neighbor_searches + counts.density_searches
        how = f"exact, {self.scan_reason}"
        if not self.scan_reason:
            how = f"HNSW with ef {self.ef}"
            if self.scanned_from == 0:
                how += ", lists by scans"
            elif self.scanned_from is not None:
                how += f", lists deeper than {self.scanned_from - 1} by scans"
            how += ", densities by scans" if self.density_scans else ""
            how += f", {accuracy.in_words()}" if accuracy else ""
        kept = f" and {counts.kept_searches} that were kept" if counts.kept_searches else ""
        lines.append(f"{searches} searches{kept} in {counts.seconds:.2f} s ({how})")
        lines += [self.narrow] if self.narrow else []
        if self.densities_capped:
            lines.append(
                f"{self.densities_capped} densities met the limit of {self.density_limit} "
                f"neighbours and are lower bounds"
            )
        return lines
