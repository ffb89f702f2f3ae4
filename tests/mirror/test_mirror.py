"""A mirror equals its source, whatever kind that is of, and follows it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import running_server
from door import open_door
from mirrored import (
    CONFIG,
    INDEXES,
    NAME,
    assert_near,
    client_source,
    contents,
    edge_source,
    points,
    put,
    reopened,
    searched,
)
from qdrant_client import QdrantClient, models

from tsds_qdrant import open_collection
from tsds_qdrant.collections.edge.schemas import as_read_back
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import ANY_SPACE
from tsds_qdrant.collections.whole import Whole
from tsds_qdrant.errors import (
    CollectionExistsError,
    CollectionLockedError,
    CollectionMismatchError,
    RequestRejectedError,
    SettingsError,
)
from tsds_qdrant.mirror import MirrorSettings, mirror
from tsds_qdrant.mirror.report import MirrorReport
from tsds_qdrant.mirror.settings import By

KINDS = ("edge files", "edge scroll", "folder", "door", "server")


@dataclass
class Kind:
    """A source of one kind: how it is opened, changed, and mirrored."""

    kind: str
    location: str
    by: By
    write: Callable[[list[Whole], list[int]], None]

    @contextmanager
    def open(self) -> Iterator[Collection]:
        with open_collection(self.location, NAME, vector=ANY_SPACE) as opened:
            yield opened

    def mirrored(self, to: Path, **changes: object) -> MirrorReport:
        settings = MirrorSettings(to=to, by=self.by)
        with self.open() as opened:
            return mirror(opened, replace(settings, **changes))  # type: ignore[arg-type]


@contextmanager
def source_of(kind: str, directory: Path) -> Iterator[Kind]:
    made, place = points(range(1, 121)), directory / "source"
    if kind.startswith("edge"):
        edge_source(place, made).close()

        def write(changed: list[Whole], gone: list[int]) -> None:
            with open_collection(place, NAME, vector="dense") as opened:
                opened.put_whole(changed)  # type: ignore[attr-defined]
                opened.delete(gone)

        yield Kind(kind, str(place), "scroll" if kind == "edge scroll" else "auto", write)
        return
    if kind == "folder":

        def write_local(changed: list[Whole], gone: list[int]) -> None:
            client = QdrantClient(path=str(place))
            put(client, changed)
            client.delete(NAME, gone)
            client.close()

        client = QdrantClient(path=str(place))
        client_source(client, made)
        client.close()
        yield Kind(kind, str(place), "auto", write_local)
        return

    def over(client: QdrantClient) -> Callable[[list[Whole], list[int]], None]:
        def write(changed: list[Whole], gone: list[int]) -> None:
            put(client, changed)
            client.delete(NAME, gone, wait=True)

        return write

    if kind == "door":
        with open_door() as door:
            client_source(door.client, made)
            door.facts(NAME).indexes = {"kind": "keyword", "n": "integer"}
            yield Kind(kind, door.url, "auto", over(door.client))
        return
    with running_server(directory) as (url, _):
        client = QdrantClient(url=url, check_compatibility=False)
        client_source(client, made)
        for field, index in INDEXES.items():
            client.create_payload_index(NAME, field, {"type": index.kind, **index.params})
        try:
            yield Kind(kind, url, "auto", over(client))
        finally:
            client.delete_collection(NAME)
            client.close()


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    with source_of(request.param, tmp_path) as kind:
        yield kind


def check_equal(source: Kind, to: Path) -> None:
    with source.open() as theirs, reopened(to) as ours:
        if source.kind == "door":  # where each search changes the last bits of stored vectors
            assert_near(ours, theirs)
        else:
            assert contents(ours) == contents(theirs)
        (ids, numbers), (their_ids, their_numbers) = searched(ours), searched(theirs)
    assert ids == their_ids
    np.testing.assert_allclose(numbers, their_numbers, atol=1e-5)


@pytest.mark.slow
def test_a_mirror_equals_its_source_and_follows_it(source: Kind, tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    report = source.mirrored(to)
    assert (report.first, report.added, report.points) == (True, 120, 120)
    check_equal(source, to)
    changed = points(range(30, 40), seed=1)
    bare = Whole(41, {"n": 41}, {"flat": [1.0, 2.0, 3.0, 4.0]})
    came = points(range(200, 230), seed=2)
    renamed = replace(points(range(1, 121))[49], payload={"kind": "other"})
    source.write([*changed, bare, *came, renamed], [3, 4, 5])
    report = source.mirrored(to)
    check_equal(source, to)
    assert report.points == 147
    if report.way == "scroll":
        assert (report.added, report.deleted) == (30, 3)
        assert report.updated == 12 or (source.kind == "door" and report.updated > 12)
    assert not [entry for entry in to.iterdir() if entry.name != NAME]


@pytest.mark.slow
def test_settings_and_indexes_are_those_of_the_source(source: Kind, tmp_path: Path) -> None:
    source.mirrored(tmp_path / "mirror")
    with source.open() as theirs, reopened(tmp_path / "mirror") as ours:
        known = theirs.shape()
        shape = ours.shape()
    assert shape.config.keys() <= CONFIG.keys()
    assert without_threads(shape.config) == without_threads(known.config)
    if source.kind.startswith("edge"):
        assert without_threads(shape.config) == CONFIG
        assert known.indexes.keys() == INDEXES.keys()
    expected = {field: as_read_back(index, field) for field, index in known.indexes.items()}
    assert shape.indexes == expected
    assert shape.metadata["identity"] == "one"


def without_threads(config: Any) -> Any:
    """Without what each engine adds by itself."""
    if isinstance(config, dict):
        return {k: without_threads(v) for k, v in config.items() if k != "max_indexing_threads"}
    return config


def test_nothing_is_copied_where_nothing_has_changed(tmp_path: Path) -> None:
    with source_of("edge files", tmp_path) as source:
        source.mirrored(tmp_path / "mirror")
        before = (tmp_path / "mirror" / NAME).stat().st_ino
        assert source.mirrored(tmp_path / "mirror").same
        assert (tmp_path / "mirror" / NAME).stat().st_ino == before
        source.write([], [7])
        assert not source.mirrored(tmp_path / "mirror").same
        assert (tmp_path / "mirror" / NAME).stat().st_ino != before


def test_a_filter_narrows_the_mirror_and_is_kept_to(tmp_path: Path) -> None:
    odd = {"must": [{"key": "kind", "match": {"value": "odd"}}]}
    to = tmp_path / "mirror"
    with source_of("edge files", tmp_path) as source:
        with source.open() as opened:
            report = mirror(opened, MirrorSettings(to=to), where=odd)
            assert (report.way, report.points) == ("scroll", 60)
        turned = replace(points([7])[0], payload={"kind": "even"})
        source.write([turned, *points([301, 302])], [9])
        with source.open() as opened:
            report = mirror(opened, MirrorSettings(to=to), where=odd)
            with pytest.raises(CollectionMismatchError, match=r"the filter was .* and is none"):
                mirror(opened, MirrorSettings(to=to))
            theirs = contents(opened)
        assert (report.added, report.updated, report.deleted) == (1, 0, 2)
        with reopened(to) as ours:
            expected = {i: one for i, one in theirs.items() if one[0].get("kind") == "odd"}
            assert contents(ours) == expected


@pytest.mark.slow
def test_what_is_no_mirror_of_it_stays(tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    edge_source(to, points([1, 2])).close()
    with source_of("edge files", tmp_path) as source:
        with pytest.raises(CollectionExistsError, match="is no mirror; choose another directory"):
            source.mirrored(to)
        with pytest.raises(SettingsError, match="is where collection 'pool' itself is"):
            source.mirrored(tmp_path / "source")
        assert [entry.name for entry in to.iterdir()] == [NAME]
        with reopened(to) as ours:
            assert ours.count() == 2
        assert source.mirrored(to, replace=True).points == 120
        moved = tmp_path / "moved"
        shutil.copytree(tmp_path / "source", moved)
        with (
            open_collection(moved, NAME, vector="dense") as other,
            pytest.raises(CollectionMismatchError, match=r"shows collection 'pool' of .*source"),
        ):
            mirror(other, MirrorSettings(to=to))
        (tmp_path / "else" / NAME).mkdir(parents=True)
        with pytest.raises(CollectionExistsError, match="is in the way, and no collection"):
            source.mirrored(tmp_path / "else", replace=True)


def test_a_source_made_again_is_noticed(tmp_path: Path) -> None:
    to, place = tmp_path / "mirror", tmp_path / "source"
    with source_of("folder", tmp_path) as source:
        source.mirrored(to)

        def made_again(**changes: object) -> None:
            client = QdrantClient(path=str(place))
            if "metadata" in changes:
                client.update_collection(NAME, metadata=changes["metadata"])  # type: ignore[arg-type]
            else:
                put(client, points(range(1, 121), seed=5))
            client.close()

        made_again()
        with pytest.raises(CollectionMismatchError, match=r"of 120 points .* 120 have gone"):
            source.mirrored(to)
        assert source.mirrored(to, replace=True).points == 120
        made_again(metadata={"tsds_qdrant": {"identity": "two"}})
        with pytest.raises(CollectionMismatchError, match="was made again since the mirror was"):
            source.mirrored(to)
        shutil.rmtree(place)
        client = QdrantClient(path=str(place))
        client.create_collection(
            NAME,
            vectors_config={"dense": models.VectorParams(size=5, distance="Cosine")},
            metadata={"tsds_qdrant": {"identity": "one"}},
        )
        client.close()
        with pytest.raises(CollectionMismatchError, match=r"'dense' .* has size 5, and 8 when"):
            source.mirrored(to)
        assert source.mirrored(to, replace=True).points == 0


def test_a_mirror_in_use_is_left_alone(tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    with source_of("edge scroll", tmp_path) as source:
        source.mirrored(to)
        source.write(points([500]), [])
        held = reopened(to)
        with pytest.raises(CollectionLockedError, match="is open in another process"):
            source.mirrored(to)
        held.close()
        report = source.mirrored(to)
        assert (report.points, report.resumed) == (121, 121)
        check_equal(source, to)


def test_a_disk_without_room_is_said_before_anything_is_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    for kind, free in (("edge scroll", 2_020_000), ("edge files", 2_020_000)):
        directory = tmp_path / kind.replace(" ", "-")
        with source_of(kind, directory) as source, monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda _, f=free: usage._replace(free=f))
            with pytest.raises(RequestRejectedError, match="MB of disk to"):
                source.mirrored(directory / "mirror")
        assert not (directory / "mirror" / NAME).exists()


@pytest.mark.slow
def test_the_graph_is_built_on_request_and_kept(tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    many = points(range(1, 4_001))
    edge_source(tmp_path / "source", many).close()
    with open_collection(tmp_path / "source", NAME, vector="dense") as opened:
        mirror(opened, MirrorSettings(to=to, by="scroll", index=True))
    with reopened(to) as ours:
        assert "graph" in ours.info().metadata
        indexed = ours.info().indexed
    with open_collection(tmp_path / "source", NAME, vector="dense") as opened:
        opened.delete([1])
        mirror(opened, MirrorSettings(to=to, by="scroll"))
    with reopened(to) as ours:
        assert "graph" in ours.info().metadata
        assert ours.info().indexed >= indexed - 10
