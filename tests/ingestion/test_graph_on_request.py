"""Ingest builds a graph where that is asked for, and keeps one that is there up to date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as edge

from tsds_qdrant import open_collection
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.graph import GRAPH, build_graph, graph_seconds, in_graph
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ingest import ingest_vectors
from tsds_qdrant.ingestion.report import IngestReport

COUNT = 400
ROWS = np.random.default_rng(3).normal(size=(2 * COUNT, 32)).astype(np.float32)
LITTLE = edge.EdgeOptimizersConfig(indexing_threshold=1)
"""A graph is built from one kilobyte on."""


def made(place: Path, *, little: bool = True) -> None:
    """An empty collection 'pool' whose graph, where it gets one, begins at a few points."""
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(32, edge.Distance.Cosine),
        optimizers=LITTLE if little else None,
    )
    edge.EdgeShard.create(str(place / "pool"), config).close()


def ingested(place: Path, rows: slice, *, index: bool = False) -> IngestReport:
    first = rows.start or 0
    to = Destination(str(place), "pool", index=index)
    return ingest_vectors(to, ROWS[rows], first_id=first)


def graphed(place: Path) -> int:
    with open_collection(str(place), "pool") as pool:
        return in_graph(pool, pool.info())


def test_none_is_built_unless_asked_for(tmp_path: Path) -> None:
    made(tmp_path)
    report = ingested(tmp_path, slice(COUNT))
    assert (report.added, report.seconds["index"], graphed(tmp_path)) == (COUNT, 0.0, 0)
    with open_collection(str(tmp_path), "pool") as pool:
        assert GRAPH not in pool.info().metadata
        assert pool.info().segments == 1
        assert pool.count() == COUNT
        found = [one.vector for one in pool.retrieve(range(COUNT), vectors=True)]
    unit = ROWS[:COUNT] / np.linalg.norm(ROWS[:COUNT], axis=1, keepdims=True)
    np.testing.assert_allclose(np.array(found), unit, atol=1e-6)
    report = ingested(tmp_path, slice(COUNT), index=True)
    assert (report.unchanged, graphed(tmp_path)) == (COUNT, COUNT)
    assert report.seconds["index"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("rewritten", [False, True])
def test_one_that_is_there_is_kept_up_to_date(tmp_path: Path, rewritten: bool) -> None:
    made(tmp_path)
    ingested(tmp_path, slice(COUNT), index=True)
    if rewritten:  # every point of the graph
        to = Destination(str(tmp_path), "pool")
        assert ingest_vectors(to, ROWS[:COUNT][::-1].copy()).updated == COUNT
        assert graphed(tmp_path) == COUNT
    report = ingested(tmp_path, slice(COUNT, 2 * COUNT))
    assert report.seconds["index"] > 0
    assert graphed(tmp_path) == 2 * COUNT


def test_one_that_an_engine_built_is_kept_too(tmp_path: Path) -> None:
    made(tmp_path)
    with EdgeCollection.open(str(tmp_path), "pool") as pool:
        pool.upsert(range(COUNT), ROWS[:COUNT])
        pool.optimize()
    ingested(tmp_path, slice(COUNT, 2 * COUNT))
    assert graphed(tmp_path) == 2 * COUNT
    with open_collection(str(tmp_path), "pool") as pool:  # what the first half took is not known
        assert graph_seconds(pool.info()) is None


def test_what_was_asked_for_in_vain_is_built_as_the_collection_grows(tmp_path: Path) -> None:
    made(tmp_path, little=False)
    ingested(tmp_path, slice(COUNT), index=True)
    assert graphed(tmp_path) == 0
    edge.EdgeShard.load(
        str(tmp_path / "pool"),
        edge.EdgeConfig(vectors=edge.EdgeVectorParams(32, edge.Distance.Cosine), optimizers=LITTLE),
    ).close()
    ingested(tmp_path, slice(COUNT, 2 * COUNT))
    assert graphed(tmp_path) == 2 * COUNT


def test_what_it_took_is_remembered_beside_the_rest(tmp_path: Path) -> None:
    made(tmp_path)
    ingested(tmp_path, slice(COUNT), index=True)
    with open_collection(str(tmp_path), "pool") as pool:
        before = pool.info().metadata
        first = graph_seconds(pool.info())
        assert first
        pool.upsert(range(COUNT, 2 * COUNT), ROWS[COUNT:])
        more = build_graph(pool)
        after = pool.info().metadata
        assert graph_seconds(pool.info()) == pytest.approx(first + more, abs=2e-3)
    assert {**before, GRAPH: None} == {**after, GRAPH: None}


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["much", 3, None, {}, {"seconds": "long"}, {"seconds": None}])
def test_a_note_of_another_hand_says_nothing(tmp_path: Path, kept: object) -> None:
    made(tmp_path)
    ingested(tmp_path, slice(COUNT), index=True)
    with open_collection(str(tmp_path), "pool") as pool:
        pool.update_metadata({GRAPH: kept})
        assert graph_seconds(pool.info()) is None
        build_graph(pool)
    assert ingested(tmp_path, slice(COUNT, 2 * COUNT)).added == COUNT
    assert graphed(tmp_path) == 2 * COUNT
