"""Scores of files, and the curves through them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsds_qdrant.errors import InputError
from tsds_qdrant.planning.budget_law import fitted, laws_of
from tsds_qdrant.planning.budget_measured import only_benchmark, read_scores

SHARES = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0]
MMLU = {
    "random": [45.18, 45.64, 45.82, 46.26, 46.54, 47.32],
    "bm25": [45.41, 45.84, 46.39, 46.72, 46.91, 47.32],
    "similarity-mean": [45.67, 45.93, 46.20, 47.12, 47.16, 47.32],
    "perplexity": [44.96, 46.26, 46.55, 46.79, 46.88, 47.32],
    "less": [46.13, 46.45, 46.56, 46.93, 47.17, 47.32],
}
FITS = {
    "random": (45.250, 2.537),
    "bm25": (45.354, 5.067),
    "similarity-mean": (45.318, 7.004),
    "perplexity": (43.958, 17.25),
    "less": (46.082, 4.771),
}


def written(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    rows = [
        f"{name},{share},{score}"
        for name, scores in MMLU.items()
        for share, score in zip(SHARES, scores, strict=True)
    ]
    return written(tmp_path / "curve.csv", "method,share,score", *rows)


def test_fits_are_those_of_the_published_scores(curve: Path) -> None:
    laws = laws_of(read_scores(curve), curve)
    assert laws.keys() == FITS.keys()
    for name, (start, rate) in FITS.items():
        law = laws[name]
        assert law.start == pytest.approx(start, abs=6e-4)
        assert law.rate == pytest.approx(rate, rel=6e-4)
        assert (law.most, law.sizes, law.shares) == (pytest.approx(47.32), 6, (0.025, 1.0))


def test_a_fit_finds_the_curve_that_made_the_scores() -> None:
    for start, rate in ((0.2, 0.5), (0.0, 12.0), (0.89, 3.0), (0.5, 150.0)):
        scores = [start + (0.9 - start) * (1 - np.exp(-rate * s)) for s in SHARES]
        law = fitted(SHARES, scores, 0.9)
        assert law.error < 1e-8
        assert law.at(0.07) == pytest.approx(start + (0.9 - start) * (1 - np.exp(-rate * 0.07)))


@given(st.lists(st.floats(0, 1.2), min_size=6, max_size=6))
def test_no_point_of_a_grid_fits_better_within_the_bounds(scores: list[float]) -> None:
    law = fitted(SHARES, scores, 1.0)
    assert 0 <= law.start <= 1
    assert law.rate >= 0
    starts, rates = np.meshgrid(
        np.linspace(0, 1, 101), np.concatenate([[0], np.logspace(-3, 4, 99)])
    )
    falling = np.exp(-rates[..., None] * np.array(SHARES))
    off = 1 - (1 - starts[..., None]) * falling - np.array(scores)
    assert law.error <= np.sqrt((off**2).mean(axis=-1)).min() + 1e-6


def test_sizes_become_shares_by_the_pool_or_by_the_row_of_everything(tmp_path: Path) -> None:
    rows = ("LESS,50,0.5", "Rds+,5%,0.4", "Full,1000,0.9")
    path = written(tmp_path / "s.csv", "Strategy,N,Score", "LESS,50,0.5", "Full,1000,0.9")
    assert [one.share for one in read_scores(path)] == [0.05, 1.0]
    assert [one.share for one in read_scores(path, 500)] == [0.1, 1.0]
    path = written(tmp_path / "s.csv", "strategy,SDF,score", *rows[1:2], "all,,0.9")
    assert [(one.method, one.share) for one in read_scores(path)] == [("rds", 0.05), ("all", 1.0)]
    lines = [{"method": "bm25", "share": 0.25, "score": 3, "benchmark": "mmlu", "baseline": 4}]
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    (one,) = read_scores(path)
    assert (one.score, one.baseline, one.benchmark, one.whole) == (3.0, 4.0, "mmlu", False)


@pytest.mark.parametrize(
    ("header", "line", "told"),
    [
        ("method,share,score", "less,0.5,high", "has the score 'high'; give a number"),
        ("method,share,score", "less,0.5,nan", "has the score 'nan'"),
        ("method,share,score", "less,0.5,-2", "not losses"),
        ("method,share,score", "less,5,0.5", "has the share 5; give shares like 0.05 or 5%"),
        ("method,share,score", ",0.5,0.5", "names no method"),
        ("method,share,score", "less,,0.5", "says no size"),
        ("method,n,score", "less,50,0.5", "of a pool whose size is not said; give --candidates"),
        ("method,share,points", "less,0.5,0.5", "has no score; give the columns method"),
    ],
)
def test_rows_that_say_nothing_are_refused_with_their_line(
    tmp_path: Path, header: str, line: str, told: str
) -> None:
    path = written(tmp_path / "s.csv", header, line)
    with pytest.raises(InputError, match=told) as refused:
        read_scores(path)
    assert "s.csv:2" in str(refused.value)


def test_more_than_the_pool_cannot_be_trained_on(tmp_path: Path) -> None:
    path = written(tmp_path / "s.csv", "method,n,score", "less,50,0.5")
    with pytest.raises(InputError, match="n = 50 of 40 candidates"):
        read_scores(path, 40)


def test_curves_need_three_sizes_a_full_score_and_one_benchmark(tmp_path: Path) -> None:
    path = written(tmp_path / "s.csv", "method,share,score", "less,0.1,0.5", "less,0.2,0.6")
    scores = read_scores(path)
    with pytest.raises(InputError, match=r"no score above 0 of training on everything.*--full-sc"):
        laws_of(scores, path)
    with pytest.raises(InputError, match="has only 2 of the sizes of method 'less'"):
        laws_of(scores, path, 0.9)
    more = written(tmp_path / "s.csv", *path.read_text().split(), "less,0.4,0.7", "full,,0.9")
    assert laws_of(read_scores(more), more)["less"].most == 0.9
    assert laws_of(read_scores(more), more, 0.8)["less"].most == 0.8
    path = written(tmp_path / "b.csv", "method,share,score,benchmark", "a,.1,1,x", "a,.2,1,y")
    with pytest.raises(InputError, match="scores of 2 benchmarks \\(x, y\\)"):
        only_benchmark(read_scores(path), path)
