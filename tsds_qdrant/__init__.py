"""Task-specific data selection by optimal transport, on a Qdrant vector database.

    from tsds_qdrant import select_from

    select_from(frame, task_frame, size=1000).to_pandas()

or, step by step,

    from tsds_qdrant import SelectionSettings, open_collection, select

    collection = open_collection("./store", "pool")
    selection = select(collection, queries, SelectionSettings.of(sizes=(1000,)))
    selection.selected_ids

Names are imported when they are first used, so that the command line starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsds_qdrant.collections import create_collection, open_collection
    from tsds_qdrant.collections.connection import Connection
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.errors import TsdsError
    from tsds_qdrant.guards.guard import Guard
    from tsds_qdrant.guards.held_out import HeldOut, Reach
    from tsds_qdrant.ingestion.destination import Destination
    from tsds_qdrant.ingestion.ingest import ingest_records, ingest_vectors
    from tsds_qdrant.neighbors.settings import SearchSettings
    from tsds_qdrant.notebook.ingest import ingest
    from tsds_qdrant.notebook.select_from import select_from
    from tsds_qdrant.notebook.selected import Selected
    from tsds_qdrant.planning.check import check
    from tsds_qdrant.planning.compare import compare
    from tsds_qdrant.planning.settings import CompareSettings
    from tsds_qdrant.planning.strategies import catalogue
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.records.form import FileForm
    from tsds_qdrant.records.settings import RecordSettings
    from tsds_qdrant.report.write import report_run, write_report
    from tsds_qdrant.representations.text import Embedder, SentenceTransformerEmbedder
    from tsds_qdrant.runs.begin import Keeping, begin_run, new_run
    from tsds_qdrant.runs.explain import explain
    from tsds_qdrant.runs.pruning import prune
    from tsds_qdrant.runs.reopen import reopen
    from tsds_qdrant.runs.reselect import reselect
    from tsds_qdrant.runs.run import Run
    from tsds_qdrant.runs.tagging import Tagging
    from tsds_qdrant.runs.write_back import write_back
    from tsds_qdrant.selection.bounds import Bounds
    from tsds_qdrant.selection.quotas import Quota
    from tsds_qdrant.selection.select import select
    from tsds_qdrant.selection.selection import Selection
    from tsds_qdrant.selection.settings import SelectionSettings, Wanted
    from tsds_qdrant.solver.lists import NeighborLists
    from tsds_qdrant.solver.transport import TransportProblem, TransportSolution, solve_transport
    from tsds_qdrant.strategies.catalog import strategy_class
    from tsds_qdrant.strategies.tsds.strategy import Tsds
    from tsds_qdrant.strategies.tsds.trace import trace_path
    from tsds_qdrant.task.examples import TaskExamples
    from tsds_qdrant.training.export import export
    from tsds_qdrant.training.mixing import OnlineMixture
    from tsds_qdrant.training.settings import ExportSettings

_HOMES = {
    "Bounds": "tsds_qdrant.selection.bounds",
    "Collection": "tsds_qdrant.collections.protocol",
    "CompareSettings": "tsds_qdrant.planning.settings",
    "Connection": "tsds_qdrant.collections.connection",
    "Destination": "tsds_qdrant.ingestion.destination",
    "Embedder": "tsds_qdrant.representations.text",
    "ExportSettings": "tsds_qdrant.training.settings",
    "FileForm": "tsds_qdrant.records.form",
    "Guard": "tsds_qdrant.guards.guard",
    "HeldOut": "tsds_qdrant.guards.held_out",
    "Keeping": "tsds_qdrant.runs.begin",
    "NeighborLists": "tsds_qdrant.solver.lists",
    "OnlineMixture": "tsds_qdrant.training.mixing",
    "Quota": "tsds_qdrant.selection.quotas",
    "Reach": "tsds_qdrant.guards.held_out",
    "RecordSettings": "tsds_qdrant.records.settings",
    "Run": "tsds_qdrant.runs.run",
    "SearchSettings": "tsds_qdrant.neighbors.settings",
    "Selected": "tsds_qdrant.notebook.selected",
    "Selection": "tsds_qdrant.selection.selection",
    "SelectionSettings": "tsds_qdrant.selection.settings",
    "SentenceTransformerEmbedder": "tsds_qdrant.representations.text",
    "Tagging": "tsds_qdrant.runs.tagging",
    "TaskExamples": "tsds_qdrant.task.examples",
    "TextTemplate": "tsds_qdrant.records",
    "TransportProblem": "tsds_qdrant.solver.transport",
    "TransportSolution": "tsds_qdrant.solver.transport",
    "Tsds": "tsds_qdrant.strategies.tsds.strategy",
    "TsdsError": "tsds_qdrant.errors",
    "Wanted": "tsds_qdrant.selection.settings",
    "begin_run": "tsds_qdrant.runs.begin",
    "catalogue": "tsds_qdrant.planning.strategies",
    "check": "tsds_qdrant.planning.check",
    "compare": "tsds_qdrant.planning.compare",
    "create_collection": "tsds_qdrant.collections",
    "explain": "tsds_qdrant.runs.explain",
    "export": "tsds_qdrant.training.export",
    "ingest": "tsds_qdrant.notebook.ingest",
    "ingest_records": "tsds_qdrant.ingestion.ingest",
    "ingest_vectors": "tsds_qdrant.ingestion.ingest",
    "new_run": "tsds_qdrant.runs.begin",
    "open_collection": "tsds_qdrant.collections",
    "prune": "tsds_qdrant.runs.pruning",
    "reopen": "tsds_qdrant.runs.reopen",
    "report_run": "tsds_qdrant.report.write",
    "reselect": "tsds_qdrant.runs.reselect",
    "select": "tsds_qdrant.selection.select",
    "select_from": "tsds_qdrant.notebook.select_from",
    "solve_transport": "tsds_qdrant.solver.transport",
    "strategy_class": "tsds_qdrant.strategies.catalog",
    "trace_path": "tsds_qdrant.strategies.tsds.trace",
    "write_back": "tsds_qdrant.runs.write_back",
    "write_report": "tsds_qdrant.report.write",
}

__all__ = [
    "Bounds",
    "Collection",
    "CompareSettings",
    "Connection",
    "Destination",
    "Embedder",
    "ExportSettings",
    "FileForm",
    "Guard",
    "HeldOut",
    "Keeping",
    "NeighborLists",
    "OnlineMixture",
    "Quota",
    "Reach",
    "RecordSettings",
    "Run",
    "SearchSettings",
    "Selected",
    "Selection",
    "SelectionSettings",
    "SentenceTransformerEmbedder",
    "Tagging",
    "TaskExamples",
    "TextTemplate",
    "TransportProblem",
    "TransportSolution",
    "Tsds",
    "TsdsError",
    "Wanted",
    "begin_run",
    "catalogue",
    "check",
    "compare",
    "create_collection",
    "explain",
    "export",
    "ingest",
    "ingest_records",
    "ingest_vectors",
    "new_run",
    "open_collection",
    "prune",
    "reopen",
    "report_run",
    "reselect",
    "select",
    "select_from",
    "solve_transport",
    "strategy_class",
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
