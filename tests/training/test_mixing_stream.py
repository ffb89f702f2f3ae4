"""Sources read by cursor, and a stream over them that goes on exactly where it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tsds_qdrant import create_collection, open_collection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import InputError, SettingsError, StateError
from tsds_qdrant.training import MixedStream, OnlineMixture, sources_of
from tsds_qdrant.training.mixing_sources import PAGE, Cursor, SourceReader

SIZES = {"web": 12, "code": 7, "law": 3}
Make = Callable[..., Collection]


def payloads_of(sizes: dict[str, int]) -> list[dict[str, Any]]:
    return [{"source": name, "n": k} for name, size in sizes.items() for k in range(size)]


def filled(make: Make, sizes: dict[str, int] = SIZES, **more: Any) -> Collection:
    payloads = payloads_of(sizes)
    return make(vectors=np.ones((len(payloads), 2)), payloads=payloads, **more)


@pytest.fixture
def collection(tmp_path: Path) -> Any:
    made = create_collection(str(tmp_path), "pool", dimension=2, metric="Cosine")

    def make(vectors: Any, payloads: Any) -> Collection:
        made.upsert(range(len(payloads)), vectors.astype(np.float32), payloads)
        return made

    with filled(make) as pool:
        yield pool


def upsert(collection: Collection, ids: Sequence[int], source: str) -> None:
    rows = np.ones((len(ids), 2), dtype=np.float32)
    collection.upsert(ids, rows, [{"source": source} for _ in ids])


def ids(stream: MixedStream | SourceReader, count: int) -> list[Any]:
    found = (stream.next() for _ in range(count))
    return [getattr(one, "record", one).id if one else None for one in found]


def stream(collection: Collection, mixture: OnlineMixture | None = None, **more: Any) -> Any:
    return MixedStream(collection, "source", mixture or OnlineMixture([*SIZES], seed=1), **more)


def test_an_epoch_has_each_point_once_in_an_order_of_its_own(make_collection: Make) -> None:
    names = [str(UUID(int=7 * k)) if k % 2 else k for k in range(22)]
    collection = filled(make_collection, ids=names)
    reader = SourceReader(collection, "source", "web", page=5)
    epochs = [ids(reader, 12) for _ in range(3)]
    assert all({*epoch} == {*names[:12]} for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert reader.cursor == Cursor(2, epochs[2][-1])
    assert ids(SourceReader(collection, "source", "web", page=3), 36) == [*chain(*epochs)]
    assert ids(SourceReader(collection, "source", "web", seed=1), 12) != epochs[0]


def test_sources_are_found_with_an_index_and_without(make_collection: Make) -> None:
    collection = filled(make_collection)
    assert sources_of(collection, "source") == {"code": 7, "law": 3, "web": 12}
    where = {"must": [{"key": "n", "range": {"lt": 5}}]}
    assert sources_of(collection, "source", where) == {"code": 5, "law": 3, "web": 5}
    collection.index_payload("source", "keyword")
    assert sources_of(collection, "source") == {"code": 7, "law": 3, "web": 12}
    assert sources_of(collection, "nothing") == {}


def test_values_may_be_numbers_nested_or_in_lists(make_collection: Make) -> None:
    payloads = [{"meta": {"cluster": [k % 3, 7] if k % 2 else k % 3}} for k in range(12)]
    collection = make_collection(vectors=np.ones((12, 2)), payloads=payloads)
    assert sources_of(collection, "meta.cluster") == {0: 4, 1: 4, 2: 4, 7: 6}
    mixture = OnlineMixture(["0", "7"], seed=0)
    mixed = MixedStream(collection, "meta.cluster", mixture, epochs=1)
    seen = [(drawn.source, drawn.record.id) for drawn in mixed]
    assert {one for source, one in seen if source == "0"} == {0, 3, 6, 9}
    assert {one for source, one in seen if source == "7"} == {1, 3, 5, 7, 9, 11}


def test_minibatches_come_from_one_source_and_follow_the_weights(collection: Collection) -> None:
    mixture = OnlineMixture([*SIZES], {"web": 8, "code": 1, "law": 1}, seed=3)
    mixed = stream(collection, mixture, minibatch=4)
    drawn = [*islice(mixed, 2000)]
    assert [one.row for one in drawn] == [*range(2000)]
    for k in range(0, 2000, 4):
        assert len({(one.source, one.chance) for one in drawn[k : k + 4]}) == 1
    assert all(one.record.payload["source"] == one.source for one in drawn)
    counts = Counter(one.source for one in drawn)
    assert counts["web"] / 2000 == pytest.approx(0.8, abs=0.06)
    assert mixed.epochs == {name: (counts[name] - 1) // size for name, size in SIZES.items()}


def test_a_stream_with_epochs_ends_and_has_each_point_so_often(collection: Collection) -> None:
    mixed = stream(collection, epochs=2)
    counts = Counter(drawn.record.id for drawn in mixed)
    assert counts == dict.fromkeys(range(22), 2)
    assert mixed.next() is None
    assert mixed.mixture.closed == {*SIZES}
    resumed = stream(collection, epochs=2)
    resumed.load_state_dict(mixed.state_dict())
    assert resumed.next() is None


def trained(mixed: MixedStream, steps: int) -> list[tuple[int, str, float, Any]]:
    """A training that learns after each minibatch of 3, with losses by the ids."""
    seen = []
    for _ in range(steps):
        drawn = [*islice(mixed, 3)]
        seen += [(one.row, one.source, one.chance, one.record.id) for one in drawn]
        sums: dict[str, list[float]] = {}
        for one in drawn:
            sums.setdefault(one.source, []).append(1.0 + one.record.id % 5 / (1 + one.row % 4))
        losses = {source: sum(own) / len(own) for source, own in sums.items()}
        mixed.mixture.observe(losses, {one.source: one.chance for one in drawn})
    return seen


@given(st.integers(0, 30), st.integers(1, 5), st.sampled_from([None, 1, 2]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_stream_resumed_at_any_step_is_the_same(
    collection: Collection, stop: int, minibatch: int, epochs: int | None
) -> None:
    def begun() -> MixedStream:
        mixture = OnlineMixture([*SIZES], variant="official", warm_up=2, seed=6)
        return stream(collection, mixture, minibatch=minibatch, epochs=epochs, seed=4)

    whole, first, second = begun(), begun(), begun()
    expected = trained(whole, 36)
    before = trained(first, stop)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    assert [*before, *trained(second, 36 - stop)] == expected
    assert second.state_dict() == whole.state_dict()


@given(st.integers(0, 20), st.integers(0, 7), st.integers(1, 4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_was_fetched_ahead_comes_again(
    collection: Collection, learnt: int, ahead: int, minibatch: int
) -> None:
    """The reader is ahead of the training, which may change weights meanwhile."""
    mixed = stream(collection, minibatch=minibatch)
    mixed.await_acknowledgement()
    drawn = [*islice(mixed, learnt + ahead)]
    for one in drawn[:learnt]:
        mixed.mixture.update(one.source, 2.0, one.chance)
        mixed.acknowledge(one.row)
    assert [*mixed.waiting] == [*range(learnt, learnt + ahead)]
    state = json.loads(json.dumps(mixed.state_dict()))
    resumed = stream(collection, minibatch=minibatch)
    resumed.load_state_dict(state)
    later = [*islice(mixed, 10)]
    assert [*islice(resumed, ahead + 10)] == [*drawn[learnt:], *later]


def test_a_state_taken_while_what_comes_again_is_under_way(collection: Collection) -> None:
    mixed = stream(collection)
    mixed.await_acknowledgement()
    drawn = [*islice(mixed, 9)]
    mixed.acknowledge(3)
    again = stream(collection)
    again.load_state_dict(mixed.state_dict())
    assert ids(again, 2) == [one.record.id for one in drawn[4:6]]
    third = stream(collection)
    third.load_state_dict(again.state_dict())
    assert [*islice(third, 6)] == [*drawn[6:], *islice(mixed, 3)]


def test_points_added_and_deleted_while_an_epoch_runs(collection: Collection) -> None:
    """Whoever stays is read once; deleted points never again; new ones at latest an epoch on."""
    reader = SourceReader(collection, "source", "web", page=4)
    first = ids(reader, 5)
    gone, new = [*({*range(12)} - {*first})][:3], [100, 101, 102]
    gone.append(first[4])  # the cursor itself
    upsert(collection, new, "web")
    collection.delete(gone)
    resumed = SourceReader(collection, "source", "web", page=4)
    resumed.cursor = Cursor.read(json.loads(json.dumps(reader.cursor.written())))
    staying = {*range(12)} - {*first} - {*gone}
    for one in (reader, resumed):
        rest = []
        while one.cursor.epoch == 0:
            rest.append(one.next().id)  # type: ignore[union-attr]
        rest, second = rest[:-1], [rest[-1], *ids(one, 10)]
        assert len(rest) == len({*rest})
        assert staying <= {*rest} <= staying | {*new} | {*gone}
        assert not {*rest} & {*first}
        assert {*second} == {*range(12), *new} - {*gone}


def test_a_page_at_hand_is_read_to_its_end_and_a_resumed_one_is_fetched_again(
    collection: Collection,
) -> None:
    reader = SourceReader(collection, "source", "web", page=6)
    first = ids(reader, 2)
    order = [*first, *ids(SourceReader(collection, "source", "web"), 12)[2:]]
    collection.delete(order[3:5] + order[7:8])
    resumed = SourceReader(collection, "source", "web", page=6)
    resumed.cursor = reader.cursor
    assert ids(reader, 9) == order[2:7] + order[8:12]
    assert ids(resumed, 7) == [order[2], *order[5:7], *order[8:12]]


def test_a_point_that_moved_to_another_source_is_left_out(collection: Collection) -> None:
    reader = SourceReader(collection, "source", "web", page=2)
    first = ids(reader, 2)
    moved = next(k for k in range(12) if k not in first)
    upsert(collection, [moved], "code")
    assert {*ids(reader, 9)} == {*range(12)} - {*first, moved}


def test_a_source_without_points_left_is_closed(collection: Collection) -> None:
    mixed = stream(collection)
    assert None not in ids(mixed, 30)
    collection.delete([19, 20, 21])
    resumed = stream(collection)
    resumed.load_state_dict(mixed.state_dict())
    assert not {*ids(resumed, 60)} & {19, 20, 21, None}
    assert resumed.mixture.closed == {"law"}


def test_pages_are_no_larger_than_sources_need(collection: Collection) -> None:
    upsert(collection, range(1000, 1000 + 2 * PAGE), "long")
    reader = SourceReader(collection, "source", "long")
    assert {*ids(reader, 2 * PAGE)} == {*range(1000, 1000 + 2 * PAGE)}


def test_a_new_source_joins_a_stream(collection: Collection) -> None:
    mixed = stream(collection)
    ids(mixed, 5)
    upsert(collection, [50, 51], "new")
    mixed.mixture.add("new")
    assert {50, 51} <= {*ids(mixed, 60)}
    resumed = stream(collection, OnlineMixture([*SIZES, "new"]))
    resumed.load_state_dict(mixed.state_dict())
    assert ids(resumed, 20) == ids(mixed, 20)


TRAINING = """
import json, os, sys
from pathlib import Path
from tsds_qdrant import open_collection
from tsds_qdrant.training import MixedStream, OnlineMixture
store, saved = sys.argv[1], Path(sys.argv[2])
mixed = MixedStream(open_collection(store, "pool"), "source", OnlineMixture(["web", "code", "law"]))
if saved.exists():
    mixed.load_state_dict(json.loads(saved.read_text()))
for drawn in mixed:
    print(drawn.row, drawn.record.id, flush=True)
    mixed.mixture.update(drawn.source, 1.0 + drawn.record.id % 3, drawn.chance)
    draft = saved.with_suffix(".new")
    draft.write_text(json.dumps(mixed.state_dict()))
    os.replace(draft, saved)
"""


def test_killed_at_any_moment_the_stream_goes_on_the_same(tmp_path: Path) -> None:
    with create_collection(str(tmp_path), "pool", dimension=2, metric="Cosine") as pool:
        filled(lambda vectors, payloads: pool.upsert(range(22), vectors.astype("f4"), payloads))
    saved = tmp_path / "state.json"
    rows: dict[int, int] = {}
    for lines in (1, 9, 26):
        words = [sys.executable, "-c", TRAINING, str(tmp_path), str(saved)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as training:
            assert training.stdout
            read = [next(training.stdout) for _ in range(lines)]
            training.send_signal(signal.SIGKILL)
            read += [line for line in training.stdout if line.endswith("\n")]
        for line in read:
            row, point = map(int, line.split())
            assert rows.setdefault(row, point) == point
    with open_collection(str(tmp_path), "pool") as pool:
        mixed = stream(pool, OnlineMixture([*SIZES]))
        for row in range(max(rows) + 1):
            drawn = mixed.next()
            assert rows[row] == drawn.record.id
            mixed.mixture.update(drawn.source, 1.0 + drawn.record.id % 3, drawn.chance)


@pytest.mark.parametrize(
    ("sources", "field", "words"),
    [
        (["web", "wbe"], "source", r"the source 'wbe' in the field 'source' \(there are code, law"),
        (["web"], "sauce", r"in the field 'sauce' \(there are none\)"),
        (["web", "x"], "n", "no point has the source 'web' in the field 'n'"),
    ],
)
def test_a_source_that_no_point_has_is_named(
    collection: Collection, sources: list[str], field: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        MixedStream(collection, field, OnlineMixture(sources)).next()


@pytest.mark.parametrize("wrong", [{"minibatch": 0}, {"epochs": 0}, {"seed": -1}])
def test_settings_of_a_stream_that_cannot_be_right(collection: Collection, wrong: Any) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} is"):
        stream(collection, **wrong)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"form": 9}, "no state of a stream"),
        ({"seed": 5}, "saved with seed '5' and is made with '0'"),
        ({"field": "lang"}, "saved with field 'lang'"),
        ({"cursors": {"web": {"epoch": -1}}}, "is no cursor"),
        ({"ahead": [["z", 0.5]]}, "unknown source 'z'"),
        ({"ahead": [3]}, "no state of a stream"),
        ({"mixture": {}}, "no state of a stream"),
        ({"rows": None}, "no state of a stream"),
    ],
)
def test_what_is_no_state_of_a_stream(collection: Collection, change: Any, words: str) -> None:
    mixed = stream(collection)
    ids(mixed, 3)
    before = mixed.state_dict()
    with pytest.raises(StateError, match=words):
        mixed.load_state_dict({**before, **change})
    assert mixed.state_dict() == before
