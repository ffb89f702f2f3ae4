"""Asking: a strategy is asked until guard and bounds are content.

The strategy prefers, what is kept out counts as deleted, and the strategy prefers again,
until nothing is found; where quotas, budgets and groups leave too few, more is asked for. What is
known only grows and the pool is finite, so this ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tsds_qdrant.errors import DepthError, SupportError
from tsds_qdrant.selection.bounded import Drawing
from tsds_qdrant.selection.copies import NearCopies
from tsds_qdrant.selection.kept_out import KeptOut
from tsds_qdrant.selection.sampling import spread_of
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.strategies.base import Ask, Preference
from tsds_qdrant.strategies.known import Knowledge

BUDGET_ROUNDS = 12
BUDGET_TOLERANCE = 0.02
"""Relative change of the size at which the search for what a budget pays for ends."""
GROWTH = 1.5
"""By this factor more candidates are asked for where bounds leave too few."""
WIDEST = 100
"""Bounds that leave too few of this many times the size are taken to be impossible: in a large
pool looking on would take hours."""


@dataclass(frozen=True)
class Asking:
    """Asks the strategy of ``settings``.

    Attributes:
        known: what the strategy has learned.
        settings: as given.
        kept_out: keeps candidates out; None where all may come in.
        drawing: says whether bounds leave enough.
        unchanged: what is excluded stays so, as nothing has changed since that was found.
        copies: finds near copies, which come last; None where they stay in their places.
    """

    known: Knowledge
    settings: SelectionSettings
    kept_out: KeptOut | None
    drawing: Drawing
    unchanged: bool = False
    copies: NearCopies | None = None

    def preference(self, size: int) -> Preference:
        """The preference from which samples of at most ``size`` are drawn.

        (0: as many as the token budget pays for, or as the strategy chooses.)

        Where how far the strategy goes follows from the size, it is asked for more until the
        bounds leave enough, at last for the whole pool, if that is not too large for it.
        *subtle*: which preferences are tried depends on what they hold, so all is tried again
        until that brings nothing new, no copy of a test item above all: so the result is that of
        a collection without the copies, and a stored run gives it again.

        A share of the pool is a share of what a guard leaves: it is never more than that.

        Raises:
            SupportError: the pool is smaller than ``size``.
            DepthError: bounds leave too few, and memory allows to look no further.
        """
        settings, known, kept_out = self.settings, self.known, self.kept_out
        clean = None
        if kept_out is not None:
            if not self.unchanged:
                kept_out.begin(known)
            clean = partial(kept_out.drop, known)
        settings.strategy.settle(known, clean)
        if size > known.pool and settings.exact_size and not settings.wanted.ratio:
            raise SupportError(settings.strategy.too_few(known, self._everything(), size))
        if settings.own_size:
            size = self._clean(self._ask(size)).size or 0
        preference = self._wanted(size)
        found = len(preference.candidates)
        return self._wanted(found) if settings.fits(size, found) < size else preference

    def _wanted(self, size: int) -> Preference:
        """The preference for ``size``, with as much to choose from as bounds need."""
        settings, known = self.settings, self.known
        bounded = settings.bounds.any and settings.strategy.follows_size
        if not (bounded and (size or settings.by_budget)):
            return self._clean(self._ask(size))
        while True:
            before = known.extent
            preference, rounds = self._grown(size)
            if rounds == 1 or known.extent == before:
                return preference

    def _ask(self, size: int, **more: Any) -> Ask:
        wanted, own = self.settings.wanted, self.settings.own_size
        spread = spread_of(wanted.sampler, size, self.known.pool)
        return Ask(size, seed=wanted.seed, own=own, spread=spread, **more)

    def _clean(self, ask: Ask) -> Preference:
        """What is preferred, asked again as long as it holds copies of test items.

        Where near copies come last, more is asked for until enough others are there.
        """
        wanted, begun = ask.reach or ask.size, ask
        while True:
            preference: Preference = self.settings.strategy.prefer(self.known, ask)
            order = preference.candidates
            if self.kept_out is not None and self.kept_out.drop(self.known, order):
                ask = begun  # so that a run that knows what is kept out takes the same way
                continue
            if self.copies is None or (ask.own and not wanted):
                return preference
            passed = self.copies.among(self.known.index, order)
            apart, asked = order[~passed], ask.reach or ask.size
            if len(apart) >= wanted and not ask.whole:
                return replace(preference, candidates=apart[:wanted])
            if ask.whole or len(order) < asked or len(order) >= self.known.pool:
                return replace(preference, candidates=np.concatenate([apart, order[passed]]))
            more = max(math.ceil(GROWTH * asked), wanted + 2 * int(passed.sum()))
            ask = replace(ask, reach=min(more, self.known.pool))

    def _everything(self) -> int:
        """How many candidates there are, without copies of test items."""
        strategy, known = self.settings.strategy, self.known
        try:
            there = strategy.everything(known)
            while self.kept_out is not None and self.kept_out.drop(known, there):
                there = strategy.everything(known)
        except DepthError:
            return known.pool
        return len(there)

    def _grown(self, size: int) -> tuple[Preference, int]:
        """The first of larger and larger preferences of which bounds leave enough; rounds."""
        rounds = 1
        if size:
            tried, preference = size, self._clean(self._ask(size))
        else:
            tried, preference = self._by_budget(self.settings.bounds.token_budget or 1)
            rounds = BUDGET_ROUNDS
        fault, widest = self.drawing.short_of(preference, size or None), WIDEST * tried
        try:
            while fault and tried < widest:
                tried, rounds = math.ceil(GROWTH * tried), rounds + 1
                if not preference.reached or tried >= self.known.pool:
                    return self._clean(self._ask(size, whole=True)), rounds
                preference = self._clean(self._ask(size, reach=tried))
                fault = self.drawing.short_of(preference, size or None)
        except DepthError as error:
            raise DepthError(f"{fault}; there are more, but {error}") from error
        return preference, rounds

    def _by_budget(self, budget: int) -> tuple[int, Preference]:
        """A size that is about what ``budget`` tokens pay for, and its preference."""
        wanted = len(self.known.queries)
        for _ in range(BUDGET_ROUNDS):
            size = wanted
            preference = self._clean(self._ask(size))
            candidates, p = preference.candidates, preference.probabilities
            ids = self.known.index.ids(candidates.tolist())
            tokens = np.array([one.tokens for one in self.drawing.reader.of(ids)])
            mean = tokens.mean() if preference.ordered or p is None else p[candidates] @ tokens
            wanted = math.ceil(budget / mean)
            if tokens.sum() < budget:
                wanted = max(wanted, math.ceil(GROWTH * size))
            whole = len(candidates) == self.known.pool and wanted >= size
            if whole or abs(wanted - size) <= BUDGET_TOLERANCE * size:
                break
        return size, preference
