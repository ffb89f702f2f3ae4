"""Samples of a solution: plain, or within quotas, a token budget and groups."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tsds_qdrant.errors import SupportError, TsdsError
from tsds_qdrant.expansion import support_target
from tsds_qdrant.lists import IntArray
from tsds_qdrant.neighborhoods import Neighborhoods
from tsds_qdrant.quotas import Bounds, Neighbors, Traits, members_of
from tsds_qdrant.sampling import Sample, draw, ranked
from tsds_qdrant.settings import SelectionSettings
from tsds_qdrant.transport import TransportSolution
from tsds_qdrant.workflow.task import Task
from tsds_qdrant.workflow.traits import TraitReader

BUDGET = "the token budget"


def draw_samples(
    task: Task, solution: TransportSolution, sizes: tuple[int, ...], reader: TraitReader
) -> dict[int, Sample]:
    """Samples of ``sizes``, ascending, the smaller inside the larger; or one by the token budget.

    Raises:
        SupportError: there are not so many candidates, or bounds leave too few.
    """
    settings, index = task.settings, task.neighborhoods.index
    keys = index.keys[: len(solution.probabilities)]
    sampler, seed = settings.sampler, settings.seed
    if not settings.bounded:
        if sizes and sampler != "multinomial" and max(sizes) > solution.support:
            raise SupportError(_advice(task, solution, max(sizes)))
        p = solution.probabilities
        return {size: draw(p, keys, size, sampler=sampler, seed=seed) for size in sizes}
    if not (sizes or settings.by_budget):
        return {}
    support = np.flatnonzero(solution.probabilities)
    traits = reader.of(index.ids(support.tolist()))
    near = None
    if settings.max_per_group is not None and settings.group_field is None:
        near = near_duplicates(task.neighborhoods, support, settings.max_per_group)
    bounded = BoundedDraw(settings, traits, near)
    order = ranked(solution.probabilities, keys, sampler=sampler, seed=seed)
    places = np.searchsorted(support, order)
    samples: dict[int, Sample] = {}
    wanted: list[int | None] = [*sorted(sizes, reverse=True)] or [None]
    for size in wanted:
        sample = bounded.draw(places, size)
        if size is not None and size > solution.support and not sample.met:
            raise SupportError(_advice(task, solution, size))
        bounded.check(sample, places, size)
        places = sample.candidates
        samples[size or len(places)] = replace(sample, candidates=support[places])
    return dict(sorted(samples.items()))


@dataclass(frozen=True)
class BoundedDraw:
    """Draws from candidates within the bounds of ``settings``.

    Attributes:
        settings: quotas, budget and groups.
        traits: (n,) of the candidates, which are numbered by their place here.
        near: which of them are near-duplicates, where those are bounded.
    """

    settings: SelectionSettings
    traits: list[Traits]
    near: Neighbors | None = None

    def draw(self, order: IntArray, size: int | None) -> Sample:
        """The first ``size`` (None: all) of ``order`` that fit; fewer where no more do."""
        settings, traits = self.settings, self.traits
        bounds = Bounds(len(traits), self.near)
        budget = settings.token_budget
        if budget is not None:
            bounds.add(BUDGET, budget, [(place, one.tokens) for place, one in enumerate(traits)])
            bounds.add_token_quotas(settings.quotas, traits, budget)
        if size is not None:
            bounds.add_quotas(settings.quotas, traits, size)
        if settings.max_per_group is not None and settings.group_field is not None:
            for value, members in members_of(traits, settings.group_field).items():
                if len(members) > settings.max_per_group:
                    name = f"the group {settings.group_field}={value}"
                    bounds.add(name, settings.max_per_group, [(place, 1) for place in members])
        sample = bounds.draw(order, size)
        if budget is None:
            return sample
        return replace(sample, tokens=sum(traits[k].tokens for k in sample.candidates.tolist()))

    def check(self, sample: Sample, order: IntArray, size: int | None) -> None:
        """Check that ``sample`` is what was wanted: ``size`` candidates, or a budget spent.

        Raises:
            SupportError: it falls short; the message names what bound it most.
        """
        drawn, spent = len(sample.candidates), any(met.name == BUDGET for met in sample.met)
        if drawn == size or (drawn and spent):
            return
        budget = self.settings.token_budget
        wanted = f"{budget} tokens" if size is None else f"{size} candidates"
        tokens = [self.traits[place].tokens for place in order.tolist()]
        if budget is not None and min(tokens) > budget:
            raise SupportError(
                f"the token budget of {budget} pays for no candidate: the shortest has "
                f"{min(tokens)} tokens; raise it"
            )
        if not sample.met:
            raise SupportError(
                f"{wanted} are wanted but the {len(order)} candidates to choose from have "
                f"{sum(tokens)} tokens; lower the budget, or lower alpha"
            )
        met, possible = sample.met[0], self._possible(order, drawn) if size else 0
        raise SupportError(
            f"{wanted} are wanted but bounds leave only {drawn} of {len(order)} candidates: "
            f"{met.name} allows {met.most} and kept out {met.refused}; raise it, "
            + (f"ask for {possible}, " if possible else "")
            + "or lower alpha so that there are more to choose from"
        )

    def _possible(self, order: IntArray, size: int) -> int:
        """The next smaller size that can be drawn: quotas shrink with the size."""
        while size and (drawn := len(self.draw(order, size).candidates)) < size:
            size = drawn
        return size


def near_duplicates(neighborhoods: Neighborhoods, candidates: IntArray, most: int) -> Neighbors:
    """Which of ``candidates`` (c,), whose densities are known, lie within h of each other."""
    vicinities = neighborhoods.vicinities
    row_of = np.full(len(neighborhoods.index), -1, dtype=np.int64)
    row_of[candidates] = np.arange(len(candidates))
    places = vicinities.place_of[candidates].tolist()
    around = [row_of[vicinities.places[place].members] for place in places]
    one = np.repeat(np.arange(len(candidates)), [len(rows) for rows in around])
    other = np.concatenate(around)
    kept = (other >= 0) & (other != one)
    one, other = one[kept], other[kept]
    # An approximate search may have found only one of two that are near each other.
    pairs = np.unique(np.stack([np.r_[one, other], np.r_[other, one]], axis=1), axis=0)
    counts = np.bincount(pairs[:, 0], minlength=len(candidates))
    name = f"near-duplicates within {neighborhoods.bandwidth:.4g}"
    return Neighbors(np.r_[0, np.cumsum(counts)], pairs[:, 1], most, name)


def _advice(task: Task, solution: TransportSolution, size: int) -> str:
    """One sentence for a size beyond the support, with the alpha that would widen it."""
    alpha, pool = solution.problem.alpha, task.neighborhoods.pool
    if size > pool:
        return (
            f"{size} candidates are wanted but the pool has only {pool}; ask for at most "
            f"{solution.support}"
        )
    fact = (
        f"{size} candidates are wanted but only {solution.support} of "
        f"{pool} have a positive probability at alpha {alpha:.4g}"
    )
    smaller = f"ask for at most {solution.support}"
    if task.settings.regularizer == "tv":
        return f"{fact}; {smaller}, or lower alpha"
    try:
        _, path, _, threshold = task.reach(support_target(size))
    except TsdsError:
        return f"{fact}; {smaller}, or lower alpha"
    if threshold > path.limit:
        return f"{fact}; {smaller}, or set so small an alpha (1e-6) that the whole pool is taken"
    return f"{fact}; {smaller}, or set alpha to {_cut(path.alpha_at(threshold)):.4g} or less"


def _cut(alpha: float) -> float:
    """``alpha`` with four digits, rounded down: rounded up it might not do."""
    scale = 10.0 ** (3 - math.floor(math.log10(alpha)))
    return math.floor(alpha * scale) / scale
