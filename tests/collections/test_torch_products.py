"""Products by torch find what numpy finds: after the float64 step the answers are the same bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_oracle import clustered_rows

from tsds_qdrant.collections.edge.devices import device_for, products_on
from tsds_qdrant.collections.edge.loaded import LoadedVectors
from tsds_qdrant.collections.edge.products import CpuProducts
from tsds_qdrant.collections.edge.torch_products import TorchProducts
from tsds_qdrant.collections.scanning import Scanning
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import SettingsError

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class ByTorch(LoadedVectors):
    """Points whose products torch computes, on the CPU too."""

    def _products(self, numbers: int) -> TorchProducts:
        return TorchProducts(DEVICE)


@settings(deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([1, 50, 9_000]),
    st.sampled_from(["Cosine", "Euclid"]),
    st.sampled_from([1, 7, 60]),
    st.sampled_from([None, 0.5, 2.0]),
)
def test_the_same_answers(
    seed: int, points: int, metric: Metric, limit: int, radius: float | None
) -> None:
    rows = clustered_rows(points, 12, 3, seed=seed).astype(np.float32)
    rows[::5] = rows[0]
    rows[3:4] = np.nan
    if metric == "Cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = clustered_rows(20, 12, 3, seed=seed + 1).astype(np.float32)
    found = [
        kind(range(points), rows, metric).search(queries, limit, radius)
        for kind in (LoadedVectors, ByTorch)
    ]
    assert found[0].ids == found[1].ids
    assert found[0].distances.tobytes() == found[1].distances.tobytes()
    assert found[0].counts.tolist() == found[1].counts.tolist()


def test_what_computes_products() -> None:
    assert isinstance(products_on(device_for("cpu", 1e15)), CpuProducts)
    assert isinstance(products_on(device_for("auto", 1e6)), CpuProducts)
    gpu = TorchProducts if torch.cuda.is_available() else CpuProducts
    assert isinstance(products_on(device_for("auto", 1e15)), gpu)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(SettingsError, match=f"--scan-device is '{device}', which torch .* not"):
        products_on(device_for(Scanning(device).device, 1))
