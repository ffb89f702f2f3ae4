"""Training and validation files: near-duplicates stay on one side."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exported
import numpy as np
import pytest
from commands import rows_of
from exported import POOL, SIZE, Load, Made, payload_of
from pool_oracle import METRICS
from scipy.spatial.distance import cdist

from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.training.spool import Spool

load, make, offline = exported.load, exported.make, exported.offline


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("exact", [False, True])
def test_no_pair_of_near_duplicates_straddles_the_split(
    make: Callable[..., Made], metric: Metric, exact: bool
) -> None:
    scale = {"Cosine": 0.1, "Euclid": 1.0, "Manhattan": 2.5}[metric]
    wanted = {"bandwidth": 0.4 * scale, "cost_scale": scale, "sampler": "stable"}
    made = make(metric=metric, exact=exact, **wanted)
    report = made.export("train.jsonl", validation=0.2, seed=1)
    sides = [[row["tsds_id"] for row in rows_of(path)] for path in report.files]
    assert list(report.files) == ["train.jsonl", "train-validation.jsonl"]
    assert sorted(sides[0] + sides[1]) == sorted(d["id"] for d in made.drawn())
    assert len(sides[1]) == pytest.approx(0.2 * SIZE, abs=2)
    rows = POOL.astype(np.float32).astype(np.float64)
    if metric == "Cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    kind = "cityblock" if metric == "Manhattan" else "euclidean"
    assert cdist(rows[sides[0]], rows[sides[1]], kind).min() > report.split.radius
    within = cdist(rows[sides[0]], rows[sides[0]], kind)[np.triu_indices(len(sides[0]), 1)]
    assert (within <= report.split.radius).any()  # so there was something to keep together
    assert report.split.radius == pytest.approx(0.4 * scale)
    again = made.export("again.jsonl", validation=0.2, seed=1)
    assert Path("again.jsonl").read_bytes() == Path("train.jsonl").read_bytes()
    assert again.split == report.split
    wider = made.export("wide.jsonl", validation=0.2, radius=2.0 * scale)
    assert wider.split.groups < report.split.groups


def test_copies_stay_together_at_bandwidth_zero(make: Callable[..., Made]) -> None:
    rows = np.repeat(POOL[:100], 4, axis=0)
    made = make(rows=rows, bandwidth=0.0)
    report = made.export("train.parquet", validation=0.3)
    assert report.split.radius == 0.0
    import pyarrow.parquet as pq

    sides = [{i // 4 for i in pq.read_table(path)["tsds_id"].to_pylist()} for path in report.files]
    assert not sides[0] & sides[1]
    assert report.split.groups == len(sides[0] | sides[1])


def test_a_run_without_a_bandwidth_needs_a_radius(make: Callable[..., Made]) -> None:
    made = make(strategy="random")
    with pytest.raises(SettingsError, match=r"'random' does not know near-duplicates.*--radius"):
        made.export("train.jsonl", validation=0.2)
    with pytest.raises(SettingsError) as refused:
        made.export("train.jsonl", validation=0.2)
    found = re.search(r"--radius, (\S+) say", str(refused.value))
    assert found is not None
    for radius in (float(found[1]), 0.0, 0.4):
        split = made.export(f"{radius}.jsonl", validation=0.2, radius=radius).split
        assert split.radius == radius
        assert split.groups > 1


def test_both_files_of_a_split_have_the_same_columns(make: Callable[..., Made], load: Load) -> None:
    made = make([{**payload_of(0), "rare": "yes"}, *([payload_of(1)] * 30)])
    report = made.export("train.parquet", validation=0.5)
    first, second = (load(path) for path in report.files)
    assert first[0].keys() == second[0].keys()
    assert "rare" in first[0]


@pytest.mark.parametrize(("name", "reads"), [("train.jsonl", 55), ("train.parquet", SIZE + 55)])
def test_a_failed_export_leaves_both_files_as_they_were(
    make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch, name: str, reads: int
) -> None:
    made = make()
    made.export(name, validation=0.2, seed=1)
    before = {path.name: path.read_bytes() for path in Path().glob("train*")}
    assert len(before) == 3  # with the manifest
    read, left = Spool.__getitem__, iter(range(reads))

    def fail_late(self: Spool, number: int) -> dict[str, Any]:
        if next(left, None) is None:
            raise KeyboardInterrupt  # the first of the files has been written, the second has not
        return read(self, number)

    monkeypatch.setattr(Spool, "__getitem__", fail_late)
    with pytest.raises(KeyboardInterrupt):
        made.export(name, validation=0.2, seed=2)
    assert {path.name: path.read_bytes() for path in Path().glob("*train*")} == before


def test_a_validation_file_of_an_earlier_export_is_told_of(make: Callable[..., Made]) -> None:
    made = make()
    assert made.export("train.jsonl", validation=0.2).stale == ""
    assert made.export("train.jsonl").stale == "train-validation.jsonl"
