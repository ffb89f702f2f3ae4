"""GradEx against its worked numbers, against retraining, and on sources of a collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import add_made, kept_as, plain_pool
from profiles import examples
from scipy.optimize import minimize
from scipy.stats import spearmanr

from tsds_qdrant import SelectionSettings, TaskExamples, explain, new_run, select
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import InputError, SettingsError, UnsupportedCollectionError
from tsds_qdrant.progress import notices_to
from tsds_qdrant.selection.results import manifest
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.strategies.gradex.choosing import Estimates, ensemble, greedy
from tsds_qdrant.strategies.gradex.first_order import Margins, newton_step, trained
from tsds_qdrant.strategies.margin_knowledge import falling_short

FEW = settings(max_examples=examples(40), deadline=None)


def margins_of(gradients: Any, offsets: Any = None, weights: Any = None) -> Margins:
    rows = np.atleast_2d(np.asarray(gradients, dtype=np.float64))
    count = len(rows)
    return Margins(
        rows,
        np.zeros(count) if offsets is None else np.asarray(offsets, dtype=np.float64),
        np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64),
    )


WORKED = Estimates(margins_of([[1], [-1], [0]]), np.arange(3), margins_of([[1]]), 1.0)
"""One row for each of the sources A, B, C, in one dimension."""


def test_the_worked_steps_and_losses() -> None:
    assert trained(margins_of([[1]]), 1.0) == pytest.approx([0.401058], abs=1e-6)
    assert trained(margins_of([[1]], [1]), 1.0) == pytest.approx([0.226751], abs=1e-6)
    wanted = {(0,): 0.512591, (1,): 0.913649, (): 0.693147, (0, 1): 0.693147}
    found = {one: WORKED.loss(frozenset(one)) for one in wanted}
    assert found == pytest.approx(wanted, abs=1e-6)


def test_the_worked_choices() -> None:
    """A helps, B does harm and C does nothing."""
    one_by_one = greedy(WORKED, 3)
    assert (one_by_one.order[: one_by_one.chosen], one_by_one.order) == ((0,), (0, 2, 1))
    assert one_by_one.curve == pytest.approx((0.693147, 0.512591), abs=1e-6)
    pairs = ensemble(WORKED, 3, share=2 / 3, subsets=100, seed=0)
    assert pairs.facts == {"subsets": 3, "subset_size": 2}
    assert pairs.scores == pytest.approx([0.602869, 0.803398, 0.713120], abs=1e-6)
    assert pairs.order == (0, 2, 1)
    assert pairs.chosen == 2


@FEW
@given(seed=st.integers(0, 2**32), strength=st.sampled_from([1e-4, 0.1, 3.0, 1e3]))
def test_the_step_is_the_optimum(seed: int, strength: float) -> None:
    """Against the same objective in the hands of scipy."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 60)), int(rng.integers(1, 9))
    given = margins_of(
        rng.normal(size=(n, d)) * rng.lognormal(size=(n, 1)),
        3 * rng.normal(size=n),
        rng.uniform(0.1, 4, size=n),
    )

    def objective(w: Any) -> float:
        losses = np.logaddexp(0, -(given.offsets + given.gradients @ w))
        return float(w @ w / 2 + strength * given.weights @ losses)

    best = minimize(objective, np.zeros(d), method="BFGS", options={"gtol": 1e-9})
    step = trained(given, strength)
    assert objective(step) <= best.fun + 1e-9 * (1 + abs(best.fun))
    first = strength * np.linalg.norm(given.pull(np.zeros(d)))
    assert np.linalg.norm(strength * given.pull(step) - step) <= 1e-9 * first


def test_the_first_step_of_newton_is_that_of_trak() -> None:
    rng = np.random.default_rng(1)
    one = margins_of(rng.normal(size=(20, 4)), rng.normal(size=20))
    q = 1 / (1 + np.exp(one.offsets))
    H = np.eye(4) / 0.7 + (one.gradients.T * (q * (1 - q))) @ one.gradients
    wanted = np.linalg.solve(H, q @ one.gradients)
    assert newton_step(one, 0.7, np.zeros(4)) == pytest.approx(wanted)
    assert falling_short(one.offsets) == pytest.approx(q)


class Trained:
    """A logistic model of eight sources; the third is the one that the target is like.

    Its margins are linear in its weights, so the estimate is exact where the projection is none.
    """

    def __init__(self, seed: int, per: int = 30, d: int = 6) -> None:
        rng = np.random.default_rng(seed)
        self.own = rng.normal(size=(8, d))
        """The weights by which each source labels its examples."""
        aim = self.own[2]
        self.x = rng.normal(size=(8 * per, d))
        self.owners = np.repeat(np.arange(8), per)
        clear = np.einsum("ij,ij->i", self.x, self.own[self.owners])
        self.y = np.where(rng.random(8 * per) < 1 / (1 + np.exp(-3 * clear)), 1.0, -1.0)
        self.tx = rng.normal(size=(40, d))
        self.ty = np.where(rng.random(40) < 1 / (1 + np.exp(-3 * self.tx @ aim)), 1.0, -1.0)
        self.start = self.fitted(np.ones(len(self.x), dtype=bool), np.zeros(d), 0.02)

    def fitted(self, mine: Any, start: Any, strength: float) -> Any:
        """Weights after training on some examples, kept near ``start``."""

        def objective(w: Any) -> float:
            losses = np.logaddexp(0, -self.y[mine] * (self.x[mine] @ w))
            return float((w - start) @ (w - start) / 2 + strength * losses.sum())

        return minimize(objective, start, method="BFGS", options={"gtol": 1e-9}).x

    def target_loss(self, w: Any) -> float:
        return float(np.logaddexp(0, -self.ty * (self.tx @ w)).mean())

    def retrained(self, sources: Sequence[int], strength: float) -> float:
        return self.target_loss(self.fitted(np.isin(self.owners, sources), self.start, strength))

    @property
    def gradients(self) -> Any:
        return self.y[:, None] * self.x

    @property
    def margins(self) -> Any:
        return self.gradients @ self.start

    @property
    def target(self) -> Margins:
        rows = self.ty[:, None] * self.tx
        return margins_of(rows, rows @ self.start, np.full(40, 1 / 40))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_estimates_are_losses_of_retrained_models(seed: int) -> None:
    made = Trained(seed)
    ours = Estimates(margins_of(made.gradients, made.margins), made.owners, made.target, 0.1)
    subsets = [one for size in (1, 2, 7) for one in combinations(range(8), size)]
    found = [ours.loss(frozenset(one)) for one in subsets]
    assert found == pytest.approx([made.retrained(one, 0.1) for one in subsets], abs=1e-6)
    # Trained three times as long, which estimates know nothing of, the order is about the same.
    longer = [made.retrained([one], 0.3) for one in range(8)]
    assert spearmanr(longer, found[:8]).statistic > 0.8
    assert greedy(ours, 8).order[0] == 2
    fours = {one: made.retrained(one, 0.1) for one in combinations(range(8), 4)}
    means = [np.mean([loss for four, loss in fours.items() if one in four]) for one in range(8)]
    by_chance = ensemble(ours, 8, share=0.5, subsets=1000, seed=0)
    assert by_chance.scores == pytest.approx(means, abs=1e-6)
    few = ensemble(ours, 8, share=0.5, subsets=40, seed=0)
    assert spearmanr(few.scores, means).statistic > 0.7


@contextmanager
def pool_of(
    made: Trained,
    kind: str = "margin-gradient",
    checkpoints: int = 1,
    margins: Any = None,
    payloads: Any = None,
) -> Iterator[Collection]:
    kept = kept_as(kind, {"normalised": False, "checkpoints": [{} for _ in range(checkpoints)]})
    held = made.margins if margins is None else margins
    own = payloads or [{"text": "t", "source": f"s{one}"} for one in made.owners]
    values = [{} if np.isnan(one) else {"margin": float(one)} for one in held]
    with plain_pool(len(own), own) as pool:
        rows = made.gradients.astype(np.float32)
        add_made(pool, kept, range(len(own)), rows, values=values)
        yield pool.at(kind)


def task_of(made: Trained, *, margins: bool = True) -> TaskExamples:
    rows = made.target.gradients.astype(np.float32)
    task = TaskExamples(rows, [""] * len(rows), np.ones(len(rows)))
    return replace(task, margins=made.target.offsets if margins else None)


def asked(size: int, **more: Any) -> SelectionSettings:
    return SelectionSettings.of("gradex", sizes=(size,), source="source", **more)


def table_of(found: Selection) -> dict[str, Any]:
    facts: dict[str, Any] = manifest(found, queries={})["sources"]
    return facts


def test_the_planted_source_comes_first_and_its_scores_are_losses() -> None:
    made = Trained(0)
    with pool_of(made) as pool:
        found = select(pool, task_of(made), asked(20, strength=0.1))
        chosen = select(pool, task_of(made), asked(20, strength=0.1, choice="ensemble"))
    facts = table_of(found)
    assert facts["table"][0]["source"] == "s2"
    assert all(found_id in np.flatnonzero(made.owners == 2) for found_id in found.selected_ids)
    for row in facts["table"]:
        exactly = made.retrained([int(row["source"][1:])], 0.1)
        assert row["score"] == pytest.approx(exactly, abs=1e-5)
    names = [int(row["source"][1:]) for row in facts["table"] if row["chosen"]]
    curve = [made.retrained(names[:count], 0.1) for count in range(1, len(names) + 1)]
    assert facts["losses"] == pytest.approx([made.target_loss(made.start), *curve], abs=1e-5)
    assert facts["losses"] == sorted(facts["losses"], reverse=True)
    means = table_of(chosen)
    assert (means["choice"], means["subsets"], means["subset_size"]) == ("ensemble", 70, 4)
    assert means["table"][0]["source"] == "s2"
    assert sum(row["chosen"] for row in means["table"]) == 5


def test_order_within_a_source_and_beyond_the_chosen_ones() -> None:
    made = Trained(1)
    with pool_of(made) as pool:
        found = select(pool, task_of(made), asked(200, strength=0.1, sources=2))
        assert table_of(found)["table"][1]["chosen"]
    order = [int(row["source"][1:]) for row in table_of(found)["table"]]
    pull = (made.target.weights * falling_short(made.target.offsets)) @ made.target.gradients
    gains = falling_short(made.margins) * (made.gradients @ pull)
    wanted = [
        k
        for one in order
        for k in sorted(range(240), key=lambda k: -gains[k])
        if made.owners[k] == one
    ]
    assert found.selected_ids == wanted[:200]
    rows = {row["id"]: row["score"] for row in found.sample_rows(200)}
    assert rows == pytest.approx({k: gains[k] for k in wanted[:200]}, rel=1e-4, abs=1e-6)
    told = "the chosen sources hold 60 candidates; 140 more come from the next best ones"
    assert told in found.evidence.in_words()


def test_a_few_rows_of_a_source_stand_for_all() -> None:
    made = Trained(2, per=200)
    with pool_of(made) as pool:
        few = select(pool, task_of(made), asked(20, strength=0.1, rows=40))
        other = select(pool, task_of(made), asked(20, strength=0.1, rows=40, chance_seed=1))
        every = select(pool, task_of(made), asked(20, strength=0.1))
    scores = [
        {row["source"]: row["score"] for row in table_of(one)["table"]}
        for one in (few, other, every)
    ]
    assert scores[0] != scores[1]
    for some in scores[:2]:
        assert some == pytest.approx(scores[2], rel=0.35)
    assert table_of(few)["table"][0]["source"] == "s2"


def test_margins_make_a_difference_and_their_lack_is_said() -> None:
    made = Trained(0)
    with pool_of(made) as pool:
        known = select(pool, task_of(made), asked(5, strength=0.1))
        bare = select(pool, task_of(made, margins=False), asked(5, strength=0.1))
    assert table_of(known)["margins"] == "known"
    assert table_of(bare)["margins"] == "taken as 0"
    assert "margins of candidates or task examples are not known" in bare.evidence.in_words()[1]
    assert table_of(bare)["losses"][0] == pytest.approx(np.log(2))
    with pool_of(made, margins=np.full(240, np.nan)) as pool:
        assert table_of(select(pool, task_of(made), asked(5)))["losses"][0] == pytest.approx(
            np.log(2)
        )
    some = np.where(np.arange(240) == 7, np.nan, made.margins)
    told = "point 7 of .* where 239 others have their margin; represent all in the same way"
    with pool_of(made, margins=some) as pool, pytest.raises(InputError, match=told):
        select(pool, task_of(made), asked(5))


def test_candidates_without_a_source_are_one() -> None:
    made = Trained(0)
    payloads = [
        {"text": "t", "source": None if one == 7 else {"of": int(one)}} for one in made.owners
    ]
    with pool_of(made, payloads=payloads) as pool:
        found = select(pool, task_of(made), asked(240, strength=0.1))
        run = new_run(pool, task_of(made), asked(5, strength=0.1))
        ids = [*run.selection.selected_ids[:1], 239]
        points = {one.id: one for one in explain(run, ids).points}
    table = {row["source"]: row["candidates"] for row in table_of(found)["table"]}
    assert table[""] == 30
    assert table['{"of": 2}'] == 30
    assert "source (none)" in points[239].reasons.in_words()[0]
    first = points[ids[0]].as_dict()
    assert (first["source"], first["source_rank"], first["source_chosen"]) == ('{"of": 2}', 0, True)


def test_where_nothing_helps_one_is_taken_and_that_is_said() -> None:
    made = Trained(0)
    away = replace(task_of(made), vectors=np.ones((1, 6), np.float32), texts=[""])
    away = replace(away, weights=np.ones(1), margins=np.zeros(1))
    with pool_of(made, margins=np.zeros(240)) as pool:
        harmful = -np.abs(made.gradients).astype(np.float32)
        pool.set_vectors(range(240), harmful)
        found = select(pool, away, asked(5, strength=0.1))
    facts = table_of(found)
    assert (facts["improves"], sum(row["chosen"] for row in facts["table"])) == (False, 1)
    assert (
        "no chosen source is estimated to lower the loss of the task" in found.evidence.in_words()
    )


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"choice": "best"}, "choice is 'best'; choose one of greedy, ensemble"),
        ({"strength": 0.0}, "strength is 0; give a number above 0"),
        ({"subset_share": 1.5}, "subset_share is 1.5"),
        ({"sources": 0}, "sources is 0; give 1 or more"),
    ],
)
def test_settings_that_cannot_be_right(more: dict[str, Any], fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        asked(5, **more)


def test_what_it_cannot_work_with_is_named() -> None:
    made = Trained(0, per=3)
    with pool_of(made) as pool:
        told = r"the payload field that has them with --source \(its fields: text, source\)"
        with pytest.raises(SettingsError, match=told):
            select(pool, task_of(made), SelectionSettings.of("gradex", sizes=(3,)))
        told = r"has the field 'sorce' that --source names .*; did you mean 'source'\?"
        with pytest.raises(InputError, match=told):
            select(pool, task_of(made), SelectionSettings.of("gradex", sizes=(3,), source="sorce"))
    with pool_of(made, "loss-gradient") as pool:
        told = "are of the kind 'loss-gradient', and the strategy 'gradex' goes by gradients of mar"
        with pytest.raises(UnsupportedCollectionError, match=told):
            select(pool, task_of(made), asked(3))
        with pytest.raises(UnsupportedCollectionError, match=told):  # before what is asked for
            select(pool, task_of(made), SelectionSettings.of("gradex", sizes=(3,)))
    told = "hold gradients at 2 checkpoints, and the strategy"
    with pool_of(made, checkpoints=2) as pool, pytest.raises(InputError, match=told):
        select(pool, task_of(made), asked(3))


@pytest.mark.parametrize("choice", ["greedy", "ensemble"])
def test_more_sources_than_there_are_are_told_of(choice: str) -> None:
    made = Trained(0, per=6)
    there = sorted({f"s{one}" for one in made.owners})
    with pool_of(made) as pool:
        for count, told in ((len(there), 0), (len(there) + 1, 1), (90, 1)):
            said: list[str] = []
            with notices_to(said.append):
                select(pool, task_of(made), asked(3, sources=count, choice=choice))
            assert len(said) == told
            if told:
                assert said[0].startswith(f"{count} sources are wanted, and there are {len(there)}")
