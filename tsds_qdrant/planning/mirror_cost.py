"""Whether a mirror would pay: a copy of a server's collection, against searches over the network.

It is said to where a copy, and a selection of usual size from it, take at most half of what that
selection takes on the server, and that is not a matter of seconds. Half, as the copy's part is
reckoned: nobody knows the line before a download.

Times of copying are those that were measured on Qdrant 1.18 with 1,010,000 points of 96 dimensions
on two cores: a snapshot of 469 MB was downloaded in 2.1 s from the same machine, unpacked in .86
and opened in .23 s, 3.2 s in all with its graph; page by page, the points took 48 s, and a graph
320 s more. A snapshot of 20,000 points took .4 to .8 s. Times of searching there are those of an
embedded collection, see :mod:`~tsds_qdrant.neighbors.costs`; on the server, those of the searches
that were just tried, or what its rate limit leaves of them.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.limits import MINUTE, Rights
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.server.snapshots import streamed_shards
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.mirror.expected import expected_bytes
from tsds_qdrant.neighbors.allowed import EF_LADDER
from tsds_qdrant.neighbors.costs import Costs
from tsds_qdrant.planning.cost import SearchCost
from tsds_qdrant.progress import about

LINE_BYTES_S = 1e8
"""Bytes in a second over a line of 1 Gbit/s; between processes of one machine 223 MB/s."""
PREPARED_S = 0.5
UNPACK_POINT_S = 1.1e-6
READ_FLOAT_S = 5e-7
WORTH_SAYING_S = 5.0
"""A selection that takes less on the server is quick enough."""
MOST_SHARE = 0.5
DIRECTORY = "./mirror"


@dataclass(frozen=True)
class MirrorCost:
    """What a mirror costs, and saves.

    Attributes:
        bytes: of the download, about.
        snapshot: it would come as a snapshot, with its graph; else page by page.
        copy: seconds for it.
        here: seconds of a selection of usual size on the server.
        there: seconds of the same in the mirror.
        room: the disk of this directory has room for it.
        command: what makes it.
        task_examples: of that selection.
        size: how many it selects.
    """

    bytes: int
    snapshot: bool
    copy: float
    here: float
    there: float
    room: bool
    command: str
    task_examples: int
    size: int

    @property
    def pays(self) -> bool:
        """Whether the first selection, with the copy before it, pays already."""
        return self.room and self.copy + self.there <= MOST_SHARE * self.here

    @property
    def in_words(self) -> str:
        """One line for a person; "" where it does not pay."""
        if not self.pays:
            return ""
        way = "a snapshot" if self.snapshot else "read page by page"
        return (
            f"a mirror would pay: about {self.bytes / 1e6:.0f} MB ({way}), {about(self.copy)} for "
            f"it and {about(self.there)} for a selection of {self.size} for {self.task_examples} "
            f"task examples from it, which takes {about(self.here)} here: '{self.command}', or "
            f"give --mirror {DIRECTORY} to select."
        )

    def as_dict(self) -> dict[str, Any]:
        """The figures for a machine to read."""
        return {**asdict(self), "pays": self.pays}


def mirror_cost(
    collection: Collection,
    info: CollectionInfo,
    cost: SearchCost,
    rights: Rights,
    in_graph: int,
    usual: tuple[int, int],
) -> MirrorCost | None:
    """What a mirror of ``collection`` costs, and saves; None where that is no question.

    That is where no server has it, or where it is quick.

    Args:
        collection: of any kind.
        info: what is known of it.
        cost: of one search.
        rights: what the key may do, as a snapshot is for those that may write.
        in_graph: how many vectors are in an HNSW graph.
        usual: task examples and size of a selection.
    """
    searches, here = cost.expected(*usual)
    if info.limits.read_rate is not None:
        here = max(here, searches / info.limits.read_rate * MINUTE)
    if not is_server(info.location) or here < WORTH_SAYING_S:
        return None
    snapshot = bool(streamed_shards(collection).shards) and rights.writes is not False
    size, floats = (
        expected_bytes(collection),
        sum(space.dimension or 0 for space in collection.spaces.values()),
    )
    if snapshot:
        copy = PREPARED_S + UNPACK_POINT_S * info.count
    else:
        copy = READ_FLOAT_S * floats * info.count
    embedded = Costs(replace(info, location="", scanner="numpy"))
    each = embedded.scan() or 0.0
    if snapshot and in_graph:
        each = min(each, embedded.walk(EF_LADDER[0]) or each)
    words = ["--qdrant", info.location, "--collection", info.name, "--to", DIRECTORY]
    words += [] if info.shard_key is None else ["--shard-key", str(info.shard_key)]
    return MirrorCost(
        round(size),
        snapshot,
        copy + size / LINE_BYTES_S,
        here,
        searches * each,
        shutil.disk_usage(Path.cwd()).free > 2 * size,
        shlex.join(["tsds-qdrant", "mirror", *words]),
        *usual,
    )
