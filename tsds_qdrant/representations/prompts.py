"""What models want to be put before a passage, where they distinguish passages from queries.

A model that was trained with prompts puts a text elsewhere without them. A pool holds passages, and
task examples are to be compared with these as equals, not as questions that look for them: so they
are embedded as passages too, with the prompt that the pool was made with, if any.
"""

from __future__ import annotations

import re

PASSAGES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(^|[/-])e5-(small|base|large)(?!.*instruct)", re.IGNORECASE), "passage: "),
    (re.compile(r"(^|[/-])nomic-embed-text", re.IGNORECASE), "search_document: "),
)
"""Name of a model -> its prompt of passages, by the models' cards. Those of BGE, GTE and Arctic put
something before queries alone."""


def passage_prompts(model: str) -> tuple[str, ...]:
    """The prompts of passages that a model of that name was trained with."""
    return tuple(prompt for pattern, prompt in PASSAGES if pattern.search(model))
