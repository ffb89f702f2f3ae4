"""What computes products: the CPU, or a device that torch finds."""

from __future__ import annotations

from importlib.util import find_spec

from tsds_qdrant.collections.edge.products import CpuProducts, Products
from tsds_qdrant.collections.scanning import AUTO, CPU

GPU_WORK = 1e12
"""Multiplications of one scan from which on a GPU is looked for unasked: about 20 s of two cores,
while loading torch takes about 2."""


def device_for(wanted: str, work: float) -> str:
    """The device for a scan of about ``work`` multiplications; CPU where auto finds no better."""
    if wanted != AUTO:
        return wanted
    if work < GPU_WORK or find_spec("torch") is None:
        return CPU
    from tsds_qdrant.collections.edge.torch_products import gpu

    return gpu() or CPU


def products_on(device: str) -> Products:
    """What computes products on ``device``, as :func:`device_for` names it.

    Raises:
        SettingsError: torch has no such device.
    """
    if device == CPU:
        return CpuProducts()
    from tsds_qdrant.collections.edge.torch_products import TorchProducts

    return TorchProducts(device)
