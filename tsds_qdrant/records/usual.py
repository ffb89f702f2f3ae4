"""The text of many records, where nobody says how it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tsds_qdrant.records.shapes import template_for
from tsds_qdrant.records.template import TextTemplate


def usual_template(records: Sequence[Mapping[str, Any]]) -> TextTemplate:
    """The usual shape of ``records`` that makes texts of most; undecided if none does; loose.

    Of shapes that suit as many it is the first one's. Fields that may be missing are in it if they
    are in one of the records.
    """
    fullest: dict[tuple[str, ...], TextTemplate] = {}
    for record in records:
        if (source := template_for(record)) is not None:
            one = TextTemplate(template=source)
            known = fullest.setdefault(one.needs, one)
            fullest[one.needs] = max(known, one, key=lambda way: len(way.fields))
    suits = {way: sum(way.suits(record) for record in records) for way in fullest.values()}
    return replace(max(suits, key=suits.__getitem__, default=TextTemplate()), loose=True)
