"""What rounding leaves of small distances: measured on the engine, and said where it matters."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from pool_oracle import edge_pool, engine_distances

from tsds_qdrant.collections.values import Metric
from tsds_qdrant.neighbors.rounding import TOLERATED, narrow_bandwidth, smallest_distance
from tsds_qdrant.planning.check import check
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.solver.density import kernel

RNG = np.random.default_rng(5)
UNIT = RNG.normal(size=(60, 384)).astype(np.float32)
UNIT /= np.linalg.norm(UNIT, axis=1, keepdims=True)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["Cosine", "Dot"])
@pytest.mark.parametrize("datatype", ["float32", "float16"])
def test_copies_lie_within_the_smallest_distance(metric: Metric, datatype: str) -> None:
    for dimension in (3, 32, 384):
        rows = UNIT[:, :dimension] / np.linalg.norm(UNIT[:, :dimension], axis=1, keepdims=True)
        with edge_pool(rows, metric, datatype=datatype) as pool:
            info = pool.info()
            off = np.diag(engine_distances(pool, rows)).max()
        assert 0 < off <= smallest_distance(info)
        assert off >= smallest_distance(info) / 3  # a stricter limit would warn for nothing


@pytest.mark.parametrize(
    ("metric", "datatype", "bandwidth", "said"),
    [
        ("Cosine", "float32", 0.001, True),
        ("Cosine", "float32", 0.006, True),
        ("Cosine", "float32", 0.02, False),
        ("Cosine", "float32", 0.0, False),
        ("Dot", "float32", 0.002, True),
        ("Cosine", "float16", 0.05, True),
        ("Cosine", "float16", 0.45, False),
        ("Euclid", "float32", 0.001, False),
        ("Euclid", "float16", 0.001, False),
        ("Manhattan", "float32", 0.0001, False),
    ],
)
def test_a_selection_says_it_and_its_advice_does(
    metric: Metric, datatype: str, bandwidth: float, said: bool
) -> None:
    given: dict[str, Any] = {"sizes": (1,), "alpha": 0.5, "cost_scale": 1.0}
    with edge_pool(UNIT, metric, datatype=datatype) as pool:

        def told(h: float) -> list[str]:
            settings = SelectionSettings.of(**given, bandwidth=h)
            lines = select(pool, UNIT[:3], settings).evidence.in_words()
            return [line for line in lines if "is narrow" in line]

        lines = told(bandwidth)
        assert bool(lines) == said
        if said:
            (enough,) = re.findall(r"set it to ([\d.]+) or more, or to 0$", lines[0])
            assert told(float(enough)) == told(0.0) == []


def test_the_stated_error_of_a_kernel_is_not_exceeded() -> None:
    with edge_pool(UNIT, "Cosine") as pool:
        info = pool.info()
        off = np.diag(engine_distances(pool, UNIT))
    for bandwidth in (0.0005, 0.001, 0.003):
        (percent,) = re.findall(r"off by (\d+) %", narrow_bandwidth(info, bandwidth))
        assert (np.minimum(1.0, off / bandwidth) ** 2 * 100).max() <= int(percent) + 0.5
    assert narrow_bandwidth(info, smallest_distance(info) / TOLERATED**0.5) == ""


@pytest.mark.parametrize("bandwidth", [5e-324, 1e-320, 1e-200, 1e-160, 1e-20])
def test_no_bandwidth_is_too_narrow_to_be_named(bandwidth: float) -> None:
    with edge_pool(UNIT, "Cosine") as pool:
        assert "off by 100 %" in narrow_bandwidth(pool.info(), bandwidth)
        assert kernel(np.array([0.0, 1e-3, 1.0]), bandwidth).tolist() == [1.0, 0.0, 0.0]
        assert narrow_bandwidth(pool.info(), 1e300) == ""


def test_check_says_what_a_task_would_get() -> None:
    near = UNIT[0] + 2e-5 * RNG.normal(size=(80, 384)).astype(np.float32)
    for rows, datatype, wanted in (
        (near, "float32", ["for a task like the stored points, the bandwidth"]),
        (UNIT, "float32", []),
        (UNIT, "float16", ["vectors are float16, whose Cosine scores are rounded"]),
    ):
        with edge_pool(rows, "Cosine", datatype=datatype) as pool:
            report = check(pool)
        said = (*report.warnings, *report.notes)
        notes = [one for one in said if "rounded" in one or "narrow" in one]
        assert len(notes) == len(wanted)
        assert all(note.startswith(start) for note, start in zip(notes, wanted, strict=True))
