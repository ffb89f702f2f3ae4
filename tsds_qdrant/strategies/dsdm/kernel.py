"""The kernel of a datamodel: sums of outer products over the pool, and the query they whiten.

TRAK (Park et al. 2023, arXiv 2303.14186) estimates what candidate i adds to the output at x of a
model trained with it: tau = phi(x)' (Phi' Phi + lambda I)^-1 phi_i Q_i. The inverse is symmetric,
so it is put on the query, and nothing that is stored for candidates depends on the pool.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array, FloatArray

ROUGH_FROM = 2e10
"""Products of two numbers from which on rows are multiplied in float32, which halves the time."""
POWER_STEPS = 20


@dataclass
class Kernel:
    """K = sum of u u' over rows, one for each of C blocks that stand side by side in them.

    Attributes:
        sums: (C, d, d) in float64.
        points: how many candidates it stands for.
        summed: how many of them were summed; fewer where a sample was.
        rough: products were computed in float32, and summed in float64 block by block.
    """

    sums: FloatArray
    points: int
    summed: int = 0
    rough: bool = False

    @classmethod
    def empty(cls, dimension: int, blocks: int, points: int, rows: int) -> Kernel:
        """Of ``rows`` rows to come, of length ``dimension``, that stand for ``points``."""
        own = dimension // blocks
        rough = float(rows) * own * own * blocks >= ROUGH_FROM
        return cls(np.zeros((blocks, own, own)), points, rough=rough)

    @property
    def blocks(self) -> int:
        """C."""
        return len(self.sums)

    @property
    def dimension(self) -> int:
        """C d."""
        return int(self.sums.shape[0] * self.sums.shape[1])

    def add(self, rows: Float32Array) -> None:
        """Add the outer products of ``rows`` (n, C d)."""
        self._add(rows, 1.0)
        self.summed += len(rows)

    def without(self, rows: Float32Array) -> Kernel:
        """The same less the outer products of ``rows`` (n, C d), which were added before."""
        summed = self.summed - len(rows)
        points = round(self.points * summed / self.summed)
        left = Kernel(self.sums.copy(), points, summed)
        left._add(rows, -1.0)
        return left

    def _add(self, rows: Float32Array, sign: float) -> None:
        own = self.sums.shape[1]
        for block, total in enumerate(self.sums):
            part: Any = rows[:, block * own : (block + 1) * own]
            part = np.ascontiguousarray(part, dtype=np.float32 if self.rough else np.float64)
            total += sign * (part.T @ part)

    @property
    def scaled(self) -> FloatArray:
        """(C, d, d) the sums for all points, of which a sample may have been summed."""
        share = self.points / max(1, self.summed)
        return self.sums if share == 1.0 else self.sums * share

    def query(self, mean: FloatArray, ridge: float) -> FloatArray:
        """(C d,) the vector whose product with phi_i is the mean over blocks of the kernel term.

        Args:
            mean: (C d,) what the target examples add up to.
            ridge: lambda as a share of the mean diagonal entry of each block.

        Raises:
            numpy.linalg.LinAlgError: a block has no inverse.
        """
        scaled, found = self.scaled, np.empty(len(mean))
        own = scaled.shape[1]
        for block, (total, lam) in enumerate(zip(scaled, self.lambdas(ridge), strict=True)):
            part = slice(block * own, (block + 1) * own)
            regular = total + lam * np.eye(own)
            found[part] = np.linalg.solve(regular, mean[part]) / self.blocks
        return found

    def lambdas(self, ridge: float) -> FloatArray:
        """(C,) what is added to the diagonal of each block."""
        traces = np.trace(self.scaled, axis1=1, axis2=2)
        lams: FloatArray = ridge * traces / self.sums.shape[1]
        return lams

    def condition(self, ridge: float) -> float:
        """About the most that the condition number of a block can be: (largest + lambda) / lambda.

        The largest eigenvalue is found by power iteration; infinite without a ridge.
        """
        worst = 1.0
        for total, lam in zip(self.scaled, self.lambdas(ridge), strict=True):
            row = np.random.default_rng(0).normal(size=len(total))
            for _ in range(POWER_STEPS):
                row = total @ row
                row /= max(float(np.linalg.norm(row)), np.finfo(np.float64).tiny)
            largest = float(row @ total @ row)
            worst = max(worst, (largest + lam) / lam if lam > 0 else float("inf"))
        return worst

    @property
    def version(self) -> str:
        """A hash of the sums."""
        return hashlib.blake2b(self.sums.tobytes(), digest_size=8).hexdigest()

    def stored(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays for :meth:`resumed`: the lower triangles, as the sums are symmetric."""
        lower = np.tril_indices(self.sums.shape[1])
        counts = np.array([self.points, self.summed, self.rough], dtype=np.int64)
        return {"kernel": self.sums[:, lower[0], lower[1]], "kernel_counts": counts}

    @classmethod
    def resumed(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Kernel:
        """What :meth:`stored` gave.

        Raises:
            KeyError: a part is missing.
        """
        packed, (points, summed, rough) = arrays["kernel"], arrays["kernel_counts"].tolist()
        own = int((np.sqrt(8 * packed.shape[1] + 1) - 1) // 2)
        lower = np.tril_indices(own)
        sums = np.zeros((len(packed), own, own))
        sums[:, lower[0], lower[1]] = sums[:, lower[1], lower[0]] = packed
        return cls(sums, points, summed, bool(rough))
