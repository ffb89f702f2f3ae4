"""Spherical k-means against planted directions, brute force and scikit-learn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.representations.base import NONFINITE, OK, ZERO_VECTOR
from tsds_qdrant.representations.derived.clusters import Clusters

RNG = np.random.default_rng(1)
DIRECTIONS = np.linalg.qr(RNG.standard_normal((8, 8)))[0][:5]
PLANTED = RNG.integers(0, 5, 400)
LENGTHS = RNG.uniform(0.01, 100, (400, 1))
ROWS = (LENGTHS * (DIRECTIONS[PLANTED] + 0.1 * RNG.standard_normal((400, 8)))).astype(np.float32)


def in_blocks(rows: np.ndarray, *cuts: int) -> Callable[[], Iterator[np.ndarray]]:
    bounds = [0, *cuts, len(rows)]
    return lambda: (rows[start:stop] for start, stop in pairwise(bounds))


def fitted(rows: np.ndarray, *cuts: int, **settings: object) -> Clusters:
    made = Clusters("emb", **settings)  # type: ignore[arg-type]
    made.fit(in_blocks(rows, *cuts), len(rows))
    return made


def labels(made: Clusters, rows: np.ndarray) -> list[int]:
    return list(made.candidates(rows).values["cluster"])


def test_planted_directions_are_found_whatever_the_lengths() -> None:
    made = fitted(ROWS, clusters=5)
    assert adjusted_rand_score(PLANTED, labels(made, ROWS)) == 1
    centres = made.arrays()["centres"]
    assert np.linalg.norm(centres, axis=1) == pytest.approx(np.ones(5))
    assert np.sort((centres @ DIRECTIONS.T).max(axis=1)) == pytest.approx(np.ones(5), abs=0.01)
    assert made.kind == "payload"
    assert made.candidates(ROWS).rows is None


def test_labels_are_those_of_the_nearest_centre_by_cosine() -> None:
    made = fitted(ROWS, clusters=9)
    found = made.targets(ROWS)
    unit = ROWS / np.linalg.norm(ROWS.astype(float), axis=1, keepdims=True)
    cosines = unit @ made.arrays()["centres"].T
    assert found.values["cluster"] == cosines.argmax(axis=1).tolist()
    assert found.values["cluster_similarity"] == pytest.approx(cosines.max(axis=1), abs=1e-6)
    json.dumps(found.values)  # plain numbers, as payloads need them


def test_as_near_to_the_centres_as_scikit_learn_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = RNG.standard_normal((3_000, 6)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    plain = KMeans(12, n_init=1, random_state=0).fit(unit)
    best = float(-plain.score(unit))
    monkeypatch.setattr("tsds_qdrant.representations.derived.clusters.SAMPLE", 300)
    monkeypatch.setattr("tsds_qdrant.representations.derived.clusters.SAMPLE_FOR_EACH", 10)
    monkeypatch.setattr("tsds_qdrant.representations.derived.rows.BLOCK_FLOATS", 3_000)
    order = np.argsort(unit[:, 0])  # as bad an order as there is for what follows block by block
    made = fitted(rows[order], 7, clusters=12)
    centres = made.arrays()["centres"]
    similar = np.array(made.candidates(rows).values["cluster_similarity"])
    # To the mean direction of its cluster, as far as to the mean of it at scikit-learn.
    means = plain.cluster_centers_[plain.labels_]
    wanted = (unit * means / np.linalg.norm(means, axis=1, keepdims=True)).sum(axis=1).mean()
    assert similar.mean() > 0.95 * wanted
    assert np.square(unit - centres[labels(made, rows)]).sum() < 1.3 * best


def test_all_candidates_move_the_centres_of_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = RNG.standard_normal((2_000, 6)).astype(np.float32)
    monkeypatch.setattr("tsds_qdrant.representations.derived.clusters.SAMPLE", 30)
    monkeypatch.setattr("tsds_qdrant.representations.derived.clusters.SAMPLE_FOR_EACH", 2)
    monkeypatch.setattr("tsds_qdrant.representations.derived.rows.BLOCK_FLOATS", 3_000)
    means = []
    for seed in range(5):
        similar = fitted(rows, clusters=12, seed=seed).candidates(rows).values["cluster_similarity"]
        drawn = np.random.default_rng(seed).permutation(rows)[:30]
        alone = fitted(drawn, clusters=12, seed=seed).candidates(rows).values["cluster_similarity"]
        means.append((np.mean(similar), np.mean(alone)))
    assert all(followed > of_sample + 0.02 for followed, of_sample in means), means


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.integers(0, 400), max_size=5), st.integers(0, 3), st.booleans())
def test_blocks_of_any_size_give_the_same(cuts: list[int], seed: int, sampled: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if sampled:
            patch.setattr("tsds_qdrant.representations.derived.clusters.SAMPLE", 50)
            patch.setattr("tsds_qdrant.representations.derived.clusters.SAMPLE_FOR_EACH", 2)
            patch.setattr("tsds_qdrant.representations.derived.rows.BLOCK_FLOATS", 500)
        wanted, made = fitted(ROWS, seed=seed), fitted(ROWS, *sorted(cuts), seed=seed)
    assert made.arrays()["centres"].tobytes() == wanted.arrays()["centres"].tobytes()
    assert len(wanted.arrays()["centres"]) == 14  # the root of 200
    apart = [labels(wanted, block) for block in in_blocks(ROWS, *sorted(cuts))() if len(block)]
    assert list(chain.from_iterable(apart)) == labels(wanted, ROWS)


def test_seeds_differ_and_what_was_learnt_is_kept() -> None:
    made, other = fitted(ROWS, clusters=9), fitted(ROWS, clusters=9, seed=1)
    assert labels(made, ROWS) == labels(fitted(ROWS, clusters=9), ROWS)
    assert not np.array_equal(made.arrays()["centres"], other.arrays()["centres"])
    again = Clusters("emb", clusters=9)
    assert not again.fitted
    again.restore(made.arrays())
    assert again.fitted
    assert labels(again, ROWS) == labels(made, ROWS)
    assert made.manifest() != other.manifest()
    assert made.manifest() == again.manifest()


def test_rows_without_direction_have_no_cluster() -> None:
    odd = ROWS[:50].copy()
    odd[2], odd[5, 1], odd[49, 7] = 0, np.nan, np.inf
    made = fitted(odd, 3)
    found = made.candidates(odd)
    assert [k for k, status in enumerate(found.status) if status != OK] == [2, 5, 49]
    assert [found.status[k] for k in (2, 5, 49)] == [ZERO_VECTOR, NONFINITE, NONFINITE]
    for column in found.values.values():
        assert [k for k, value in enumerate(column) if value is None] == [2, 5, 49]
    assert np.isfinite(made.arrays()["centres"]).all()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 30])
def test_small_pools_and_copies(count: int) -> None:
    wanted = max(1, round((count / 2) ** 0.5))
    assert len(fitted(ROWS[:count]).arrays()["centres"]) == wanted
    assert fitted(ROWS[:count]).candidates(ROWS[:count]).status == [OK] * count
    copies = np.repeat(ROWS[:2], count, axis=0)
    made = fitted(copies, clusters=2 * count)
    assert len(made.arrays()["centres"]) == 2  # no centre is without a vector
    assert np.array(made.candidates(copies).values["cluster_similarity"]) == pytest.approx(1)


def test_too_few_vectors() -> None:
    with pytest.raises(InputError, match=r"--clusters is 6, .* has 5 vectors .* give 5 or"):
        fitted(ROWS[:5], clusters=6)
    assert len(fitted(ROWS[:5], clusters=5).arrays()["centres"]) == 5
    with pytest.raises(InputError, match="none of the 4 vectors of the space 'emb' can be used"):
        fitted(np.zeros((4, 3), np.float32))
    with pytest.raises(InputError, match="dimension 3 do not belong"):
        fitted(ROWS).candidates(ROWS[:, :3])
    with pytest.raises(InputError, match="'clusters' has not learnt anything"):
        Clusters("emb").candidates(ROWS)
    for wrong in ({"clusters": 0}, {"clusters": -3}, {"seed": -1}, {"seed": 2**32}):
        with pytest.raises(SettingsError, match=f"--{next(iter(wrong))} is"):
            Clusters("emb", **wrong)
