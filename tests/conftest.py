"""Fixtures for everything that needs a Qdrant collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import BACKENDS, Backend, make_backend, running_server
from numpy.typing import ArrayLike

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric, PointId

MakeCollection = Callable[..., Collection]


@pytest.fixture(scope="session")
def qdrant_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    with running_server(tmp_path_factory.mktemp("qdrant")) as address:
        yield address


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    engine = make_backend(request.param, tmp_path, request)
    yield engine
    engine.close()


@pytest.fixture
def make_collection(backend: Backend) -> Iterator[MakeCollection]:
    """``make_collection(dimension, metric, vectors=.., ids=.., payloads=.., metadata=..)``."""
    numbers = count()
    with ExitStack() as stack:

        def make(
            dimension: int = 4,
            metric: Metric = "Cosine",
            *,
            vectors: ArrayLike | None = None,
            ids: Sequence[PointId] | None = None,
            payloads: Sequence[dict[str, Any]] | None = None,
            metadata: Mapping[str, Any] | None = None,
            name: str | None = None,
        ) -> Collection:
            rows = None if vectors is None else np.asarray(vectors, dtype=np.float32)
            made = backend.create(
                name or f"c{next(numbers)}",
                dimension=dimension if rows is None else rows.shape[1],
                metric=metric,
                metadata=metadata,
            )
            stack.callback(made.close)
            if rows is not None:
                made.upsert(range(len(rows)) if ids is None else ids, rows, payloads)
            return made

        yield make
