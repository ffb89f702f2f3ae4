"""Vectors in the metric of TAROT: whitened by the candidates' covariance, and unit length.

TAROT (Feng, Huang et al. 2025, arXiv 2412.00420): of two gradients the distance is that of their
whitened features, so that directions in which all candidates differ much count no more than
others. Rows are whitened as Y = (X - mean) L^-T with the covariance L L^T, which makes the
covariance of Y the identity; by the symmetric root instead (ZCA) the cosines are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NoReturn, cast, get_args

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.representations.base import (
    OK,
    ZERO_VECTOR,
    Arrays,
    Encoded,
    Examples,
    Kind,
    OnBatch,
)
from tsds_qdrant.representations.derived.moments import Moments, ledoit_wolf
from tsds_qdrant.representations.derived.rows import (
    by_blocks,
    named,
    regrouped,
    statuses,
    unfitted,
    unit,
)

Method = Literal["cholesky", "zca"]
RIDGE = 1e-5
FEW = 5
"""Candidates for each dimension below which the covariance is shrunk."""
ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""Of a float32 number, relatively, generously."""


class Whitened:
    """The vectors of a dense space, whitened.

    Args:
        source: that space; "" for the unnamed one.
        method: ``cholesky``, or the dearer ``zca``, which stays as near as it can to the source.
        ridge: added to every variance, in the source's units.
        shrinkage: a of (1 - a) S + a tr(S)/D I, from 0 to 1; by default that of Ledoit and Wolf
            where there are fewer than 5 candidates for each dimension, else 0.
        version: a number to tell one fit from a later one.
        name: of the space that is made.

    Raises:
        SettingsError: no such method, or a number out of range.
    """

    kind: Kind = "dense"
    metric = "Cosine"
    dialogues = False

    def __init__(
        self,
        source: str = "gradient",
        *,
        method: str = "cholesky",
        ridge: float = RIDGE,
        shrinkage: float | None = None,
        version: int = 1,
        name: str = "whitened",
    ) -> None:
        if method not in get_args(Method):
            raise SettingsError(f"--method is '{method}'; choose one of cholesky, zca")
        if not 0 <= ridge < np.inf:
            raise SettingsError(f"--ridge is {ridge}; give 0 or more, {RIDGE} say")
        if shrinkage is not None and not 0 <= shrinkage <= 1:
            raise SettingsError(f"--shrinkage is {shrinkage}; give a number from 0 to 1")
        self.name = name
        self.source: str | None = source
        self._of = source
        self._method = cast(Method, method)
        self._ridge = float(ridge)
        self._shrinkage = shrinkage
        self._version = version
        self._arrays: dict[str, Any] = {}

    @property
    def fitted(self) -> bool:
        """Whether mean and covariance are known."""
        return bool(self._arrays)

    @property
    def dimension(self) -> int | None:
        """D of the source; None before anything was learnt."""
        return len(self._arrays["mean"]) if self._arrays else None

    def manifest(self) -> dict[str, Any]:
        """Everything but what is learnt."""
        return {
            "kind": "whitened",
            "source": self._of,
            "method": self._method,
            "ridge": self._ridge,
            "shrinkage": self._shrinkage,
            "version": self._version,
        }

    def fit(self, blocks: Callable[[], Iterator[Examples]], count: int) -> None:
        """Learn mean and covariance, reading once, or twice where the shrinkage is to be found.

        Raises:
            InputError: fewer than two vectors that differ, or a covariance that has no inverse.
        """
        moments: Moments | None = None
        for rows in regrouped(blocks()):
            moments = moments or Moments(rows.shape[1])
            moments.add(rows)
        if moments is None or moments.count < 2:
            used = 0 if moments is None else moments.count
            raise InputError(
                f"{used} of the {count} vectors of {named(self._of)} can be used (neither zero "
                f"nor NaN), and a covariance needs 2; represent more candidates first"
            )
        covariance, dimension = moments.covariance, len(moments.mean)
        scale = float(np.trace(covariance)) / dimension
        if np.sqrt(scale * dimension) <= ROUNDING * np.linalg.norm(moments.mean):
            raise InputError(
                f"all {moments.count} vectors of {named(self._of)} are equal but for rounding, so "
                f"nothing can be whitened; choose another one with --of"
            )
        shrinkage = self._shrinkage
        if shrinkage is None:
            few, again = moments.count < FEW * dimension, regrouped(blocks())
            shrinkage = ledoit_wolf(again, moments.mean, covariance, moments.count) if few else 0.0
        covariance *= 1 - shrinkage
        covariance[np.diag_indices(dimension)] += shrinkage * scale + self._ridge
        self._arrays = {
            "mean": moments.mean,
            "whitening": self._whitening(covariance),
            "rows": np.array([moments.count], dtype=np.int64),
            "shrinkage": np.array([shrinkage]),
        }

    def _whitening(self, covariance: FloatArray) -> FloatArray:
        """(D, D) W with W^T ``covariance`` W = I."""
        dimension = len(covariance)
        least = dimension * np.finfo(np.float64).eps
        if self._method == "zca":
            variances, axes = np.linalg.eigh(covariance)
            if variances[0] <= least * variances[-1]:
                self._singular()
            symmetric: FloatArray = axes / np.sqrt(variances) @ axes.T
            return symmetric
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            self._singular()
        if np.diag(factor).min() ** 2 <= least * np.diag(covariance).max():
            self._singular()
        # *subtle*: rows are whitened by the inverse of the transpose, not by the inverse.
        inverse: FloatArray = np.linalg.inv(factor).T
        return np.ascontiguousarray(inverse)

    def _singular(self) -> NoReturn:
        raise InputError(
            f"the covariance of {named(self._of)} has no inverse with --ridge {self._ridge:g}: "
            f"there are fewer candidates than dimensions, or columns that depend on each other; "
            f"give a larger --ridge, {RIDGE} say, or --shrinkage 0.1"
        )

    def arrays(self) -> Arrays:
        """``mean`` (D,), ``whitening`` (D, D) W of Y = (X - mean) W, ``rows`` (1,) that were used
        and the ``shrinkage`` (1,) in it.
        """
        return dict(self._arrays)

    def restore(self, arrays: Arrays) -> None:
        """Take what :meth:`arrays` gave."""
        self._arrays = dict(arrays)

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """Whitened unit rows; a vector that is zero, or the mean, has none.

        Raises:
            InputError: nothing was learnt, or vectors of another dimension.
        """
        if not self._arrays:
            unfitted(self.name)
        rows = np.asarray(examples, dtype=np.float32)
        mean, whitening = self._arrays["mean"], self._arrays["whitening"]
        status = statuses(rows)
        whitened = np.zeros(rows.shape, dtype=np.float32)
        nearest = ROUNDING * np.linalg.norm(mean)
        for part, centred in by_blocks(rows, len(mean), lambda block: block - mean, self._of):
            whitened[part] = unit(centred @ whitening)
            for row in np.flatnonzero(np.linalg.norm(centred, axis=1) <= nearest):
                if status[part.start + row] == OK:
                    status[part.start + row] = ZERO_VECTOR
            if on_batch:
                on_batch(len(centred))
        return Encoded(whitened, status)

    targets = candidates
