"""The server adapter: a collection of a Qdrant server, or of qdrant-client's local mode."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from qdrant_client import QdrantClient, models

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections import GRPC_PORT
from tsds_qdrant.collections.distance import checked_vectors, score_threshold, score_to_distance
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.hits import Hits, within
from tsds_qdrant.collections.server import answers, description, wire
from tsds_qdrant.collections.server.batches import Batches
from tsds_qdrant.collections.server.failures import server_failures
from tsds_qdrant.collections.server.points import REQUEST_FLOATS, ServerPoints
from tsds_qdrant.collections.server.retries import Patience
from tsds_qdrant.collections.server.session import TIMEOUT_S, Session
from tsds_qdrant.collections.values import CollectionInfo, Filter, Metric

IN_FLIGHT = 4
FIRST_SEARCHES = 16
"""Searches in the first request of a kind: one task of a Qdrant node."""
SEARCH_BATCH = 512
SEARCH_HITS = 250_000
GREEN_WITHIN_S = 600.0


class ServerCollection(ServerPoints):
    """One vector of a collection on a server; see :class:`Collection` for the methods."""

    def __init__(self, session: Session, vector: str | None) -> None:
        found = description.fetch(session, attempts=2)
        super().__init__(session, description.describe(found, session, vector, session.engine()))
        self._timeout = description.longest_timeout(found, TIMEOUT_S)
        self._ask = wire.ask_local if session.local else wire.ask_rest
        if session.grpc and not session.local:
            self._ask = wire.ask_grpc
        floats = REQUEST_FLOATS // self._description.dimension
        self._threads = ThreadPoolExecutor(IN_FLIGHT, "tsds-qdrant")
        self._searches: Batches[answers.Answer] = Batches(
            min(SEARCH_BATCH, floats),
            session.place,
            session.patience,
            first=FIRST_SEARCHES,
            executor=None if session.local else self._threads,
            in_flight=1 if session.local else IN_FLIGHT,
        )
        self._repeats = description.may_repeat(found)
        self._moved = 0

    @classmethod
    def open(
        cls,
        location: str,
        name: str,
        *,
        vector: str | None = None,
        api_key: str | None = None,
        client: QdrantClient | None = None,
        prefer_grpc: bool = False,
        grpc_port: int = GRPC_PORT,
        patience: Patience | None = None,
    ) -> ServerCollection:
        """Open a collection of the server at ``location``.

        A ``client`` from outside is used instead of a new one and left open. ``prefer_grpc``
        searches over gRPC at ``grpc_port``, which is faster for large answers. ``patience`` says
        how to wait for a server that is busy or away.

        Raises:
            CollectionNotFoundError: no such collection or vector.
            UnsupportedCollectionError: no dense vector, a multivector, or a dot product of
                vectors that are not of unit length.
            UnreachableError: no server answers.
        """
        session = Session(
            location,
            name,
            api_key=api_key,
            client=client,
            grpc=prefer_grpc,
            grpc_port=grpc_port,
            patience=patience,
        )
        with session.closed_on_error():
            collection = cls(session, vector)
            if collection._description.metric == "Dot":
                description.check_stored_lengths(session, collection._description.vector)
        return collection

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
        api_key: str | None = None,
        client: QdrantClient | None = None,
        prefer_grpc: bool = False,
        grpc_port: int = GRPC_PORT,
        patience: Patience | None = None,
    ) -> ServerCollection:
        """Create an empty collection on the server at ``location``.

        Raises:
            CollectionExistsError: there is one of that name.
            UnsupportedCollectionError: ``metadata``, and a server older than 1.16.
        """
        session = Session(
            location,
            name,
            api_key=api_key,
            client=client,
            grpc=prefer_grpc,
            grpc_port=grpc_port,
            patience=patience,
        )
        params = models.VectorParams(size=dimension, distance=models.Distance(metric))
        with session.closed_on_error():
            if metadata:
                description.check_metadata_support(session, session.engine())
            session.send(
                lambda client: client.create_collection(
                    name,
                    vectors_config={vector: params} if vector else params,
                    metadata={description.METADATA_KEY: dict(metadata)} if metadata else None,
                ),
                attempts=1,
            )
            return cls(session, vector)

    def info(self) -> CollectionInfo:
        """Describe the collection."""
        known = self._description
        found = description.fetch(self._session)
        described = description.describe(found, self._session, known.vector, known.engine)
        self._repeats = description.may_repeat(found)
        return replace(described, count=self.count())

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
        queries = checked_vectors(vectors, info.dimension, info.metric, what="query")
        server_filter(where)
        walk = None if ef is None or exact else max(ef, limit)
        search = wire.Search(
            collection=self._name,
            using=info.vector,
            limit=limit,
            exact=exact,
            ef=walk if walk is None else min(walk, info.limits.ef or walk),
            threshold=None if max_distance is None else score_threshold(max_distance, info.metric),
            where=where,
            timeout=self._timeout,
        )
        parts = self._searches.run(
            len(queries),
            lambda rows: self._ask(self._session.client, search, queries[rows.start : rows.stop]),
            kind=(exact, limit.bit_length(), where is not None),
            at_most=min(info.limits.batch or SEARCH_BATCH, max(1, SEARCH_HITS // max(1, limit))),
            on_batch=on_batch,
        )
        answer = answers.joined(parts)
        self._moved += answer.moved
        if self._repeats:
            answer = answers.without_repeats(answer)
        distances = score_to_distance(answer.scores, info.metric)
        return within(Hits(answer.ids, distances, answer.counts), max_distance)

    @property
    def bytes_moved(self) -> int:
        """Bytes of all searches so far, questions and answers, without headers."""
        return self._moved

    def optimize(self) -> None:
        """Wait until the server has built its index, which it does by itself."""
        deadline = time.monotonic() + GREEN_WITHIN_S
        pause = 0.1
        while description.fetch(self._session).status == models.CollectionStatus.YELLOW:
            if time.monotonic() > deadline:
                return
            time.sleep(pause)
            pause = min(5.0, pause * 2)

    def update_metadata(self, changes: Mapping[str, Any]) -> None:
        """Keep ``changes`` with the collection, for ``info().metadata``."""
        description.check_metadata_support(self._session, self._description.engine)
        kept = {**self.info().metadata, **changes}
        self._session.send(
            lambda client: client.update_collection(
                self._name, metadata={description.METADATA_KEY: kept}
            )
        )

    def close(self) -> None:
        """Release the client; the collection cannot be used afterwards."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with server_failures(self._session.place):
            self._session.close()


def list_collections(
    location: str, api_key: str | None = None, *, client: QdrantClient | None = None
) -> list[str]:
    """Names of the collections at ``location``, sorted."""
    session = Session(location, api_key=api_key, client=client)
    try:
        return session.collection_names()
    finally:
        session.close()
