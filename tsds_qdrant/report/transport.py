"""What a report shows of a selection that comes from a transport problem."""

from __future__ import annotations

from dataclasses import dataclass

from tsds_qdrant.report.chosen import Chosen
from tsds_qdrant.report.coverage import (
    EXAMPLES,
    Coverage,
    Served,
    coverage_of,
    nearest_candidates,
    selected_candidates,
    spread_examples,
)
from tsds_qdrant.report.curve import PathCurve, path_curve
from tsds_qdrant.report.groups import SHOWN, Groups, groups_of
from tsds_qdrant.report.misses import Misses, misses_of
from tsds_qdrant.runs.run import Run
from tsds_qdrant.strategies.evidence import TransportEvidence


@dataclass(frozen=True)
class TransportFigures:
    """What follows from a transport problem and its solution.

    Attributes:
        evidence: problem, solution and path.
        curve: the regularisation path; None for ``tv``.
        coverage: what each task example got.
        worst: the worst served examples, each with its nearest candidates.
        served: examples from worst to best, each with its selected candidates.
        groups: near-duplicates; None where densities are not in use.
        misses: what was nearly selected.
    """

    evidence: TransportEvidence
    curve: PathCurve | None
    coverage: Coverage
    worst: dict[int, list[Served]]
    served: dict[int, list[Served]]
    groups: Groups | None
    misses: Misses

    @property
    def named(self) -> set[int]:
        """Candidates whose texts are listed."""
        parts = (self.worst, self.served)
        found = {one.candidate for part in parts for near in part.values() for one in near}
        found |= {miss.candidate for miss in self.misses.rows}
        for group in self.groups.rows if self.groups else ():
            found |= {*group.members[:SHOWN].tolist()}
        return found


def transport_figures(run: Run, chosen: Chosen) -> TransportFigures | None:
    """The figures of ``run``; None where its strategy solves no transport problem."""
    evidence = run.selection.evidence
    if not isinstance(evidence, TransportEvidence):
        return None
    solution = evidence.solution
    coverage = coverage_of(solution, chosen)
    return TransportFigures(
        evidence=evidence,
        curve=path_curve(evidence),
        coverage=coverage,
        worst={
            example: nearest_candidates(solution, chosen, example)
            for example in coverage.worst_first[:EXAMPLES].tolist()
        },
        served={
            example: selected_candidates(solution, chosen, example)
            for example in spread_examples(coverage.worst_first)
        },
        groups=groups_of(evidence, run.known.neighborhoods, chosen),
        misses=misses_of(solution, chosen, coverage),
    )
