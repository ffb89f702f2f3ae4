"""DsDm against its formula, worked numbers, leave-one-out by retraining, and its frozen kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import add_made, kept_as, plain_pool
from profiles import examples

from tsds_qdrant import (
    SelectionSettings,
    TaskExamples,
    begin_run,
    explain,
    new_run,
    reopen,
    reselect,
    select,
)
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.errors import InputError, SettingsError, UnsupportedCollectionError
from tsds_qdrant.selection.results import manifest
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.strategies.dsdm import kernel as kernels
from tsds_qdrant.strategies.dsdm.kernel import Kernel

FEW = settings(max_examples=examples(40), deadline=None)
EXACT = 1e-12
"""A ridge that leaves the inverse as it is."""


def kernel_of(rows: Any, blocks: int = 1) -> Kernel:
    made = Kernel.empty(rows.shape[1], blocks, len(rows), len(rows))
    made.add(rows)
    return made


def task_of(rows: Any, groups: Sequence[str] = (), margins: Any = None) -> TaskExamples:
    rows = np.asarray(rows, dtype=np.float32)
    made = TaskExamples(rows, [""] * len(rows), np.ones(len(rows)), groups=[*groups])
    return replace(made, margins=margins)


@contextmanager
def pool_of(
    rows: Any, kind: str = "loss-gradient", checkpoints: int = 0, margins: Any = None
) -> Iterator[Collection]:
    """A pool whose gradients of that kind are ``rows``, searched."""
    kept = kept_as(kind, {"normalised": False, "checkpoints": [{} for _ in range(checkpoints)]})
    values = None if margins is None else [{"margin": float(one)} for one in margins]
    with plain_pool(len(rows)) as pool:
        rows = np.asarray(rows, dtype=np.float32)
        add_made(pool, kept, range(len(rows)), rows, values=values)
        yield pool.at(kind)


def asked(size: int, **more: Any) -> SelectionSettings:
    return SelectionSettings.of("dsdm", sizes=(size,), near_copies="keep", **more)


def scores(found: Selection) -> dict[Any, float]:
    return {row["id"]: row["score"] for row in found.sample_rows(max(found.samples))}


def formula(rows: Any, mean: Any, ridge: float = 1e-3, blocks: int = 1, kernel: Any = None) -> Any:
    """(N,) tau of the rows, the kernels of the blocks apart and their terms averaged."""
    every, total = np.asarray(rows, dtype=np.float32).astype(np.float64), 0.0
    base = every if kernel is None else np.asarray(kernel, dtype=np.float64)
    for part in np.split(np.arange(every.shape[1]), blocks):
        K = base[:, part].T @ base[:, part]
        regular = K + ridge * np.trace(K) / len(K) * np.eye(len(K))
        total = total + every[:, part] @ np.linalg.solve(regular, mean[part]) / blocks
    return total


def q_of(margins: Any) -> Any:
    return 1 / (1 + np.exp(np.asarray(margins, dtype=np.float64)))


def test_the_worked_regression() -> None:
    """Three examples in two dimensions: tau by hand, and exact leave-one-out."""
    X, r = np.array([(1.0, 0), (0, 1), (1, 1)]), np.array([1, 1, -1]) / 3
    query = kernel_of(X).query(np.array([1.0, 0.0]), EXACT)
    assert query == pytest.approx([2 / 3, -1 / 3])
    stored = r[:, None] * X
    assert stored == pytest.approx(np.array([(1 / 3, 0), (0, 1 / 3), (-1 / 3, -1 / 3)]))
    tau = stored @ query
    assert tau == pytest.approx([2 / 9, -1 / 9, -1 / 9])
    assert tau / (1 - 2 / 3) == pytest.approx([2 / 3, -1 / 3, -1 / 3])


def made_regression(seed: int, n: int = 30, d: int = 4) -> tuple[Any, Any, Any, Any]:
    """X, y, w and residuals of one size, so that gradients r x have the kernel of X."""
    rng = np.random.default_rng(seed)
    r = 0.5 * rng.choice([-1.0, 1.0], size=n)
    X = rng.normal(size=(n, d))
    X -= np.outer(r, r @ X) / (r @ r)
    w = rng.normal(size=d)
    return X, X @ w + r, w, r


@FEW
@given(seed=st.integers(0, 2**32))
def test_scores_are_exact_leave_one_out_of_a_regression(seed: int) -> None:
    """Retraining without each candidate, by closed form, through a collection."""
    X, y, w, r = made_regression(seed)
    rng = np.random.default_rng(seed + 1)
    T, t = rng.normal(size=(5, 4)), rng.normal(size=5)
    w0 = np.linalg.solve(X.T @ X, X.T @ y)
    assert w0 == pytest.approx(w)
    slopes = (t - T @ w)[:, None] * T  # minus the gradients of the squared losses of the targets
    with pool_of(r[:, None] * X) as pool:
        found = select(pool, task_of(slopes), asked(30, ridge=EXACT))
    leverage = np.einsum("ij,jk,ik->i", X, np.linalg.inv(X.T @ X), X)
    exact = []
    for out in range(30):
        left = np.arange(30) != out
        w1 = np.linalg.solve(X[left].T @ X[left], X[left].T @ y[left])
        exact.append(slopes.mean(axis=0) @ (w0 - w1))
    tau = scores(found)
    ours = np.array([tau[k] for k in range(30)]) * (r @ r) / 30 / (1 - leverage)
    assert ours == pytest.approx(exact, rel=1e-3, abs=1e-3 * np.abs(exact).max())


def test_a_datamodel_of_random_halves_agrees() -> None:
    """Fitted on retrained halves of the pool, as datamodels are where nothing is estimated."""
    X, y, _, r = made_regression(3)
    rng = np.random.default_rng(0)
    target = rng.normal(size=4)
    chosen = rng.random((2000, 30)) < 0.5
    outputs = [target @ np.linalg.solve(X[c].T @ X[c], X[c].T @ y[c]) for c in chosen]
    design = np.c_[np.ones(2000), chosen]
    fitted = np.linalg.lstsq(design, np.array(outputs), rcond=None)[0][1:]
    with pool_of(r[:, None] * X) as pool:
        tau = scores(select(pool, task_of([target]), asked(30, ridge=EXACT)))
    assert np.corrcoef(fitted, [tau[k] for k in range(30)])[0, 1] > 0.95


def lengths_apart(rng: np.random.Generator, n: int, d: int) -> Any:
    return rng.normal(size=(n, d)) * rng.lognormal(sigma=1.5, size=(n, 1))


@pytest.mark.slow
@FEW
@given(
    seed=st.integers(0, 2**32),
    form=st.sampled_from(["loss", "margin", "margin of tasks too"]),
    blocks=st.sampled_from([1, 2]),
    ridge=st.sampled_from([1e-3, 0.1, 10.0]),
)
def test_the_selection_is_that_of_the_formula(
    seed: int, form: str, blocks: int, ridge: float
) -> None:
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(40, 300)), 2 * int(rng.integers(2, 7))
    rows, tasks = lengths_apart(rng, n, d), lengths_apart(rng, 6, d)
    margins, own = 3 * rng.normal(size=n), rng.normal(size=6)
    groups = list("aabbbc") if rng.random() < 0.5 else []
    shares = np.full(6, 1 / 6) if not groups else np.array([1 / 6] * 2 + [1 / 9] * 3 + [1 / 3])
    known = own if form == "margin of tasks too" else None
    task = task_of(tasks, groups, margins=known)
    mean = (shares * (1 if known is None else q_of(own))) @ task.vectors.astype(np.float64)
    expected = formula(rows, mean, ridge, blocks)
    if form != "loss":
        expected = expected * q_of(margins)
    size = int(rng.integers(1, n + 1))
    kind = "loss-gradient" if form == "loss" else "margin-gradient"
    with pool_of(rows, kind, blocks, None if form == "loss" else margins) as pool:
        found = select(pool, task, asked(size, ridge=ridge))
    order = np.argsort(-expected)[:size]
    largest = np.abs(expected).max()
    tau = scores(found)
    assert [tau[one] for one in found.selected_ids] == pytest.approx(
        expected[order], abs=1e-5 * largest
    )
    assert tau == pytest.approx(
        {one: expected[one] for one in found.selected_ids}, abs=1e-5 * largest
    )
    (sample,) = manifest(found, queries={})["samples"].values()
    total = sample["predicted_margin_change" if form == "margin" else "predicted_loss_change"]
    sign = 1 if form == "margin" else -1
    assert total == pytest.approx(sign * expected[order].sum(), abs=1e-3 * largest)


def test_a_large_ridge_leaves_the_products_alone() -> None:
    rng = np.random.default_rng(1)
    rows, tasks = lengths_apart(rng, 50, 5), rng.normal(size=(3, 5))
    with pool_of(rows) as pool:
        found = select(pool, task_of(tasks), asked(50, ridge=1e6)).selected_ids
    plain = rows.astype(np.float32).astype(np.float64) @ tasks.mean(axis=0)
    assert found == np.argsort(-plain).tolist()


def test_a_copy_lowers_what_each_of_both_adds() -> None:
    rng = np.random.default_rng(2)
    rows, tasks = rng.normal(size=(20, 4)), rng.normal(size=(1, 4))
    with pool_of(rows) as pool:
        alone = scores(select(pool, task_of(tasks), asked(20)))
    best = max(alone, key=lambda one: alone[one])
    with pool_of(np.r_[rows, 3 * [rows[best]]]) as pool:
        beside = scores(select(pool, task_of(tasks), asked(23)))
    assert 0 < beside[best] < alone[best]
    assert beside[best] == beside[20] == beside[22]


def test_products_in_float32_and_a_sample_of_the_rows_come_near(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    rows, tasks = rng.normal(size=(2000, 8)), rng.normal(size=(3, 8))
    with pool_of(rows) as pool:
        exactly = select(pool, task_of(tasks), asked(2000))
        sampled = select(pool, task_of(tasks), asked(2000, kernel_rows=500))
        again = select(pool, task_of(tasks), asked(2000, kernel_rows=500))
        monkeypatch.setattr(kernels, "ROUGH_FROM", 1)
        rough = select(pool, task_of(tasks), asked(2000))
    assert scores(again) == scores(sampled)
    wanted = scores(exactly)
    largest = max(wanted.values())
    assert scores(rough) == pytest.approx(wanted, abs=1e-5 * largest)
    assert scores(sampled) == pytest.approx(wanted, abs=0.2 * largest)
    facts = [manifest(one, queries={})["datamodel"]["kernel"] for one in (exactly, sampled, rough)]
    assert [one["summed"] for one in facts] == [2000, 500, 2000]
    assert [one["products"] for one in facts] == ["float64", "float64", "float32"]
    assert [one["points"] for one in facts] == [2000, 2000, 2000]


def test_the_condition_number_is_no_larger_than_said() -> None:
    rng = np.random.default_rng(4)
    for n in (3, 12, 500):
        kernel = kernel_of(rng.normal(size=(n, 12)) * np.logspace(0, 3, 12), 2)
        for block, lam in zip(kernel.sums, kernel.lambdas(1e-3), strict=True):
            exactly = np.linalg.cond(block + lam * np.eye(6))
            assert 0.99 * exactly <= kernel.condition(1e-3)


class Changing:
    """A pool that changes under a run, and what the kernel should be."""

    def __init__(self, pool: Collection, place: Path, refit: float, count: int = 40) -> None:
        rng = self.rng = np.random.default_rng(5)
        self.pool = pool
        self.rows = dict(enumerate(rng.normal(size=(count, 4)).astype(np.float32)))
        self.task = task_of(rng.normal(size=(3, 4)))
        pool.upsert([*self.rows], np.stack([*self.rows.values()]))
        self.frozen = np.stack([*self.rows.values()])
        self.settings = asked(10, refit=refit)
        self.state, self.first = begin_run(place / "task.run", pool, self.task, self.settings)

    def change(self, came: int, gone: int) -> Selection:
        new = range(max(self.rows) + 1, max(self.rows) + 1 + came)
        rows = self.rng.normal(size=(came, 4)).astype(np.float32) * 3
        out = [*self.rows][:gone]
        self.pool.upsert([*new], rows)
        self.pool.delete(out)
        self.rows = {k: row for k, row in self.rows.items() if k not in out}
        self.rows |= dict(zip(new, rows, strict=True))
        return reselect(self.state, collection=self.pool).selection

    def expected(self, kernel: Any) -> dict[Any, float]:
        mean = self.task.vectors.astype(np.float64).mean(axis=0)
        rows = np.stack([*self.rows.values()])
        tau = formula(rows, mean, kernel=kernel)
        order = np.argsort(-tau)[:10]
        ids = [*self.rows]
        return {ids[k]: tau[k] for k in order.tolist()}


def kernel_facts(found: Selection) -> dict[str, Any]:
    facts: dict[str, Any] = manifest(found, queries={})["datamodel"]["kernel"]
    return facts


def test_the_kernel_is_frozen_until_enough_has_changed(
    make_collection: Any, tmp_path: Path
) -> None:
    """Scores are those of the rows that are there and of the kernel that was frozen; past the
    threshold they are those of a selection from scratch, to the last bit."""
    pool = make_collection(metric="Dot", dimension=4)
    live = Changing(pool, tmp_path, refit=0.3)
    version = kernel_facts(live.first)["version"]
    for came, gone in ((3, 0), (0, 4), (2, 1)):
        found = live.change(came, gone)
        assert kernel_facts(found)["version"] == version
        assert scores(found) == pytest.approx(live.expected(live.frozen), rel=1e-4)
        again = reopen(live.state, pool).selection
        assert scores(again) == scores(found)
    assert kernel_facts(found)["changed_since"] == pytest.approx(10 / 40)
    assert "25.0% have changed since" in " ".join(found.evidence.in_words())
    found = live.change(2, 1)
    scratch = select(pool, live.task, live.settings)
    assert kernel_facts(found)["version"] == kernel_facts(scratch)["version"] != version
    assert kernel_facts(found)["changed_since"] == 0
    assert list(found.sample_rows(10)) == list(scratch.sample_rows(10))
    frozen = np.stack([live.rows[k] for k in sorted(live.rows)])
    assert scores(live.change(1, 0)) == pytest.approx(live.expected(frozen), rel=1e-4)


def test_other_task_examples_keep_the_kernel(make_collection: Any, tmp_path: Path) -> None:
    pool = make_collection(metric="Dot", dimension=4)
    live = Changing(pool, tmp_path, refit=0.3)
    live.change(4, 0)
    live.task = task_of(live.rng.normal(size=(2, 4)), margins=None)
    found = reselect(live.state, collection=pool, queries=live.task).selection
    assert kernel_facts(found)["version"] == kernel_facts(live.first)["version"]
    assert scores(found) == pytest.approx(live.expected(live.frozen), rel=1e-4)


def test_where_scores_are_read_they_are_the_same() -> None:
    """In float16 a query would be rounded; so rows are read, and multiplied here."""
    rng = np.random.default_rng(6)
    rows, tasks = lengths_apart(rng, 80, 6), rng.normal(size=(3, 6))
    rows, tasks = (one.astype(np.float16).astype(np.float32) for one in (rows, tasks))
    with plain_pool(80) as pool:
        pool.add_space(replace(Space.dense("half", 6, "Dot"), datatype="float16"))
        pool.set_vectors(range(80), rows, space="half")
        found = select(pool.at("half"), task_of(tasks), asked(20))
    mean = tasks.astype(np.float64).mean(axis=0)
    expected = formula(rows, mean)
    assert [*scores(found).values()] == pytest.approx(np.sort(expected)[::-1][:20], rel=1e-5)


def test_what_is_explained_is_what_was_scored() -> None:
    rng = np.random.default_rng(7)
    rows, margins = lengths_apart(rng, 200, 5), rng.normal(size=200)
    task = task_of(rng.normal(size=(2, 5)))
    with pool_of(rows, "margin-gradient", margins=margins) as pool:
        run = new_run(pool, task, asked(5))
        ids = [*run.selection.selected_ids[:2], 17, 40, 91]
        points = explain(run, ids).points
        whole = scores(select(pool, task, asked(200)))
    for one in points:
        assert one.as_dict()["adds"] == pytest.approx(-whole[one.id], rel=1e-4)
    assert [one.verdict for one in points[:2]] == ["drawn", "drawn"]
    assert "predicted to add" in points[2].reasons.in_words()[0]
    assert points[2].verdict == "not preferred"


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"ridge": 0.0}, "ridge is 0, and a kernel without one may have no inverse; give a number"),
        ({"ridge": -1.0}, "ridge is -1"),
        ({"output": "both"}, "output is 'both'; choose one of loss, margin"),
        ({"refit": -0.1}, "refit is -0.1; give a share from 0 to 1, 0.1 say"),
        ({"refit": 7.0}, "refit is 7; give a share from 0 to 1, 0.1 say"),
        ({"refit": float("nan")}, "refit is nan; give a share from 0 to 1, 0.1 say"),
    ],
)
def test_settings_that_cannot_be_right(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        asked(3, **settings)


def test_what_it_cannot_work_with_is_named() -> None:
    rng = np.random.default_rng(8)
    rows, task = rng.normal(size=(30, 4)), task_of(rng.normal(size=(2, 4)))
    with pool_of(rows, "hidden") as pool:
        told = "are of the kind 'hidden', and the strategy 'dsdm' goes by gradients; make some with"
        with pytest.raises(UnsupportedCollectionError, match=told):
            select(pool, task, asked(3))
    opposite = task_of(np.r_[rows[:1], -rows[:1]])
    with pool_of(rows) as pool:
        with pytest.raises(InputError, match="gradients of 2 task examples cancel each other out"):
            select(pool, opposite, asked(3))
        told = r"has no number in '_tsds_made.loss-gradient.margin', which is to be its margin"
        with pytest.raises(InputError, match=told):
            select(pool, task, asked(3, output="margin"))
        assert len(select(pool, task, asked(3)).selected_ids) == 3


@pytest.mark.parametrize("ridge", [1e-9, 1e-7, 1e-6])
def test_a_kernel_that_is_nearly_singular_says_what_to_raise(ridge: float) -> None:
    rng = np.random.default_rng(3)
    rows, task = rng.normal(size=(40, 5)), task_of(rng.normal(size=(2, 5)))
    with pool_of(rows) as pool:
        lines = select(pool, task, asked(5, ridge=ridge)).evidence.in_words()
        assert len(lines) == 2
        found = re.search(r"raise --ridge, to (\S+) say", lines[1])
        assert found is not None
        assert float(found[1]) > ridge
        for enough in (float(found[1]), 1e-3):  # as advised, and the default
            assert len(select(pool, task, asked(5, ridge=enough)).evidence.in_words()) == 1
