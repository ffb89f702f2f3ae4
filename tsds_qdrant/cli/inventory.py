"""What a collection holds of representations, and what it takes on disk, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsds_qdrant.planning.check import CheckReport
    from tsds_qdrant.planning.representations import Represented

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def represented(one: Represented) -> str:
    """What a representation is, and how complete."""
    space = one.space
    what = "values in payloads"
    if space is not None and space.dimension is None:
        what = "sparse"
    elif space is not None:
        what = f"{space.dimension} dimensions, {space.metric}"
    parts = [f"'{one.name}' by represent {one.kept.kind}", what]
    parts += [f"model {one.model}"] if one.model else []
    if one.kept.source is not None:
        parts.append(f"of vectors '{one.kept.source}'" if one.kept.source else "of the vectors")
    known = one.standing
    if known is None:
        return ", ".join(parts) + "; not counted, as no filter may look at marks here"
    counts = f"made of {known.made} of {known.points} points"
    for name in ("missing", "without", "otherwise"):
        if many := getattr(known, name):
            counts += f", {many} {name}"
    return f"{', '.join(parts)}; {counts}"


def sizes(report: CheckReport) -> str:
    """What the collection takes on disk, and the vectors of each space."""
    found = report.sizes
    if found is None:
        return "not known"
    about = "about " if found.estimated else ""
    each = [
        f"{about}{in_bytes(size)} vectors" + (f" '{name}'" if name else "")
        for name, size in found.spaces.items()
        if size is not None
    ]
    if found.total is None:
        return ", ".join(each) or "not known"
    return ", of which ".join(filter(None, [in_bytes(found.total), ", ".join(each)]))


def in_bytes(size: int) -> str:
    """A size in words, as in "3.1 MB"."""
    number, unit = float(size), 0
    while number >= 1000 and unit < len(UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return (
        f"{number:.0f} {UNITS[unit]}"
        if unit < 1 or number >= 100
        else f"{number:.1f} {UNITS[unit]}"
    )
