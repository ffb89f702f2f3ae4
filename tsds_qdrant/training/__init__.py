"""Training files: what payloads show, the forms trainers read, and a split that leaks nothing.

Online data mixing is here too; its names are imported when they are first used, as two of them
import torch and transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsds_qdrant.training.mixing import OnlineMixture
    from tsds_qdrant.training.mixing_sources import sources_of
    from tsds_qdrant.training.mixing_stream import MixedStream
    from tsds_qdrant.training.mixing_torch import MixedDataset, MixtureCallback

__all__ = ["MixedDataset", "MixedStream", "MixtureCallback", "OnlineMixture", "sources_of"]
_HOMES = {
    "MixedDataset": "mixing_torch",
    "MixedStream": "mixing_stream",
    "MixtureCallback": "mixing_torch",
    "OnlineMixture": "mixing",
    "sources_of": "mixing_sources",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
