"""Ids that a run has met, and what each of them stood for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MERGED = 1 << 20
"""Ids held in a dictionary before they are sorted into arrays, 16 bytes each."""


class IdsSeen:
    """What each id stood for the first time that a run met it."""

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._ids: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        self._contents: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)

    def first(self, key: int, content: int) -> int | None:
        """What ``key`` stood for when the run first met it; None if that is now.

        Args:
            key: 64-bit hash of an id.
            content: 64 bits that stand for what the id names; kept if ``key`` is new.
        """
        known = self._recent.get(key)
        if known is None:
            known = self._sorted_in(key)
        if known is None:
            self._recent[key] = content
            if len(self._recent) >= MERGED:
                self._merge()
        return known

    def _sorted_in(self, key: int) -> int | None:
        at = int(np.searchsorted(self._ids, np.uint64(key)))
        found = at < len(self._ids) and int(self._ids[at]) == key
        return int(self._contents[at]) if found else None

    def _merge(self) -> None:
        count = len(self._recent)
        keys = np.fromiter(self._recent.keys(), dtype=np.uint64, count=count)
        contents = np.fromiter(self._recent.values(), dtype=np.uint64, count=count)
        ids = np.concatenate([self._ids, keys])
        order = np.argsort(ids, kind="stable")
        self._ids = ids[order]
        self._contents = np.concatenate([self._contents, contents])[order]
        self._recent.clear()
