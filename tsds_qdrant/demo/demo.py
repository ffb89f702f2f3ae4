"""The main job on real text that lies on any machine: docstrings.

Candidates are docstrings of the standard library and of the packages installed with us; the task
is networking, shown by a few dozen docstrings that are taken out of the pool. How many of the
selected ones come from networking packages shows how well the selection hits the task.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tsds_qdrant.collections import open_collection
from tsds_qdrant.demo.corpus import Docstring, docstrings, sample, split_task
from tsds_qdrant.errors import OutputError, SettingsError
from tsds_qdrant.files.outputs import write_rows
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ingest import ingest_records
from tsds_qdrant.ingestion.report import IngestReport
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.report.write import check_report, write_report
from tsds_qdrant.representations.text import Embedder
from tsds_qdrant.runs.begin import Keeping, new_run
from tsds_qdrant.selection.results import write_manifest, write_samples
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings, Wanted
from tsds_qdrant.task.examples import examples_of_records

COLLECTION = "docstrings"
POOL_FILE = "pool.jsonl"
TASK_FILE = "task.jsonl"
SELECTED_FILE = "selected.jsonl"
REPORT_FILE = "report.html"
COLUMNS = ("text", "name", "package", "kind")


@dataclass(frozen=True)
class DemoReport:
    """What the demo did.

    Attributes:
        directory: where pool, task, collection, selection and report lie.
        ingest: the ingest.
        selection: the selection.
        hits: selected docstrings that come from the task's packages.
        base_share: share of such docstrings in the pool: what random selection hits on average.
        shown: some of the selected docstrings, best rank first.
        seconds: time by stage.
    """

    directory: Path
    ingest: IngestReport
    selection: Selection
    hits: int
    base_share: float
    shown: list[Docstring]
    seconds: dict[str, float]

    @property
    def share(self) -> float:
        """Share of the selection that comes from the task's packages."""
        return self.hits / len(self.selection.selected_ids)


def run_demo(
    directory: Path,
    embedder: Embedder,
    *,
    pool_size: int = 3_000,
    size: int = 200,
    seed: int = 0,
    roots: Sequence[Path] | None = None,
    progress: Progress = silent,
) -> DemoReport:
    """Read docstrings, ingest them into ``directory``, select, score the selection, report.

    Args:
        directory: made if need be; files of an earlier demo in it are used or replaced.
        embedder: turns docstrings into vectors.
        pool_size: how many candidates.
        size: how many to select.
        seed: of the corpus and of the selection.
        roots: directories to read instead of the standard library and our packages.
        progress: stages ``ingest``, ``task examples``, ``neighbours``, ``densities``.

    Raises:
        TsdsError: whatever ingest and select raise.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"'{directory}' cannot be made a directory ({error.strerror}); "
            f"choose another with --dir"
        ) from None
    check_report(directory / REPORT_FILE)
    started = time.perf_counter()
    split = split_task(sample(docstrings(roots), pool_size, seed), seed=seed)
    if size > len(split.pool):
        raise SettingsError(
            f"size is {size} but there are {len(split.pool)} candidates; ask for fewer"
        )
    write_rows(directory / POOL_FILE, split.pool, columns=COLUMNS)
    write_rows(directory / TASK_FILE, split.task_examples, columns=COLUMNS)
    read = time.perf_counter()
    template = TextTemplate(text_field="text")
    ingested = ingest_records(
        Destination(str(directory), COLLECTION),
        [str(directory / POOL_FILE)],
        template=template,
        embedder=embedder,
        progress=progress,
    )
    stored = time.perf_counter()
    collection = open_collection(str(directory), COLLECTION)
    try:
        info = collection.info()
        examples = examples_of_records(
            str(directory / TASK_FILE),
            embedder,
            template=template,
            stored=info.metadata,
            progress=progress,
        )
        source = {"source": str(directory / TASK_FILE)}
        settings = SelectionSettings(Wanted(sizes=(size,), seed=seed))
        keeping = Keeping(query_facts={**source, "texts": examples.texts})
        run = new_run(collection, examples, settings, keeping=keeping, progress=progress)
        selection = run.selection
        write_samples(collection, selection, directory / SELECTED_FILE)
        chosen = collection.retrieve(selection.selected_ids)
        write_manifest(selection, directory / SELECTED_FILE, queries=source)
        selected = time.perf_counter()
        write_report(directory / REPORT_FILE, collection, run, by="package")
    finally:
        collection.close()
    hidden = {item["name"] for item in split.hidden}
    return DemoReport(
        directory=directory,
        ingest=ingested,
        selection=selection,
        hits=sum(record.payload["name"] in hidden for record in chosen),
        base_share=len(split.hidden) / len(split.pool),
        shown=[Docstring(**record.content) for record in chosen[:8]],  # type: ignore[typeddict-item]
        seconds={
            "read": read - started,
            "ingest": stored - read,
            "select": selected - stored,
            "report": time.perf_counter() - selected,
        },
    )
