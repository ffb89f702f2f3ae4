"""Which points of a run a person means: by id, by the beginning of one, by rank, or by text."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError
from tsds_qdrant.pool.texts import shortened, text_of
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.runs.run import Run
from tsds_qdrant.runs.texts import texts_of_run
from tsds_qdrant.selection.selection import Selection

PAGE = 1_000
LISTED = 3
"""Ids that are named where several could be meant."""
SHORTEST = 4
"""Characters of an id that are enough to name it by."""


def named_points(
    run: Run,
    ids: Sequence[str] = (),
    ranks: Sequence[int] = (),
    text: str | None = None,
    template: TextTemplate | None = None,
) -> list[PointId]:
    """Ids of the points that are meant, in that order.

    Args:
        run: whose selection, and whose known candidates, they are looked for in.
        ids: whole ids; of UUIDs the beginning is enough where the run knows one alone that has it.
        ranks: in the largest sample, from 0.
        text: some words of a candidate, whatever their case.
        template: how the texts of points are made; by default as everywhere, see
            :func:`~tsds_qdrant.pool.texts.point_template`.

    Raises:
        InputError: nothing or too much has that name.
    """
    known = run.selection.ids
    found = [_by_id(one, known) for one in ids]
    found += [_by_rank(rank, run.selection) for rank in ranks]
    return found if text is None else [*found, _by_text(text, run, template)]


def _by_id(text: str, known: Sequence[PointId]) -> PointId:
    try:
        return str(UUID(text))
    except ValueError:
        pass
    number = int(text) if text.isdecimal() else None
    beginning = text.lower()
    if number is None or (number not in known and len(text) >= SHORTEST):
        fits = [one for one in known if isinstance(one, str) and one.startswith(beginning)]
        if len(fits) > 1:
            raise InputError(f"{len(fits)} ids begin with '{text}': {_some(fits)}; give more of it")
        if fits:
            return fits[0]
    if number is None:
        raise InputError(
            f"'{text}' is no point id, and the run knows none that begins so; use a number, a "
            f"UUID, or --rank or --text"
        )
    return number


def _by_rank(rank: int, selection: Selection) -> PointId:
    drawn = _drawn(selection)
    if not 0 <= rank < len(drawn):
        raise InputError(
            f"rank is {rank}, and the selection has {len(drawn)}; give one from 0 to "
            f"{len(drawn) - 1}"
        )
    return drawn[rank]


def _drawn(selection: Selection) -> list[PointId]:
    return selection.selected_ids if selection.samples else []


def _by_text(text: str, run: Run, template: TextTemplate | None) -> PointId:
    """The candidate with ``text`` in it: of the selected ones, else of all that the run knows."""
    selection, wanted = run.selection, " ".join(text.split()).casefold()
    drawn = _drawn(selection)
    among = set(drawn)
    others = [one for one in selection.ids if one not in among]
    template = texts_of_run(run, template)
    for ids in (drawn, others):
        fits: dict[PointId, str] = {}
        for start in range(0, len(ids), PAGE):
            page = run.known.searcher.collection.retrieve(ids[start : start + PAGE])
            texts = {one.id: " ".join(text_of(one.content, template).split()) for one in page}
            fits |= {one: shown for one, shown in texts.items() if wanted in shown.casefold()}
        if len(fits) > 1:
            shown = "; ".join(f"{one} ({shortened(fits[one], 40)})" for one in [*fits][:LISTED])
            raise InputError(f"{len(fits)} candidates have '{text}' in them: {shown}; give more")
        if fits:
            return next(iter(fits))
    raise InputError(
        f"no candidate that the run has met has '{text}' in its text; give its id with --id"
    )


def _some(ids: Sequence[PointId]) -> str:
    return ", ".join(map(str, ids[:LISTED])) + (" .." if len(ids) > LISTED else "")
