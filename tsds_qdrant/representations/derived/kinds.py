"""Settings of the kinds that are derived from a dense space, without a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from tsds_qdrant.representations.base import Representation
from tsds_qdrant.representations.kinds import KindSettings, Reads
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import number_of


@dataclass(frozen=True, kw_only=True)
class DerivedSettings(KindSettings):
    """Derived

    Attributes:
        of: the space that it is made of; the one that is searched by default.
    """

    reads: ClassVar[Reads] = "vectors"

    of: str | None = setting(
        None, "Dense vector that it is made of; that of the collection if unset.", metavar="NAME"
    )

    @property
    def source(self) -> str:
        """The space that it is made of."""
        return self.of or ""

    def of_space(self, searched: str) -> DerivedSettings:
        """The settings where ``searched`` is what is searched."""
        return replace(self, of=searched) if self.of is None else self


@dataclass(frozen=True, kw_only=True)
class WhitenedSettings(DerivedSettings):
    """Whitened vectors

    Attributes:
        method: ``cholesky`` or ``zca``.
        ridge: added to every variance.
        shrinkage: of the covariance, from 0 to 1; found by itself where there are few candidates.
    """

    kind: ClassVar[str] = "whitened"
    summary: ClassVar[str] = "Vectors in the metric of TAROT: whitened, of unit length."
    example: ClassVar[str] = "--of gradient"

    method: str = setting("cholesky", "cholesky, or zca.", metavar="NAME")
    ridge: float = setting(
        1e-5, "Added to every variance.", metavar="R", parse=number_of, hidden=True
    )
    shrinkage: float | None = setting(
        None,
        "Of the covariance, 0 to 1; found by itself where candidates are few.",
        metavar="A",
        parse=number_of,
        hidden=True,
    )

    def made(self) -> Representation:
        """The representation."""
        from tsds_qdrant.representations.derived.whitened import Whitened

        return Whitened(
            self.source,
            method=self.method,
            ridge=self.ridge,
            shrinkage=self.shrinkage,
            name=self.known_as,
        )


@dataclass(frozen=True, kw_only=True)
class ClustersSettings(DerivedSettings):
    """Clusters

    Attributes:
        clusters: how many; sqrt(N / 2), at most 64, by default.
        seed: of the first centres.
    """

    kind: ClassVar[str] = "clusters"
    summary: ClassVar[str] = "A cluster of each candidate, by spherical k-means."
    example: ClassVar[str] = "--of gradient --clusters 32"

    clusters: int | None = setting(
        None, "How many; the root of half the candidates, at most 64, if unset.", least=1
    )
    seed: int = setting(0, "Same seed, same clusters.", least=0)

    def made(self) -> Representation:
        """The representation."""
        from tsds_qdrant.representations.derived.clusters import Clusters

        return Clusters(self.source, clusters=self.clusters, seed=self.seed, name=self.known_as)
