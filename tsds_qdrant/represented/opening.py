"""The representation that made the vectors of a space, opened again for task examples.

Vectors may be derived from others, those from others again: all of them are made, from the texts
on, as the task examples have no stored vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import held
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import CollectionMismatchError, SettingsError, UnsupportedCollectionError
from tsds_qdrant.representations import catalog
from tsds_qdrant.representations.base import (
    OK,
    Encoded,
    OnBatch,
    Representation,
    Shown,
    Way,
    differences,
    plain,
)
from tsds_qdrant.representations.model_names import same_model
from tsds_qdrant.representations.named import embedder_named
from tsds_qdrant.representations.text import Embedder
from tsds_qdrant.represented.advice import represent_command
from tsds_qdrant.represented.fitted import read_fitted
from tsds_qdrant.represented.marks import FITTED, Kept, all_kept, described

MADE_WITH = ("model", "max_length", "backend")
"""Metadata that say how the text model of a collection was used."""


@dataclass(frozen=True)
class Here:
    """How a representation is made on this machine.

    Attributes:
        device: where the model runs; the best by default.
        batch_size: examples in one pass; as the kind's own default.
        given: settings that must be those of the candidates too, like a new place of the model.
    """

    device: str | None = None
    batch_size: int | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


class Opened:
    """What makes the vectors of a represented space of a collection.

    Attributes:
        info: the collection, described with what its points say.
        name: of the space.
        kept: what the collection keeps of it.
    """

    def __init__(self, collection: Collection, info: CollectionInfo, here: Here) -> None:
        self._collection, self._here = collection, here
        self.info, self.name = info, info.vector
        self._all = all_kept(info)
        self.kept = self._all[self.name]
        self._chain = [self.name]
        self._checked = False
        while (source := self._all[self._chain[-1]].source) is not None:
            if source not in self._all or source in self._chain:
                self._model_space = source
                self._check_model()
                break
            self._chain.append(source)
        self._made = {name: self._again(name) for name in self._chain}

    @property
    def dialogues(self) -> bool:
        """Whether dialogues are shown; else texts alone."""
        return not self._of_model and self._made[self._chain[-1]].dialogues

    @property
    def text(self) -> Mapping[str, Any]:
        """How the candidates are shown, as :meth:`~.showing.Showing.facts` gave it."""
        first = self._all[self._chain[-1]]
        found = self.info.metadata.get("text") if self._of_model else first.manifest.get("text")
        return found or {}

    @property
    def made_by(self) -> list[Any]:
        """All that query vectors depend on, but for the examples, as JSON values."""
        links: list[Any] = [self._all[name].fingerprint for name in self._chain]
        if self._of_model:
            links.append({key: self.info.metadata.get(key) for key in MADE_WITH})
        return [*links, plain(dict(self._here.given))]

    def knows(self, way: Way) -> bool:
        """Whether query vectors can be made in that ``way``."""
        return way == "targets" or (
            not self._of_model and hasattr(self._made[self._chain[-1]], way)
        )

    def queries(
        self,
        examples: Sequence[Shown],
        on_batch: OnBatch | None = None,
        way: Way = "targets",
    ) -> Encoded:
        """Query vectors (n, D) of ``examples``; rows mean nothing where a status is not ok.

        Args:
            examples: the task examples.
            on_batch: called with the number of examples done.
            way: how they are made; one that is known.

        Raises:
            CollectionMismatchError: they would be made otherwise than those of the candidates.
            EmbeddingError: the model cannot be loaded or fails.
            InputError: what was learnt from the candidates is not here.
        """
        if not self._checked:
            for name in reversed(self._chain):
                self._check_same(name)
            self._checked = True
        if self._of_model:
            rows: Any = self._embedder().encode([one.text for one in examples], on_batch)
            encoded = Encoded.fine(rows, len(examples))
            space = self._model_space
        else:
            first = self._chain[-1]
            encoded = getattr(self._made[first], way)(examples, on_batch)
            space = first
        for name in reversed(self._chain if self._of_model else self._chain[:-1]):
            if any(status != OK for status in encoded.status):
                break
            encoded = self._made[name].targets(self._stored(encoded.rows, space))
            space = name
        return encoded

    @property
    def _of_model(self) -> bool:
        return self._all[self._chain[-1]].source is not None

    def _again(self, name: str) -> Representation:
        kept, here = self._all[name], self._here
        if kept.kind not in catalog.KINDS:
            raise CollectionMismatchError(
                f"the vectors '{name}' of collection '{self.info.name}' were made by 'represent "
                f"{kept.kind}', which this version does not have; upgrade it, or give the task "
                f"examples as .npy"
            )
        settings, given = catalog.KINDS[kept.kind], {}
        if kept.source is None:
            known = {one.name for one in fields(settings)}
            if strange := [key for key in here.given if key not in known]:
                raise SettingsError(
                    f"--{strange[0].replace('_', '-')} does not belong to the vectors '{name}' of "
                    f"collection '{self.info.name}', which 'represent {kept.kind}' made; leave it "
                    f"out"
                )
            given = dict(here.given)
        own = settings.restored(
            {**kept.settings, **given}, device=here.device, batch_size=here.batch_size
        )
        return own.made()

    def _check_same(self, name: str) -> None:
        """Restore what was learnt, and compare manifests."""
        kept, made = self._all[name], self._made[name]
        facts = made.manifest()
        for key in ("text", "source", FITTED):
            if key in kept.manifest:
                facts[key] = kept.manifest[key]
        if kept.source is not None and self._source_now(kept) != facts.get("source"):
            command = represent_command(self.info, name, kept, again=True)
            raise CollectionMismatchError(
                f"the candidates' vectors '{name}' in collection '{self.info.name}' are derived "
                f"from vectors '{kept.source}' as they were before those were made otherwise; "
                f"make them again: {command}"
            )
        if unlike := differences(kept.manifest, plain(facts)):
            raise CollectionMismatchError(
                f"the task's vectors '{name}' would be made otherwise here than those of the "
                f"candidates in collection '{self.info.name}' ({', '.join(unlike)}); use the model "
                f"and packages that made those, or give the task examples as .npy"
            )
        if FITTED in kept.manifest:
            again = represent_command(self.info, name, kept, again=True)
            known = str(kept.manifest[FITTED])
            otherwise = f"or learn it again: {again}"
            made.restore(read_fitted(self.info, known, otherwise=otherwise))

    def _source_now(self, kept: Kept) -> dict[str, Any]:
        assert kept.source is not None
        source = self._all.get(kept.source)
        model = self._collection.at(kept.source).info().model
        return {"name": kept.source, "made_by": source.fingerprint if source else model or ""}

    def _check_model(self) -> None:
        """Check that the collection's text model made the vectors at the root."""
        for key, value in self._here.given.items():
            theirs = self.info.metadata.get(key)
            if not (same_model(theirs, value) if theirs and key == "model" else theirs == value):
                raise CollectionMismatchError(
                    f"the vectors '{self.name}' of collection '{self.info.name}' are derived from "
                    f"those of model '{self.info.metadata.get('model')}', which --"
                    f"{key.replace('_', '-')} {value} does not fit; leave it out"
                )
        if not self._collection.at(self._model_space).info().model:
            what = f"'{self._model_space}'" if self._model_space else "without a name"
            raise SettingsError(
                f"the vectors '{self.name}' of collection '{self.info.name}' are derived from "
                f"vectors {what}, and it does not say which model made those; give the task "
                f"examples as .npy, made as the vectors '{self.name}' are"
            )

    def _embedder(self) -> Embedder:
        kept, here = self.info.metadata, self._here
        return embedder_named(
            str(here.given.get("model") or kept["model"]),
            device=here.device,
            batch_size=here.batch_size or 64,
            backend=kept.get("backend", "torch"),
            max_length=kept.get("max_length"),
        )

    def _stored(self, rows: Any, name: str) -> Float32Array:
        """``rows`` as vectors of space ``name`` are read back, from which others are derived."""
        space = self._collection.spaces[name]
        plain_rows = normalized(np.asarray(rows, dtype=np.float32), space.metric)
        return held(plain_rows, space.metric, space.datatype)


def opened(collection: Collection, here: Here | None = None) -> Opened | None:
    """What makes the vectors of the searched space; None where ``represent`` did not make them.

    Nothing is loaded before vectors are asked for.

    Raises:
        CollectionMismatchError: this version does not have the kind.
        SettingsError: they are derived from vectors of which the collection does not say who made
            them, or settings that the kind does not have.
        UnsupportedCollectionError: the space is sparse.
    """
    info = described(collection)
    kept = all_kept(info).get(info.vector)
    if kept is None:
        return None
    if not info.dimension:
        raise UnsupportedCollectionError(
            f"the vectors {info.named} of collection '{info.name}' are sparse, and selection "
            f"needs dense ones; choose others with --vector"
        )
    return Opened(collection, info, here or Here())
