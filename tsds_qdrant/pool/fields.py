"""Payload fields that a user names, and whether any point has them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from tsds_qdrant.collections.filter_keys import filtered_fields
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Filter, Payload
from tsds_qdrant.errors import InputError, RequestRejectedError, SettingsError
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.dialogue import parsed
from tsds_qdrant.records.fields import field_values, likely_field, listed_names

FIRST_POINTS, MIXED_POINTS = 16, 48
"""How many points are looked at: the first ones, and a seeded choice of the first page."""
DEEPEST = 3
"""Fields inside of fields are listed down to this level."""
FILTER = "--filter"
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEY_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|\[(\d*)\]|([^.\[\]"]+)')


def check_fields(collection: Collection, wanted: Mapping[str, str]) -> None:
    """Check that some point has a value in each of some payload fields.

    A few points are looked at; where none of them has it, all are counted if the server allows it.

    Args:
        collection: whose points these are.
        wanted: path of a field -> what names it, a flag as a rule. Paths are those of
            :func:`~tsds_qdrant.records.fields.field_values`.

    Raises:
        InputError: no point has one; the message names the fields there are.
    """
    payloads = sampled_payloads(collection) if wanted else []
    for path, named_by in wanted.items():
        if fault := _fault(collection, payloads, path, named_by):
            raise InputError(fault)


def check_template(
    collection: Collection, template: TextTemplate, named_by: str | None = None
) -> None:
    """Check that ``template`` may make a text of some point; an undecided one may.

    Args:
        collection: whose points these are.
        template: how texts are made.
        named_by: what gives the template; the flag for it by default.

    Raises:
        InputError: a field that it needs is on no point, or all of those that may be missing are.
    """
    flags = [f"--{name.replace('_', '-')}" for name in template.to_dict()]
    named_by = named_by or "".join(flags)
    check_fields(collection, dict.fromkeys(template.needs, named_by))
    if template.needs or not template.fields:
        return
    payloads = sampled_payloads(collection)
    faults = [_fault(collection, payloads, path, named_by) for path in template.fields]
    if all(faults):
        raise InputError(faults[0])


def unknown_in(collection: Collection, where: Filter | None) -> str:
    """Say which field of a filter is on no point, and which fields there are; "" if all are.

    Where that cannot be known for sure nothing is said.
    """
    payloads = sampled_payloads(collection) if where and filtered_fields(where) else []
    for key in sorted(filtered_fields(where)) if payloads else ():
        path = path_of(key)
        seen = any(_has_value(payload, path) for payload in payloads)
        seen = seen and not _inside_text(payloads, path)
        if not seen and _counted(collection, (key,)) is False:
            return _nobody_has(collection, payloads, key, FILTER, sure=True)
    return ""


def sampled_payloads(collection: Collection) -> list[Payload]:
    """Payloads of a few points, without what this package keeps there."""
    page = next(iter(collection.scroll_ids()), [])
    rest = page[FIRST_POINTS:]
    mixed = np.random.default_rng(len(page)).permutation(len(rest))[:MIXED_POINTS]
    chosen = [*page[:FIRST_POINTS], *(rest[row] for row in sorted(mixed.tolist()))]
    return [record.content for record in collection.retrieve(chosen)] if chosen else []


def payloads_with(collection: Collection, key: str) -> list[Payload] | None:
    """Payloads of the first points that have a value at ``key``; None where none may be asked for.

    Not those of all: of as many as are looked at everywhere.
    """
    info = collection.info()
    if not info.limits.unindexed_filter and key not in info.payload_indexes:
        return None
    try:
        page = next(iter(collection.scroll_ids(_having(key))), [])
    except (RequestRejectedError, SettingsError):
        return None
    chosen = page[: FIRST_POINTS + MIXED_POINTS]
    return [record.content for record in collection.retrieve(chosen)] if chosen else []


def fields_of(payloads: Iterable[Mapping[str, Any]], *, inside_texts: bool = False) -> list[str]:
    """Paths of the fields that hold a value in one of ``payloads``, in the order they come up.

    Those of objects that are JSON text too with ``inside_texts``: texts are read out of them, but
    Qdrant filters by none.
    """
    found: dict[str, None] = {}
    for payload in payloads:
        found.update(dict.fromkeys(_paths(payload, inside_texts=inside_texts)))
    return list(found)


def _fault(collection: Collection, payloads: Sequence[Payload], path: str, named_by: str) -> str:
    """Say that no point has a value at ``path``; "" if one has, or there is no point."""
    if not payloads or any(_has_value(payload, path) for payload in payloads):
        return ""
    there: bool | None = False
    if len(payloads) < collection.info().count:
        there = None if _inside_text(payloads, path) else _counted(collection, tuple(_keys(path)))
    return "" if there else _nobody_has(collection, payloads, path, named_by, sure=there is False)


def _nobody_has(
    collection: Collection, payloads: Sequence[Payload], path: str, named_by: str, *, sure: bool
) -> str:
    name = collection.info().name
    fields = fields_of(payloads, inside_texts=named_by != FILTER)
    who = "no point" if sure else f"none of {len(payloads)} points looked at"
    close = likely_field(path, fields)
    ways = [f"did you mean '{close}'?" if close else "name one of them"]
    if not sure:
        ways.append("a payload index on it would let all points be looked at")
    return (
        f"{who} of collection '{name}' has the field '{path}' that {named_by} names "
        f"({listed_names(fields)}); {'; '.join(ways)}"
    )


def _paths(
    value: Mapping[str, Any], before: str = "", depth: int = 1, *, inside_texts: bool = False
) -> Iterator[str]:
    for key, inner in value.items():
        if inside_texts and isinstance(inner, str) and isinstance(held := parsed(inner), Mapping):
            yield f"{before}{key}"
            inner = held
        items = inner[:1] if isinstance(inner, list) else []
        more = partial(_paths, depth=depth + 1, inside_texts=inside_texts)
        if isinstance(inner, Mapping) and inner and depth < DEEPEST:
            yield from more(inner, f"{before}{key}.")
        elif items and isinstance(items[0], Mapping) and items[0] and depth < DEEPEST:
            yield from more(items[0], f"{before}{key}.*.")
        elif not _is_empty(inner):
            yield f"{before}{key}"


def _has_value(payload: Payload, path: str) -> bool:
    return not all(map(_is_empty, field_values(payload, path)))


def _is_empty(value: Any) -> bool:
    """Whether Qdrant takes ``value`` for an empty one (documentation, "Filtering", "Is Empty")."""
    return value is None or value == []


def _counted(collection: Collection, keys: Iterable[str]) -> bool | None:
    """Whether any point has a value at one of ``keys``, as Qdrant counts; None if not known."""
    info = collection.info()
    for key in keys:
        if not info.limits.unindexed_filter and key not in info.payload_indexes:
            return None
        try:
            if collection.count(_having(key)):
                return True
        except (RequestRejectedError, SettingsError):
            return None
    return False


def _having(key: str) -> Filter:
    return {"must_not": [{"is_empty": {"key": key}}]}


def _keys(path: str) -> Iterator[str]:
    """What Qdrant may call the field at ``path``: a key with dots in it, or keys inside of keys."""
    if not _PLAIN_KEY.fullmatch(path):
        yield json.dumps(path, ensure_ascii=False)
    key, parts = "", path.split(".")
    if parts[0] == "*" or parts[0].isdecimal():
        return
    for part in parts:
        if part == "*" or part.isdecimal():
            key += f"[{part.replace('*', '')}]"
        else:
            quoted = part if _PLAIN_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            key += f".{quoted}" if key else quoted
    yield key


def path_of(key: str) -> str:
    """The path of what Qdrant calls ``key`` (documentation, "Payload", "Nested payload")."""
    parts = (quoted or plain or number or "*" for quoted, number, plain in _KEY_PART.findall(key))
    return ".".join(parts)


def _inside_text(payloads: Sequence[Payload], path: str) -> bool:
    """Whether ``path`` leads into JSON text, which Qdrant does not look into."""
    parts = path.split(".")
    heads = [".".join(parts[:n]) for n in range(1, len(parts))]
    texts = (
        value
        for payload in islice(payloads, FIRST_POINTS)
        for head in heads
        for value in field_values(payload, head)
        if isinstance(value, str)
    )
    return any(text.lstrip()[:1] in ("{", "[") for text in texts)
