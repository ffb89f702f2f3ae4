"""What is known of a pool that candidates come to step by step, and are pruned from for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.collections.ids import id_order, point_ids
from tsds_qdrant.collections.reserved import PRUNED, TAG_FIELD, is_tag
from tsds_qdrant.collections.values import Payload, PointId
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.pool.pool import vectors_found
from tsds_qdrant.strategies.adapt.ledger import (
    Arrival,
    digests,
    least_redundant,
    read_ledger,
    stored_ledger,
)
from tsds_qdrant.strategies.adapt.strata import water_filled
from tsds_qdrant.strategies.lacking import Lack, lacking, made_by, tell_of, without_them
from tsds_qdrant.strategies.pool_fields import NONE, FieldKnowledge, Looked


class AdaptKnowledge(FieldKnowledge):
    """Clusters and scores of all candidates, and a ledger of what came and was pruned.

    What is pruned never returns: whatever comes later, and whatever then counts as deleted. Only
    the last step is open: what it prunes is settled again whenever other candidates are excluded.

    Attributes:
        budget: how many candidates stay; None: nothing is pruned.
        ledger: steps from the first.
    """

    budget: int | None = None
    ledger: list[Arrival]
    _tagged: set[int]
    _settled_for: frozenset[int] | None = None

    def read(self) -> None:
        """Read the pool from scratch: the first step."""
        self.ledger, self._tagged = [Arrival()], set()
        super().read()
        self._note_marked()
        self.ledger[0].came = self.index.lookup(self.used()).tolist()
        self._settled_for = None

    def resume_ledger(self, facts: Mapping[str, Any], arrays: Any) -> None:
        """Take the ledger that :meth:`stored` gave."""
        self._tagged = set()
        self.ledger = read_ledger(
            facts["ledger"], arrays, lambda keys: self.index.numbers(point_ids(keys))
        )
        self._grow()
        here = set(self.index.lookup(point_ids(arrays["pool_keys"])).tolist())
        self._left = set(range(len(self.index))) - here
        self._settled_for = self._excluded

    @property
    def dropped(self) -> dict[int, int]:
        """Candidate that is pruned -> at which step, from 1; in the order of pruning.

        Those that another run had pruned are not among them.
        """
        self._settle()
        return {number: step for step, one in enumerate(self.ledger, 1) for number in one.pruned}

    @property
    def marked(self) -> set[int]:
        """Candidates that were found to be pruned by another run."""
        return {number for one in self.ledger for number in one.marked}

    @property
    def candidates(self) -> IntArray:
        """(c,) numbers of the candidates there are, without the excluded and the pruned."""
        return _without(super().candidates, {*self.dropped, *self.marked})

    def exclude(self, candidates: IntArray) -> None:
        """Count exactly ``candidates`` as deleted from now on.

        Raises:
            InputError: nothing is left.
        """
        self.index.excluded[:] = False
        self.index.excluded[candidates] = True
        left = _without(super().candidates, self.marked)
        if len(candidates) and not len(left):
            raise InputError(
                f"all {len(candidates)} candidates are excluded; ingest others, or exclude less"
            )

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Take points out and in: the next step, if there are any."""
        if came or gone:
            self._settle()
            self.ledger.append(Arrival())
        report = super().update(came, gone)
        if came or gone:
            self._note_marked()
            self.ledger[-1].came = self.index.lookup(came).tolist()
            self.ledger[-1].gone = self.index.lookup(gone).tolist()
            self._settled_for = None
        self.warn()
        return report

    def warn(self) -> None:
        """Say how many candidates lack a cluster or a score, unless that stops what is asked."""
        there = self._there()
        lacks = self._lacks(there)
        ways = ["those without a cluster are one of their own"] * bool(lacks[0].count)
        ways += ["those without a number come last in theirs"] * bool(lacks[1].count)
        if self.budget is None or len(there) <= self.budget:
            tell_of(self.searcher, lacks, len(there), ", ".join(ways))

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """The ledger too."""
        self._settle()
        facts, arrays = super().stored()
        budgets, kept = stored_ledger(self.ledger, self.index.keys)
        return {**facts, "ledger": budgets}, {**arrays, **kept}

    def tags(self) -> dict[PointId, Payload]:
        """The tag of each point that was pruned, in order."""
        run = list(digests(self.ledger, self.index.keys)) if self.dropped else []
        ids = self.index.ids(self.dropped)
        return {
            point_id: {"rank": rank, "run": run[step - 1], "step": step}
            for rank, (point_id, step) in enumerate(zip(ids, self.dropped.values(), strict=True))
        }

    def replayed(self) -> list[list[PointId]]:
        """What each step prunes, worked out again from the ledger and the vectors stored now.

        Equal to what the ledger says, where no vector, cluster or budget has changed since.

        Raises:
            InputError: a point of an earlier step is no longer stored.
        """
        present: dict[int, int] = {}
        out: set[int] = set()
        found: list[list[PointId]] = []
        for step, one in enumerate(self.ledger, 1):
            present |= dict.fromkeys(one.came, step)
            present = {number: at for number, at in present.items() if number not in set(one.gone)}
            out |= {*one.marked}
            numbers = _without(np.array(sorted(present), dtype=np.int64), {*out, *one.excluded})
            steps = np.array([present[number] for number in numbers.tolist()], dtype=np.int64)
            pruned = self._pruned(numbers, steps, one.budget)
            out |= {*pruned}
            found.append(self.index.ids(pruned))
        return found

    def _take(self, number: int, payload: Payload) -> None:
        super()._take(number, payload)
        tags = payload.get(TAG_FIELD)
        if isinstance(tags, dict) and is_tag(tags.get(PRUNED)):
            self._tagged.add(number)

    def _note_marked(self) -> None:
        """Enter what was seen to be pruned and is not in the ledger."""
        known = {number for one in self.ledger for number in (*one.pruned, *one.marked)}
        self.ledger[-1].marked = sorted(self._tagged - known)
        self._tagged = set()

    @property
    def _excluded(self) -> frozenset[int]:
        return frozenset(np.flatnonzero(self.index.excluded).tolist())

    def _settle(self) -> None:
        """Prune at the last step, if that is not done for what is excluded now."""
        if self._settled_for == self._excluded:
            return
        last, there = self.ledger[-1], self._there()
        self._check_known(there)
        self._settled_for = self._excluded
        last.pruned, last.budget = [], self.budget
        last.excluded = sorted(self._excluded)
        came = np.zeros(len(self.index), dtype=np.int64)
        for step, one in enumerate(self.ledger, 1):
            came[one.came] = step
        last.pruned = self._pruned(there, came[there], self.budget)

    def _there(self) -> IntArray:
        """(c,) candidates that no earlier step, and no other run, has pruned."""
        earlier = {number for one in self.ledger[:-1] for number in one.pruned}
        return _without(super().candidates, earlier | self.marked)

    def _lacks(self, numbers: IntArray) -> list[Lack]:
        """How many of ``numbers`` (c,) have no cluster, and how many no score."""
        paths, count = self.looked.numbers, int((self.labels[numbers] == NONE).sum())
        nothing = np.all([np.isnan(self.numbers_of(path)[numbers]) for path in paths], axis=0)
        return [Lack("cluster", (self.looked.label,), count), Lack("number", paths, nothing.sum())]

    def _check_known(self, numbers: IntArray) -> None:
        """Check that nothing is pruned for good while it is not known what candidates are like.

        Raises:
            InputError: some of ``numbers`` (c,) have no cluster or no score, and not all may stay.
        """
        told = lacking(lacks := self._lacks(numbers), len(numbers))
        if told and self.budget is not None and len(numbers) > self.budget:
            made = made_by(self.searcher, lacks)
            raise InputError(
                f"{told}, and what --prune takes away is gone for good; leave them out with "
                f"--filter '{without_them(lacks)}', or "
                + (f"make what is missing first: {made}" if made else "give them one first")
            )

    def _pruned(self, numbers: IntArray, steps: IntArray, budget: int | None) -> list[int]:
        """Which of ``numbers`` (c,), which came at ``steps`` (c,), go so that ``budget`` stay."""
        if budget is None or len(numbers) <= budget:
            return []
        names, codes = np.unique(self.labels[numbers], return_inverse=True)
        codes = codes.reshape(-1)
        order = id_order(self.index.keys[numbers], codes, steps)
        sizes = np.bincount(codes, minlength=len(names))
        shares = water_filled(sizes, budget).tolist()
        found: list[int] = []
        groups = np.split(numbers[order], np.cumsum(sizes)[:-1])
        for members, share in zip(groups, shares, strict=True):
            if len(members) > share:
                found += members[least_redundant(self._vectors(members), share)[1]].tolist()
        return found

    def _vectors(self, numbers: IntArray) -> Any:
        searcher, ids = self.searcher, self.index.ids(numbers.tolist())
        has, rows = vectors_found(searcher.collection, ids, searcher.info)
        if not has.all():
            raise InputError(
                f"point {ids[int(np.argmin(has))]} has left collection '{searcher.info.name}', or "
                f"lost its vector, so what is like it cannot be pruned; run it again"
            )
        return rows


def begun(searcher: Searcher, task: Any, looked: Looked, budget: int | None) -> AdaptKnowledge:
    """The first step."""
    known: AdaptKnowledge = AdaptKnowledge.looking(searcher, task, looked)
    known.budget = budget
    return known


def _without(numbers: IntArray, out: set[int]) -> IntArray:
    """``numbers`` without those that are ``out``."""
    if not out:
        return numbers
    return numbers[~np.isin(numbers, np.fromiter(out, dtype=np.int64, count=len(out)))]
