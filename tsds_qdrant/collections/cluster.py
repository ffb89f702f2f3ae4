"""How a server keeps a collection: shards, the keys of custom sharding, replicas, and their states.

Qdrant documentation, "Distributed deployment": every shard has replicas on several nodes. A write
that too few of them confirm stands in some; all of them are Active again once their nodes are
back, and a reader sees whichever answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tsds_qdrant.errors import SettingsError

ShardKey = int | str
"""A key of custom sharding, of which a shard belongs to one: a tenant, say."""
SERVING = frozenset({"Active", "Listener"})
"""States of a replica that is as it should be."""
NAMED = 10
"""Most shard keys that a message names."""


@dataclass(frozen=True)
class Replica:
    """A copy of a shard on one node.

    Attributes:
        shard: its number.
        key: the shard key, where the collection is sharded by key.
        peer: the node.
        state: ``Active`` where all is well, else ``Dead``, ``Partial``, ``Recovery``, ..
        points: of it, where the node that answers has it; None elsewhere.
    """

    shard: int
    key: ShardKey | None
    peer: int
    state: str
    points: int | None = None


@dataclass(frozen=True)
class Layout:
    """How a server is to keep a collection; what is None is the server's own choice.

    Attributes:
        shards: that it has.
        replicas: of each shard.
        confirmations: replicas that must confirm a write.
    """

    shards: int | None = None
    replicas: int | None = None
    confirmations: int | None = None

    def __post_init__(self) -> None:
        if (self.confirmations or 1) > (self.replicas or self.confirmations or 1):
            raise SettingsError(
                f"--write-consistency is {self.confirmations}, which no more than "
                f"{self.replicas} replicas can confirm; raise --replicas, or lower it"
            )

    @property
    def given(self) -> dict[str, int]:
        """Flag -> its value, of those that are given."""
        flags = {
            "--shards": self.shards,
            "--replicas": self.replicas,
            "--write-consistency": self.confirmations,
        }
        return {flag: value for flag, value in flags.items() if value is not None}

    def differs(self, found: Layout) -> str:
        """What of it an existing collection, kept as ``found``, has otherwise; or ""."""
        theirs = found.given
        return ", ".join(
            f"{flag} {theirs.get(flag, 1)}, not {value}"
            for flag, value in self.given.items()
            if theirs.get(flag, 1) != value
        )


@dataclass(frozen=True)
class Cluster:
    """The shards of a collection, as one node describes them.

    Attributes:
        replicas: all of all shards.
        moves: transfers of shards and reshardings under way.
        counts: points, by the replicas that have fewest, by a middle one, and by those that
            answer; none where there are no replicas, or they could not be asked.
        confirmations: replicas that must confirm a write.
    """

    replicas: tuple[Replica, ...]
    moves: int = 0
    counts: tuple[int, ...] = ()
    confirmations: int = 1

    @property
    def keys(self) -> tuple[ShardKey, ...]:
        """The keys of custom sharding, in ascending order: numbers, then texts."""
        found = {replica.key for replica in self.replicas if replica.key is not None}
        return tuple(sorted(found, key=lambda key: (isinstance(key, str), key)))

    @property
    def replicated(self) -> bool:
        """Whether a shard has more than one replica."""
        return len({replica.shard for replica in self.replicas}) < len(self.replicas)

    @property
    def unwritable(self) -> list[int]:
        """Shards to which no write can be confirmed, as too few of their replicas are active."""
        found = []
        for shard in sorted({replica.shard for replica in self.replicas}):
            own = [replica.state in SERVING for replica in self.replicas if replica.shard == shard]
            if sum(own) < min(self.confirmations, len(own)):
                found.append(shard)
        return found

    @property
    def states(self) -> dict[str, int]:
        """State -> how many replicas are in it."""
        names = sorted(replica.state for replica in self.replicas)
        return {name: names.count(name) for name in names}

    def troubles(self) -> tuple[str, ...]:
        """Sentences on why two reads may see different points; none where all is well."""
        found = []
        away = [replica for replica in self.replicas if replica.state not in SERVING]
        if away:
            states = ", ".join(sorted({replica.state for replica in away}))
            found.append(
                f"{len(away)} of {len(self.replicas)} replicas are not active ({states}), so that "
                f"writes may not reach them; look after those nodes"
            )
        if shards := self.unwritable:
            word = "shard" if len(shards) == 1 else "shards"
            found.append(
                f"a write needs {self.confirmations} confirmations, which {word} "
                f"{', '.join(map(str, shards))} cannot give; wait until those nodes are back"
            )
        if self.moves:
            word = "shard is" if self.moves == 1 else "shards are"
            found.append(
                f"{self.moves} {word} being moved, so that counts and points may change for a time"
            )
        if len(set(self.counts)) > 1:
            found.append(
                f"its replicas differ ({min(self.counts)} to {max(self.counts)} points), so that "
                f"what is seen depends on the node that answers; store again what failed, or read "
                f"with --consistency all"
            )
        return tuple(found)


def chosen_key(
    wanted: ShardKey | None, keys: Sequence[ShardKey] | None, name: str
) -> ShardKey | None:
    """The key among ``keys`` of collection ``name`` that ``wanted`` names, as a text too.

    Raises:
        SettingsError: there is none, and the message names those there are; or the collection is
            not sharded by key (``keys`` is None).
    """
    if wanted is None:
        return None
    if keys is None:
        raise SettingsError(f"collection '{name}' is not sharded by key; leave --shard-key out")
    if wanted in keys:
        return wanted
    same = [key for key in keys if str(key) == str(wanted)]
    if not same:
        raise SettingsError(
            f"collection '{name}' has no shard key '{wanted}', it has {listed(keys)}; choose one "
            f"with --shard-key"
        )
    return same[0]


def listed(keys: Iterable[ShardKey]) -> str:
    """``keys`` for a message."""
    names = [str(key) for key in keys]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (", ".join(names[:NAMED]) + more) or "none"


def check_placed(name: str, keys: Sequence[ShardKey] | None, key: object) -> None:
    """Check that it is known where a write to collection ``name`` goes.

    Raises:
        SettingsError: it is sharded by ``keys``, and none of them is chosen.
    """
    if keys is not None and key is None:
        raise SettingsError(
            f"collection '{name}' is sharded by key ({listed(keys)}); say with --shard-key which "
            f"one the points belong to"
        )
