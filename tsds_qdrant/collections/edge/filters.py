"""Builds the filter objects of qdrant-edge-py from a checked filter in Qdrant's JSON form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge

SLICE: Any = vars(edge)["SliceCondition"]
"""In the engine, but not in its type stubs."""
MATCHES: dict[str, Any] = {
    "any": edge.MatchAny,
    "except": edge.MatchExcept,
    "text": edge.MatchText,
    "text_any": edge.MatchTextAny,
    "phrase": edge.MatchPhrase,
    "prefix": edge.MatchPrefix,
    "substring": edge.MatchSubstring,
}


def built_filter(where: Mapping[str, Any]) -> edge.Filter:
    """Build the filter of ``where``, which :func:`~.filters.check_filter` has let pass.

    Raises:
        ValueError: a date, key path or coordinate that the engine cannot read.
    """
    clauses: dict[str, Any] = {}
    for clause, inner in where.items():
        if clause == "min_should":
            conditions = [_condition(part) for part in inner["conditions"]]
            clauses[clause] = edge.MinShould(conditions, inner["min_count"])
        else:
            parts = inner if isinstance(inner, list) else [inner]
            clauses[clause] = [_condition(part) for part in parts]
    return edge.Filter(**clauses)


def _condition(part: Mapping[str, Any]) -> Any:
    if "key" in part:
        return _field_condition(part)
    if "has_id" in part:
        ids = {UUID(i) if isinstance(i, str) else i for i in part["has_id"]}
        return edge.HasIdCondition(ids)
    if "has_vector" in part:
        return edge.HasVectorCondition(part["has_vector"])
    if "is_empty" in part:
        return edge.IsEmptyCondition(part["is_empty"]["key"])
    if "is_null" in part:
        return edge.IsNullCondition(part["is_null"]["key"])
    if "nested" in part:
        return edge.NestedCondition(part["nested"]["key"], built_filter(part["nested"]["filter"]))
    if "slice" in part:
        return SLICE(part["slice"]["total"], part["slice"]["index"])
    return built_filter(part)


def _field_condition(part: Mapping[str, Any]) -> edge.FieldCondition:
    builders: dict[str, Callable[[Any], Any]] = {
        "match": _match,
        "range": _range,
        "values_count": lambda value: edge.ValuesCount(**value),
        "geo_radius": lambda value: edge.GeoRadius(_point(value["center"]), value["radius"]),
        "geo_bounding_box": lambda value: edge.GeoBoundingBox(
            _point(value["top_left"]), _point(value["bottom_right"])
        ),
        "geo_polygon": lambda value: edge.GeoPolygon(
            _ring(value["exterior"]), [_ring(ring) for ring in value.get("interiors") or []]
        ),
        "is_empty": bool,
        "is_null": bool,
    }
    tests = {name: builders[name](value) for name, value in part.items() if name != "key"}
    return edge.FieldCondition(part["key"], **tests)


def _match(part: Mapping[str, Any]) -> Any:
    ((kind, value),) = part.items()
    if kind == "value":
        # Subtle: the engine reads Python's True as the number 1, but numpy's as a truth value.
        truth: Any = np.bool_(value) if isinstance(value, bool) else value
        return edge.MatchValue(truth)
    return MATCHES[kind](value)


def _range(part: Mapping[str, Any]) -> edge.RangeFloat | edge.RangeDateTime:
    if any(isinstance(bound, str) for bound in part.values()):
        return edge.RangeDateTime(**part)
    return edge.RangeFloat(**part)


def _point(part: Mapping[str, Any]) -> edge.GeoPoint:
    return edge.GeoPoint(part["lon"], part["lat"])


def _ring(part: Mapping[str, Any]) -> list[edge.GeoPoint]:
    return [_point(point) for point in part["points"]]
