"""Payload filters: checked in Qdrant's JSON form, then built for either engine.

The form is the one of Qdrant's REST API (documentation, "Filtering"): clauses ``must``,
``should``, ``must_not`` and ``min_should`` around conditions, which may be filters again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from tsds_qdrant.collections.values import Filter
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.filters import CLAUSES

if TYPE_CHECKING:
    import qdrant_edge
    from qdrant_client import models

Checks = Mapping[str, Callable[[Any, str], None]]
BOUNDS = ("gt", "gte", "lt", "lte")
EXAMPLES = {
    "filter": '{"must": [{"key": "source", "match": {"value": "wiki"}}]}',
    "condition": '{"key": "source", "match": {"value": "wiki"}}',
    "min_should": '{"conditions": [{"key": "a", "match": {"value": 1}}], "min_count": 1}',
    "match": '{"value": "wiki"}, {"any": ["a", "b"]}, {"except": [1, 2]} or {"text": "word"}',
    "range": '{"gte": 1, "lt": 5} or {"gte": "2024-01-01T00:00:00Z"}',
    "values_count": '{"gte": 2}',
    "has_id": "[1, 2]",
    "is_empty": '{"key": "source"}',
    "is_null": '{"key": "source"}',
    "nested": '{"key": "authors", "filter": {"must": [{"key": "age", "range": {"gte": 30}}]}}',
    "slice": '{"total": 10, "index": 0}',
    "geo_radius": '{"center": {"lon": 13.4, "lat": 52.5}, "radius": 1000}',
    "geo_bounding_box": '{"top_left": {"lon": 1, "lat": 2}, "bottom_right": {"lon": 2, "lat": 1}}',
    "geo_polygon": '{"exterior": {"points": [{"lon": 13, "lat": 52}, ..]}}',
}


def check_filter(where: Filter) -> None:
    """Check the form of ``where``.

    Raises:
        SettingsError: an unknown key or a malformed part; the message quotes it, says where it
            is, and gives an example of the right form.
    """
    _filter(where, "filter")


def server_filter(where: Filter | None) -> models.Filter | None:
    """``where`` for qdrant-client; raises like :func:`check_filter`."""
    if where is None:
        return None
    from qdrant_client import models

    check_filter(where)
    try:
        return models.Filter.model_validate(dict(where))
    except ValueError as error:
        _refuse(dict(where), "filter", f"is misread at {str(error).splitlines()[1]}", "filter")


def edge_filter(where: Filter | None) -> qdrant_edge.Filter | None:
    """``where`` for qdrant-edge-py; raises like :func:`check_filter`."""
    if where is None:
        return None
    from tsds_qdrant.collections.edge.filters import built_filter

    check_filter(where)
    try:
        return built_filter(where)
    except (ValueError, TypeError, OverflowError) as error:
        _refuse(dict(where), "filter", f"is misread ({str(error).splitlines()[0]})", "filter")


def _filter(part: Any, at: str) -> None:
    fields = _mapping(part, at, "filter")
    for clause, inner in fields.items():
        path = f"{at}.{clause}"
        if clause in CLAUSES:
            (_conditions if isinstance(inner, list) else _condition)(inner, path)
        elif clause == "min_should":
            _fields(inner, path, {"conditions": _conditions, "min_count": _count}, "min_should")
            if not 1 <= inner["min_count"] <= len(inner["conditions"]):
                _refuse(inner, path, "wants a count that its conditions cannot reach", clause)
        else:
            _refuse(part, at, f"has no clause '{clause}'", "filter")


def _conditions(part: Any, at: str) -> None:
    if not isinstance(part, list):
        _refuse(part, at, "is no list", "min_should")
    for k, condition in enumerate(part):
        _condition(condition, f"{at}[{k}]")


def _condition(part: Any, at: str) -> None:
    fields = _mapping(part, at, "condition")
    if "key" in fields:
        tests = {name: value for name, value in fields.items() if name != "key"}
        _text(fields["key"], f"{at}.key")
        if not tests:
            _refuse(part, at, "says nothing about its key", "condition")
        _known(fields, at, {"key": _text, **FIELD_TESTS}, "condition")
    elif fields and all(name in (*CLAUSES, "min_should") for name in fields):
        _filter(fields, at)
    elif len(fields) == 1:
        _known(fields, at, POINT_TESTS, "condition")
    else:
        _refuse(part, at, "is no condition", "condition")


def _match(part: Any, at: str) -> None:
    fields = _mapping(part, at, "match")
    if len(fields) != 1:
        _refuse(part, at, "must hold one kind of match", "match")
    ((kind, value),) = fields.items()
    if kind == "value":
        if not isinstance(value, str | int):
            _refuse(part, at, "compares with no text, whole number or truth value", "match")
    elif kind in ("any", "except"):
        same = isinstance(value, list) and {type(item) for item in value} in ({str}, {int}, set())
        if not same:
            _refuse(part, at, "must list texts only or whole numbers only", "match")
    elif kind in ("text", "text_any", "phrase", "prefix", "substring"):
        _text(value, f"{at}.{kind}")
    else:
        _refuse(part, at, f"has no match '{kind}'", "match")


def _range(part: Any, at: str) -> None:
    fields = _mapping(part, at, "range")
    _known(fields, at, dict.fromkeys(BOUNDS, _any), "range")
    numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in fields.values()]
    dates = [bool(re.match(r"\d{4}-\d\d-\d\d", str(v))) for v in fields.values()]
    if not fields or not (all(numbers) or all(dates)):
        _refuse(part, at, "must have bounds that are all numbers or all dates", "range")


def _values_count(part: Any, at: str) -> None:
    _known(_mapping(part, at, "values_count"), at, dict.fromkeys(BOUNDS, _count), "values_count")


def _has_id(part: Any, at: str) -> None:
    if not isinstance(part, list):
        _refuse(part, at, "is no list of ids", "has_id")
    for point_id in part:
        whole = isinstance(point_id, int) and not isinstance(point_id, bool)
        try:
            fits = 0 <= point_id < 2**64 if whole else bool(UUID(point_id))
        except (ValueError, TypeError, AttributeError):
            fits = False
        if not fits:
            _refuse(point_id, at, "is no point id", "has_id")


def _geo(name: str, checks: Checks) -> Callable[[Any, str], None]:
    return lambda part, at: _fields(part, at, checks, name, optional=("interiors",))


def _point(part: Any, at: str) -> None:
    _fields(part, at, {"lon": _number, "lat": _number}, "geo_radius")


def _ring(part: Any, at: str) -> None:
    points = _mapping(part, at, "geo_polygon").get("points")
    if not isinstance(points, list) or len(part) != 1:
        _refuse(part, at, "must hold a list of points", "geo_polygon")
    for k, point in enumerate(points):
        _point(point, f"{at}.points[{k}]")


def _rings(part: Any, at: str) -> None:
    for k, ring in enumerate(part if isinstance(part, list) else [part]):
        _ring(ring, f"{at}[{k}]")


def _fields(part: Any, at: str, checks: Checks, form: str, optional: tuple[str, ...] = ()) -> None:
    fields = _mapping(part, at, form)
    for name in checks:
        if name not in fields and name not in optional:
            _refuse(part, at, f"lacks '{name}'", form)
    _known(fields, at, checks, form)


def _known(fields: Mapping[str, Any], at: str, checks: Checks, form: str) -> None:
    for name, value in fields.items():
        if name not in checks:
            _refuse(dict(fields), at, f"has an unknown key '{name}'", form)
        checks[name](value, f"{at}.{name}")


def _mapping(part: Any, at: str, form: str) -> Mapping[str, Any]:
    if not isinstance(part, Mapping):
        _refuse(part, at, "is no object", form)
    return part


def _any(part: Any, at: str) -> None:
    """Accept anything; the caller looks at it."""


def _text(part: Any, at: str) -> None:
    if not isinstance(part, str):
        _refuse(part, at, "is no text", "condition")


def _truth(part: Any, at: str) -> None:
    if not isinstance(part, bool):
        _refuse(part, at, "is neither true nor false", "condition")


def _count(part: Any, at: str) -> None:
    if not isinstance(part, int) or isinstance(part, bool) or part < 0:
        _refuse(part, at, "is no count", "values_count")


def _number(part: Any, at: str) -> None:
    if not isinstance(part, int | float) or isinstance(part, bool):
        _refuse(part, at, "is no number", "geo_radius")


def _refuse(part: Any, at: str, complaint: str, form: str) -> NoReturn:
    raise SettingsError(f"{part!r} at {at} {complaint}; write it like {EXAMPLES[form]}")


def _key(form: str) -> Callable[[Any, str], None]:
    return lambda part, at: _fields(part, at, {"key": _text}, form)


FIELD_TESTS: Checks = {
    "match": _match,
    "range": _range,
    "values_count": _values_count,
    "is_empty": _truth,
    "is_null": _truth,
    "geo_radius": _geo("geo_radius", {"center": _point, "radius": _number}),
    "geo_bounding_box": _geo("geo_bounding_box", {"top_left": _point, "bottom_right": _point}),
    "geo_polygon": _geo("geo_polygon", {"exterior": _ring, "interiors": _rings}),
}
POINT_TESTS: Checks = {
    "has_id": _has_id,
    "has_vector": _text,
    "is_empty": _key("is_empty"),
    "is_null": _key("is_null"),
    "nested": lambda part, at: _fields(part, at, {"key": _text, "filter": _filter}, "nested"),
    "slice": lambda part, at: _fields(part, at, {"total": _count, "index": _count}, "slice"),
}
