"""A selection in a few lines, for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsds_qdrant.selection.selection import Selection


def summary(selection: Selection) -> str:
    """A few lines on a selection, for a person."""
    solution, accuracy, counts = selection.solution, selection.accuracy, selection.counts
    drawn = ", ".join(str(size) for size in selection.samples)
    done = f"selected {drawn} of" if drawn else "solved for"
    lines = [
        f"{done} {selection.candidates} candidates for "
        f"{solution.problem.lists.queries} task examples",
        f"alpha {selection.alpha:.4g}, cost scale {selection.cost_scale:.4g}, "
        f"bandwidth {selection.bandwidth:.4g}: {solution.support} candidates with p > 0, "
        f"effective sample size {solution.effective_size:.0f}, "
        f"mean distance {solution.transport_cost:.3f}",
    ]
    follows = selection.settings.alpha is None and selection.settings.bounded
    if solution.regime == "pool":
        lines.append(
            "the task has no say: at this alpha every candidate gets its even share; "
            + ("loosen the bounds" if follows else "raise alpha")
        )
    searches = counts.neighbor_searches + counts.density_searches
    how = (
        f"exact, {selection.scan_reason}"
        if selection.scan_reason
        else f"HNSW with ef {selection.ef}, recall "
        + ("not measurable" if accuracy.recall is None else f"{accuracy.recall:.3f}")
        + (
            ""
            if accuracy.variation_bound is None
            else f", p within {accuracy.variation_bound:.4f} in total variation"
        )
    )
    lines.append(f"{searches} searches in {counts.seconds:.2f} s ({how})")
    if selection.densities_capped:
        lines.append(
            f"{selection.densities_capped} densities met the limit of "
            f"{selection.settings.density_limit} neighbours and are lower bounds"
        )
    return "\n".join([*lines, *_kept_out(selection), *_bounds_met(selection)])


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
    if found.assumed:
        shown = found.assumed.replace("\n", "\\n")
        yield f"their texts were read as {shown}; if that is wrong, name the field (--text-field)"
    if found.without_text and not found.text_known:
        yield "no field is known to hold their texts, so only their vectors were compared"
    elif found.without_text:
        yield f"{found.without_text} of them have no text, so only their vectors were compared"


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
    fields = {name for traits in selection.traits.values() for name in traits.values}
    for name in sorted(fields):
        absent = sum(NULL in traits.values[name] for traits in selection.traits.values())
        if absent:
            yield (
                f"{absent} of {len(selection.traits)} candidates with p > 0 have no '{name}' and "
                f"count as its value {NULL}"
            )
