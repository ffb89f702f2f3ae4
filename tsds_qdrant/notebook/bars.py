"""Progress in a notebook: bars of tqdm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tsds_qdrant.progress import Progress, notices_to, silent


@contextmanager
def bars(wanted: bool | Progress) -> Iterator[Progress]:
    """What work reports its progress to: bars, one for each stage, a callback, or nothing."""
    if callable(wanted):
        yield wanted
        return
    if not wanted:
        yield silent
        return
    from tqdm.auto import tqdm

    shown: dict[str, Any] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in shown:
            shown[stage] = tqdm(desc=stage, total=total or None, disable=False)
        bar = shown[stage]
        bar.total = total or None
        bar.n = done
        bar.refresh()

    try:
        with notices_to(tqdm.write):
            yield show
    finally:
        for bar in shown.values():
            bar.close()
