"""What is said where candidates lack the values that a strategy goes by, and what makes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tsds_qdrant.collections.reserved import MADE_FIELD
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.progress import notice
from tsds_qdrant.records.fields import listed_names
from tsds_qdrant.represented.advice import value_commands


@dataclass(frozen=True)
class Lack:
    """Candidates without a value.

    Attributes:
        what: the value, as in "number".
        paths: payload fields, any of which could hold it.
        count: how many candidates have it in none of them.
    """

    what: str
    paths: tuple[str, ...]
    count: int

    @property
    def fields(self) -> str:
        """The fields in words."""
        return " or ".join(f"'{path}'" for path in self.paths)


def lacking(lacks: Sequence[Lack], candidates: int) -> str:
    """How many of the ``candidates`` lack what; "" where nobody lacks anything."""
    there = [one for one in lacks if one.count]
    parts = [f"{one.count} no {one.what} in {one.fields}" for one in there[1:]]
    if not there:
        return ""
    first = f"{there[0].count} of {candidates} candidates have no {there[0].what} in "
    return " and ".join([first + there[0].fields, *parts])


def made_by(searcher: Searcher, lacks: Sequence[Lack]) -> str:
    """The commands that make what is lacking, as one line; "" where ``represent`` can make none."""
    found = [
        command
        for one in reversed(lacks)
        for path in one.paths[:1]
        if one.count and path.startswith(f"{MADE_FIELD}.")
        for command in value_commands(searcher.collection, searcher.info, path)
    ]
    return " && ".join(dict.fromkeys(found))


def tell_of(searcher: Searcher, lacks: Sequence[Lack], candidates: int, then: str) -> None:
    """Say who lacks what, what follows from it (``then``), and what makes it; or nothing."""
    if told := lacking(lacks, candidates):
        made = made_by(searcher, lacks)
        more = f"; make them and select again: {made}" if made else ""
        notice(" ".join(["lacking", *(one.fields for one in lacks)]), f"{told}; {then}{more}")


def without_them(lacks: Sequence[Lack]) -> str:
    """The filter that leaves out whoever lacks something, as JSON."""
    conditions = []
    for one in lacks:
        there = [{"must_not": [{"is_empty": {"key": path}}]} for path in one.paths]
        if one.count:
            conditions.append(there[0] if len(there) == 1 else {"should": there})
    return json.dumps({"must": conditions} if len(conditions) > 1 else conditions[0])


def nobody_has(searcher: Searcher, paths: Sequence[str], what: str, flag: str) -> InputError:
    """Say that no candidate has any of ``paths``, and how that is made, or what there is."""
    lack, info = Lack(what, tuple(paths), searcher.candidates), searcher.info
    way = f"name another field with {flag}"
    if command := made_by(searcher, [lack]):
        way += f", or make it: {command}"
    else:
        way += f" ({fields_there(searcher)})"
    return InputError(
        f"no candidate of collection '{info.name}' has {what} in {lack.fields}; {way}"
    )


def fields_there(searcher: Searcher) -> str:
    """The payload fields that some candidates have, in words."""
    page = next(iter(searcher.members.pages()), [])[:16]
    records = searcher.collection.retrieve(page)
    return listed_names({name: None for record in records for name in record.content})
