"""Samples of a preference: plain, or within quotas, a token budget and groups."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.errors import SupportError
from tsds_qdrant.selection.bounds import Bounds
from tsds_qdrant.selection.quotas import Caps, Neighbors, Traits, members_of
from tsds_qdrant.selection.sampling import Sample, draw, ranked
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.selection.traits import TraitReader
from tsds_qdrant.strategies.base import Preference
from tsds_qdrant.strategies.known import Knowledge

BUDGET = "the token budget"


@dataclass(frozen=True)
class Drawing:
    """Draws samples of a preference as ``settings`` say.

    Attributes:
        settings: how many, how, and within which bounds.
        known: what the preference rests on.
        reader: reads what bounds look at.
    """

    settings: SelectionSettings
    known: Knowledge
    reader: TraitReader

    def samples(self, preference: Preference, sizes: tuple[int, ...]) -> dict[int, Sample]:
        """Samples of ``sizes``, ascending, the smaller inside the larger; or one by the budget.

        Raises:
            SupportError: there are fewer candidates, or bounds leave too few.
        """
        settings = self.settings
        self._check_size(preference, max(sizes, default=0))
        if not settings.bounds.any:
            return self._plain(preference, sizes)
        if not (sizes or settings.by_budget):
            return {}
        bounded, places = self._bounded(preference)
        more = settings.strategy.more(self.known, preference)
        samples: dict[int, Sample] = {}
        wanted: list[int | None] = [*sorted(sizes, reverse=True)] or [None]
        for size in wanted:
            sample = bounded.draw(places, size)
            bounded.check(sample, places, size, more)
            places = sample.candidates
            chosen = preference.candidates[places]
            samples[size or len(places)] = replace(sample, candidates=chosen)
        return dict(sorted(samples.items()))

    def short_of(self, preference: Preference, size: int | None) -> str:
        """How a sample of ``size`` (None: of the token budget) falls short, or ""."""
        bounded, places = self._bounded(preference)
        sample = bounded.draw(places, size)
        if bounded.fills(sample, size):
            return ""
        return f"bounds leave only {len(sample.candidates)} of {len(places)} candidates"

    def _check_size(self, preference: Preference, size: int) -> None:
        """Check that there are as many, unless it is for bounds to say why there are not."""
        settings, strategy = self.settings, self.settings.strategy
        bounded = settings.bounds.any and not strategy.follows_size
        if size > len(preference.candidates) and settings.exact_size and not bounded:
            raise SupportError(strategy.advice(self.known, preference, size))

    def _plain(self, preference: Preference, sizes: tuple[int, ...]) -> dict[int, Sample]:
        order = order_of(self.settings, self.known, preference)
        if order is None:
            wanted, p = self.settings.wanted, preference.probabilities
            assert p is not None
            keys, way = self.known.index.keys[: len(p)], wanted.sampler
            return {size: draw(p, keys, size, sampler=way, seed=wanted.seed) for size in sizes}
        counted = preference.weights
        weights = np.ones(len(order), dtype=np.int64) if counted is None else counted
        return {size: Sample(order[:size], weights[:size]) for size in sizes}

    def _bounded(self, preference: Preference) -> tuple[BoundedDraw, IntArray]:
        """The draw, and (c,) places among the candidates in the order of the draw."""
        settings, index, candidates = self.settings, self.known.index, preference.candidates
        near, most = None, settings.bounds.max_per_group
        if most is not None and settings.bounds.near_duplicates:
            pairs, radius = settings.strategy.near_duplicates(self.known, candidates)
            counts = np.bincount(pairs[:, 0], minlength=len(candidates))
            name = f"near-duplicates within {radius:.4g}"
            near = Neighbors(np.r_[0, np.cumsum(counts)], pairs[:, 1], most, name)
        traits = self.reader.of(index.ids(candidates.tolist()))
        order, places = order_of(settings, self.known, preference), np.arange(len(candidates))
        if order is not None and not preference.ordered:
            places = np.searchsorted(candidates, order)
        return BoundedDraw(settings.bounds, traits, near), places


def order_of(
    settings: SelectionSettings, known: Knowledge, preference: Preference
) -> IntArray | None:
    """(c,) the candidates in the order in which they are drawn; None where they come again."""
    p, wanted = preference.probabilities, settings.wanted
    if preference.ordered or p is None:
        return preference.candidates
    if preference.drawn is not None:
        return preference.drawn
    if wanted.sampler == "multinomial":
        return None
    likeness = None
    if wanted.sampler == "thinned":
        likeness = settings.strategy.likeness(known, preference)
    keys = known.index.keys[: len(p)]
    return ranked(p, keys, sampler=wanted.sampler, seed=wanted.seed, likeness=likeness)


@dataclass(frozen=True)
class BoundedDraw:
    """Draws from candidates within ``bounds``.

    Attributes:
        bounds: quotas, budget and groups.
        traits: (n,) of the candidates, which are numbered by their place here.
        near: which of them are near-duplicates, where those are bounded.
    """

    bounds: Bounds
    traits: list[Traits]
    near: Neighbors | None = None

    def draw(self, order: IntArray, size: int | None) -> Sample:
        """The first ``size`` (None: all) of ``order`` that fit; fewer where no more do."""
        bounds, traits = self.bounds, self.traits
        caps = Caps(len(traits), self.near)
        budget = bounds.token_budget
        if budget is not None:
            caps.add(BUDGET, budget, [(place, one.tokens) for place, one in enumerate(traits)])
            caps.add_token_quotas(bounds.quotas, traits, budget)
        if size is not None:
            caps.add_quotas(bounds.quotas, traits, size)
        if bounds.max_per_group is not None and bounds.group_field is not None:
            for value, members in members_of(traits, bounds.group_field).items():
                if len(members) > bounds.max_per_group:
                    name = f"the group {bounds.group_field}={value}"
                    caps.add(name, bounds.max_per_group, [(place, 1) for place in members])
        sample = caps.draw(order, size)
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
        budget = self.bounds.token_budget
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
            fact = f"only {len(order)} could be drawn"
        last = ", or ".join(filter(None, [", ".join(steps[:-1]), *steps[-1:]]))
        raise SupportError(f"{wanted} are wanted but {fact}; {last}")

    def _possible(self, order: IntArray, size: int) -> int:
        """The next smaller size that can be drawn: quotas shrink with the size."""
        while size and (drawn := len(self.draw(order, size).candidates)) < size:
            size = drawn
        return size
