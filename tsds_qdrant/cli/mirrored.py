"""``--mirror DIR``: a collection on a server, searched in a copy that is taken before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tsds_qdrant.cli.groups import Where
from tsds_qdrant.cli.reached import Moved
from tsds_qdrant.cli.terminal import progress_bars, say
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import directory_of

if TYPE_CHECKING:
    from tsds_qdrant.collections.connection import Connection
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.runs.mirrored import Mirrored
    from tsds_qdrant.runs.state import RunState
    from tsds_qdrant.strategies.base import Strategy

HELP = (
    "Search a server's collection in a copy in this directory, which is taken, or brought up to "
    "date, before: no load on the server but a download. The run stays that of the server."
)


@dataclass(frozen=True)
class WhereOrMirror(Where):
    """Where the candidates are

    Attributes:
        mirror: the directory of a copy that is searched in its place.
    """

    mirror: Path | None = setting(None, HELP, metavar="DIR", parse=directory_of)

    @contextmanager
    def open_for(self, strategy: Strategy, *, quiet: bool = False) -> Iterator[Collection]:
        """Open the collection, and its mirror where one is named; see :meth:`Where.open_for`.

        Raises:
            CollectionError: see :meth:`Where.open_for`.
            TsdsError: see :func:`~tsds_qdrant.mirror.searched.searched_in_mirror`.
        """
        with (
            super().open_for(strategy, quiet=quiet) as home,
            _searched(home, self.mirror, lambda: self.connection, quiet=quiet) as opened,
        ):
            yield opened


@dataclass(frozen=True)
class MovedOrMirror(Moved):
    """Where the run's collection is

    Attributes:
        mirror: the directory of a copy that is searched in its place.
    """

    mirror: Path | None = setting(None, HELP, metavar="DIR", parse=directory_of)

    @property
    def mirrored(self) -> Mirrored | None:
        """The mirror that a watch searches in; None where none is named."""
        if self.mirror is None:
            return None
        from tsds_qdrant.cli.mirror import in_words
        from tsds_qdrant.mirror.settings import MirrorSettings
        from tsds_qdrant.runs.mirrored import Mirrored

        settings = MirrorSettings(to=self.mirror)
        return Mirrored(settings, lambda report: say("\n".join(in_words(report))))

    @contextmanager
    def open_searched(self, state: RunState, *, quiet: bool = False) -> Iterator[Collection]:
        """Open the run's collection, and its mirror where one is named.

        Raises:
            TsdsError: see :meth:`Moved.open` and
                :func:`~tsds_qdrant.mirror.searched.searched_in_mirror`.
        """
        with (
            self.open(state) as home,
            _searched(home, self.mirror, lambda: self.connection(state), quiet=quiet) as opened,
        ):
            yield opened


@contextmanager
def _searched(
    home: Collection, directory: Path | None, reached: Callable[[], Connection], *, quiet: bool
) -> Iterator[Collection]:
    """The mirror of ``home`` in the ``directory``, brought up to date; ``home`` where none is."""
    if directory is None:
        yield home
        return
    from tsds_qdrant.cli.mirror import in_words
    from tsds_qdrant.mirror.searched import searched_in_mirror
    from tsds_qdrant.mirror.settings import MirrorSettings

    settings = MirrorSettings(to=directory)
    with progress_bars(quiet=quiet) as progress:
        found, report = searched_in_mirror(home, settings, connection=reached(), progress=progress)
    with found:
        say("\n".join(in_words(report)), quiet=quiet)
        yield found
