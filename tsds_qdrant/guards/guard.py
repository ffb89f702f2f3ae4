"""Guards: copies of test items are kept out of a selection, looking only where it reaches.

A guard looks at every candidate that a strategy starts from or would select. What copies a test
item counts as deleted, and the strategy is asked again, until nothing is found. The result is that
of a collection without the points that were found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Protocol

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.collections.ids import PointIndex, id_order
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Geometry, Payload, PointId, Record
from tsds_qdrant.errors import ContaminationError, InputError, SettingsError
from tsds_qdrant.guards.contamination import Contamination
from tsds_qdrant.guards.held_out import Finding, HeldOut
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.pool.fields import check_template, fields_of, sampled_payloads
from tsds_qdrant.pool.texts import assumed_template, own_template
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.fields import listed_names
from tsds_qdrant.records.template import written

PAGE = 1_000


class Known(Protocol):
    """What a guard must know of what a strategy has learned."""

    @property
    def searcher(self) -> Searcher:
        """It knows the pool."""

    @property
    def index(self) -> PointIndex:
        """Numbers of the candidates seen, and which of them count as deleted."""

    def exclude(self, candidates: IntArray) -> None:
        """Count exactly ``candidates`` as deleted from now on."""


class Guard:
    """Keeps copies of test items out of one selection.

    Args:
        held_out: the test items.
        template: how a candidate's text is made of its payload; if undecided, by the usual shape
            that suits most of some points of the collection.
        strict: a selection that would take a copy fails.
        looked: candidates that were compared already -> what was found, or None.
    """

    def __init__(
        self,
        held_out: HeldOut,
        template: TextTemplate,
        *,
        strict: bool = False,
        looked: Mapping[PointId, Finding | None] | None = None,
        without_text: Sequence[PointId] = (),
        without_vector: Sequence[PointId] = (),
    ) -> None:
        self.held_out = held_out
        self.template = template
        self.strict = strict
        self.looked = dict(looked or {})
        self.without_text = set(without_text)
        self.without_vector = set(without_vector)
        self.assumed = False

    def forget(self, ids: Sequence[PointId]) -> None:
        """Look at ``ids`` again when they come up: they are new, changed or gone."""
        for point_id in ids:
            self.looked.pop(point_id, None)
            self.without_text.discard(point_id)
            self.without_vector.discard(point_id)

    def check_texts(self, collection: Collection) -> None:
        """Check, before long work, that texts of some candidates can be compared where wanted.

        Raises:
            InputError: no point has a field that holds them.
            SettingsError: it is not known which field does.
        """
        if not self.held_out.has_texts:
            return
        info = collection.info()
        way = self.template.to_dict()
        if way and own_template(info) == self.template:
            if not self.held_out.has_vectors:
                check_template(collection, self.template, "the collection itself")
        elif way:
            check_template(collection, self.template)
        else:
            self._decide(collection)

    def check_compared(self, name: str) -> None:
        """Check that some candidate of collection ``name`` was compared with test items.

        Raises:
            InputError: none was, as they lack what is compared.
        """
        has_texts, has_vectors = self.held_out.has_texts, self.held_out.has_vectors
        looked = self.looked.keys()
        if (
            not looked
            or (has_texts and not looked <= self.without_text)
            or (has_vectors and not looked <= self.without_vector)
        ):
            return
        ways = (f" by '{written(way)}'" for way in self.template.to_dict().values())
        lacking = [f"a text{next(ways, '')}"] if has_texts else []
        lacking += ["a vector"] if has_vectors else []
        raise InputError(
            f"nothing was compared with the test items: none of {len(looked)} candidates looked at "
            f"in collection '{name}' has {' or '.join(lacking)}; name the field of their texts "
            f"with --text-field or --template, or leave --exclude out"
        )

    def drop_copies(self, known: Known, candidates: IntArray) -> bool:
        """Exclude what of ``candidates`` (c,) copies a test item, and say whether anything does.

        Raises:
            InputError: nothing is left.
            ContaminationError: the same, and the guard is strict.
        """
        ids = known.index.ids(candidates.tolist())
        self._look(known.searcher, [i for i in ids if i not in self.looked])
        copies = np.array([self.looked.get(i) is not None for i in ids], dtype=np.bool_)
        if copies.any():
            excluded = np.flatnonzero(known.index.excluded)
            try:
                known.exclude(np.concatenate([excluded, candidates[copies]]))
            except InputError:
                raise InputError(self.found(known).of_all) from None
        return bool(copies.any())

    def found(self, known: Known) -> Contamination:
        """What was kept out.

        Raises:
            ContaminationError: anything was, and the guard is strict.
        """
        numbers = np.flatnonzero(known.index.excluded)
        keys = known.index.keys[numbers]
        numbers = numbers[id_order(keys)]
        findings = (self.looked.get(i) for i in known.index.ids(numbers.tolist()))
        kept_out = tuple(finding for finding in findings if finding is not None)
        without_text, way = len(self.without_text), self.template.to_dict()
        result = Contamination(
            self.held_out,
            len(self.looked),
            without_text,
            kept_out,
            text_known=bool(way),
            assumed="".join(way.values()) if self.assumed else "",
            without_vector=len(self.without_vector),
        )
        if kept_out and self.strict:
            raise ContaminationError(
                f"{len(kept_out)} candidates copy test items ({result.in_words}); remove them from "
                f"the collection, or select without --fail-on-contamination, which leaves them out",
                result,
            )
        return result

    def _look(self, searcher: Searcher, ids: Sequence[PointId]) -> None:
        done, rest = 0, iter(ids)
        while page := list(islice(rest, PAGE)):
            texts_wanted = self.held_out.has_texts or bool(self.template.to_dict())
            records = searcher.collection.retrieve(
                page, payloads=texts_wanted, vectors=self.held_out.has_vectors
            )
            if not self.looked and self.held_out.has_texts:
                self._decide(searcher.collection)
            bare = [record for record in records if record.vector is None]
            whole = [record for record in records if record.vector is not None]
            for part in (bare, whole):
                self._compare(part, searcher.info.geometry)
            if self.held_out.has_vectors:
                self.without_vector.update(record.id for record in bare)
            done += len(page)
            searcher.progress("test items", done, len(ids))

    def _compare(self, records: Sequence[Record], geometry: Geometry) -> None:
        """Compare ``records``, which all have a vector or all have none."""
        ids = [record.id for record in records]
        texts = [self._text_of(record) for record in records]
        vectors = [record.vector for record in records if record.vector is not None]
        self.looked.update(dict.fromkeys(ids))
        for finding in self.held_out.copies(
            ids, texts, np.stack(vectors) if vectors else None, geometry
        ):
            self.looked[finding.id] = finding
        if self.held_out.has_texts:
            self.without_text.update(i for i, text in zip(ids, texts, strict=True) if not text)

    def _decide(self, collection: Collection) -> None:
        """Settle how texts are made where nobody says it: by the usual shape of some points.

        Raises:
            SettingsError: none has one, and texts were to be compared.
        """
        if self.template.to_dict():
            return
        way = assumed_template(collection)
        if way.to_dict():
            self.template, self.assumed = way, True
        elif payloads := sampled_payloads(collection):
            self._refuse_unknown(payloads, collection.info().name)

    def _refuse_unknown(self, payloads: Sequence[Payload], name: str) -> None:
        """Raise where texts were to be compared and no field is known to hold them."""
        if self.held_out.reach.ngram or not self.held_out.has_vectors:
            fields = listed_names(fields_of(payloads, inside_texts=True))
            raise SettingsError(
                f"the test items are texts, but no field is known to hold those of collection "
                f"'{name}' ({fields}); name it with --text-field or "
                f"--template, or compare vectors alone (--exclude-ngrams 0 and --exclude-radius)"
            )

    def _text_of(self, record: Record) -> str:
        if not self.template.to_dict():
            return ""
        try:
            return self.template.render(record.content)
        except InputError:
            return ""
