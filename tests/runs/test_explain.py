"""Explanations against brute force, and alphas at which points enter against solving there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from commands import run as run_command
from conftest import MakeCollection
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import brute_densities, cut, full_lists, pairwise_distances, random_instance
from pool_oracle import clustered_rows, edge_pool, near_queries, probabilities_of
from profiles import examples

from tsds_qdrant import Keeping, SelectionSettings, begin_run, reselect, select
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import SEQUENCE_FIELD
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError
from tsds_qdrant.runs.explain import explain
from tsds_qdrant.runs.reopen import reopen
from tsds_qdrant.runs.run import Run
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.selection.explanation import Explanation, PointExplanation
from tsds_qdrant.selection.sampling import draw
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.transport import solve_transport
from tsds_qdrant.solver.turning import Turn, turn_of
from tsds_qdrant.strategies.tsds.reasons import Terms, TransportReasons

NEAR = 1e-6
"""Relative distance from a turn at which solutions are looked at."""


def turns_by_solving(x: Any, regularizer: Any, alpha: float) -> Any:
    """(N,) whether p > 0 at ``alpha`` in the whole problem."""
    problem = replace(x, alpha=alpha).problem(regularizer=regularizer)
    return solve_transport(problem).probabilities > 0


@settings(max_examples=examples(150), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    ties=st.booleans(),
    regularizer=st.sampled_from(["kde", "uniform"]),
    whole=st.booleans(),
)
def test_a_turn_is_where_solutions_turn(
    seed: int, ties: bool, regularizer: Any, whole: bool
) -> None:
    x = random_instance(seed, ties=ties)
    weights = x.weights(regularizer)
    lists = full_lists(x.distances) if whole else cut(x, seed)
    rng = np.random.default_rng(seed)
    known = np.ones(len(weights), dtype=np.bool_)
    if not whole:
        known = rng.random(len(weights)) < 0.7
    guessed = np.where(known, 1 / weights, 1 + 3 * rng.random(len(weights)))
    sweep = Sweep.over(lists, guessed, x.query_weights)
    total = float(weights[known].sum())
    for candidate in range(len(weights)):
        turn = turn_of(sweep, known, x.cost_scale, total, candidate)
        assert turn.exact or not whole
        above = turn.alpha * (1 + NEAR)
        if above < 1:
            assert not turns_by_solving(x, regularizer, above)[candidate]
        if turn.exact:
            assert turns_by_solving(x, regularizer, turn.alpha * (1 - NEAR))[candidate]


def test_a_turn_in_the_pool_regime() -> None:
    x = random_instance(3, queries=1, candidates=9)
    sweep = Sweep.over(full_lists(x.distances), x.densities, x.query_weights)
    known = np.ones(len(x.densities), dtype=np.bool_)
    last = int(np.argmax(x.distances[0]))
    turn = turn_of(sweep, known, x.cost_scale, 0.0, last)
    below = solve_transport(replace(x, alpha=turn.alpha * (1 - NEAR)).problem())
    assert below.regime == "pool"
    assert solve_transport(replace(x, alpha=turn.alpha * (1 + NEAR)).problem()).regime != "pool"


POOL: Any = clustered_rows(240, 5, 6, spread=0.4)
QUERIES: Any = near_queries(POOL, 7)
H = 0.9
WANTED = SelectionSettings.of(
    sizes=(5, 20), alpha=0.5, cost_scale=1.0, bandwidth=H, exact=True, seed=3
)
TEXTS = [f"example {row}" if row != 2 else "" for row in range(len(QUERIES))]
DISTANCES = pairwise_distances(QUERIES, POOL, "Euclid")


@contextmanager
def reopened(directory: Path, wanted: SelectionSettings = WANTED, **pool: Any) -> Iterator[Run]:
    payloads = pool.pop("payloads", [{"text": f"text {k}"} for k in range(len(POOL))])
    with edge_pool(POOL, payloads=payloads, **pool) as collection:
        yield begun(directory, collection, wanted)


def begun(directory: Path, collection: Collection, wanted: SelectionSettings = WANTED) -> Run:
    keeping = Keeping(query_facts={"source": "Q.npy", "texts": TEXTS})
    state, _ = begin_run(directory / "run", collection, QUERIES, wanted, keeping=keeping)
    return reopen(state, collection)


def flat(point: PointExplanation) -> Any:
    """``point`` with the reasons of its strategy beside what is said of all points."""
    return SimpleNamespace(**{**vars(point.reasons), **vars(point)})


def points_of(run: Run, ids: Any, **options: Any) -> list[Any]:
    return [flat(point) for point in explain(run, ids, **options).points]


def explained(run: Run, **options: Any) -> dict[PointId, Any]:
    return {point.id: point for point in points_of(run, range(len(POOL)), **options)}


def positive(run: Run, alpha: float) -> set[PointId]:
    """Ids with p > 0 in a selection from scratch."""
    collection = run.known.neighborhoods.searcher.collection
    wanted = run.selection.settings.altered(sizes=(), alpha=alpha)
    return {i for i, p in probabilities_of(select(collection, QUERIES, wanted)).items() if p > 0}


def check_turn(run: Run, point: Any) -> None:
    """Compare the alpha of ``point`` with selections from scratch just beside it."""
    assert point.turn is not None
    above = point.turn.alpha * (1 + NEAR)
    assert above >= 1 or point.id not in positive(run, above)
    if point.turn.exact:
        assert point.id in positive(run, point.turn.alpha * (1 - NEAR))
    assert (point.probability > 0) <= (run.selection.transport.alpha <= point.turn.alpha)


def chosen(points: dict[PointId, Any], verdict: str, most: int) -> list[Any]:
    """Some points of one verdict, spread over all of them."""
    found = [point for point in points.values() if point.verdict == verdict]
    assert found, verdict
    return found[:: max(1, len(found) // most)]


@pytest.mark.parametrize("regularizer", ["kde", "uniform"])
def test_every_point_of_a_run(tmp_path: Path, regularizer: Any) -> None:
    wanted = WANTED.altered(regularizer=regularizer)
    with reopened(tmp_path, wanted) as run:
        points = explained(run, searches=0)
        p = probabilities_of(run.selection)
        for verdict in ("drawn", "not drawn", "no mass", "not fetched"):
            for point in chosen(points, verdict, 2):
                assert point.probability == p.get(point.id, 0.0)
                assert point.text == f"text {point.id}"
                assert point.arrived is False
                check_turn(run, point)


def test_who_sends_mass(tmp_path: Path) -> None:
    order = np.argsort(DISTANCES, axis=1, kind="stable")
    with reopened(tmp_path) as run:
        for point in explained(run).values():
            number = int(point.id)
            for one in point.listings:
                assert one.distance == pytest.approx(DISTANCES[one.query, number], abs=1e-6)
                assert order[one.query, one.neighbor - 1] == number
                assert one.text == TEXTS[one.query]
                assert (one.mass > 0) == (one.neighbor <= one.used) == (point.probability > 0)
            if point.probability > 0:
                masses = [one.mass for one in point.listings]
                assert masses == sorted(masses, reverse=True)
                assert sum(masses) == pytest.approx(point.probability, rel=1e-12)
                assert sum(one.share for one in point.listings) == pytest.approx(1.0)
            elif point.listings:
                behind = [one.neighbor - one.used for one in point.listings]
                assert behind == sorted(behind)


def test_density_and_near_duplicates(tmp_path: Path) -> None:
    densities = brute_densities(POOL, H)
    between = pairwise_distances(POOL, POOL, "Euclid")
    with reopened(tmp_path) as run:
        p = probabilities_of(run.selection)
        ranks = {i: rank for rank, i in enumerate(run.selection.selected_ids)}
        for point in explained(run).values():
            number = int(point.id)
            assert point.density == pytest.approx(densities[number], abs=1e-5)
            assert point.density_whole
            near = [k for k in np.flatnonzero(between[number] < H).tolist() if k != number]
            assert point.duplicate_count == len(near)
            told = [one.id for one in point.duplicates]
            assert set(told) <= set(near)
            assert len(told) == min(len(near), 20)
            for one in point.duplicates:
                assert one.distance == pytest.approx(between[number, int(one.id)], abs=1e-6)
                assert (one.probability, one.rank) == (p.get(one.id, 0.0), ranks.get(one.id))
                assert one.text == f"text {one.id}"
            assert [one.distance for one in point.duplicates] == sorted(
                one.distance for one in point.duplicates
            )


def test_without_a_bandwidth_nothing_is_near(tmp_path: Path) -> None:
    with reopened(tmp_path, WANTED.altered(bandwidth=0.0)) as run:
        for point in explained(run).values():
            assert (point.density, point.duplicates) == (None, ())


@pytest.mark.parametrize("sampler", ["stable", "top"])
def test_what_it_would_have_taken_to_be_drawn(tmp_path: Path, sampler: Any) -> None:
    with reopened(tmp_path, WANTED.altered(sampler=sampler)) as run:
        selection = run.selection
        p = selection.probabilities
        whole = draw(
            p, selection.keys, run.selection.transport.solution.support, sampler=sampler, seed=3
        )
        order = [selection.ids[row] for row in whole.candidates.tolist()]
        for point in explained(run).values():
            assert point.rank == (order.index(point.id) if point.probability else None)
            assert [one.size for one in point.samples] == ([5, 20] if point.probability else [])
            for one in point.samples:
                drawn = point.rank is not None and point.rank < one.size
                assert (one.rank, one.weight) == ((point.rank, 1) if drawn else (None, 0))
                assert (one.needed is None) == drawn
                assert (one.chance is None) == (sampler == "top")
                if one.needed is None:
                    continue
                row = selection.ids.index(point.id)
                for factor, found in ((1 + 1e-9, True), (1 - 1e-9, False)):
                    other = p.copy()
                    other[row] = one.needed * factor
                    again = draw(other, selection.keys, one.size, sampler=sampler, seed=3)
                    assert (row in again.candidates) == found


def test_draws_with_replacement(tmp_path: Path) -> None:
    with reopened(tmp_path, WANTED.altered(sampler="multinomial")) as run:
        sample = run.selection.samples[20]
        weights = dict(zip(sample.candidates.tolist(), sample.weights.tolist(), strict=True))
        for point in chosen(explained(run), "drawn", 5) + chosen(explained(run), "not drawn", 5):
            last = point.samples[-1]
            assert last.weight == weights.get(run.selection.ids.index(point.id), 0)
            assert last.needed is point.rank is None
            assert last.chance == pytest.approx(1 - (1 - point.probability) ** 20)


def test_searches_make_bounds_exact(tmp_path: Path) -> None:
    with reopened(tmp_path) as run:
        listed = run.selection.transport.solution.problem.lists.candidates
        zero = [k for k in np.unique(listed).tolist() if not run.selection.probabilities[k]]
        ids = [run.selection.ids[k] for k in zero[:: max(1, len(zero) // 8)]]
        few = explain(run, ids, searches=0)
        assert few.searches <= len(ids)
        before = [flat(point) for point in few.points]
        assert any(point.turn and not point.turn.exact for point in before)
        many = explain(run, ids)
        assert many.searches > 0
        after = [flat(point) for point in many.points]
        for bound, point in zip(before, after, strict=True):
            assert bound.turn is not None
            assert point.turn is not None
            assert point.turn.exact
            assert point.turn.alpha <= bound.turn.alpha
        for point in after[::3]:
            check_turn(run, point)


def test_points_that_were_never_fetched(tmp_path: Path) -> None:
    with reopened(tmp_path) as run:
        lists = run.selection.transport.solution.problem.lists
        for point in chosen(explained(run, searches=0), "not fetched", 999):
            number, far = int(point.id), point.unfetched
            assert far is not None
            assert far.query == np.argmin(DISTANCES[:, number])
            assert far.text == TEXTS[far.query]
            assert far.distance == pytest.approx(DISTANCES[far.query, number], abs=1e-3)
            assert far.depth == lists.depths[far.query]
            assert far.end == lists.distances[lists.offsets[far.query + 1] - 1]
            assert far.end <= far.distance + 1e-3
            assert far.missed_by is None
            assert point.listings == point.samples == ()


def test_a_walk_that_missed_a_point_is_told(tmp_path: Path) -> None:
    with reopened(tmp_path) as run:
        problem = run.selection.transport.solution.problem
        missed = int(problem.lists.candidates[1])
        keep = problem.lists.candidates != missed
        rows = [
            slice(*problem.lists.offsets[row : row + 2].tolist()) for row in range(len(QUERIES))
        ]
        known = run.known.neighborhoods
        known.candidates = [problem.lists.candidates[row][keep[row]] for row in rows]
        known.distances = [problem.lists.distances[row][keep[row]] for row in rows]
        lists = known.lists
        solution = solve_transport(replace(problem, lists=lists))
        evidence = replace(run.selection.transport, solution=solution)
        p = solution.probabilities
        preference = replace(
            run.selection.preference,
            evidence=evidence,
            probabilities=p,
            candidates=np.flatnonzero(p),
        )
        broken = replace(run, selection=replace(run.selection, preference=preference))
        (point,) = points_of(broken, [run.selection.ids[missed]])
        assert point.unfetched is not None
        assert point.unfetched.missed_by is not None


def test_the_regularizer_tv(tmp_path: Path) -> None:
    wanted = WANTED.altered(regularizer="tv", bandwidth=None, alpha=0.6)
    with reopened(tmp_path, wanted) as run:
        points = explained(run)
        p = probabilities_of(run.selection)
        alphas = {p.id: p.turn.alpha for p in points.values() if p.turn is not None}
        assert len(alphas) == len(POOL)
        for point in points.values():
            assert point.probability == p.get(point.id, 0.0)
            assert (point.probability > 0) == (point.turn is not None and point.turn.alpha >= 0.6)
        for alpha in (0.4, 0.6, 0.9):
            inside = positive(run, alpha)
            for point_id, turn in alphas.items():
                if abs(turn - alpha) > 1e-4:
                    assert (point_id in inside) == (turn > alpha)


@pytest.mark.slow
def test_every_engine(make_collection: MakeCollection, tmp_path: Path) -> None:
    ids: list[PointId] = [
        k if k % 2 else f"00000000-0000-4000-8000-{k:012x}" for k in range(len(POOL))
    ]
    payloads = [{"text": f"text {k}", SEQUENCE_FIELD: 1} for k in range(len(POOL))]
    collection = make_collection(
        metric="Euclid", vectors=POOL, ids=ids, payloads=payloads, name="pool"
    )
    run = begun(tmp_path, collection)
    drawn = run.selection.selected_ids[0]
    far = ids[int(np.argmax(DISTANCES.min(axis=0)))]
    explanation = explain(run, [drawn, far, drawn])
    assert [point.id for point in explanation.points] == [drawn, far]
    assert [point.verdict for point in explanation.points] == ["drawn", "not fetched"]
    assert explanation.points[0].rank == 0
    (again,) = explain(run, [str(drawn).upper() if isinstance(drawn, str) else drawn]).points
    assert again == explanation.points[0]


def test_points_that_are_no_candidates(tmp_path: Path) -> None:
    payloads = [{"lang": "en" if k % 3 else "de"} for k in range(len(POOL))]
    where = {"must": [{"key": "lang", "match": {"value": "en"}}]}
    with reopened(tmp_path, WANTED.altered(where=where), payloads=payloads) as run:
        points = explained(run)
        for k in range(len(POOL)):
            assert (points[k].verdict == "filtered out") == (k % 3 == 0)
        taken = run.selection.selected_ids[0]
        run.known.neighborhoods.set_excluded(run.known.neighborhoods.index.lookup([taken]))
        (point,) = points_of(run, [taken])
        assert (point.verdict, point.turn) == ("kept out", None)


@pytest.mark.parametrize("way", ["ids", "sequence"])
def test_points_that_came_since(tmp_path: Path, way: str) -> None:
    metadata = {"sequence": 1, "settled": 1} if way == "sequence" else {}
    collection = EdgeCollection.create(
        str(tmp_path), "pool", dimension=POOL.shape[1], metric="Euclid", metadata=metadata
    )
    collection.upsert(range(len(POOL)), POOL, [{SEQUENCE_FIELD: 1} for _ in POOL])
    run = begun(tmp_path, collection)
    collection.upsert([1_000], QUERIES[:1], [{SEQUENCE_FIELD: 2}])
    new, old = points_of(run, [1_000, 0])
    assert (new.verdict, new.arrived, old.arrived) == ("not fetched", True, False)
    assert new.unfetched is not None
    assert new.unfetched.missed_by == 0
    if way == "sequence":
        collection.update_metadata({"sequence": 2, "settled": 2})
    reselect(tmp_path / "run", collection=collection)
    (now,) = points_of(reopen(RunState(tmp_path / "run"), collection), [1_000])
    assert (now.arrived, now.probability > 0) == (False, True)
    assert now.turn == Turn(1.0, exact=True)
    collection.close()


def test_points_that_are_not_there(tmp_path: Path) -> None:
    with reopened(tmp_path) as run:
        with pytest.raises(InputError, match="no point 12345 in collection 'pool'; check the id"):
            explain(run, [12345])
        with pytest.raises(InputError, match="'seven' is no point id"):
            explain(run, ["seven"])
        taken = run.selection.selected_ids[0]
        run.known.neighborhoods.searcher.collection.delete([taken])
        with pytest.raises(InputError, match=f"point {taken} is no longer .*reselect"):
            explain(run, [taken])
        with pytest.raises(InputError, match=f"no point 12345 in .*point {taken} is no longer"):
            explain(run, [12345, taken])


def test_points_that_left_do_not_keep_others_from_being_explained(tmp_path: Path) -> None:
    with reopened(tmp_path) as run:
        drawn = run.selection.selected_ids
        others = [drawn[1], 5, drawn[2]]
        alone = [point.as_dict() for point in explain(run, others).points]
        run.known.neighborhoods.searcher.collection.delete([drawn[0]])
        found = explain(run, [others[0], drawn[0], 5, 77_777, others[2], drawn[0]])
        assert [point.as_dict() for point in found.points] == alone
        assert list(found.missing) == [drawn[0], 77_777]
        assert "is no longer in collection 'pool'" in found.missing[drawn[0]]
        assert "there is no point 77777" in found.missing[77_777]
        listed = [one["id"] for one in json.loads(json.dumps(found.as_dict()))["missing"]]
        assert listed == [drawn[0], 77_777]


def test_a_point_without_a_vector_of_that_name_or_a_text(tmp_path: Path) -> None:
    with reopened(tmp_path, payloads=[{} for _ in POOL]) as run:
        (point,) = explain(run, [5]).points
        assert point.text == ""


def test_nothing_is_stored(tmp_path: Path) -> None:
    with reopened(tmp_path) as run:
        explained(run)
        state = RunState(tmp_path / "run")
        assert len(state.runs()) == 1
        assert (
            reopen(state, run.known.neighborhoods.searcher.collection).selection.transport.alpha
            == 0.5
        )


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    collection = EdgeCollection.create("store", "pool", dimension=POOL.shape[1], metric="Euclid")
    texts = [f"text {k}\x1b[31m {'very ' * 40}long" for k in range(len(POOL))]
    collection.upsert(range(len(POOL)), POOL, [{"text": text} for text in texts])
    explanation = explain(begun(tmp_path, collection), range(len(POOL)))
    collection.close()
    points = {point.id: point for point in explanation.points}
    few = [chosen(points, verdict, 1)[0] for verdict in VERDICTS]
    words = ["explain", "run", *(word for point in few for word in ("--id", point.id))]
    told = json.loads(run_command(*words, "--json").stdout)
    assert told.keys() == explanation.as_dict().keys()
    assert [point["id"] for point in told["points"]] == [point.id for point in few]
    for shown, point in zip(told["points"], few, strict=True):
        assert shown["text"] == texts[int(point.id)]
        assert shown["verdict"] == point.verdict
        assert shown["probability"] == pytest.approx(point.probability)
    plain = run_command(*words)
    assert plain.stderr == ""
    assert "\x1b" not in plain.stdout
    parts = plain.stdout.split("\n\n")
    assert [part.split(":")[0] for part in parts] == [str(point.id) for point in few]
    for part, point in zip(parts, few, strict=True):
        assert VERDICTS[point.verdict] in part
        assert f'"text {point.id} ' in part
        assert "p > 0 " in part
        assert max(map(len, part.splitlines())) < 200
    assert "no point 4444 in" in run_command("explain", "run", "--id", "4444", code=1).stderr
    assert "'x' is no point id" in run_command("explain", "run", "--id", "x", code=1).stderr
    assert "no run state" in run_command("explain", "none", "--id", "1", code=1).stderr
    run_command("explain", "run", code=2)


VERDICTS = {
    "drawn": "selected, rank ",
    "not drawn": "not selected, though it has p",
    "no mass": "nearer candidates use up",
    "not fetched": "farther from every task example",
}


def test_words_for_what_is_rare() -> None:
    from tsds_qdrant.cli.explained import lines_of

    def spoken(verdict: str, turn: Turn | None = None, arrived: bool | None = None) -> str:
        reasons = TransportReasons(turn=turn, terms=Terms(0.5, 0.9, 7))
        point = PointExplanation(1, "", verdict, reasons=reasons, arrived=arrived)
        whole = Explanation("tsds", {}, "stable", 9, 99, 7, (point,))
        return "\n".join(lines_of(whole))

    assert "leaves it out" in spoken("filtered out")
    assert "copy of a test item" in spoken("kept out")
    assert spoken("no vector") == "1: no candidate, it has no vector"
    assert "no candidate, its vector is zero" in spoken("zero vector")
    assert "run 'tsds-qdrant reselect'" in spoken("lost vector")
    bound = spoken("not fetched", Turn(0.4, exact=False), arrived=True)
    assert "run 'tsds-qdrant reselect'" in bound
    assert "only below some alpha under 0.4 (now 0.5)" in bound
    assert "p > 0 at every alpha" in spoken("no mass", Turn(1.0, exact=True))
    close = spoken("no mass", Turn(0.50000004, exact=True))
    assert "below alpha 0.50000004 (now 0.5)" in close
