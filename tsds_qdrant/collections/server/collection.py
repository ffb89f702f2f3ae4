"""The server adapter: a collection of a Qdrant server, or of qdrant-client's local mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from qdrant_client import models

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import checked_queries
from tsds_qdrant.collections.cluster import Layout
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.distance import is_similarity, oversampling, score_threshold
from tsds_qdrant.collections.hits import Hits, within
from tsds_qdrant.collections.reserved import MANIFESTS, REPRESENTATION
from tsds_qdrant.collections.server import answers, description, wire
from tsds_qdrant.collections.server.cluster import options_of, placed
from tsds_qdrant.collections.server.copies import Copies, once_each
from tsds_qdrant.collections.server.failures import server_failures
from tsds_qdrant.collections.server.searches import IN_FLIGHT, Searches
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.server.threads import DaemonThreads
from tsds_qdrant.collections.server.whole import ServerWhole
from tsds_qdrant.collections.spaces import checked_kind, chosen_space, plain_space
from tsds_qdrant.collections.values import CollectionInfo, Filter, Metric
from tsds_qdrant.sparse import SparseRows, checked_sparse


class ServerCollection(ServerWhole):
    """One space of a collection on a server; see :class:`Collection` for the methods."""

    def __init__(self, session: Session, vector: str | None) -> None:
        found = description.fetch(session, opening=True)
        spaces = description.spaces_of(found, session)
        kept, name = description.metadata_of(found), session.place.collection
        space = chosen_space(spaces, vector, kept.get(REPRESENTATION), name, kept.get(MANIFESTS))
        described = description.describe(found, session, space, session.engine())
        described = placed(described, found, session)
        super().__init__(session, described, spaces)
        self._timeout = description.longest_timeout(found, session.timeout)
        self._threads = DaemonThreads(IN_FLIGHT)
        self._copies = Copies(session.place, self._under)
        self._searches = self._searches_of(described)
        self._repeats = description.may_repeat(found)
        self._searched = space.name
        self._views: dict[str, ServerCollection] = {}
        self._is_view = False

    def at(self, name: str) -> ServerCollection:
        """A view of the same session whose searched space is ``name``."""
        space = plain_space(self._spaces, name, self._name)
        known = self._views.get(name)
        if known is not None and known._space == space:
            return known
        view = copy(self)
        view._description = replace(
            self._description,
            vector=name,
            dimension=space.dimension or 0,
            metric=space.metric,
            datatype=space.datatype,
            quantization=space.quantization,
        )
        view._writes = view._write_batches(view._description)
        view._searches = self._searches_of(view._description)
        view._is_view = True
        self._views[name] = view
        return view

    def _searches_of(self, described: CollectionInfo) -> Searches:
        limits, rate = described.limits, self._read_rate
        seen = self._copies.check
        return Searches(self._session, self._threads, described.dimension, limits, rate, seen)

    @classmethod
    def open(
        cls,
        location: str,
        name: str,
        *,
        vector: str | None = None,
        connection: Connection | None = None,
    ) -> ServerCollection:
        """Open a collection of the server at ``location``, reached by ``connection``.

        Raises:
            CollectionNotFoundError: no such collection or vector.
            SettingsError: no such shard key.
            UnsupportedCollectionError: no dense vector, or a multivector.
            UnreachableError: no server answers.
        """
        session = Session(location, name, connection)
        with session.closed_on_error():
            return cls(session, vector)

    @classmethod
    def create(
        cls,
        location: str,
        name: str,
        *,
        dimension: int,
        metric: Metric,
        vector: str = "",
        metadata: Mapping[str, Any] | None = None,
        connection: Connection | None = None,
        layout: Layout | None = None,
    ) -> ServerCollection:
        """Create an empty collection on the server at ``location``, reached by ``connection``.

        Raises:
            CollectionExistsError: there is one of that name.
            UnsupportedCollectionError: ``metadata``, and a server older than 1.16.
        """
        session = Session(location, name, connection)
        params = models.VectorParams(size=dimension, distance=models.Distance(metric))
        with session.closed_on_error():
            if metadata:
                description.check_metadata_support(session, session.engine())
            session.send(
                lambda client: client.create_collection(
                    name,
                    vectors_config={vector: params} if vector else params,
                    metadata={description.METADATA_KEY: dict(metadata)} if metadata else None,
                    **options_of(layout),
                ),
                once=True,
            )
            return cls(session, vector)

    def info(self) -> CollectionInfo:
        """Describe the collection."""
        found = self._refreshed()
        engine = self._description.engine
        described = description.describe(found, self._session, self._space, engine)
        self._repeats = description.may_repeat(found)
        known = self._description
        return replace(
            described,
            # Where exact counts are refused, Qdrant's own figure is near enough here.
            count=self.count() if described.limits.exact else described.count,
            reached={} if self._session.local else self._session.connection.remembered(),
            shard_keys=known.shard_keys,
            shard_key=known.shard_key,
            alias_of=self._session.alias_target(),
        )

    def search(
        self,
        vectors: Float32Array,
        *,
        limit: int,
        max_distance: float | None = None,
        exact: bool = False,
        ef: int | None = None,
        where: Filter | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Hits:
        """Find the nearest points of every row of ``vectors`` (B, D)."""
        info = self._description
        checked_kind(self._space, "dense", info.name)
        queries = checked_queries(vectors, info)
        walk = None if ef is None or exact else info.limits.allowed_ef(max(ef, limit))
        codes = None if self._space.quantization is None else oversampling(walk, limit)
        search = wire.Search(
            collection=self._name,
            using=info.vector,
            limit=limit,
            exact=exact,
            ef=walk,
            threshold=None if max_distance is None else score_threshold(max_distance, info.metric),
            where=where,
            timeout=self._timeout,
            consistency=self._session.connection.consistency,
            key=info.shard_key,
            told=info.shard_keys is not None and info.shard_key is None,
            oversampling=info.limits.allowed_oversampling(codes),
            descending=is_similarity(info.metric),
        )
        answer = self._answer(search, queries, on_batch)
        hits = Hits.of_scores(answer.ids, answer.scores, answer.counts, info.metric)
        return within(hits, max_distance)

    def search_sparse(
        self,
        rows: SparseRows,
        *,
        limit: int,
        where: Filter | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Hits:
        """Find the points of the largest dot products with each of B sparse ``rows``."""
        info = self._description
        checked_kind(self._space, "sparse", self._name)
        queries = checked_sparse(rows, what="query")
        search = wire.Search(
            collection=self._name,
            using=info.vector,
            limit=limit,
            exact=False,  # a sparse search always is, and strict mode refuses the word
            ef=None,
            threshold=None,
            where=where,
            timeout=self._timeout,
            consistency=self._session.connection.consistency,
            key=info.shard_key,
            told=info.shard_keys is not None and info.shard_key is None,
        )
        # A row without entries finds nothing, and Qdrant is not asked for it.
        asked = np.flatnonzero(queries.lengths)
        answer = self._answer(search, queries.take(asked.tolist()), on_batch)
        counts = np.zeros(len(queries), dtype=np.int64)
        counts[asked] = answer.counts
        return Hits.of_scores(answer.ids, answer.scores, counts, None)

    def _answer(
        self,
        search: wire.Search,
        rows: Float32Array | SparseRows,
        on_batch: Callable[[int], None] | None,
    ) -> answers.Answer:
        if not self._repeats:
            return self._searches.run(search, rows, on_batch)

        def ask(wanted: wire.Search, part: wire.Rows) -> answers.Answer:
            return self._searches.run(wanted, part, on_batch if wanted is search else None)

        return once_each(ask, search, rows)

    @property
    def bytes_moved(self) -> int:
        """Bytes of all searches so far, questions and answers, without headers."""
        return self._searches.moved

    def close(self) -> None:
        """Release the client, and with it all views; closing a view does nothing."""
        if self._is_view:
            return
        self._threads.shutdown(wait=False, cancel_futures=True)
        with server_failures(self._session.place):
            self._session.close()


def list_collections(location: str, connection: Connection | None = None) -> list[str]:
    """Names of the collections at ``location``, and their aliases, sorted."""
    session = Session(location, connection=connection)
    try:
        return session.collection_names()
    finally:
        session.close()
