"""A selection in a few lines, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tsds_qdrant.strategies.catalog import DEFAULT

if TYPE_CHECKING:
    from tsds_qdrant.selection.sampling import Sample
    from tsds_qdrant.selection.selection import Selection

TAKEN_BY = {
    "thinned": ", the largest p first and near-duplicates thinned out",
    "top": ", the largest p first",
    "stable": ", by chances p",
    "multinomial": ", by chances p and with replacement",
}
"""Sampler -> how candidates are taken by their p."""


def summary(selection: Selection, judged: Sequence[str] = ()) -> str:
    """A few lines on a selection, for a person; ``judged`` says how good it is."""
    drawn = ", ".join(map(_drawn, selection.samples.values()))
    done = f"selected {drawn} of" if drawn else "solved for"
    by = "" if selection.strategy == DEFAULT else f" by {selection.strategy}"
    if drawn and selection.settings.strategy.samples:
        by += TAKEN_BY[selection.settings.wanted.sampler]
    lines = [
        f"{done} {selection.candidates} candidates for {selection.queries} task examples{by}",
        *_in_the_pool(selection),
        *judged,
        *_by_task(selection),
        *selection.evidence.in_words(),
    ]
    found = [*_kept_out(selection), *_near_copies(selection), *_bounds_met(selection)]
    return "\n".join([*lines, *found])


def _in_the_pool(selection: Selection) -> Iterator[str]:
    """Which task examples are candidates too."""
    points = selection.tasks.points
    if points is not None and points.ids:
        yield points.in_words(selection.queries)


def _by_task(selection: Selection) -> Iterator[str]:
    """What each of several tasks got of the largest sample."""
    from tsds_qdrant.selection.by_task import shares_by_task

    if selection.samples:
        rows = selection.samples[max(selection.samples)].candidates
        yield from (f"  {one.in_words}" for one in shares_by_task(selection, rows))


def _drawn(sample: Sample) -> str:
    """How many candidates a sample has, and in how many draws."""
    found, draws = len(sample.candidates), int(sample.weights.sum())
    return str(found) if draws == found else f"{found} (in {draws} draws)"


def _kept_out(selection: Selection) -> Iterator[str]:
    """What was kept out as copies of test items."""
    found = selection.contamination
    if found is None:
        return
    items = sum(found.held_out.counts)
    why = f" ({found.in_words})" if found.findings else ""
    yield (
        f"kept out {len(found.findings)} copies of {items} test items{why}; "
        f"{found.looked_at} candidates were compared"
    )
    yield from found.notes


def _near_copies(selection: Selection) -> Iterator[str]:
    """How many near copies a ranking has passed over."""
    found = selection.near_copies
    if not found or not (found["passed_over"] or found["drawn"]):
        return
    within = f"within {found['radius']:g} of" if found["radius"] else "with the vector of"
    line = f"passed over {found['passed_over']} near copies, {within} one taken before"
    if found["drawn"]:
        line += f"; {found['drawn']} were drawn, as there are no others"
    yield f"{line} (--near-copies keep takes them in their places)"


def _bounds_met(selection: Selection) -> Iterator[str]:
    """What quotas, budget and groups did to each sample."""
    from tsds_qdrant.selection.quotas import NULL

    for size, sample in selection.samples.items():
        tokens = "" if sample.tokens is None else f" with {sample.tokens} tokens"
        met = ", ".join(
            f"{one.name} at most {one.most} (passed over {one.refused})" for one in sample.met[:3]
        )
        more = f" and {len(sample.met) - 3} more" if len(sample.met) > 3 else ""
        if tokens or met:
            yield (
                f"sample of {size}: {len(sample.candidates)} candidates{tokens}"
                + (f"; bounds met: {met}{more}" if met else "")
            )
    support = [selection.ids[row] for row in selection.support.tolist()]
    looked_at = [selection.traits[one] for one in support if one in selection.traits]
    fields = {name for traits in looked_at for name in traits.values}
    for name in sorted(fields):
        absent = sum(NULL in traits.values[name] for traits in looked_at)
        if absent:
            yield (
                f"{absent} of {len(looked_at)} candidates to draw from have no '{name}' and "
                f"count as its value {NULL}"
            )
