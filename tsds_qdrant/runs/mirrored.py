"""A run of a server's collection, selected again and again in its mirror."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.homed import copy_of, home_of, read_at_home
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import FLOAT32
from tsds_qdrant.errors import CollectionMismatchError, InputError
from tsds_qdrant.mirror.report import MirrorReport
from tsds_qdrant.mirror.searched import mirror_as_it_is, searched_in_mirror
from tsds_qdrant.mirror.settings import MirrorSettings
from tsds_qdrant.represented.marks import described
from tsds_qdrant.runs.address import check_identity, reached_as
from tsds_qdrant.runs.membership import changes_among
from tsds_qdrant.runs.run import load_run, resume_knowledge
from tsds_qdrant.runs.state import RunState


@dataclass(frozen=True)
class Mirrored:
    """Where the mirror is that a run is searched in.

    Attributes:
        settings: its directory.
        note: is given what was done to it.
    """

    settings: MirrorSettings
    note: Callable[[MirrorReport], object]

    def opened(
        self, state: RunState, home: Collection, connection: Connection | None = None
    ) -> Collection:
        """The run's collection ``home``, as its mirror shows it now.

        That is brought up to date only where the server shows that something changed. Closing it
        closes ``home`` too; ``connection`` is how the run reaches that, as far as it says more.

        Raises:
            TsdsError: see :func:`~tsds_qdrant.mirror.searched.searched_in_mirror` and
                :func:`~tsds_qdrant.runs.address.check_identity`.
        """
        connection = reached_as(state.fact("collection") or {}, connection=connection)
        found = mirror_as_it_is(home, self.settings, connection=connection)
        if found is not None:
            changed = True
            try:
                changed = has_changed(state, found)
            finally:
                if changed:
                    copy_of(found).close()
            if not changed:
                return found
        found, report = searched_in_mirror(home, self.settings, connection=connection)
        self.note(report)
        return found


def has_changed(state: RunState, copy: Collection) -> bool:
    """Whether the run in ``state`` has to look at its collection, of which this is a ``copy``.

    Nothing is searched at home; the ``copy`` is looked at too, as it may be older than the run.

    Raises:
        StateError: the state cannot be used.
        CollectionMismatchError: the collection is another one than in the run.
    """
    run, arrays, facts = load_run(state)
    home = home_of(copy)
    check_identity(described(home), run.collection)
    try:
        known = resume_knowledge(read_at_home(copy), run, arrays, facts)
        members, used = known.searcher.members, known.used()
        there, here = (
            changes_among(replace(members, collection=one), run.mark, used, None)
            for one in (home, copy)
        )
        if not used or any((*there.came, *there.gone, *here.came, *here.gone)):
            return True
        # Of other types a copy may differ in its last digit.
        compared = not there.none and home.info().datatype == FLOAT32
        return compared and bool(known.moved()[0])
    except (InputError, CollectionMismatchError):  # the copy may be too old to be compared
        return True
