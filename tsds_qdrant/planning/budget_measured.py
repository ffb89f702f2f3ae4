"""Scores that a user has measured after training, from a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import BadRecordError, InputError
from tsds_qdrant.records.entries import Place
from tsds_qdrant.records.reading import read_entries

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "method": ("method", "strategy"),
    "share": ("share", "sdf"),
    "size": ("n", "size"),
    "score": ("score",),
    "baseline": ("baseline", "full_score"),
    "benchmark": ("benchmark",),
    "metric": ("metric",),
}
"""Names that a column may have, whatever their case."""
FULL = ("full", "all")
"""Methods that train on everything."""
WANTED = "give the columns method, share or n, and score"


@dataclass(frozen=True)
class Score:
    """One training.

    Attributes:
        method: what selected.
        share: of the pool that was trained on.
        score: larger is better.
        baseline: the score of training on everything, where the row says it.
        benchmark: what was measured.
        metric: what the score is, where the row says it.
        place: of the row.
    """

    method: str
    share: float
    score: float
    baseline: float | None
    benchmark: str
    metric: str | None
    place: Place = field(repr=False)

    @property
    def whole(self) -> bool:
        """Whether it was trained on everything."""
        return self.share == 1


def read_scores(path: str | Path, candidates: int | None = None) -> list[Score]:
    """The scores of a file of records (CSV, TSV, JSON lines, Parquet, ..), each a training.

    Columns: ``method`` (or ``strategy``), ``share`` of the pool (0.05 or 5%) or ``n``, ``score``,
    and if wanted ``baseline``, ``benchmark`` and ``metric``. A row of the method ``full`` is of
    training on everything.

    Args:
        path: of the file.
        candidates: N, which makes shares of n; by default n of a row ``full``.

    Raises:
        InputError: no such file; a row without method, size or score, or with what is none.
    """
    rows = [(_columns(entry.record), entry.place) for entry in read_entries(path)]
    return _scores(rows, candidates)


def _scores(rows: Sequence[tuple[dict[str, Any], Place]], candidates: int | None) -> list[Score]:
    sizes = [
        size
        for row, place in rows
        if _is_full(row) and (size := _number(row, "size", place)) is not None
    ]
    many = float(candidates) if candidates else max(sizes, default=None)
    return [_score(row, place, many) for row, place in rows]


def _score(row: dict[str, Any], place: Place, candidates: float | None) -> Score:
    method = _plain(row.get("method"))
    if not method:
        raise BadRecordError(place, "names no method", WANTED)
    score = _number(row, "score", place)
    if score is None:
        raise BadRecordError(place, "has no score", WANTED)
    if score < 0:
        raise BadRecordError(
            place,
            f"has the score {score:g}",
            "give scores from 0 on, of which larger ones are better, as accuracy is; not losses",
        )
    return Score(
        method,
        _share(row, place, candidates),
        score,
        _number(row, "baseline", place),
        str(row.get("benchmark") or "").strip(),
        str(row["metric"]).strip().lower() if row.get("metric") else None,
        place,
    )


def _share(row: dict[str, Any], place: Place, candidates: float | None) -> float:
    found, size = _number(row, "share", place), _number(row, "size", place)
    if found is None and _is_full(row):
        return 1.0
    if found is None and size is None:
        raise BadRecordError(place, "says no size", WANTED)
    if found is None:
        assert size is not None
        if candidates is None:
            raise BadRecordError(
                place,
                f"has n = {size:g} of a pool whose size is not said",
                "give --candidates, the column share, or a row of the method full with its n",
            )
        if not 0 < size <= candidates:
            raise BadRecordError(
                place, f"has n = {size:g} of {candidates:g} candidates", "correct one of them"
            )
        return size / candidates
    if not 0 < found <= 1:
        raise BadRecordError(place, f"has the share {found:g}", "give shares like 0.05 or 5%")
    return found


def _is_full(row: Mapping[str, Any]) -> bool:
    return _plain(row.get("method")) in FULL


def _plain(name: Any) -> str:
    """The name of a method as strategies are spelled."""
    return "-".join(str(name or "").lower().replace("_", " ").replace("-", " ").split()).rstrip("+")


def _columns(record: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a record by our names of its columns; empty ones are left out."""
    plain = {str(name).strip().lower(): value for name, value in record.items()}
    found = {}
    for name, spelled in COLUMNS.items():
        values = [plain[one] for one in spelled if plain.get(one) not in (None, "")]
        if values:
            found[name] = values[0]
    return found


def _number(row: Mapping[str, Any], name: str, place: Place) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    text = str(value).strip()
    percent = text.endswith("%") and name == "share"
    try:
        if isinstance(value, bool):
            raise ValueError
        found = float(text.removesuffix("%") if percent else text) / (100 if percent else 1)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise BadRecordError(place, f"has the {name} '{text}'", "give a number")
    return found


def only_benchmark(scores: Sequence[Score], path: str | Path) -> None:
    """Check that all scores are of one benchmark, so that a curve can go through them.

    Raises:
        InputError: they are of several.
    """
    found = sorted({one.benchmark for one in scores})
    if len(found) > 1:
        raise InputError(
            f"'{path}' holds scores of {len(found)} benchmarks ({', '.join(found)}), and a curve "
            f"is of one; give a file with one of them, or with their means"
        )
