"""What computes products: the CPU, or a device that torch finds."""

from __future__ import annotations

from importlib.util import find_spec

from tsds_qdrant.collections.edge.products import CpuProducts, Products
from tsds_qdrant.collections.scanning import AUTO, CPU

GPU_WORK = 1e12
"""Multiplications of one scan from which on a GPU is looked for unasked: about 20 s of two cores,
while loading torch takes about 2."""


def products_for(device: str, work: float) -> Products:
    """What computes products on ``device``, for a scan of about ``work`` multiplications.

    Raises:
        SettingsError: torch, or torch's device of that name, is missing.
    """
    if device == CPU or (device == AUTO and (work < GPU_WORK or find_spec("torch") is None)):
        return CpuProducts()
    from tsds_qdrant.collections.edge.torch_products import TorchProducts, gpu

    if device == AUTO:
        found = gpu()
        return CpuProducts() if found is None else TorchProducts(found)
    return TorchProducts(device)
