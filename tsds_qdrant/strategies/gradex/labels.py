"""Sources and margins of candidates, as their payloads hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import InputError, SettingsError, UnsupportedCollectionError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.pool.fields import check_fields
from tsds_qdrant.records.fields import field_values, label, number_at
from tsds_qdrant.represented.marks import all_kept
from tsds_qdrant.strategies.gradex.settings import SourceSettings
from tsds_qdrant.strategies.lacking import fields_there
from tsds_qdrant.strategies.pool_knowledge import PoolKnowledge
from tsds_qdrant.strategies.pool_rows import (
    PAYLOAD_PAGE,
    check_lengths_kept,
    margin_path,
)

KIND = "margin-gradient"
UNREAD = -1


def check_gradients(searcher: Searcher, settings: SourceSettings) -> None:
    """Check that the searched vectors are gradients of margins, and then that sources are named.

    Raises:
        InputError: no point has the field of sources, or the vectors hold several checkpoints.
        SettingsError: no field of sources is named.
        UnsupportedCollectionError: ``represent`` made the vectors of something else.
    """
    check_vectors(searcher.info)
    if settings.source is None:
        raise SettingsError(
            f"the strategy 'gradex' chooses sources, and none are known; name the payload field "
            f"that has them with --source ({fields_there(searcher)})"
        )
    check_fields(searcher.collection, {settings.source: "--source"})


def check_vectors(info: CollectionInfo) -> None:
    """Check that the searched vectors are gradients of margins at one checkpoint; see above."""
    check_lengths_kept(info, "gradex")
    kept = all_kept(info).get(info.vector)
    if kept is None:
        return
    if kept.kind != KIND:
        raise UnsupportedCollectionError(
            f"the vectors {info.named} of collection '{info.name}' are of the kind "
            f"'{kept.kind}', and the strategy 'gradex' goes by gradients of margins; make some "
            f"with 'represent {KIND}', and name them with --vector"
        )
    checkpoints = len(kept.manifest.get("checkpoints") or ())
    if checkpoints > 1:
        raise InputError(
            f"the vectors {info.named} of collection '{info.name}' hold gradients at "
            f"{checkpoints} checkpoints, and the strategy 'gradex' starts from one; make others "
            f"with 'represent {KIND} --name NAME' and a single --checkpoint"
        )


@dataclass(frozen=True)
class Labels:
    """Sources and margins of the n candidates seen.

    Attributes:
        sources: names, "" for candidates that have none.
        source_of: (n,) the source of each, by its place among the names; -1 where not read.
        margins: (n,) NaN where there is none.
    """

    sources: list[str]
    source_of: IntArray
    margins: FloatArray
    _place: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._place.update({name: place for place, name in enumerate(self.sources)})

    @classmethod
    def none(cls) -> Labels:
        """Of nobody."""
        return cls([], np.empty(0, dtype=np.int64), np.empty(0))

    def grown(self, count: int) -> Labels:
        """With room for ``count`` candidates."""
        more = count - len(self.source_of)
        return Labels(
            self.sources,
            np.concatenate([self.source_of, np.full(more, UNREAD)]),
            np.concatenate([self.margins, np.full(more, np.nan)]),
        )

    def without(self, numbers: IntArray) -> Labels:
        """Not knowing the candidates ``numbers``."""
        source_of, margins = self.source_of.copy(), self.margins.copy()
        source_of[numbers], margins[numbers] = UNREAD, np.nan
        return Labels(self.sources, source_of, margins)

    def read(
        self, searcher: Searcher, known: PoolKnowledge, candidates: IntArray, given: SourceSettings
    ) -> Labels:
        """With those of ``candidates`` that are not known."""
        path = given.margin_field or margin_path(searcher.info.vector)
        fields = (str(given.source), path)
        sources, place = list(self.sources), dict(self._place)
        source_of, margins = self.source_of.copy(), self.margins.copy()
        wanted = candidates[source_of[candidates] == UNREAD]
        for start in range(0, len(wanted), PAYLOAD_PAGE):
            page = wanted[start : start + PAYLOAD_PAGE]
            tops = list(dict.fromkeys(_top(one) for one in fields))
            ids = known.index.ids(page.tolist())
            for record in searcher.collection.retrieve(ids, payloads=tops):
                number = known.index.lookup([record.id])[0]
                values = field_values(record.payload, fields[0])
                name = label(values[0]) if values and values[0] is not None else ""
                if name not in place:
                    place[name] = len(sources)
                    sources.append(name)
                source_of[number] = place[name]
                margins[number] = number_at(record.payload, path)
            searcher.progress("labels", min(start + PAYLOAD_PAGE, len(wanted)), len(wanted))
        made = Labels(sources, source_of, margins)
        made.check(known, candidates, searcher, path)
        return made

    def check(
        self, known: PoolKnowledge, candidates: IntArray, searcher: Searcher, path: str
    ) -> None:
        """Check that all of ``candidates`` have a margin, or none.

        Raises:
            InputError: some lack one, or have left meanwhile.
        """
        name = searcher.info.name
        lacking = np.isnan(self.margins[candidates])
        if (self.source_of[candidates] == UNREAD).any():
            raise InputError(f"points of collection '{name}' left meanwhile; select again")
        if lacking.any() and not lacking.all():
            first = known.index.ids([int(candidates[int(np.argmax(lacking))])])[0]
            raise InputError(
                f"point {first} of collection '{name}' has no number in '{path}', where "
                f"{int((~lacking).sum())} others have their margin; represent all in the same way, "
                f"or name another field with --margin-field"
            )

    def have_margins(self, candidates: IntArray) -> bool:
        """Whether margins of ``candidates`` are known."""
        return not np.isnan(self.margins[candidates]).any()

    def offsets(self, numbers: IntArray) -> FloatArray:
        """(n,) margins of candidates, 0 where there are none."""
        found: FloatArray = np.nan_to_num(self.margins[numbers], nan=0.0)
        return found


def _top(path: str) -> str:
    return path.split(".")[0]


def names_in_words(names: Sequence[str], most: int = 8) -> str:
    """Names of sources for a person; candidates without a source are "(none)"."""
    shown = [name or "(none)" for name in names[:most]]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown) + more
