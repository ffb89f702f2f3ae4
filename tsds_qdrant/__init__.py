"""Task-specific data selection by optimal transport, on a Qdrant vector database.

    from tsds_qdrant import SelectionSettings, open_collection, select

    collection = open_collection("./store", "pool")
    selection = select(collection, queries, SelectionSettings(sizes=(1000,)))
    selection.selected_ids

Names are imported when they are first used, so that the command line starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsds_qdrant.collections import create_collection, open_collection
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.embedding import Embedder, SentenceTransformerEmbedder
    from tsds_qdrant.errors import TsdsError
    from tsds_qdrant.held_out import HeldOut, Reach
    from tsds_qdrant.lists import NeighborLists
    from tsds_qdrant.quotas import Quota
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.selection import Selection
    from tsds_qdrant.settings import SelectionSettings
    from tsds_qdrant.training.settings import ExportSettings
    from tsds_qdrant.transport import TransportProblem, TransportSolution, solve_transport
    from tsds_qdrant.workflow.check import check
    from tsds_qdrant.workflow.choose import choose
    from tsds_qdrant.workflow.compare import compare
    from tsds_qdrant.workflow.destination import Destination
    from tsds_qdrant.workflow.explain import explain
    from tsds_qdrant.workflow.export import export
    from tsds_qdrant.workflow.guards import Guard
    from tsds_qdrant.workflow.ingest import ingest_records, ingest_vectors
    from tsds_qdrant.workflow.reopen import reopen
    from tsds_qdrant.workflow.report import report_run, write_report
    from tsds_qdrant.workflow.reselect import begin_run, reselect
    from tsds_qdrant.workflow.select import select
    from tsds_qdrant.workflow.trace import trace_path
    from tsds_qdrant.workflow.write_back import Tagging, write_back

_HOMES = {
    "Collection": "tsds_qdrant.collections.protocol",
    "Destination": "tsds_qdrant.workflow.destination",
    "Embedder": "tsds_qdrant.embedding",
    "ExportSettings": "tsds_qdrant.training.settings",
    "Guard": "tsds_qdrant.workflow.guards",
    "HeldOut": "tsds_qdrant.held_out",
    "NeighborLists": "tsds_qdrant.lists",
    "Quota": "tsds_qdrant.quotas",
    "Reach": "tsds_qdrant.held_out",
    "Selection": "tsds_qdrant.selection",
    "SelectionSettings": "tsds_qdrant.settings",
    "SentenceTransformerEmbedder": "tsds_qdrant.embedding",
    "Tagging": "tsds_qdrant.workflow.write_back",
    "TextTemplate": "tsds_qdrant.records",
    "TransportProblem": "tsds_qdrant.transport",
    "TransportSolution": "tsds_qdrant.transport",
    "TsdsError": "tsds_qdrant.errors",
    "begin_run": "tsds_qdrant.workflow.reselect",
    "check": "tsds_qdrant.workflow.check",
    "choose": "tsds_qdrant.workflow.choose",
    "compare": "tsds_qdrant.workflow.compare",
    "create_collection": "tsds_qdrant.collections",
    "explain": "tsds_qdrant.workflow.explain",
    "export": "tsds_qdrant.workflow.export",
    "ingest_records": "tsds_qdrant.workflow.ingest",
    "ingest_vectors": "tsds_qdrant.workflow.ingest",
    "open_collection": "tsds_qdrant.collections",
    "reopen": "tsds_qdrant.workflow.reopen",
    "report_run": "tsds_qdrant.workflow.report",
    "reselect": "tsds_qdrant.workflow.reselect",
    "select": "tsds_qdrant.workflow.select",
    "solve_transport": "tsds_qdrant.transport",
    "trace_path": "tsds_qdrant.workflow.trace",
    "write_back": "tsds_qdrant.workflow.write_back",
    "write_report": "tsds_qdrant.workflow.report",
}

__all__ = [
    "Collection",
    "Destination",
    "Embedder",
    "ExportSettings",
    "Guard",
    "HeldOut",
    "NeighborLists",
    "Quota",
    "Reach",
    "Selection",
    "SelectionSettings",
    "SentenceTransformerEmbedder",
    "Tagging",
    "TextTemplate",
    "TransportProblem",
    "TransportSolution",
    "TsdsError",
    "begin_run",
    "check",
    "choose",
    "compare",
    "create_collection",
    "explain",
    "export",
    "ingest_records",
    "ingest_vectors",
    "open_collection",
    "reopen",
    "report_run",
    "reselect",
    "select",
    "solve_transport",
    "trace_path",
    "write_back",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tsds_qdrant' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
