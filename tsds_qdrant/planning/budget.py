"""A budget: which strategy for this computing power, this training and this pool.

Choosing and training share one budget F (Yin and Rush 2025, arXiv 2410.16208). A forward pass takes
2 P FLOPs a token, a training step 6 P. What choosing takes is shared by K tasks and taken off F;
what is left says how many candidates can be trained on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tsds_qdrant.planning.budget_law import Law
from tsds_qdrant.planning.budget_passes import WARM_UP, WORDS, Need, known_need
from tsds_qdrant.planning.budget_pool import Pool
from tsds_qdrant.planning.budget_rows import BASE_LINE, Budget, Row, Verdict, labels_of, ranked
from tsds_qdrant.planning.budget_settings import Choosing, Compute
from tsds_qdrant.strategies.catalog import CATALOG

SMALL = 0.1
"""Budgets, in trainings on everything, below which nothing new is made by a language model."""
RATIOS: Mapping[str, float] = {"forward": 5.0, "gradients": 10.0}
"""Parameters trained over parameters that choose, from which on a pass pays off."""
AFFORDABLE: Mapping[str, float] = {"forward": 1 / 15, "gradients": 0.18}
"""The same as shares of a training on everything, where tasks share a pass."""
ROUNDING = 1 + 1e-12


@dataclass(frozen=True)
class Planner:
    """Weighs strategies against each other.

    Attributes:
        compute: the budget.
        params: P of the model that is trained.
        epochs: E.
        choosing: how candidates are chosen.
        pool: what is chosen from.
    """

    compute: Compute
    params: float
    epochs: int
    choosing: Choosing
    pool: Pool

    @property
    def epoch(self) -> float:
        """FLOPs of an epoch over the whole pool, by the model that is trained."""
        return 6 * self.params * self.pool.tokens * self.pool.candidates

    @property
    def full(self) -> float:
        """FLOPs of training on everything."""
        return self.epoch * self.epochs

    @property
    def reader(self) -> float:
        """P of the model that reads all candidates."""
        return self.choosing.model_params or self.params

    def planned(
        self,
        strategies: Sequence[str] | None = None,
        laws: Mapping[str, Law] | None = None,
    ) -> Budget:
        """The plan.

        Args:
            strategies: that are weighed; ``random`` always is. All of the catalogue by default.
            laws: fitted curves, by the names of :func:`labels_of`.

        Raises:
            InputError: a curve of no strategy.
        """
        laws = laws or {}
        names = list(dict.fromkeys([*(strategies or CATALOG), BASE_LINE]))
        based = {name: name for name in names} | labels_of(laws, names)
        rows = [self._row(label, known, laws.get(label)) for label, known in based.items()]
        return Budget(
            self.compute.total,
            self.full,
            self.pool,
            ranked(rows, based, whole=self.compute.total >= self.full),
            tuple(self._notes(laws)),
            laws,
        )

    def _row(self, label: str, strategy: str, law: Law | None) -> Row:
        need, total = known_need(strategy), self.compute.total
        missing = self.missing(need)
        choosing = self.pass_flops(need) / self.choosing.tasks
        each = 6 * self.params * self.pool.tokens * self.epochs
        size = min(math.floor(max(total - choosing, 0) / each * ROUNDING), self.pool.candidates)
        trainable = (total - choosing) / self.full
        verdict, reason = self._verdict(need, choosing, size, missing)
        predicted = None
        if law is not None and size:
            share = size / self.pool.candidates
            predicted = law.at(share)
            reason = f"{_measured(law, share)}; {reason}"
            verdict = "base line" if strategy == BASE_LINE else "worth it"
        return Row(
            label,
            choosing,
            size * each,
            size,
            trainable,
            choosing / total,
            verdict,
            reason,
            predicted,
        )

    def missing(self, need: Need) -> float:
        """Which share of the candidates lacks what a strategy needs."""
        return 1 - max((self.pool.stored.get(kind, 0.0) for kind in need.kinds), default=0.0)

    def pass_flops(self, need: Need) -> float:
        """FLOPs of making what is missing, for all tasks together."""
        missing = self.missing(need)
        params = self.choosing.embedder_params if need.work == "embedding" else self.reader
        share = need.share(self.choosing, self.pool.answered) * missing
        share += WARM_UP if need.warm_up and missing == 1 else 0
        return share * 6 * params * self.pool.tokens * self.pool.candidates

    def _verdict(
        self, need: Need, choosing: float, size: int, missing: float
    ) -> tuple[Verdict, str]:
        """Whether choosing pays, by the rules of arXiv 2410.16208, and why."""
        work, total = WORDS[need.work], self.compute.total
        if not size:
            if choosing >= total:
                return "infeasible", (
                    f"{work}, which takes {_times(choosing / total)} the budget: nothing is left "
                    f"to train with"
                )
            return "infeasible", "what is left does not pay for one candidate"
        if need.work == "nothing":
            whole = self.compute.total >= self.full
            return "base line", (
                "the budget pays for training on everything, so nothing has to be chosen"
                if whole
                else "what every strategy has to beat at this budget"
            )
        if missing <= 0:
            return "worth it", "what it needs is stored already, and costs nothing"
        if need.work not in RATIOS:
            return "worth it", f"{work}: {choosing / total:.1%} of the budget"
        ratio, part = self.params / self.reader, choosing / self.full
        wanted, most = RATIOS[need.work], AFFORDABLE[need.work]
        if total / self.full < SMALL and missing == 1:
            return "not worth it", (
                f"the budget is {total / self.full:.1%} of a training on everything: below "
                f"{SMALL:.0%} words or embeddings do as well, and nothing of this is stored"
            )
        if ratio * ROUNDING >= wanted or part <= most * ROUNDING:
            return "worth it", (
                f"{work}, which takes {part:.1%} of a training on everything: the model trained "
                f"is {ratio:.3g} times as large, and {self.choosing.tasks} task(s) share it"
            )
        tasks = math.ceil(part * self.choosing.tasks / most / ROUNDING)
        return "not worth it", (
            f"{work}, which takes {part:.1%} of a training on everything; it pays where the model "
            f"trained is {wanted:g} times as large as the one that chooses (it is {ratio:.3g}), "
            f"or {tasks} tasks share it"
        )

    def _notes(self, laws: Mapping[str, Law]) -> list[str]:
        share = self.compute.total / self.full
        notes = [
            self.compute.assumption,
            f"{self.pool.candidates} candidates of {self.pool.tokens:.4g} tokens "
            f"({self.pool.tokens_from}); training on all of them takes {self.full:.3g} FLOPs, and "
            f"the budget is {share:.3g} times that",
            "a forward pass counts 2, a gradient or a training step 6 FLOPs a parameter and token; "
            "searches, words and sorting count nothing",
        ]
        if share >= 1:
            notes.append(
                "choosing can still help where a part of the pool does harm, which --measured "
                "shows; what is left over pays for more epochs"
            )
        if self.choosing.checkpoints is None:
            notes.append(
                "LESS counts 1.8 epochs as published, less than its passes take one by one; "
                "--checkpoints T counts 0.2 and T"
            )
        if laws:
            notes.append(
                "predictions rest on curves of these scores alone: lambda and P0 do not transfer "
                "to other models or other data"
            )
        else:
            notes.append(
                "nothing was measured here: the order follows what was found for models of 7 to "
                "70 billion parameters (arXiv 2410.16208, 2602.14696); --measured takes your own "
                "scores, whose lambda and P0 do not transfer to other models or other data"
            )
        return [note for note in notes if note]


def _measured(law: Law, share: float) -> str:
    least, most = law.shares
    where = "" if least <= share <= most else f", beyond what was measured ({least:.3g}-{most:.3g})"
    return f"predicted at {'all' if share >= 1 else f'{share:.3g}'} of the pool{where}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f} times" if ratio > 1 else "all of"
