"""An explanation in words, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tsds_qdrant.pool.texts import shortened
from tsds_qdrant.strategies.tsds.reasons import Explanation, PointExplanation

SHOWN = 5
"""So many task examples and near-duplicates of a point are shown."""
WIDTH = 70
"""So many characters of a text are shown."""


def lines_of(explanation: Explanation) -> Iterator[str]:
    """The lines that ``tsds-qdrant explain`` prints."""
    for number, point in enumerate(explanation.points):
        if number:
            yield ""
        yield f"{point.id}: {_verdict(point, explanation)}"
        if point.text:
            yield f"  {_quoted(point.text)}"
        if point.arrived:
            yield "  it came after the run's last selection: run 'tsds-qdrant reselect'"
        if point.verdict in ("filtered out", "kept out"):
            continue
        yield from _draw(point)
        yield from _listings(point, explanation)
        yield from _unfetched(point)
        yield from _duplicates(point, explanation)
        yield from _turn(point, explanation)


def _verdict(point: PointExplanation, explanation: Explanation) -> str:
    if point.verdict == "filtered out":
        return "no candidate, the run's filter leaves it out"
    if point.verdict == "kept out":
        return "no candidate, it was kept out as a copy of a test item"
    if point.verdict == "no mass":
        return "not selected, nearer candidates use up what task examples have to give"
    if point.verdict == "not fetched":
        return "not selected, farther from every task example than what they use"
    if point.verdict == "not drawn":
        return f"not selected, though it has p {point.probability:.4g}"
    last = point.samples[-1]
    times = f", drawn {last.weight} times" if last.weight > 1 else ""
    return f"selected, rank {last.rank} of {last.size}{times}; p {point.probability:.4g}"


def _draw(point: PointExplanation) -> Iterator[str]:
    for standing in point.samples:
        if standing.rank is not None and standing is point.samples[-1]:
            continue
        if standing.rank is not None:
            yield f"  in the sample of {standing.size} too"
            continue
        facts = [f"not in the sample of {standing.size}"]
        if point.rank is not None:
            facts.append(f"rank {point.rank} in the order of the draw")
        if standing.needed is not None:
            times = standing.needed / point.probability
            facts.append(f"this seed would take it at p {standing.needed:.4g} ({times:.2f} times)")
        if standing.chance is not None:
            facts.append(f"under any seed its chance is {standing.chance:.0%}")
        if point.rank is not None and point.rank < standing.size and standing.needed is None:
            facts.append("quotas, budget or groups had no place for it")
        yield "  " + "; ".join(facts)


def _listings(point: PointExplanation, explanation: Explanation) -> Iterator[str]:
    if not point.listings:
        return
    count, paying = len(point.listings), point.probability > 0
    if paying:
        yield f"  {count} of {explanation.queries} task examples send it mass:"
    else:
        yield f"  it is in the lists of {count} of {explanation.queries} task examples:"
    yield from _table(
        ("share" if paying else "uses", "distance", "nearest", "task example"),
        [
            (
                f"{one.share:.0%}" if paying else f"{one.used}",
                f"{one.distance:.3f}",
                f"{one.neighbor}.",
                f"{one.query}  {_quoted(one.text)}",
            )
            for one in point.listings[:SHOWN]
        ],
        count,
    )


def _unfetched(point: PointExplanation) -> Iterator[str]:
    far = point.unfetched
    if far is None:
        return
    ends = "holds every candidate" if far.end is None else f"ends at {far.end:.3f}"
    yield (
        f"  nearest to task example {far.query} {_quoted(far.text)}".rstrip()
        + f": distance {far.distance:.3f}, while its list of {far.depth} {ends}"
    )
    if far.missed_by is not None and not point.arrived:
        yield (
            f"  the list of task example {far.missed_by} should hold it: approximate search missed "
            f"it, or it came after the run's last selection"
        )


def _duplicates(point: PointExplanation, explanation: Explanation) -> Iterator[str]:
    if point.density is None:
        return
    least = "" if point.density_whole else "at least "
    within = f"within {explanation.bandwidth:.3g}"
    if not point.duplicate_count:
        yield f"  density {point.density:.3g}: no near-duplicate {within}"
        return
    count = (
        "one near-duplicate"
        if point.duplicate_count == 1
        else (f"{least}{point.duplicate_count} near-duplicates")
    )
    yield f"  density {least}{point.density:.3g}: it shares with {count} {within}:"
    yield from _table(
        ("distance", "p", "rank", "point"),
        [
            (
                f"{one.distance:.3f}",
                f"{one.probability:.3g}",
                "-" if one.rank is None else f"{one.rank}",
                f"{one.id}  {_quoted(one.text)}",
            )
            for one in point.duplicates[:SHOWN]
        ],
        point.duplicate_count,
    )


def _turn(point: PointExplanation, explanation: Explanation) -> Iterator[str]:
    turn, alpha = point.turn, explanation.alpha
    if turn is None:
        return
    digits = next((n for n in range(4, 17) if f"{turn.alpha:.{n}g}" != f"{alpha:.{n}g}"), 17)
    there, now = f"{turn.alpha:.{digits}g}", f"(now {alpha:.{digits}g})"
    if turn.alpha == 1.0:
        yield f"  it has p > 0 at every alpha {now}"
    elif point.probability > 0:
        yield f"  it has p > 0 below alpha {there} {now}"
    elif turn.exact:
        yield f"  it would have p > 0 below alpha {there} {now}"
    else:
        yield (
            f"  it would have p > 0 only below some alpha under {there} {now}; "
            f"that is a bound, as far as lists and densities are known"
        )


def _quoted(text: str) -> str:
    return f'"{shortened(text, WIDTH)}"' if text else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], count: int) -> Iterator[str]:
    """A table whose last column is text, and how many rows there are beyond those shown."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        *numbers, text = row
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths, strict=False)]
        yield ("    " + "  ".join([*cells, text])).rstrip()
    if count > len(rows):
        yield f"    .. and {count - len(rows)} more"
