"""What was found to copy test items, as rows and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tsds_qdrant.guards.held_out import REASONS, SHORTEST_RUN, Finding, HeldOut

REPORT_COLUMNS = (
    *("id", "reason", "overlap", "distance"),
    *("test_source", "test_item", "text", "test_text"),
)


def runless(held_out: HeldOut) -> str:
    """Say that runs of words are to be compared and no test item has one; "" where that is not."""
    reach = held_out.reach
    if not held_out.has_texts or not reach.ngram or len(held_out.runs.values):
        return ""
    words = min(SHORTEST_RUN, reach.ngram)
    return f"no test item has a run of {words} words, at least half of them different"


@dataclass(frozen=True)
class Contamination:
    """What a guard found.

    Attributes:
        held_out: the test items, and what counts as a copy.
        looked_at: how many candidates were compared.
        without_text: how many of them have no text, so that only vectors were compared.
        without_vector: how many of them have no vector, so that only texts were compared.
        findings: those that were kept out, in the order of their ids.
        text_known: some way to make the texts of candidates is known.
        assumed: that way, if it was decided from their payloads; else "".
    """

    held_out: HeldOut
    looked_at: int
    without_text: int
    findings: tuple[Finding, ...]
    text_known: bool = True
    assumed: str = ""
    without_vector: int = 0

    @property
    def by_reason(self) -> dict[str, int]:
        """How many were kept out, reason by reason."""
        counts = Counter(finding.reason for finding in self.findings)
        return {reason: counts[reason] for reason in REASONS}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows for a file; ``test_item`` is a number in ``test_source``, from 0."""
        for finding in self.findings:
            source, number = self.held_out.source_of(finding.item)
            yield {
                **vars(finding),
                "test_source": source,
                "test_item": number,
                "test_text": self.held_out.excerpts[finding.item],
            }

    def figures(self) -> dict[str, Any]:
        """What a manifest says of it."""
        reach = self.held_out.reach
        return {
            "sources": list(self.held_out.sources),
            "test_items": sum(self.held_out.counts),
            "reach": asdict(reach),
            "looked_at": self.looked_at,
            "without_text": self.without_text,
            "without_vector": self.without_vector,
            "kept_out": {"all": len(self.findings), **self.by_reason},
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was not compared, for a person."""
        held_out, left = self.held_out, []
        if self.assumed:
            shown = self.assumed.replace("\n", "\\n")
            left.append(
                f"their texts were read as {shown}; if that is wrong, name the field (--text-field)"
            )
        if self.without_text and not self.text_known:
            left.append(
                "no field is known to hold their texts, so only their vectors were compared"
            )
        elif self.without_text:
            also = "only their vectors were" if held_out.has_vectors else "nothing of theirs was"
            left.append(f"{self.without_text} of them have no text, so {also} compared")
        if self.without_vector:
            also = "only their texts were" if held_out.has_texts else "nothing of theirs was"
            left.append(f"{self.without_vector} of them have no vector, so {also} compared")
        mute = int(np.count_nonzero(held_out.lengths == 0))
        if mute and not held_out.has_vectors:
            left.append(f"{mute} test items have no text, so nothing was compared with them")
        if runs := runless(held_out):
            left.append(f"{runs}, so only whole texts were compared")
        return tuple(left)

    @property
    def of_all(self) -> str:
        """Say that no candidate is left, which the first are, and what helps."""
        counts, reach, first = self.by_reason, self.held_out.reach, self.findings[0]
        source, number = self.held_out.source_of(first.item)
        pair = f"point {first.id}" + (f" and item {number} of '{source}'" if source else "")
        ways = {
            "exact": "",
            "ngram": f"count longer runs alone with --exclude-ngrams (now {reach.ngram}), or ",
            "radius": f"choose a smaller --exclude-radius (now {reach.radius:g}), or ",
        }
        way = ways[max(REASONS, key=counts.__getitem__)]
        return (
            f"all candidates are excluded, {len(self.findings)} of them as copies of test items "
            f"({self.in_words}; the first are {pair}); {way}exclude other items"
        )

    @property
    def in_words(self) -> str:
        """The reasons and their counts, for a person."""
        reach = self.held_out.reach
        names = {
            "exact": "equal in text",
            "ngram": f"sharing {reach.ngram} words in a row",
            "radius": f"within {reach.radius:g}",
        }
        return ", ".join(f"{n} {names[reason]}" for reason, n in self.by_reason.items() if n)
