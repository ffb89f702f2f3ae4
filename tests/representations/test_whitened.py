"""Whitening against numbers worked out by hand, numpy's covariance and scikit-learn's shrinkage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from sklearn.covariance import ledoit_wolf_shrinkage

from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.representations.base import NONFINITE, OK, ZERO_VECTOR
from tsds_qdrant.representations.derived.whitened import Whitened

RNG = np.random.default_rng(0)
SKEW = np.array([[3, 0, 0, 0], [1, 0.5, 0, 0], [-2, 1, 2, 0], [0.1, 0.2, 0.3, 0.05]])
ROWS = (RNG.standard_normal((500, 4)) @ SKEW + [1, -2, 0.5, 3]).astype(np.float32)


def in_blocks(rows: np.ndarray, *cuts: int) -> Callable[[], Iterator[np.ndarray]]:
    bounds = [0, *cuts, len(rows)]
    return lambda: (rows[start:stop] for start, stop in pairwise(bounds))


def fitted(rows: np.ndarray, *cuts: int, **settings: object) -> Whitened:
    made = Whitened("grad", **settings)  # type: ignore[arg-type]
    made.fit(in_blocks(rows, *cuts), len(rows))
    return made


def whole(made: Whitened, rows: np.ndarray) -> np.ndarray:
    """Whitened rows before they are brought to unit length."""
    arrays = made.arrays()
    whitened: np.ndarray = (rows.astype(np.float64) - arrays["mean"]) @ arrays["whitening"]
    return whitened


def distances(made: Whitened, rows: np.ndarray) -> np.ndarray:
    unit = np.asarray(made.candidates(np.asarray(rows, np.float32)).rows, np.float64)
    found: np.ndarray = np.sqrt(np.clip(2 - 2 * unit @ unit.T, 0, None))
    return found


class TestOracles:
    def test_numbers_by_hand(self) -> None:
        # Rows whose mean is 0 and whose covariance is [[4, 2], [2, 2]], L = [[2, 0], [1, 1]].
        signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], float)
        made = fitted((signs @ np.array([[2, 1], [0, 1]])).astype(np.float32), ridge=0, shrinkage=0)
        points = np.array([[2, 1], [0, 1], [2, 0]], np.float32)
        assert whole(made, points) == pytest.approx(np.array([[1, 0], [0, 1], [1, -1]]), abs=1e-12)
        found = distances(made, points)
        assert found[0, 1] == pytest.approx(2**0.5, abs=1e-6)
        assert found[0, 2] == pytest.approx(0.765367, abs=1e-6)
        rows = made.targets(points).rows
        assert rows == pytest.approx(np.array([[1, 0], [0, 1], [0.5**0.5, -(0.5**0.5)]]), abs=1e-7)

    def test_whitened_rows_have_the_identity_for_covariance(self) -> None:
        for method in ("cholesky", "zca"):
            made = fitted(ROWS, method=method, ridge=0)
            covariance = np.cov(whole(made, ROWS).T, bias=True)
            assert covariance == pytest.approx(np.eye(4), abs=1e-10)

    def test_cosines_do_not_depend_on_the_root_or_on_a_change_of_coordinates(self) -> None:
        other = (ROWS.astype(np.float64) @ RNG.standard_normal((4, 4))).astype(np.float32)
        wanted = distances(fitted(ROWS, ridge=0), ROWS[:50])
        assert distances(fitted(ROWS, ridge=0, method="zca"), ROWS[:50]) == pytest.approx(
            wanted, abs=1e-3
        )
        assert distances(fitted(other, ridge=0), other[:50]) == pytest.approx(wanted, abs=2e-3)

    @pytest.mark.parametrize("count", [3, 7, 19])
    def test_few_rows_are_shrunk_as_by_scikit_learn(self, count: int) -> None:
        rows = ROWS[:count]
        made = fitted(rows, 1, 2)
        shrinkage = ledoit_wolf_shrinkage(rows.astype(np.float64))
        assert made.arrays()["shrinkage"] == pytest.approx([shrinkage], rel=1e-9)
        covariance = np.cov(rows.T.astype(np.float64), bias=True)
        wanted = (1 - shrinkage) * covariance + np.eye(4) * (
            shrinkage * np.trace(covariance) / 4 + 1e-5
        )
        whitening = made.arrays()["whitening"]
        assert whitening.T @ wanted @ whitening == pytest.approx(np.eye(4), abs=1e-9)

    def test_many_rows_are_not_shrunk_and_a_given_share_is_kept(self) -> None:
        assert fitted(ROWS[:20]).arrays()["shrinkage"] == [0]
        assert fitted(ROWS[:19]).arrays()["shrinkage"] > 0
        assert fitted(ROWS, shrinkage=0.3).arrays()["shrinkage"] == [0.3]
        assert fitted(ROWS[:3], shrinkage=0).arrays()["shrinkage"] == [0]

    def test_rows_far_from_the_origin(self) -> None:
        near = np.round(ROWS * 64) / 64  # exact in float32, shifted or not
        far = (near + np.float32(2**14)).astype(np.float32)
        wanted = np.cov(near.T.astype(np.float64), bias=True)
        made = fitted(far, 5, 6, 250, ridge=0)
        whitening = made.arrays()["whitening"]
        assert whitening.T @ wanted @ whitening == pytest.approx(np.eye(4), abs=1e-9)
        assert made.candidates(far).rows == pytest.approx(
            fitted(near, ridge=0).candidates(near).rows, abs=1e-6
        )


class TestBlocks:
    @settings(max_examples=examples(60), deadline=None)
    @given(st.lists(st.integers(0, 500), max_size=6), st.sampled_from(["cholesky", "zca"]))
    def test_blocks_of_any_size_give_the_same_bytes(self, cuts: list[int], method: str) -> None:
        wanted = fitted(ROWS, method=method).arrays()
        found = fitted(ROWS, *sorted(cuts), method=method).arrays()
        assert {name: array.tobytes() for name, array in found.items()} == {
            name: array.tobytes() for name, array in wanted.items()
        }

    def test_many_blocks_within(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = fitted(ROWS)
        monkeypatch.setattr("tsds_qdrant.representations.derived.rows.BLOCK_FLOATS", 28)
        small = fitted(ROWS, 3, 100, 101)
        assert small.arrays()["mean"] == pytest.approx(made.arrays()["mean"], rel=1e-12)
        assert small.arrays()["whitening"] == pytest.approx(made.arrays()["whitening"], rel=1e-9)
        done: list[int] = []
        rows = small.candidates(ROWS, done.append).rows
        assert rows == pytest.approx(made.candidates(ROWS).rows, abs=1e-6)
        assert sum(done) == len(ROWS)
        assert len(done) > 50

    def test_what_was_learnt_is_kept(self) -> None:
        made = fitted(ROWS)
        again = Whitened("grad")
        assert not again.fitted
        assert again.dimension is None
        again.restore(made.arrays())
        assert again.fitted
        assert again.dimension == 4
        assert np.array_equal(again.candidates(ROWS).rows, made.candidates(ROWS).rows)
        assert again.manifest() == made.manifest()


class TestOddVectors:
    def test_rows_without_direction_get_a_status_and_do_not_count(self) -> None:
        odd = ROWS[:60].copy()
        odd[3], odd[7, 2], odd[11, 0], odd[59, 3] = 0, np.nan, np.inf, -np.inf
        fine = np.ones(60, bool)
        fine[[3, 7, 11, 59]] = False
        made = fitted(odd, 4, 30)
        assert made.arrays()["rows"] == [56]
        assert made.arrays()["mean"] == pytest.approx(odd[fine].astype(float).mean(axis=0))
        found = made.candidates(odd)
        status = [OK] * 60
        status[3], status[7], status[11], status[59] = ZERO_VECTOR, NONFINITE, NONFINITE, NONFINITE
        assert found.status == status
        assert np.isfinite(found.rows).all()
        assert np.linalg.norm(found.rows[fine], axis=1) == pytest.approx(np.ones(56), abs=1e-6)

    def test_the_mean_itself_has_no_direction(self) -> None:
        rows = np.concatenate([ROWS[:100], [ROWS[:100].mean(axis=0)]])
        made = fitted(ROWS[:100])
        assert made.candidates(rows).status == [OK] * 100 + [ZERO_VECTOR]

    def test_constant_columns_and_fewer_rows_than_dimensions(self) -> None:
        flat = np.concatenate([ROWS, np.full((500, 2), 7, np.float32)], axis=1)
        found = fitted(flat).candidates(flat)
        wanted = fitted(ROWS).candidates(ROWS)
        assert found.status == wanted.status
        assert found.rows[:, :4] == pytest.approx(wanted.rows, abs=1e-6)
        assert found.rows[:, 4:] == pytest.approx(np.zeros((500, 2)), abs=1e-3)
        wide = RNG.standard_normal((5, 40)).astype(np.float32)
        rows = fitted(wide).candidates(wide).rows
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(5), abs=1e-6)

    @pytest.mark.parametrize("method", ["cholesky", "zca"])
    def test_a_singular_covariance_is_refused_and_the_advice_helps(self, method: str) -> None:
        wide = RNG.standard_normal((5, 40)).astype(np.float32)
        copied = np.concatenate([ROWS, ROWS[:, :1]], axis=1)
        for rows in (wide, copied):
            with pytest.raises(
                InputError, match=r"'grad' has no inverse with --ridge 0.*1e-05 say"
            ):
                fitted(rows, method=method, ridge=0, shrinkage=0)
            for advice in ({"ridge": 1e-5, "shrinkage": 0}, {"ridge": 0, "shrinkage": 0.1}):
                made = fitted(rows, method=method, **advice)
                assert set(made.candidates(rows).status) == {OK}

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            (ROWS[:0], r"0 of the 0 vectors of the space 'grad' can be used"),
            (ROWS[:1], r"1 of the 1 vectors .* represent more candidates"),
            (np.zeros((9, 4), np.float32), r"0 of the 9 vectors"),
            (np.full((3, 4), np.nan, np.float32), r"0 of the 3 vectors"),
            (np.concatenate([ROWS[:1], np.zeros((3, 4), np.float32)]), r"1 of the 4 vectors"),
            (
                np.full((9, 4), 0.1, np.float32),
                r"all 9 vectors .* are equal .* another one with --of",
            ),
            (np.nextafter(np.full((9, 4), 3e4, np.float32), 9e9, dtype=np.float32), "all 9"),
        ],
    )
    def test_pools_that_cannot_be_whitened(self, rows: np.ndarray, message: str) -> None:
        with pytest.raises(InputError, match=message):
            fitted(rows)

    def test_vectors_of_another_dimension_or_before_anything_is_known(self) -> None:
        made = fitted(ROWS)
        with pytest.raises(InputError, match=r"dimension 3 do not .*'grad' of dimension 4"):
            made.targets(ROWS[:, :3])
        with pytest.raises(InputError, match="'whitened' has not learnt anything"):
            Whitened("grad").candidates(ROWS)
        assert made.candidates(ROWS[:0]).rows.shape == (0, 4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "pca"}, "--method is 'pca'; choose one of cholesky, zca"),
        ({"ridge": -1.0}, "--ridge is -1"),
        ({"ridge": float("nan")}, "--ridge is nan"),
        ({"ridge": float("inf")}, "--ridge is inf"),
        ({"shrinkage": 1.5}, "--shrinkage is 1.5; give a number from 0 to 1"),
        ({"shrinkage": -0.1}, "--shrinkage"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Whitened("grad", **wrong)  # type: ignore[arg-type]


def test_the_manifest_holds_what_values_depend_on() -> None:
    plain = Whitened("grad").manifest()
    for other in (
        Whitened("emb"),
        Whitened("grad", method="zca"),
        Whitened("grad", ridge=1e-4),
        Whitened("grad", shrinkage=0.5),
        Whitened("grad", version=2),
    ):
        assert other.manifest() != plain
    assert Whitened("grad", name="tarot").manifest() == plain
