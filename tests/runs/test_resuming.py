"""An interrupted selection goes on from what it had searched, to the same bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_oracle import OtherCollection, clustered_rows, edge_pool, near_queries
from profiles import reuses_folder

from tsds_qdrant import Keeping, new_run, reselect
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.reserved import SEQUENCE_FIELD
from tsds_qdrant.errors import OutputError, SupportError, UnreachableError
from tsds_qdrant.neighbors import remembering
from tsds_qdrant.runs import kept
from tsds_qdrant.runs.resuming import CHANGED, OTHER, WITHOUT_STATE, searches_path
from tsds_qdrant.runs.run import Run
from tsds_qdrant.runs.searches_file import opened
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.selection.results import manifest, write_results
from tsds_qdrant.selection.settings import SelectionSettings

STRATEGIES = ("tsds", "round-robin", "similarity-max", "similarity-mean")
EXACT, WALKED = "exact", "walked"


class Interrupted(OtherCollection):
    """Fails for good at request number ``at``, counted over all that asks Qdrant."""

    def __init__(self, collection: Any, at: int, error: type[BaseException] = UnreachableError):
        super().__init__(collection)
        self.left, self.error, self.searches = at, error, 0

    def _ask(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error("the server is gone" if self.error is UnreachableError else "")

    def search(self, vectors: Any, **asked: Any) -> Any:
        self._ask()
        self.searches += len(vectors)
        return self.collection.search(vectors, **asked)

    def retrieve(self, *words: Any, **asked: Any) -> Any:
        self._ask()
        return self.collection.retrieve(*words, **asked)

    def count(self, *words: Any) -> int:
        self._ask()
        return self.collection.count(*words)


def interrupted(collection: Any, at: int, error: type[BaseException] = UnreachableError) -> Any:
    return Interrupted(collection, at, error)


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "FIRST_ROWS", 3)
    monkeypatch.setattr(remembering, "SLICE_S", 0.0)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return clustered_rows(10_500, 48, 300)


@pytest.fixture(scope="module")
def pools(rows: np.ndarray) -> Iterator[dict[str, EdgeCollection]]:
    with edge_pool(rows[:700]) as small, edge_pool(rows, optimized=True) as graph:
        yield {EXACT: small, WALKED: graph}


def settings_of(strategy: str, size: int = 12, **changes: Any) -> SelectionSettings:
    return SelectionSettings.of(strategy, sizes=(size // 2, size), seed=3, **changes)


def written(collection: Any, run: Run, folder: Path) -> dict[str, Any]:
    """What a run leaves on disk that must not depend on interruptions."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    paths = [*write_results(collection, run.selection, folder / "s.jsonl", queries={})]
    told = manifest(run.selection, queries={})
    for name in [name for name in told["search"] if name not in ("exact", "why", "ef")]:
        if name not in ("densities_needed", "densities_capped"):
            del told["search"][name]
    del told["seconds"]
    lines = {path.name: path.read_bytes() for path in paths if path.suffix == ".jsonl"}
    return {**lines, "manifest": json.dumps(told, sort_keys=True)}


def arrays_of(state: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in RunState(state).arrays().items()}


def begin(collection: Any, state: Path, settings: SelectionSettings, queries: Any) -> Run:
    return new_run(collection, queries, settings, state=state)


@pytest.fixture(scope="module")
def plain(
    pools: dict[str, EdgeCollection], rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], tuple[dict[str, Any], dict[str, bytes], Interrupted]]:
    """What an undisturbed run of a strategy gives, its state, and how often it asked."""
    known: dict[tuple[str, str], Any] = {}

    def made(pool: str, strategy: str) -> Any:
        if (pool, strategy) not in known:
            folder = tmp_path_factory.mktemp("plain")
            counted = interrupted(pools[pool], 10**9)
            run = begin(counted, folder / "run", settings_of(strategy), near_queries(rows, 9))
            found = written(pools[pool], run, folder / "out")
            known[pool, strategy] = found, arrays_of(folder / "run"), counted
        return known[pool, strategy]

    return made


@pytest.mark.slow
@reuses_folder
@given(
    pool=st.sampled_from([EXACT, WALKED]),
    strategy=st.sampled_from(STRATEGIES),
    shares=st.lists(st.floats(0, 0.99), min_size=1, max_size=4),
)
def test_whichever_request_fails_the_same_command_goes_on(
    pool: str,
    strategy: str,
    shares: list[float],
    pools: dict[str, EdgeCollection],
    rows: np.ndarray,
    plain: Any,
    tmp_path: Path,
) -> None:
    wanted, arrays, counted = plain(pool, strategy)
    requests = 10**9 - counted.left
    state, queries = tmp_path / "task.run", near_queries(rows, 9)
    for left in tmp_path.glob("task.run*"):
        left.unlink()
    settings, asked, run = settings_of(strategy), 0, None
    for at in [*(int(share * requests) for share in shares), 10**9]:
        broken = interrupted(pools[pool], at)
        try:
            run = begin(broken, state, settings, queries)
        except UnreachableError as error:
            said = str(error)
            there = searches_path(state).exists()
            assert not state.exists()
            assert ("searches are kept in" in said) == there
            assert said.endswith(("goes on from there", "begins again"))
        asked += broken.searches
        if run is not None:
            break
    assert run is not None
    assert written(pools[pool], run, tmp_path / "out") == wanted
    assert arrays_of(state) == arrays
    assert [path.name for path in tmp_path.glob("task.run*")] == ["task.run"]
    # Nothing that was answered is asked again.
    assert asked <= counted.searches
    assert run.selection.counts.kept_searches + broken.searches == counted.searches
    assert bool(run.note) == bool(run.selection.counts.kept_searches)


def broken_off(collection: Any, state: Path, settings: SelectionSettings, queries: Any) -> str:
    """Begin a run that loses its server at its last request; return what was said."""
    counted = interrupted(collection, 10**9)
    begin(counted, state.with_name("whole"), settings, queries)
    with pytest.raises(UnreachableError) as raised:
        begin(interrupted(collection, 10**9 - counted.left - 1), state, settings, queries)
    assert searches_path(state).exists()
    return str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_kept_is_used_once_the_collection_has_changed(
    strategy: str, rows: np.ndarray, tmp_path: Path
) -> None:
    queries, settings = near_queries(rows, 9), settings_of(strategy)
    new = near_queries(rows, 1, seed=5).astype(np.float32)
    changes: list[Callable[[Any], Any]] = [
        lambda pool: pool.upsert([5_000], new),
        lambda pool: pool.delete([3]),
        lambda pool: (pool.delete([4]), pool.upsert([5_001], new)),
    ]
    for number, change in enumerate(changes):
        with edge_pool(rows[:700]) as pool:
            state = tmp_path / f"{number}.run"
            broken_off(pool, state, settings, queries)
            change(pool)
            run = begin(pool, state, settings, queries)
            again = begin(pool, tmp_path / f"{number}.again", settings, queries)
            assert (run.note, run.selection.counts.kept_searches) == (CHANGED, 0)
            out = tmp_path / "out"
            assert written(pool, run, out) == written(pool, again, out)


def test_a_vector_changed_in_place_shows_where_it_is_read_again(
    rows: np.ndarray, tmp_path: Path
) -> None:
    queries, settings = near_queries(rows, 9), settings_of("tsds")
    with edge_pool(rows[:700]) as pool:
        whole = begin(pool, tmp_path / "first", settings, queries)
        broken_off(pool, tmp_path / "run", settings, queries)
        chosen = whole.selection.selected_ids[0]
        pool.upsert([chosen], queries[:1].astype(np.float32))
        run = begin(pool, tmp_path / "run", settings, queries)
        again = begin(pool, tmp_path / "again", settings, queries)
        assert run.note == CHANGED
        assert written(pool, run, tmp_path / "out") == written(pool, again, tmp_path / "out")
        assert arrays_of(tmp_path / "run") == arrays_of(tmp_path / "again")


@pytest.mark.parametrize("way", ["sequence", "field"])
def test_other_ways_to_look_for_changes_see_them_too(
    way: str, rows: np.ndarray, tmp_path: Path
) -> None:
    queries, settings = near_queries(rows, 9), settings_of("tsds")
    keeping = Keeping(since_field="at") if way == "field" else Keeping()
    payloads = [{"at": k // 10, SEQUENCE_FIELD: 1} for k in range(701)]
    for number, grown in enumerate((False, True)):
        with edge_pool(rows[:700], payloads=payloads[:700]) as pool:
            pool.index_payload("at")
            if way == "sequence":
                pool.update_metadata({"sequence": 1, "settled": 1})
            state = tmp_path / f"{number}.run"
            failing = interrupted(pool, 12)
            with pytest.raises(UnreachableError):
                new_run(failing, queries, settings, state=state, keeping=keeping)
            if grown:
                pool.upsert([700], rows[700:701].astype(np.float32), payloads[700:])
                if way == "sequence":
                    pool.update_metadata({"sequence": 2, "settled": 2})
            run = new_run(pool, queries, settings, state=state, keeping=keeping)
            assert (run.note == CHANGED) == grown
            assert (run.selection.counts.kept_searches > 0) == (not grown)


def test_another_task_begins_again(
    pools: dict[str, EdgeCollection], rows: np.ndarray, tmp_path: Path
) -> None:
    pool, queries, settings = pools[EXACT], near_queries(rows, 9), settings_of("tsds")
    others: list[tuple[SelectionSettings, Any]] = [
        (settings.altered(seed=4), queries),
        (settings.altered(alpha=0.5), queries),
        (settings_of("round-robin"), queries),
        (settings, near_queries(rows, 9, seed=2)),
        (settings, queries[:8]),
    ]
    for number, (asked, task) in enumerate(others):
        state = tmp_path / f"{number}.run"
        broken_off(pool, state, settings, queries)
        run = begin(pool, state, asked, task)
        assert (run.note, run.selection.counts.kept_searches) == (OTHER, 0)
        wanted = begin(pool, tmp_path / f"{number}.plain", asked, task)
        out = tmp_path / "out"
        assert written(pool, run, out) == written(pool, wanted, out)
        assert not searches_path(state).exists()


def test_what_is_said_without_a_state(pools: dict[str, EdgeCollection], rows: np.ndarray) -> None:
    with pytest.raises(UnreachableError, match=f"gone; {WITHOUT_STATE}$"):
        new_run(interrupted(pools[EXACT], 4), near_queries(rows, 9), settings_of("tsds"))


def test_ctrl_c_keeps_too(
    pools: dict[str, EdgeCollection], rows: np.ndarray, tmp_path: Path
) -> None:
    queries, settings = near_queries(rows, 9), settings_of("tsds")
    state = tmp_path / "task.run"
    with pytest.raises(
        KeyboardInterrupt, match=r"^\d+ searches are kept in .* goes on from there$"
    ):
        begin(interrupted(pools[EXACT], 14, KeyboardInterrupt), state, settings, queries)
    assert begin(pools[EXACT], state, settings, queries).note.startswith("went on from ")


def test_what_cannot_be_written_is_no_reason_to_search_again(
    pools: dict[str, EdgeCollection], rows: np.ndarray, tmp_path: Path
) -> None:
    queries, settings = near_queries(rows, 9), settings_of("tsds")

    def fail(selection: object) -> None:
        raise OutputError("no room")

    state = tmp_path / "task.run"
    with pytest.raises(OutputError, match=r"^no room; \d+ searches are kept in "):
        new_run(pools[EXACT], queries, settings, state=state, keeping=Keeping(deliver=fail))
    last = interrupted(pools[EXACT], 10**9)
    run = begin(last, state, settings, queries)
    assert last.searches == 0 < run.selection.counts.kept_searches


def test_nothing_is_kept_of_what_would_fail_again(
    pools: dict[str, EdgeCollection], rows: np.ndarray, tmp_path: Path
) -> None:
    settings = settings_of("tsds", size=600, alpha=0.9)
    with pytest.raises(SupportError):
        begin(pools[EXACT], tmp_path / "task.run", settings, near_queries(rows, 9))
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_used(
    pools: dict[str, EdgeCollection], rows: np.ndarray, tmp_path: Path
) -> None:
    pool, queries, settings = pools[EXACT], near_queries(rows, 9), settings_of("tsds")
    state = tmp_path / "task.run"
    path = searches_path(state)
    # Somebody else's file is left alone.
    for foreign in (b"", b"mine", b"SQLite format 3\0" + bytes(200)):
        path.write_bytes(foreign)
        assert begin(pool, state, settings, queries).note == ""
        assert path.read_bytes() == foreign
        path.unlink()
        state.unlink()
    # A broken one of ours is begun again.
    broken_off(pool, state, settings, queries)
    content = path.read_bytes()
    for broken in (content[: len(content) // 2], content[:5_000] + bytes(len(content) - 5_000)):
        path.write_bytes(broken)
        run = begin(pool, state, settings, queries)
        assert run.selection.selected_ids
        assert not path.exists()
        state.unlink()
    # One that another process holds is left to that.
    broken_off(pool, state, settings, queries)
    with closing(opened(path)) as database:
        database.execute("SELECT * FROM facts").fetchone()
        with pytest.raises(UnreachableError, match="no search is kept, as another process holds"):
            begin(interrupted(pool, 14), state, settings, queries)
        assert begin(pool, state, settings, queries).selection.counts.kept_searches == 0
    assert path.exists()


def test_a_full_disk_ends_the_keeping_and_not_the_selection(
    pools: dict[str, EdgeCollection],
    rows: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plain: Any,
) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 1)
    monkeypatch.setattr(kept, "WRITE_EVERY_S", 0.0)
    queries, settings = near_queries(rows, 9), settings_of("tsds")
    state = tmp_path / "task.run"
    with pytest.raises(UnreachableError, match="3 searches are kept"):
        begin(interrupted(pools[EXACT], 14), state, settings, queries)
    run = begin(pools[EXACT], state, settings, queries)
    assert run.selection.counts.kept_searches == 3
    assert written(pools[EXACT], run, tmp_path / "out") == plain(EXACT, "tsds")[0]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_interrupted_reselection_goes_on(
    strategy: str, rows: np.ndarray, tmp_path: Path
) -> None:
    queries, settings = near_queries(rows, 9), settings_of(strategy)
    with edge_pool(rows[:700]) as pool:
        begin(pool, tmp_path / "task.run", settings, queries)
        shutil.copy(tmp_path / "task.run", tmp_path / "plain.run")
        pool.upsert(range(700, 760), rows[700:760].astype(np.float32))
        pool.delete(range(20))
        wanted = reselect(tmp_path / "plain.run", collection=pool)
        before = RunState(tmp_path / "task.run").facts()
        said = set()
        for at in range(100):
            failing = interrupted(pool, at)
            try:
                done = reselect(tmp_path / "task.run", collection=failing)
            except UnreachableError as error:
                said.add("goes on from there" in str(error))
                assert RunState(tmp_path / "task.run").facts() == before
            else:
                break
        assert True in said
        assert done.selection.selected_ids == wanted.selection.selected_ids
        assert arrays_of(tmp_path / "task.run") == arrays_of(tmp_path / "plain.run")
        assert done.note.startswith("went on from ")
        assert (done.difference.added, done.difference.removed) == (
            wanted.difference.added,
            wanted.difference.removed,
        )
