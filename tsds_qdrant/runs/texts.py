"""How the texts of the points of a run are made, and their tokens counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsds_qdrant.errors import InputError
from tsds_qdrant.pool.fields import check_template
from tsds_qdrant.pool.texts import own_template, point_template
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.representations.named import embedder_named
from tsds_qdrant.runs.run import Run
from tsds_qdrant.selection.traits import CountTokens


def texts_of_run(run: Run, wanted: TextTemplate | None = None) -> TextTemplate:
    """How the texts of points are made: as ``wanted``, else as when the run was begun.

    See :func:`~tsds_qdrant.pool.texts.point_template`.
    """
    if wanted is not None and wanted.to_dict():
        return wanted
    asked = TextTemplate.from_dict(run.queries)
    return point_template(run.known.searcher.collection, asked, shared=True)


def said_of_run(run: Run) -> TextTemplate:
    """The same where somebody says it: the collection, or who began the run; else undecided."""
    collection = run.known.searcher.collection
    own, asked = own_template(collection.info()), TextTemplate.from_dict(run.queries)
    try:
        check_template(collection, asked)
    except InputError:
        return own
    return own if own.to_dict() else asked


def counter_of(queries: Mapping[str, Any]) -> CountTokens | None:
    """What counts tokens by the model that was named when a run was begun, if it can; unloaded."""
    model = queries.get("model")
    count: CountTokens | None = model and getattr(embedder_named(model), "count_tokens", None)
    return count
