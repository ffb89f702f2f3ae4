"""Settings of the kinds that were computed elsewhere."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import Any, ClassVar

from tsds_qdrant.paths import absolute
from tsds_qdrant.representations.base import Representation
from tsds_qdrant.representations.kinds import KindSettings, Reads
from tsds_qdrant.settings.fields import setting


@dataclass(frozen=True, kw_only=True)
class BergsonSettings(KindSettings):
    """Gradient store

    Attributes:
        store: a directory of bergson.
        ids: the point of each row.
        as_stored: rows keep their lengths.
    """

    kind: ClassVar[str] = "bergson"
    summary: ClassVar[str] = "Gradients out of a store of bergson, computed elsewhere."
    example: ClassVar[str] = "--store ./gradients --ids ids.txt"
    reads: ClassVar[Reads] = "rows"

    store: str = setting(MISSING, "Directory of the gradient store.", metavar="DIR")
    ids: str = setting(
        MISSING,
        "Id of each row's point: lines of a .txt, an .npy, or the field 'id' of records.",
        metavar="FILE",
    )
    as_stored: bool = setting(False, "Rows keep their lengths; length 1 if unset.")

    def made(self) -> Representation:
        """The representation."""
        from tsds_qdrant.representations.stores.store_rows import StoreRows

        return StoreRows(self.store, unit=not self.as_stored, name=self.known_as)

    def remembered(self) -> dict[str, Any]:
        """All settings that values depend on; paths are those from the root on."""
        places = {"store": absolute(self.store), "ids": absolute(self.ids)}
        return {**super().remembered(), **places}
