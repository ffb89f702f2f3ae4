"""Destination: where an ingest goes, and whether what is there already is fit for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tsds_qdrant.collections import (
    check_layout,
    check_writes,
    collection_exists,
    open_collection,
)
from tsds_qdrant.collections.cluster import Layout, check_placed
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MIRROR
from tsds_qdrant.collections.values import CollectionInfo, Metric
from tsds_qdrant.errors import AccessDeniedError, CollectionMismatchError, SettingsError
from tsds_qdrant.paths import Location
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.template import written
from tsds_qdrant.representations.model_names import remembered_model, same_model
from tsds_qdrant.representations.text import Embedder
from tsds_qdrant.represented.marks import all_kept
from tsds_qdrant.task.model import check_made_alike, check_same, may_be_same
from tsds_qdrant.task.proof import Prompted, info_for_texts


@dataclass(frozen=True)
class Destination:
    """The collection to ingest into; it is made if it does not exist.

    Attributes:
        location: directory or URL.
        name: the collection.
        metric: of a new collection, Cosine by default; an existing one must have the same.
        vector: which vector of an existing collection.
        connection: how a server is reached.
        overwrite: change points that something else made, where ids are theirs.
        index: build the HNSW graph of an embedded collection, or wait until a server has built its
            own; an embedded collection that has one keeps it up to date in any case.
        layout: how a server is to keep a new collection; an existing one must be kept so.
    """

    location: Location
    name: str
    metric: Metric | None = None
    vector: str | None = None
    connection: Connection | None = None
    overwrite: bool = False
    index: bool = False
    layout: Layout = field(default_factory=Layout)

    def existing(self) -> Collection | None:
        """The collection, open, or None if there is none of that name.

        Raises:
            UnsupportedCollectionError: it is in a folder that is only read.
        """
        check_writes(self.location)
        reached = self.connection
        if not collection_exists(self.location, self.name, connection=reached):
            return None
        return open_collection(self.location, self.name, vector=self.vector, connection=reached)

    def model(self) -> str | None:
        """The model that made the collection's vectors, if there is one and it says so."""
        model: str | None = self.metadata().get("model")
        return model

    def metadata(self) -> Mapping[str, Any]:
        """What the collection remembers; nothing if there is none."""
        info = self._info()
        return {} if info is None else info.metadata

    def shape(self) -> tuple[int | None, Metric]:
        """Dimension and metric of its vectors; no dimension where there is no collection."""
        info = self._info()
        return (None, self.metric or "Cosine") if info is None else (info.dimension, info.metric)

    def _info(self) -> CollectionInfo | None:
        collection = self.existing()
        if collection is None:
            return None
        with collection:
            return collection.info()

    def checked(
        self,
        model: str | None,
        text: Mapping[str, str] | None = None,
        embedder: Embedder | None = None,
    ) -> Collection | None:
        """The collection, open, if it is fit for vectors of ``model``; None if there is none.

        ``text`` says how texts to embed are made; it must be the collection's own way. An
        ``embedder`` of another name is taken, and its name kept from then on, if it makes the
        stored vectors of stored texts.

        Raises:
            CollectionMismatchError: another model made its vectors, from other texts, or another
                metric is wanted.
            SettingsError: there is no collection and a vector or shard key is named, or the
                collection is sharded by key and none is.
            AccessDeniedError: the API key may only read.
        """
        collection = self.existing()
        if collection is None:
            self._check_new()
            return None
        try:
            rights = collection.rights()
            if rights.writes is False:
                raise AccessDeniedError(rights.refusal)
            self._check_no_mirror(collection)
            problem = self._problem(collection, model, text, embedder)
        except BaseException:
            collection.close()
            raise
        if problem:
            collection.close()
            raise CollectionMismatchError(problem)
        return collection

    def proved(
        self, collection: Collection, embedder: Embedder, text: Mapping[str, str]
    ) -> Embedder:
        """``embedder``, with the prompt of the pool, if it makes the vectors that are there.

        Asked of collections that have points and do not name their model: those of frameworks.
        ``collection`` is closed where it does not.

        Raises:
            CollectionMismatchError: it makes other vectors.
        """
        info = collection.info()
        try:
            wanted = TextTemplate.from_dict(text)
            prompt = info_for_texts(collection, info, lambda: embedder, wanted).metadata.get(
                "prompt"
            )
        except BaseException:
            collection.close()
            raise
        if prompt is not None and isinstance(embedder, Prompted):
            return embedder.with_prompt(prompt)
        return embedder

    def _check_new(self) -> None:
        """Check that a new collection can be as it is wanted.

        Raises:
            SettingsError: a vector or a shard key is named, or a layout for a directory.
        """
        if self.vector:
            raise SettingsError(
                f"collection '{self.name}' does not exist and would be made with one unnamed "
                f"vector, not '{self.vector}'; leave --vector out"
            )
        key = self.connection and self.connection.shard_key
        if key is not None:
            raise SettingsError(
                f"collection '{self.name}' does not exist and would not be sharded by key; make it "
                f"with the shard key '{key}', or leave --shard-key out"
            )
        check_layout(self.location, self.layout)

    def _check_no_mirror(self, collection: Collection) -> None:
        """Check that nobody else says which points ``collection`` has.

        Raises:
            SettingsError: it is a mirror, whose next update would delete them.
        """
        kept = collection.info().metadata.get(MIRROR)
        if isinstance(kept, Mapping):
            source = kept.get("source", {})
            raise SettingsError(
                f"collection '{self.name}' in '{self.location}' is a mirror of "
                f"'{source.get('collection')}' of {source.get('location')}; ingest there, and run "
                f"'tsds-qdrant mirror' again"
            )

    def _problem(
        self,
        collection: Collection,
        model: str | None,
        text: Mapping[str, str] | None,
        embedder: Embedder | None,
    ) -> str:
        """What keeps vectors of ``model`` out of the collection, or ""."""
        info, problem = collection.info(), ""
        if info.vector in all_kept(info):
            return (
                f"the vectors {info.named} of collection '{self.name}' are made by 'represent'; "
                f"leave --vector out, and represent what was ingested"
            )
        if embedder:
            check_made_alike(info.metadata, embedder)
        check_placed(info.name, info.shard_keys, info.shard_key)
        kept_as = Layout(info.shards, info.replicas, info.confirmations)
        theirs = info.model
        same, kept = not (theirs and model) or same_model(theirs, model or ""), theirs
        if theirs and model and not same and embedder and may_be_same(theirs, model):
            check_same(collection, info, embedder)
            same, kept = True, model
        elif theirs and model == remembered_model(theirs):
            kept = model  # a relative path, as it was once kept
        if not same:
            problem = (
                f"the vectors of collection '{self.name}' are made by model '{theirs}', "
                f"not '{model}'; use --model {theirs}, or another collection"
            )
        elif text and info.metadata.get("text") and merged(info.metadata["text"], text) is None:
            problem = (
                f"the texts of collection '{self.name}' are {_shown(info.metadata['text'])}, "
                f"not {_shown(text)}; leave --text-field and --template out, or use another "
                f"collection"
            )
        elif self.metric and self.metric != info.metric:
            problem = (
                f"collection '{self.name}' compares by {info.metric}, not {self.metric}; "
                f"leave --metric out, or use another collection"
            )
        elif differing := self.layout.differs(kept_as):
            problem = (
                f"collection '{self.name}' has {differing}; leave that out, or use another "
                f"collection"
            )
        if kept != theirs and not problem:
            with suppress(AccessDeniedError):  # a key may write points, and no metadata
                collection.update_metadata({"model": kept})
        return problem


def renamed(was: str | None, model: str) -> tuple[str, ...]:
    """A sentence, where the collection's model is ``model`` from now on."""
    if not was or same_model(was, model):
        return ()
    return (f"the model '{was}' is '{model}' from now on",)


def merged(stored: Mapping[str, str], text: Mapping[str, str]) -> dict[str, str] | None:
    """How texts are made that ``stored`` and ``text`` both make; None if they make others."""
    both = TextTemplate.from_dict(stored).merged(TextTemplate.from_dict(text))
    return None if both is None else both.to_dict()


def _shown(text: Mapping[str, str]) -> str:
    return f"'{written(next(iter(text.values())))}'"
