"""How the texts of the points of a run are made."""

from __future__ import annotations

from tsds_qdrant.errors import InputError
from tsds_qdrant.pool.fields import check_template
from tsds_qdrant.pool.texts import own_template, point_template
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.runs.run import Run


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
