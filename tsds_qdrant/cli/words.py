"""The words of a command line, before they are parsed."""

from __future__ import annotations

from collections.abc import Sequence


def named(words: Sequence[str], *flags: str) -> str | None:
    """What ``words`` give for one of ``flags``, the last time; None if nothing."""
    found = None
    for place, word in enumerate(words):
        if word == "--":
            break
        flag, equals, value = word.partition("=")
        if flag in flags:
            found = value if equals else next(iter(words[place + 1 : place + 2]), found)
    return found
