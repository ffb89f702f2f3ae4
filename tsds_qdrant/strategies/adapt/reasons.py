"""What an adaptive selection rests on, and why it takes a point or does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tsds_qdrant.collections.values import Payload, PointId
from tsds_qdrant.strategies.adapt.ledger import Arrival
from tsds_qdrant.strategies.evidence import Evidence
from tsds_qdrant.strategies.reasons import Reasons

SHOWN = 5
"""Clusters that a summary names."""


@dataclass(frozen=True)
class Part:
    """What one cluster gives.

    Attributes:
        cluster: its label; "" for candidates without one.
        candidates: how many it has.
        budget: how many of the size that was asked for are its own.
        scorer: the field that its candidates go by.
        entropy: of that field, in bits.
    """

    cluster: str
    candidates: int
    budget: int
    scorer: str
    entropy: float


@dataclass(frozen=True)
class AdaptEvidence(Evidence):
    """Clusters with their scorers and budgets, and the ledger.

    Attributes:
        parts: of all clusters.
        ledger: arrivals, and what was pruned at each.
        marked: candidates that another run had pruned, which are left out.
        tags: of the points that are pruned; empty where pruning was not asked for.
    """

    parts: tuple[Part, ...]
    ledger: tuple[Arrival, ...]
    marked: int
    tags: Mapping[PointId, Payload] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """The part ``adapt`` of the manifest."""
        return {
            "adapt": {
                "clusters": [vars(one) for one in self.parts],
                "pruned": len(self.tags),
                "pruned_before": self.marked,
                "ledger": [one.counts for one in self.ledger],
            }
        }

    def figures(self) -> dict[str, Any]:
        """How many are pruned, and at how many steps."""
        return {"pruned": len(self.tags), "steps": len(self.ledger)}

    def in_words(self) -> list[str]:
        """Scorers, budgets, and what was pruned."""
        scorers = dict.fromkeys(one.scorer for one in self.parts)
        count = {name: sum(one.scorer == name for one in self.parts) for name in scorers}
        by = ", ".join(f"{many} by '{name}'" for name, many in count.items())
        largest = sorted(self.parts, key=lambda one: -one.budget)[:SHOWN]
        given = ", ".join(f"{one.cluster or 'none'}: {one.budget}" for one in largest)
        more = ", .." if len(self.parts) > SHOWN else ""
        lines = [f"{len(self.parts)} clusters ({by}); budgets {given}{more}"]
        if none := next((one for one in self.parts if not one.cluster), None):
            lines.append(f"{none.candidates} candidates have no cluster and count as one")
        if self.tags:
            last = len(self.ledger[-1].pruned)
            lines.append(
                f"{len(self.tags)} candidates are pruned for good, {last} of them at step "
                f"{len(self.ledger)}, the last"
            )
        if self.marked:
            lines.append(f"{self.marked} candidates that were pruned before are left out")
        return lines

    def dropped(self) -> Mapping[PointId, Payload]:
        """Points that were pruned."""
        return self.tags


@dataclass(frozen=True)
class ByCluster(Reasons):
    """Where a point stands in its cluster.

    Attributes:
        cluster: its label; None where it is no candidate.
        scorer: the field that candidates of the cluster go by.
        score: its number there; None where it has none.
        stratum: from 0, the highest; None where it comes after all strata.
        strata: how many there are.
        step: at which it was pruned, from 1; None where it was not, or by another run.
    """

    VERDICTS: ClassVar = {
        "not read": "it was not in the pool when the run read it",
        "pruned": "it was pruned for good",
    }

    cluster: str | None = None
    scorer: str = ""
    score: float | None = None
    stratum: int | None = None
    strata: int = 0
    step: int | None = None

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """Cluster and stratum, or the step."""
        if self.verdict == "pruned":
            return [f"pruned at step {self.step}" if self.step else "another run pruned it"]
        if self.cluster is None:
            return []
        which = f"cluster '{self.cluster}'" if self.cluster else "no cluster"
        if self.score is None:
            last = " and comes last" if self.stratum is None else ", as all of it"
            return [f"{which}, which goes by '{self.scorer}'; it has no number there{last}"]
        place = f"stratum {(self.stratum or 0) + 1} of {self.strata}"
        if self.stratum is None:
            place = "cut off at an end, so that it comes last"
        return [f"{which}, which goes by '{self.scorer}': {self.score:.4g}, {place}"]
