"""Settings of the kinds that are derived from a dense space, without a model."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, replace
from typing import Any, ClassVar

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.paths import absolute
from tsds_qdrant.representations.base import Representation
from tsds_qdrant.representations.kinds import KindSettings, Reads
from tsds_qdrant.settings.fields import setting


def number_of(text: str, flag: str) -> float:
    """A number of a command line.

    Raises:
        SettingsError: it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{flag} is '{text}', which is no number; give one") from None


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
        from tsds_qdrant.representations.whitened import Whitened

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
        from tsds_qdrant.representations.clusters import Clusters

        return Clusters(self.source, clusters=self.clusters, seed=self.seed, name=self.known_as)


@dataclass(frozen=True, kw_only=True)
class BergsonSettings(KindSettings):
    """Gradient store

    Attributes:
        store: a directory of bergson.
        ids: the point of each row.
        as_stored: rows keep their lengths.
    """

    kind: ClassVar[str] = "bergson"
    summary: ClassVar[str] = "Gradients out of a store of bergson, computed elsewhere."
    example: ClassVar[str] = "--store ./gradients --ids ids.txt"
    reads: ClassVar[Reads] = "rows"

    store: str = setting(MISSING, "Directory of the gradient store.", metavar="DIR")
    ids: str = setting(
        MISSING,
        "Id of each row's point: lines of a .txt, an .npy, or the field 'id' of records.",
        metavar="FILE",
    )
    as_stored: bool = setting(False, "Rows keep their lengths; length 1 if unset.")

    def made(self) -> Representation:
        """The representation."""
        from tsds_qdrant.representations.store_rows import StoreRows

        return StoreRows(self.store, unit=not self.as_stored, name=self.known_as)

    def remembered(self) -> dict[str, Any]:
        """All settings that values depend on; paths are those from the root on."""
        places = {"store": absolute(self.store), "ids": absolute(self.ids)}
        return {**super().remembered(), **places}
