"""Payload filters from texts: Qdrant's JSON form, or conditions like ``source=20ng``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tsds_qdrant.errors import SettingsError

CLAUSES = ("must", "should", "must_not")
EXAMPLES = (
    '"source=20ng", "year>=2020 and lang=en,de" or JSON like '
    '{"must": [{"key": "lang", "match": {"value": "en"}}]}'
)
CONDITION = re.compile(r"\s*(?P<key>[^\s=<>!]+)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.+?)\s*")
RANGES = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
AND = re.compile(r"\s+and(?:\s+|$)", re.IGNORECASE)


def payload_filter(text: str, flag: str) -> dict[str, Any]:
    """A filter from its JSON form, or from conditions between which stands ``and``.

    A condition is a field, one of ``= != < <= > >=`` and a value. Values of ``=`` and ``!=`` may be
    several, separated by commas, of which one is to match. Whole numbers, ``true`` and ``false``
    are what they look like; in double quotes they are texts, as everything else is.

    Raises:
        SettingsError: neither.
    """
    if text.lstrip().startswith(("{", "[")):
        return json_filter(text, flag)
    found: dict[str, list[dict[str, Any]]] = {}
    for part in AND.split(text):
        condition = CONDITION.fullmatch(part)
        if condition is None:
            raise SettingsError(f"{flag} is '{text}', which is no condition; give {EXAMPLES}")
        key, sign, value = condition.group("key", "sign", "value")
        group = "must_not" if sign == "!=" else "must"
        found.setdefault(group, []).append(_condition(key, sign, value, flag))
    return found


def json_filter(text: str, flag: str) -> dict[str, Any]:
    """A filter from JSON.

    Raises:
        SettingsError: no JSON, or no filter.
    """
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{flag} is no JSON ({error}); give {EXAMPLES}, in quotes") from None
    return dict(filter_of(parsed, flag))


def filter_of(given: Any, flag: str) -> Mapping[str, Any]:
    """``given`` in Qdrant's JSON form, of which its clauses are looked at.

    Raises:
        SettingsError: it has another form.
    """
    if not isinstance(given, Mapping):
        raise SettingsError(f"{flag} is {given!r}, which is no filter; give {EXAMPLES}")
    for clause in given:
        if clause not in (*CLAUSES, "min_should"):
            raise SettingsError(f"{flag} {given!r} has no clause '{clause}'; give {EXAMPLES}")
    return given


def _condition(key: str, sign: str, value: str, flag: str) -> dict[str, Any]:
    if sign in RANGES:
        return {"key": key, "range": {RANGES[sign]: _number(key, sign, value, flag)}}
    values = [_value(part.strip()) for part in value.split(",")]
    if len(values) == 1:
        return {"key": key, "match": {"value": values[0]}}
    if len({type(one) for one in values}) > 1 or isinstance(values[0], bool):
        values = [part.strip().strip('"') for part in value.split(",")]
    return {"key": key, "match": {"any": values}}


def _number(key: str, sign: str, value: str, flag: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise SettingsError(
            f"{flag} has '{key}{sign}{value}'; give a number behind {sign}, like {key}{sign}10"
        ) from None
    return int(number) if number.is_integer() else number


def _value(text: str) -> str | int | bool:
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    if text in ("true", "false"):
        return text == "true"
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if quoted else text
