"""What was added to a mirror stays there when it is brought up to date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mirrored import NAME, contents, edge_source, points, reopened

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.reserved import MADE_FIELD, MANIFESTS
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.errors import CollectionMismatchError, SettingsError
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.mirror import MirrorSettings, mirror

TAG = {"probability": 0.5, "rank": 0, "run": "r"}


@pytest.fixture
def source(tmp_path: Path) -> Iterator[EdgeCollection]:
    opened = edge_source(tmp_path / "source", points(range(60)))
    opened.set_payload("tsds", [1, 2], [{"theirs": TAG}] * 2)
    opened.set_payload(MADE_FIELD, [3], [{"own": {"fp": "a"}}])
    yield opened
    opened.close()


def added(to: Path) -> None:
    """Represent, select and index on the mirror, as the commands leave that."""
    with reopened(to) as ours:
        ours.add_space(Space.dense("grad", 2, "Dot"))
        rows = np.arange(120, dtype=np.float32).reshape(60, 2)
        ours.set_vectors(range(60), rows, space="grad")
        ours.set_payload(MADE_FIELD, range(60), [{"grad": {"fp": "b"}}] * 60)
        ours.set_payload("tsds", [2, 7, 8], [{"mine": TAG}] * 3)
        ours.update_metadata({MANIFESTS: {"grad": {"kind": "gradient"}}, "extra": 1})
        ours.index_payload("tsds.mine.rank")


@pytest.mark.slow
def test_vectors_marks_tags_and_indexes_stay(source: EdgeCollection, tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    mirror(source, MirrorSettings(to=to))
    added(to)
    before = {i: one[0] for i, one in contents(source).items()}
    source.put_whole([*points([5, 6], seed=9), *points([100])])
    source.put_whole([replace(points([7])[0], payload={"text": "other"})])
    source.delete([9])
    source.delete_payload("tsds.theirs", [1])
    source.set_payload("tsds", [8], [{"mine": {**TAG, "rank": 5}}])
    report = mirror(source, MirrorSettings(to=to))
    assert report.additions
    assert (report.way, report.added, report.deleted, report.points) == ("scroll", 1, 1, 60)
    theirs = contents(source)
    with reopened(to) as ours:
        whole, named = contents(ours, spaces=["grad"]), contents(ours, spaces=list(source.spaces))
        info = ours.info()
    assert {i: one[1] for i, one in named.items()} == {i: one[1] for i, one in theirs.items()}
    payloads = {i: one[0] for i, one in named.items()}
    # A point that has changed is to be represented again, but keeps its vector and its tags.
    assert {i for i, one in payloads.items() if "grad" not in one.get(MADE_FIELD, {})} == {
        *(5, 6, 7, 100),
    }
    assert {i for i, one in whole.items() if "grad" not in one[1]} == {100}
    assert payloads[7] == {"text": "other", "tsds": {"mine": TAG}}
    assert payloads[2]["tsds"] == {"theirs": TAG, "mine": TAG}
    assert payloads[8]["tsds"] == {"mine": {**TAG, "rank": 5}}
    assert payloads[1] == {**before[1], "tsds": {}, MADE_FIELD: {"grad": {"fp": "b"}}}
    assert payloads[3][MADE_FIELD] == {"own": {"fp": "a"}, "grad": {"fp": "b"}}
    assert {MANIFESTS, "extra", "representation", "model"} <= info.metadata.keys()
    assert "tsds.mine.rank" in info.payload_indexes
    again = mirror(source, MirrorSettings(to=to))
    assert again.same
    source.delete([10])
    again = mirror(source, MirrorSettings(to=to))
    # Tags of the name that the source has too by now are the source's from then on.
    assert (again.additions, again.updated, again.points) == (True, 2, 59)
    with reopened(to) as ours:
        assert "grad" in ours.spaces


@pytest.mark.slow
def test_the_source_may_gain_and_lose_spaces_and_indexes(
    source: EdgeCollection, tmp_path: Path
) -> None:
    to = tmp_path / "mirror"
    mirror(source, MirrorSettings(to=to))
    added(to)
    source.add_space(Space.dense("more", 3, "Euclid"))
    source.set_vectors([1], np.ones((1, 3), dtype=np.float32), space="more")
    source.delete_space("flat")
    source.delete_index("kind")
    source.index_payload("inner.x", "keyword")
    mirror(source, MirrorSettings(to=to))
    with reopened(to) as ours:
        assert ours.spaces.keys() == {*source.spaces, "grad"}
        indexes = ours.shape().indexes
        assert indexes.keys() == {*source.shape().indexes, "tsds.mine.rank"}
        assert contents(ours, spaces=["more"])[1][1] == {"more": [1.0, 1.0, 1.0]}
    source.add_space(Space.dense("grad", 3, "Dot"))
    with pytest.raises(CollectionMismatchError, match="has a vector 'grad' now, and the mirror"):
        mirror(source, MirrorSettings(to=to))
    mirror(source, MirrorSettings(to=to, replace=True))
    with reopened(to) as ours:
        assert ours.spaces == source.spaces


def test_nothing_is_ingested_into_a_mirror(source: EdgeCollection, tmp_path: Path) -> None:
    mirror(source, MirrorSettings(to=tmp_path / "mirror"))
    with pytest.raises(SettingsError, match=r"is a mirror of .*; ingest there"):
        Destination(tmp_path / "mirror", NAME, vector="dense").checked(None)
