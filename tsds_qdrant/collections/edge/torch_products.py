"""Products of queries and points on a device of torch's, a GPU above all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.edge.products import SEARCHES, rounded_down
from tsds_qdrant.errors import SettingsError

TILE_FLOATS = 2**26
"""Products that are looked through at once."""
KEPT = 0.5
"""Share of the device's free memory in which points are kept from one pass to the next."""


def gpu() -> str | None:
    """A GPU that torch can compute on; None if there is none."""
    return "cuda" if torch.cuda.is_available() else None


class TorchProducts:
    """By torch, in full float32; see :class:`~.products.Products`.

    Points that are handed in again are taken from the device's memory, so one of these belongs to
    one matrix.
    """

    workers = 1

    def __init__(self, device: str) -> None:
        """Compute on ``device``.

        Raises:
            SettingsError: torch has no such device.
        """
        # TensorFloat-32 has ten bits; the margins of a scan are those of float32.
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            self._device = torch.device(device)
            self._free = KEPT * self._memory()
        except (RuntimeError, AssertionError) as error:
            raise SettingsError(
                f"--scan-device is '{device}', which torch {torch.__version__} does not have here; "
                f"give cpu, or install a torch that has it"
            ) from error
        self._kept: dict[tuple[int, int], Any] = {}

    def _memory(self) -> float:
        torch.zeros(1, device=self._device)
        if self._device.type == "cuda":
            return float(torch.cuda.mem_get_info(self._device)[0])
        return 0.0

    def block_rows(self, searches: int, dimension: int) -> int:
        """As many as make a tile."""
        return int(np.clip(TILE_FLOATS // max(1, min(searches, SEARCHES)), 256, 2**18))

    def highest(
        self, queries: Float32Array, block: Float32Array, penalty: FloatArray | None, rank: int
    ) -> FloatArray:
        """See :class:`~.products.Products`."""
        values = self._values(queries, block, penalty)
        values = torch.where(values.abs() < torch.inf, values, -torch.inf)
        found: FloatArray = values.topk(rank, dim=1).values[:, -1].double().cpu().numpy()
        return found

    def reaching(
        self,
        queries: Float32Array,
        block: Float32Array,
        penalty: FloatArray | None,
        bars: FloatArray,
    ) -> tuple[IntArray, IntArray]:
        """See :class:`~.products.Products`."""
        values = self._values(queries, block, penalty)
        reached = (values >= self._sent(rounded_down(bars))[:, None]) & (values < torch.inf)
        pairs = reached.nonzero().cpu().numpy()
        return pairs[:, 0], pairs[:, 1]

    def _values(
        self, queries: Float32Array, block: Float32Array, penalty: FloatArray | None
    ) -> Any:
        values = self._sent(queries) @ self._points(block).T
        if penalty is not None:
            values -= self._sent(penalty.astype(np.float32))
        return values

    def _points(self, block: Float32Array) -> Any:
        place = block.ctypes.data, len(block)
        known = self._kept.get(place)
        if known is None:
            known = self._sent(block)
            if block.base is not None and block.nbytes <= self._free:
                self._free -= block.nbytes
                self._kept[place] = known
        return known

    def _sent(self, rows: Float32Array) -> Any:
        # A copy, as torch warns of arrays that it must not write to.
        return torch.from_numpy(np.array(rows)).to(self._device)
