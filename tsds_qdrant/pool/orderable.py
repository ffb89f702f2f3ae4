"""Values of payloads that a server can order points by, and the index that it takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tsds_qdrant.collections.values import IndexKind

DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")


def kind_of(values: Iterable[Any]) -> IndexKind | None:
    """The kind of index that orders ``values``: of the first that can be ordered; None if none."""
    for value in values:
        if isinstance(value, bool):
            continue
        if isinstance(value, int):
            return "integer"
        if isinstance(value, float):
            return "float"
        if isinstance(value, str) and DATE.fullmatch(value):
            return "datetime"
    return None
