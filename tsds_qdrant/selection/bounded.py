"""Samples of a solution: plain, or within quotas, a token budget and groups."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.errors import SupportError, TsdsError
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.selection.quotas import Bounds, Neighbors, Traits, members_of
from tsds_qdrant.selection.sampling import Sample, draw, ranked
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.selection.traits import TraitReader
from tsds_qdrant.solver.transport import TransportSolution
from tsds_qdrant.strategies.tsds.expansion import support_target
from tsds_qdrant.strategies.tsds.problem import Task

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
    bounded, support, places = _bounded(task, solution, reader)
    samples: dict[int, Sample] = {}
    wanted: list[int | None] = [*sorted(sizes, reverse=True)] or [None]
    for size in wanted:
        sample = bounded.draw(places, size)
        bounded.check(sample, places, size, _more(task, solution))
        places = sample.candidates
        samples[size or len(places)] = replace(sample, candidates=support[places])
    return dict(sorted(samples.items()))


def short_of(task: Task, solution: TransportSolution, size: int | None, reader: TraitReader) -> str:
    """How a sample of ``size`` (None: of the token budget) falls short within bounds, or ""."""
    bounded, _, places = _bounded(task, solution, reader)
    sample = bounded.draw(places, size)
    if bounded.fills(sample, size):
        return ""
    return f"bounds leave only {len(sample.candidates)} of {len(places)} candidates"


def _bounded(
    task: Task, solution: TransportSolution, reader: TraitReader
) -> tuple[BoundedDraw, IntArray, IntArray]:
    """The draw, (n,) the candidates with p > 0, and (n,) their places in the order of the draw."""
    settings, index, p = task.settings, task.neighborhoods.index, solution.probabilities
    support = np.flatnonzero(p)
    near = None
    if settings.max_per_group is not None and settings.group_field is None:
        near = near_duplicates(task.neighborhoods, support, settings.max_per_group)
    bounded = BoundedDraw(settings, reader.of(index.ids(support.tolist())), near)
    order = ranked(p, index.keys[: len(p)], sampler=settings.sampler, seed=settings.seed)
    return bounded, support, np.searchsorted(support, order)


def _more(task: Task, solution: TransportSolution) -> str:
    """What gives the draw more candidates to choose from; "" where it had the whole pool."""
    if solution.support >= task.neighborhoods.pool:
        return ""
    return "lower alpha" if task.settings.support is None else "raise the support"


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

    def fills(self, sample: Sample, size: int | None) -> bool:
        """Whether ``sample`` is what was wanted: ``size`` candidates, or a budget spent."""
        drawn, spent = len(sample.candidates), any(met.name == BUDGET for met in sample.met)
        return drawn == size or bool(drawn and spent)

    def check(
        self, sample: Sample, order: IntArray, size: int | None, more: str = "lower alpha"
    ) -> None:
        """Check that ``sample`` is what was wanted, see :meth:`fills`.

        Args:
            sample: drawn by :meth:`draw`.
            order: what it was drawn from.
            size: as there.
            more: what would give more to choose from; "" where nothing would.

        Raises:
            SupportError: it falls short; the message names what bound it most, and a size that
                would do.
        """
        if self.fills(sample, size):
            return
        drawn = len(sample.candidates)
        budget = self.settings.token_budget
        wanted = f"{budget} tokens" if size is None else f"{size} candidates"
        tokens = [self.traits[place].tokens for place in order.tolist()]
        if budget is not None and min(tokens) > budget:
            raise SupportError(
                f"the token budget of {budget} pays for no candidate: the shortest has "
                f"{min(tokens)} tokens; raise it"
            )
        possible = self._possible(order, drawn) if size else 0
        steps = [f"ask for {possible}"] if possible else []
        steps += [f"{more} so that there are more to choose from"] if more else []
        if sample.met:
            met, steps = sample.met[0], ["raise it", *steps]
            fact = (
                f"bounds leave only {drawn} of {len(order)} candidates: {met.name} allows "
                f"{met.most} and kept out {met.refused}"
            )
        elif size is None:
            steps = ["lower the budget", *steps]
            fact = f"the {len(order)} candidates to choose from have {sum(tokens)} tokens"
        else:
            steps = steps or ["lower the size"]
            fact = f"only {len(order)} have a positive probability"
        last = ", or ".join(filter(None, [", ".join(steps[:-1]), *steps[-1:]]))
        raise SupportError(f"{wanted} are wanted but {fact}; {last}")

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
