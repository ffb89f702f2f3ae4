"""Runs to export, and what ``datasets`` reads of the files.

A test module takes the fixtures that it needs by name: ``make = exported.make``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pool_oracle import clustered_rows, edge_pool, near_queries

from tsds_qdrant import ExportSettings, SelectionSettings, begin_run, export
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric

SIZE = 60
POOL = clustered_rows(400, 8, 90, spread=0.1)
"""Clusters of near-duplicates."""
QUERIES = near_queries(POOL, 12)
HOSTILE: list[dict[str, Any]] = [
    {"text": "line\u2028and\u2029paragraph\x85next\rthe\n\tend", "": 1, "a.b": {"": None}},
    {"text": "\x00 \ufeff \U0001f600", "tsds_id": "mine", "payload_tsds_id": 2, "rank": 7},
    {"text": "nested", "deep": [[{"x": [1, None]}], []], "id": None, "payload": {"text": "in"}},
    {"text": "other", "a.b": {"other": True}, "mixed": [1, "a"], "weight": 0.5, "id": 2**60 + 1},
]


def payload_of(number: int) -> dict[str, Any]:
    return {"instruction": f"ask {number}", "output": f"say {number}", "lang": "en"}


class Made:
    """A run over an embedded collection, in the working directory."""

    def __init__(self, collection: Collection, strategy: str = "tsds", **wanted: Any) -> None:
        chosen: dict[str, Any] = {"sizes": (20, SIZE)}
        if strategy == "tsds":
            chosen |= {"alpha": 0.05, "cost_scale": 1.0, "bandwidth": 0.5}
        self.collection = collection
        self.state, self.selection = begin_run(
            "task.run", collection, QUERIES, SelectionSettings.of(strategy, **{**chosen, **wanted})
        )

    def export(self, out: str, form: str = "plain", **wanted: Any) -> Any:
        keys = ("pool", "id_field")
        passed = {key: wanted.pop(key) for key in keys if key in wanted}
        settings = ExportSettings(form, **wanted)
        return export(self.state, out, settings, collection=self.collection, **passed)

    def drawn(self, size: int = SIZE) -> list[dict[str, Any]]:
        return list(self.selection.sample_rows(size))


Load = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        yield


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Rows of a file as ``datasets.load_dataset`` reads them."""
    from datasets import load_dataset

    def rows(path: str | Path) -> list[dict[str, Any]]:
        kind = "parquet" if str(path).endswith(".parquet") else "json"
        cache = str(tmp_path / "cache")
        loaded = load_dataset(kind, data_files=str(path), split="train", cache_dir=cache)
        found: list[dict[str, Any]] = loaded.to_list()
        return found

    return rows


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Made]]:
    """``make(payloads, **settings)``: a run over ``POOL`` with these payloads in turn."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:

        def made(
            payloads: Sequence[dict[str, Any]] = (),
            metric: Metric = "Euclid",
            ids: Sequence[Any] | None = None,
            rows: Any = POOL,
            **wanted: Any,
        ) -> Made:
            each = [
                dict(payloads[k % len(payloads)]) if payloads else payload_of(k)
                for k in range(len(rows))
            ]
            pool = stack.enter_context(edge_pool(rows, metric, ids=ids, payloads=each))
            return Made(pool, **wanted)

        yield made
