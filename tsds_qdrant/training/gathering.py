"""Gathering what is exported: every selected payload once, whether it fits, and what all share."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array, IntArray
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError
from tsds_qdrant.files.json_values import json_safe
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.examples import Example, UnfitError
from tsds_qdrant.records.fields import (
    field_values,
    likely_field,
    listed_fields,
    listed_names,
    name_of,
)
from tsds_qdrant.records.recognising import recognised
from tsds_qdrant.records.shapes import TEXT, lacking
from tsds_qdrant.selection.results import PAYLOAD_PAGE
from tsds_qdrant.training.forms import PLAIN, Survey, check_fit
from tsds_qdrant.training.selected import SelectedRow
from tsds_qdrant.training.settings import ExportSettings
from tsds_qdrant.training.spool import Spool

EXACT_IDS = 2**63
"""Readers of JSON make a float of larger numbers."""


class Gathered:
    """Selected rows that fit, put aside.

    Args:
        settings: the form, and how.
        spool: takes the rows.
        template: how the text of a point is made, of those that hold no answer to learn.

    Attributes:
        spool: the rows, each with ``id``, ``rank``, ``probability``, ``weight`` and ``payload``.
        survey: what the examples have in common; has seen nothing for plain payloads.
        fields: names of the payloads' fields, in the order they were first seen.
        left_out: fields of which a record is made without -> how many records have them.
        lengths: (n,) characters of the examples that were recognised.
        unfit: the ids of the records that do not fit, and why.
        kept: (n,) numbers in ``spool`` of the rows that fit, best rank first.
        ids: (n) their ids.
        weights: (n,) how often each was drawn.
    """

    def __init__(
        self, settings: ExportSettings, spool: Spool, template: TextTemplate | None = None
    ) -> None:
        self._settings = settings
        self._template = TextTemplate() if settings.fields or template is None else template
        self.spool = spool
        self.survey = Survey(settings.form)
        self.fields: dict[str, None] = {}
        self.left_out: Counter[str] = Counter()
        self.lengths = array("Q")
        self.unfit: list[tuple[PointId, str]] = []
        self.kept = np.empty(0, dtype=np.int64)
        self._surveys = {False: self.survey, True: Survey(settings.form)}
        self._mendable = False
        self._unseen = set(settings.fields.values())
        self._gone: list[PointId] = []
        self._ids: list[PointId] = []
        self._weights: list[int] = []
        self._texts: list[bool] = []
        self._vectors: list[Float32Array] = []

    def take(self, rows: Iterable[SelectedRow], total: int, progress: Progress = silent) -> None:
        """Take all ``rows``; ``total`` is for the progress.

        Raises:
            InputError: points are gone, records do not fit and are not to be left out, nothing is
                left, or no point has a field of the field map.
        """
        seen = 0
        for row in rows:
            seen += 1
            self._take(row)
            if seen % PAYLOAD_PAGE == 0 or seen == total:
                progress("read", seen, total)
        if self._gone:
            raise InputError(
                f"{len(self._gone)} of {seen} selected points are no longer stored (first: point "
                f"{self._gone[0]}); run 'tsds-qdrant reselect' first"
            )
        self._settle_texts()
        if self.unfit and not (self._settings.skip_unfit and len(self.kept)):
            point_id, reason = self.unfit[0]
            raise InputError(
                f"{len(self.unfit)} of {seen} records do not fit the format "
                f"'{self._settings.form}' (first: point {point_id} {reason}{self._others()}); "
                f"{self._advice()}"
            )
        if self._unseen:
            raise InputError(self._unknown(min(self._unseen), seen))
        if not len(self.kept):
            raise InputError("the selection holds no rows; select some first")

    @property
    def ids(self) -> list[PointId]:
        """Ids of the rows that fit."""
        return [self._ids[number] for number in self.kept.tolist()]

    @property
    def weights(self) -> IntArray:
        """(n,) how often each row that fits was drawn."""
        return np.array(self._weights, dtype=np.int64)[self.kept]

    @property
    def vectors(self) -> Float32Array:
        """(n, D) vectors of the rows that fit, where they were fetched."""
        return np.stack(self._vectors)[self.kept]

    @property
    def ids_as_text(self) -> bool:
        """Whether some ids are no numbers, or too large for some readers of numbers."""
        return any(isinstance(point_id, str) or point_id >= EXACT_IDS for point_id in self._ids)

    def example(self, payload: Mapping[str, Any]) -> Example:
        """What ``payload`` shows; text alone is the text of the point as everybody reads it.

        Raises:
            UnfitError: see :func:`~tsds_qdrant.records.recognising.recognised`.
        """
        try:
            example = recognised(payload, self._settings.fields)
        except UnfitError as reason:
            if not (reason.mendable and self._suits(payload)):
                raise
            return self._text_of(payload)
        whole = example.shape == TEXT and self._suits(payload)
        return self._text_of(payload) if whole else example

    def mapped(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the field map's parts as they are; of several at one path a list.

        Raises:
            UnfitError: ``payload`` has none of a part that is needed.
        """
        found = {part: field_values(payload, path) for part, path in self._settings.fields.items()}
        if left := lacking(self._settings.fields, {part for part in found if found[part]}):
            fault = f"has no '{self._settings.fields[left[0]]}'"
            raise UnfitError(f"{fault} ({listed_fields(payload)})")
        return {
            part: values if len(values) > 1 else next(iter(values), None)
            for part, values in found.items()
        }

    def _take(self, row: SelectedRow) -> None:
        if row.payload is None:
            self._gone.append(row.id)
            return
        payload: dict[str, Any] = json_safe(row.payload)
        self._unseen -= {path for path in self._unseen if field_values(payload, path)}
        try:
            used = self._looked_at(payload)
        except UnfitError as reason:
            self._mendable |= reason.mendable
            self.unfit.append((row.id, str(reason)))
            return
        self.left_out.update(
            name for name, value in payload.items() if value is not None and name not in used
        )
        self.fields.update(dict.fromkeys(payload))
        self._ids.append(row.id)
        self._weights.append(row.weight)
        if row.vector is not None:
            self._vectors.append(row.vector)
        traced = {"id": row.id, "rank": row.rank, "probability": row.probability}
        self.spool.append({**traced, "weight": row.weight, "payload": payload})

    def _looked_at(self, payload: Mapping[str, Any]) -> Collection[str]:
        """Take into account what ``payload`` shows; names of the fields that a row is made of.

        Raises:
            UnfitError: no row can be made of it.
        """
        if self._settings.form == PLAIN:
            if not self._settings.fields:
                return payload.keys()
            self.mapped(payload)
            return {name_of(payload, path) for path in self._settings.fields.values()}
        example = self.example(payload)
        check_fit(self._settings.form, example)
        self._surveys[example.is_text].see(example)
        self._texts.append(example.is_text)
        self.lengths.append(example.length)
        return example.used

    def _unknown(self, path: str, seen: int) -> str:
        close = likely_field(path, self.fields)
        hint = f"did you mean '{close}'?" if close else "name one of them"
        return (
            f"none of {seen} selected points has the field '{path}' that --map names "
            f"({listed_names(self.fields)}); {hint}, or leave it out"
        )

    def _others(self) -> str:
        """How many do not fit for other reasons than the first."""
        first = self.unfit[0][1]
        others = sum(reason != first for _, reason in self.unfit)
        return f", and {others} for other reasons" if others else ""

    def _advice(self) -> str:
        ways = ["name their fields with --map"] if self._mendable else []
        ways += ["leave them out with --skip-unfit"] if len(self.kept) else []
        ways += ["choose another format"] if self._mendable else []
        return ", ".join(ways[:-1]) + ", or " * (len(ways) > 1) + (ways or ["select others"])[-1]

    def _suits(self, payload: Mapping[str, Any]) -> bool:
        """Whether it is known how texts are made, and ``payload`` has one."""
        return bool(self._template.to_dict()) and self._template.suits(payload)

    def _text_of(self, payload: Mapping[str, Any]) -> Example:
        fields = self._template.fields
        used = frozenset(name_of(payload, path) for path in fields)
        return Example(TEXT, text=self._template.render(payload), used=used)

    def _settle_texts(self) -> None:
        """Text alone and everything else make no file together: the fewer of them do not fit."""
        texts = np.array(self._texts or [False] * len(self._ids), dtype=np.bool_)
        whole = bool(2 * np.count_nonzero(texts) > len(texts))
        self.survey = self._surveys[whole]
        self.kept = np.flatnonzero(texts == whole)
        fault = "has an answer to learn, unlike" if whole else "is text alone, unlike"
        for number in np.flatnonzero(texts != whole).tolist():
            self._mendable = True
            self.unfit.append((self._ids[number], f"{fault} most of the others"))
