"""Which cluster a vector lies in: spherical k-means (Dhillon, Modha 2001) by scikit-learn.

Centres begin as those of a seeded sample (k-means++ and full passes over it) and follow all
candidates block by block (Sculley 2010); they are unit vectors, and the nearest one by cosine is
a candidate's cluster.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.errors import InputError, MissingPackageError, SettingsError
from tsds_qdrant.representations.base import OK, Arrays, Encoded, Examples, Kind, OnBatch
from tsds_qdrant.representations.derived.rows import (
    by_blocks,
    directions,
    named,
    regrouped,
    statuses,
    unfitted,
    unit,
    usable,
)
from tsds_qdrant.representations.derived.sampling import Sampled

MOST_BY_DEFAULT = 64
SAMPLE = 4_096
SAMPLE_FOR_EACH = 64
"""Rows of the sample for each cluster, where those are more than ``SAMPLE``."""
SAMPLE_PASSES = 50
DECIMALS = 9
"""Of a cosine: what is nearer than that is equally near, on every machine."""


class Clusters:
    """The cluster of a vector of a dense space, as a payload value.

    Args:
        source: that space; "" for the unnamed one.
        clusters: k; by default the root of half the candidates, at most 64.
        seed: of the sample and of the first centres.
        name: of the payload values.

    Raises:
        SettingsError: k or the seed is out of range.
    """

    kind: Kind = "payload"
    metric = ""
    dialogues = False
    dimension: int | None = None

    def __init__(
        self,
        source: str = "",
        *,
        clusters: int | None = None,
        seed: int = 0,
        name: str = "clusters",
    ) -> None:
        if clusters is not None and clusters < 1:
            raise SettingsError(f"--clusters is {clusters}; give 1 or more")
        if not 0 <= seed < 2**32:
            raise SettingsError(f"--seed is {seed}; give a number from 0 to {2**32 - 1}")
        self.name = name
        self.source: str | None = source
        self._of = source
        self._clusters = clusters
        self._seed = seed
        self._centres: FloatArray | None = None

    @property
    def fitted(self) -> bool:
        """Whether the centres are known."""
        return self._centres is not None

    def manifest(self) -> dict[str, Any]:
        """Everything but what is learnt."""
        return {
            "kind": "clusters",
            "source": self._of,
            "clusters": self._clusters,
            "seed": self._seed,
        }

    def fit(self, blocks: Callable[[], Iterator[Examples]], count: int) -> None:
        """Learn the centres, reading once, or twice where there is more than the sample.

        Raises:
            InputError: fewer vectors than clusters.
            MissingPackageError: scikit-learn is not installed.
        """
        wanted = self._clusters or max(1, min(MOST_BY_DEFAULT, round((count / 2) ** 0.5)))
        most = max(SAMPLE, SAMPLE_FOR_EACH * wanted)
        sampled = Sampled(count, most, self._seed)
        taken = [np.asarray(rows)[sampled.of(len(rows))] for rows in blocks()]
        sample = np.concatenate([rows[usable(rows)] for rows in taken])
        if not len(sample):
            raise InputError(
                f"none of the {count} vectors of {named(self._of)} can be used (neither zero nor "
                f"NaN), so there are no clusters; choose another one with --of"
            )
        if len(sample) < wanted and self._clusters:
            raise InputError(
                f"--clusters is {wanted}, and {named(self._of)} has {len(sample)} vectors that can "
                f"be used (neither zero nor NaN); give {len(sample)} or less"
            )
        centres = self._of_sample(sample, min(wanted, len(sample)))
        if count > most:
            centres = self._followed(centres, sample, blocks)
        self._centres = unit(centres.astype(np.float64))

    def _of_sample(self, sample: Float32Array, clusters: int) -> Float32Array:
        """Centres of a sample: the mean directions of its clusters, which all have rows."""
        from threadpoolctl import threadpool_limits

        rows = directions(sample)
        model = _sklearn().KMeans(
            clusters, n_init=1, max_iter=SAMPLE_PASSES, random_state=self._seed
        )
        # *subtle*: several threads add up in any order, and the last bits would differ.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")  # of fewer rows that differ than clusters
            labels = model.fit_predict(rows)
        means = [rows[labels == label].mean(axis=0) for label in np.unique(labels)]
        return directions(np.stack(means))

    def _followed(
        self,
        centres: Float32Array,
        sample: Float32Array,
        blocks: Callable[[], Iterator[Examples]],
    ) -> Float32Array:
        """Centres after all candidates; each begins with the weight that it has in the sample."""
        model = _sklearn().MiniBatchKMeans(
            len(centres),
            init=centres,
            n_init=1,
            random_state=self._seed,
            reassignment_ratio=0,
        )
        model.partial_fit(directions(sample))
        for rows in regrouped(blocks()):
            model.partial_fit(directions(rows))
            model.cluster_centers_ = directions(model.cluster_centers_)
        followed: Float32Array = model.cluster_centers_
        return followed

    def arrays(self) -> Arrays:
        """``centres`` (k, D), unit rows."""
        return {} if self._centres is None else {"centres": self._centres}

    def restore(self, arrays: Arrays) -> None:
        """Take what :meth:`arrays` gave."""
        self._centres = np.asarray(arrays["centres"], dtype=np.float64)

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """``cluster`` from 0 to k - 1 and ``cluster_similarity``, the cosine to its centre.

        Raises:
            InputError: nothing was learnt, or vectors of another dimension.
        """
        if self._centres is None:
            unfitted(self.name)
        centres = self._centres
        rows = np.asarray(examples, dtype=np.float32)
        status = statuses(rows)
        clusters: list[int] = []
        nearness: list[float] = []
        for _, found in by_blocks(rows, centres.shape[1], lambda b: unit(b) @ centres.T, self._of):
            cosines = found.round(DECIMALS)
            nearest = cosines.argmax(axis=1)
            clusters += nearest.tolist()
            nearness += cosines[np.arange(len(nearest)), nearest].tolist()
            if on_batch:
                on_batch(len(nearest))
        fine = [one == OK for one in status]
        return Encoded(
            None,
            status,
            {
                "cluster": _only(clusters, fine),
                "cluster_similarity": _only(nearness, fine),
            },
        )

    targets = candidates


def _only(values: list[Any], fine: list[bool]) -> list[Any]:
    return [value if sound else None for value, sound in zip(values, fine, strict=True)]


def _sklearn() -> Any:
    """scikit-learn's clustering.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        from sklearn import cluster
    except ImportError as error:
        raise MissingPackageError(
            f"scikit-learn cannot be imported ({error}); run: pip install scikit-learn"
        ) from error
    return cluster
