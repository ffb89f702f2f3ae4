"""The spaces of a collection: its named dense and sparse vectors, and which one is searched.

Qdrant's documentation, "Vectors": a collection has one unnamed dense vector, or named ones, and
sparse vectors beside them, which have names always; a point may lack any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tsds_qdrant.collections.values import FLOAT32, METRICS, Datatype, Metric
from tsds_qdrant.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    SettingsError,
    UnsupportedCollectionError,
)

ANY_SPACE = "\0any"
"""In place of a name: whichever vector there is, for those who read all of them; a plain dense one
where there is one."""


@dataclass(frozen=True)
class Space:
    """A dense or sparse vector of a collection.

    Attributes:
        name: "" for the unnamed vector.
        dimension: D of a dense vector, None for a sparse one.
        metric: Dot for a sparse vector.
        multivector: each point has several rows; such a space is listed, but not searched.
        idf: a sparse vector whose queries Qdrant weighs by the inverse document frequency, so
            scores are no plain dot products.
        datatype: how the numbers of a dense vector are stored.
        quantization: kind of quantisation, or None.
        m: links of a node in its HNSW graph; 0: it gets none, None: not known.
        payload_m: the same in the graphs of the values of an indexed payload field.
        on_disk: its vectors are read from disk as they are needed.

    The last four are not a part of what makes two spaces equal.
    """

    name: str
    kind: Literal["dense", "sparse"]
    dimension: int | None
    metric: Metric
    multivector: bool = False
    idf: bool = False
    datatype: Datatype = FLOAT32
    quantization: str | None = field(default=None, compare=False)
    m: int | None = field(default=None, compare=False)
    payload_m: int | None = field(default=None, compare=False)
    on_disk: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise SettingsError(f"'{self.metric}' is no metric; choose one of {', '.join(METRICS)}")

    @classmethod
    def dense(cls, name: str, dimension: int, metric: Metric = "Cosine") -> Space:
        """A plain dense vector of ``dimension`` under ``metric``."""
        return cls(name, "dense", dimension, metric)

    @classmethod
    def sparse(cls, name: str, *, idf: bool = False) -> Space:
        """A sparse vector, weighed by the inverse document frequency at search if ``idf``."""
        return cls(name, "sparse", None, "Dot", idf=idf)

    def __str__(self) -> str:
        if self.kind == "sparse":
            return "sparse with IDF" if self.idf else "sparse"
        several = "multivector" if self.multivector else "dense"
        kept = "" if self.datatype == FLOAT32 else f", stored as {self.datatype}"
        return f"{several} of dimension {self.dimension} under {self.metric}{kept}"


def chosen_space(
    spaces: Mapping[str, Space],
    vector: str | None,
    representation: object,
    name: str,
    made: object = None,
) -> Space:
    """The dense space of collection ``name`` to search.

    ``vector`` where it is given, else the ``representation`` that the metadata names where there
    is such a space, else the only one there is, else the unnamed one: beside it others can only
    have been added later. ``made`` holds the names of all representations.

    Raises:
        CollectionNotFoundError: no vector of that name, or several and none is named.
        UnsupportedCollectionError: no dense vector, or a multivector.
    """
    dense = {key: space for key, space in spaces.items() if space.kind == "dense"}
    if vector == ANY_SPACE:
        if not spaces:
            raise UnsupportedCollectionError(
                f"collection '{name}' has no vector of any kind; give --collection one that has"
            )
        return min(spaces.values(), key=lambda one: (one.multivector, one.kind, one.name))
    if not dense:
        raise UnsupportedCollectionError(
            f"collection '{name}' has no dense vector; selection needs one, ingest the texts again"
        )
    if vector is None and isinstance(representation, str) and representation in dense:
        vector = representation
    if vector is None:
        plain = {key: space for key, space in dense.items() if not space.multivector} or dense
        if "" in plain:
            plain = {"": plain[""]}
        if len(plain) > 1:
            raise CollectionNotFoundError(
                f"collection '{name}' has the vectors {_listed(plain)}; choose one with --vector"
            )
        vector = next(iter(plain))
    if vector in spaces and vector not in dense:
        raise UnsupportedCollectionError(
            f"vector '{vector}' of collection '{name}' is sparse, and selection needs a dense one; "
            f"it has {_listed(dense)}, choose one with --vector or "
            f"--representation"
        )
    if vector not in dense and isinstance(made, Mapping) and vector in made:
        raise UnsupportedCollectionError(
            f"'{vector}' of collection '{name}' is kept as values in payloads and no vector, and "
            f"selection needs a dense one; it has {_listed(dense)}, choose one with --vector or "
            f"--representation"
        )
    if vector not in dense:
        raise CollectionNotFoundError(
            f"collection '{name}' has no vector '{vector}', it has {_listed(dense)}; "
            f"choose one with --vector or --representation"
        )
    return plain_space(dense, vector, name)


def plain_space(spaces: Mapping[str, Space], wanted: str, name: str) -> Space:
    """The space ``wanted`` of collection ``name``, dense or sparse.

    Raises:
        CollectionNotFoundError: there is none of that name.
        UnsupportedCollectionError: it is a multivector.
    """
    space = known_space(spaces, wanted, name)
    if space.multivector:
        raise UnsupportedCollectionError(
            f"vector '{wanted}' of collection '{name}' is a multivector; "
            f"choose a plain dense vector with --vector"
        )
    return space


def known_space(spaces: Mapping[str, Space], wanted: str, name: str) -> Space:
    """The space ``wanted`` of collection ``name``, of any kind.

    Raises:
        CollectionNotFoundError: there is none of that name.
    """
    if wanted not in spaces:
        raise CollectionNotFoundError(
            f"collection '{name}' has no space '{wanted}', it has {_listed(spaces)}; "
            f"name one of them, or add it"
        )
    return spaces[wanted]


def is_new(space: Space, spaces: Mapping[str, Space], name: str) -> bool:
    """Whether ``space`` is to be added to ``spaces`` of collection ``name``, not there already.

    Raises:
        SettingsError: a space that cannot be: without name or dimension, or a multivector.
        CollectionMismatchError: there is one of that name with another configuration.
    """
    known = spaces.get(space.name)
    if known is not None and known == space:
        return False
    if known is not None:
        raise CollectionMismatchError(
            f"the space '{space.name}' of collection '{name}' is {known}, not {space}; "
            f"add it under another name"
        )
    dense = space.kind == "dense"
    if (
        not space.name
        or space.multivector
        or (dense != bool(space.dimension))
        or (dense and space.idf)
    ):
        raise SettingsError(
            f"'{space.name}' ({space}) is no space that can be added; give it a name, and a "
            f"dimension if it is dense"
        )
    return True


def checked_kind(space: Space, kind: Literal["dense", "sparse"], name: str) -> Space:
    """``space`` of collection ``name`` if it is of ``kind``.

    Raises:
        UnsupportedCollectionError: it is of the other kind.
    """
    if space.kind != kind:
        raise UnsupportedCollectionError(
            f"the space '{space.name}' of collection '{name}' is {space}, not {kind}; "
            f"choose a {kind} one"
        )
    return space


def _listed(spaces: Mapping[str, Space]) -> str:
    return ", ".join(f"'{name}'" if name else "an unnamed one" for name in sorted(spaces))
