"""An explanation in words, for a person."""

from __future__ import annotations

from collections.abc import Iterator

from tsds_qdrant.selection.explanation import NO_CANDIDATE, Explanation, PointExplanation
from tsds_qdrant.strategies.wording import quoted

WORDS = {
    "filtered out": "no candidate, the run's filter leaves it out",
    "kept out": "no candidate, it was kept out as a copy of a test item",
    "near copy": "not selected, it is a near copy of a candidate that is preferred",
    "no vector": "no candidate, it has no vector{vector}",
    "lost vector": "its vector{vector} is gone, though the run still has it: run 'tsds-qdrant "
    "reselect'",
    "zero vector": "no candidate, its vector{vector} is zero, so it is near to nothing",
    "not preferred": "not selected, others are preferred",
}


def lines_of(explanation: Explanation) -> Iterator[str]:
    """The lines that ``tsds-qdrant explain`` prints."""
    for number, point in enumerate(explanation.points):
        if number:
            yield ""
        yield f"{point.id}: {_verdict(point, explanation.vector)}"
        if point.text:
            yield f"  {quoted(point.text)}"
        if point.arrived:
            yield "  it came after the run's last selection: run 'tsds-qdrant reselect'"
        if point.verdict in NO_CANDIDATE:
            continue
        yield from _draw(point)
        for line in point.reasons.in_words(arrived=bool(point.arrived)):
            yield f"  {line}"


def _verdict(point: PointExplanation, vector: str) -> str:
    if point.verdict in point.reasons.VERDICTS:
        return f"not selected, {point.reasons.VERDICTS[point.verdict]}"
    if point.verdict in WORDS:
        return WORDS[point.verdict].format(vector=f" '{vector}'" if vector else "")
    p = point.probability
    if point.verdict == "not drawn":
        if p is not None:
            return f"not selected, though it has p {p:.4g}"
        size = point.samples[-1].size if point.samples else 0
        passed_over = point.rank is not None and point.rank < size
        return "not selected, " + ("though it is preferred" if passed_over else "others come first")
    last = point.samples[-1]
    times = f", drawn {last.weight} times" if last.weight > 1 else ""
    chance = "" if p is None else f"; p {p:.4g}"
    return f"selected, rank {last.rank} of {last.size}{times}{chance}"


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
        if standing.needed is not None and point.probability:
            times = standing.needed / point.probability
            facts.append(f"this seed would take it at p {standing.needed:.4g} ({times:.2f} times)")
        if standing.chance is not None:
            facts.append(f"under any seed its chance is {standing.chance:.0%}")
        if point.rank is not None and point.rank < standing.size and standing.needed is None:
            facts.append("quotas, budget or groups had no place for it")
        yield "  " + "; ".join(facts)
