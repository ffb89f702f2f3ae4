"""How long a selection takes where a server limits the reads of a minute, said beforehand."""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections.limits import announce, conditions
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.neighbors.deepening import FIRST_DEPTH
from tsds_qdrant.neighbors.expected import expected_searches
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.task.examples import TaskExamples


def announce_reads(
    collection: Collection, queries: npt.ArrayLike | TaskExamples, settings: SelectionSettings
) -> None:
    """Say how long a selection for the task examples ``queries`` will take, if that is long."""
    limits, where = collection.limits, settings.search.where
    if limits.read_rate is None:
        return
    info = collection.info()
    size = max(settings.wanted_sizes(info.count), default=0)
    pieces = 1 if limits.limit is None else ceil(FIRST_DEPTH / limits.limit)
    vectors = (
        queries.vectors if isinstance(queries, TaskExamples) else np.atleast_1d(np.asarray(queries))
    )
    searches = expected_searches(len(vectors), size)
    tokens = pieces * searches * (1 + conditions(where))
    announce(info.name, "reads", limits.read_rate, tokens - limits.read_rate)
