"""Lines about points and task examples, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tsds_qdrant.pool.texts import shortened

if TYPE_CHECKING:
    from tsds_qdrant.collections.values import CollectionInfo
    from tsds_qdrant.strategies.known import Knowledge

SHOWN = 5
"""How many task examples and near-duplicates of a point are shown."""
WIDTH = 70
"""How many characters of a text are shown."""


def quoted(text: str) -> str:
    """The beginning of ``text`` in quotation marks; "" for none."""
    return f'"{shortened(text, WIDTH)}"' if text else ""


def named(query: int, text: str) -> str:
    """A task example by its number, and its text where there is one."""
    return f"task example {query} {quoted(text)}".rstrip()


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, .."""
    last = number % 10 if number % 100 not in (11, 12, 13) else 0
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], count: int) -> Iterator[str]:
    """A table whose last column is text, and how many rows there are beyond those shown."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        *numbers, text = row
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths, strict=False)]
        yield ("  " + "  ".join([*cells, text])).rstrip()
    if count > len(rows):
        yield f"  .. and {count - len(rows)} more"


def too_few(known: Knowledge, there: int, size: int) -> str:
    """One sentence on a ``size`` beyond the candidates that ``there`` are."""
    searcher = known.searcher
    lacking = searcher.where is None and searcher.members.found < searcher.info.count
    return beyond(there, size, searcher.info, lacking=lacking or there < known.pool)


def beyond(there: int, size: int, info: CollectionInfo, *, lacking: bool) -> str:
    """The same of a pool that is only counted; ``lacking``: others have no vector."""
    has = f"only {there} have a vector {info.named}" if lacking else f"the pool has {there}"
    return f"{size} candidates are wanted but {has}; ask for at most {there}"


def few_have(what: str, there: int, size: int) -> str:
    """One sentence on a ``size`` beyond the candidates that have ``what``, which ``there`` are."""
    return (
        f"{size} candidates are wanted but only {there} have {what}; ask for at most {there}, or "
        f"give the others one"
    )
