"""Groups of flags that several commands share, and that mean nothing below the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import MISSING, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tsds_qdrant.cli.described import described_for
from tsds_qdrant.cli.reached import Reached, check_nodes
from tsds_qdrant.cli.terminal import say
from tsds_qdrant.collections.addresses import checked_location
from tsds_qdrant.errors import CollectionNotFoundError, RequestRejectedError
from tsds_qdrant.progress import notices_to
from tsds_qdrant.representations.model_names import remembered_model
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.task.given import GivenTasks
from tsds_qdrant.task.settings import Reading

if TYPE_CHECKING:
    from tsds_qdrant.collections.connection import Connection
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.collections.values import CollectionInfo, Filter
    from tsds_qdrant.guards.guard import Guard
    from tsds_qdrant.guards.settings import GuardSettings
    from tsds_qdrant.progress import Progress
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.representations.base import Way
    from tsds_qdrant.strategies.base import Strategy
    from tsds_qdrant.task.examples import TaskExamples

READ_BY = (
    *("text_field", "template", "weight_field", "subtask_field", "model", "max_length", "backend"),
    *("delimiter", "no_header", "json_field"),
)
"""Settings of reading that vectors and weights depend on."""


@dataclass(frozen=True)
class Where:
    """Where the candidates are

    Attributes:
        qdrant: a directory, or the URL of a server; several are nodes of one.
        collection: its name there.
        vector: which of several vectors of a point.
        reached: how, if it is a server.
    """

    qdrant: tuple[str, ...] = setting(
        MISSING,
        "Directory of embedded collections, or URL of a Qdrant server.",
        metavar="PATH|URL",
        repeated=True,
        parse=checked_location,
        envvar="TSDS_QDRANT",
    )
    collection: str = setting(MISSING, "The collection of candidates.", metavar="NAME")
    vector: str | None = setting(
        None,
        "Which vector, if the points have several: a name of 'represent', say.",
        also=("--representation",),
        metavar="NAME",
    )
    reached: Reached = field(default_factory=Reached)

    def __post_init__(self) -> None:
        check_nodes(self.reached, self.qdrant)

    @property
    def location(self) -> str:
        """The directory or the URL, the first of several."""
        return self.qdrant[0]

    @property
    def connection(self) -> Connection:
        """How a server is reached."""
        return self.reached.connection_of(self.reached.api_key, self.qdrant[1:])

    def open(self) -> Collection:
        """Open the collection.

        Raises:
            CollectionError: see :func:`tsds_qdrant.open_collection`.
        """
        return self._opened(self.vector)

    @contextmanager
    def open_for(self, strategy: Strategy, *, quiet: bool = False) -> Iterator[Collection]:
        """Open the collection, and search the vectors that ``strategy`` is made for if none named.

        Raises:
            CollectionError: see :meth:`open`.
            CollectionNotFoundError: there are several such vectors.
            UnsupportedCollectionError: there are none, and the strategy cannot do without.
        """
        from tsds_qdrant.strategies.searched import view_for

        named = self.vector is not None
        with self._opened_with(() if named else strategy.card.kinds) as opened:
            with notices_to(partial(say, quiet=quiet)):
                view = view_for(opened, strategy, named=named)
            yield view

    def _opened_with(self, kinds: Sequence[str]) -> Collection:
        """The collection; where it has several vectors, at those called as one of ``kinds``."""
        try:
            return self._opened(self.vector)
        except CollectionNotFoundError:
            for name in kinds:
                with suppress(CollectionNotFoundError):
                    return self._opened(name)
            raise

    def _opened(self, vector: str | None) -> Collection:
        from tsds_qdrant.collections import open_collection

        return open_collection(
            self.location, self.collection, vector=vector, connection=self.connection
        )


def note_filter(where: Filter | None, collection: Collection, *, quiet: bool) -> None:
    """Say which field that a filter names is on no point, though some points match."""
    if quiet or not where:
        return
    from tsds_qdrant.pool.fields import unknown_in

    unknown = unknown_in(collection, where)
    with suppress(RequestRejectedError):
        say(unknown if unknown and collection.count(where) else "")


@dataclass(frozen=True)
class Examples(GivenTasks):
    """Task examples

    Attributes:
        reading: how their texts are made and embedded.
    """

    reading: Reading = field(default_factory=Reading)

    def facts(self) -> dict[str, Any]:
        """What a manifest says of them: where they come from, and how they were read."""
        read = {name: getattr(self.reading, name) for name in READ_BY}
        if model := read["model"]:
            read["model"] = remembered_model(model)
        return {**super().facts(), **{k: value for k, value in read.items() if value}}

    def described(
        self, collection: Collection, *, quiet: bool, guard: GuardSettings | None = None
    ) -> CollectionInfo:
        """The collection; see :func:`described_for`.

        The texts of test items of ``guard`` are embedded too, unless texts alone are compared.

        Raises:
            InputError: the task examples are no records, and no point has the field of texts.
        """
        from tsds_qdrant.guards.sources import embeds_texts
        from tsds_qdrant.pool.fields import check_template
        from tsds_qdrant.task.examples import is_text_source

        texts = any(map(is_text_source, self.named.values()))
        if not texts:
            check_template(collection, self.reading.text_template())
        texts |= guard is not None and embeds_texts(guard, collection.info().metric)
        return described_for(self.reading, collection, quiet=quiet, texts=texts)

    def read(
        self,
        collection: Collection,
        info: CollectionInfo,
        connection: Connection,
        progress: Progress,
        way: Way = "targets",
    ) -> TaskExamples:
        """The task examples, for ``collection``, described by ``info``, reached by ``connection``.

        Vectors of records are made in that ``way``.

        Raises:
            TsdsError: see :func:`~tsds_qdrant.task.several.read_given`.
        """
        from tsds_qdrant.task.several import read_given

        return read_given(
            self,
            info,
            self.reading,
            collection=collection,
            connection=connection,
            progress=progress,
            way=way,
        )

    def texts_of(self, collection: Collection) -> TextTemplate:
        """How the texts of points are made, see :func:`~tsds_qdrant.pool.texts.point_template`."""
        from tsds_qdrant.pool.texts import point_template

        return point_template(collection, self.reading.text_template(), shared=True)

    def guard(
        self,
        settings: GuardSettings,
        collection: Collection,
        info: CollectionInfo,
        connection: Connection,
        progress: Progress,
    ) -> Guard | None:
        """What keeps copies of test items out, read as these; None without test items.

        Raises:
            TsdsError: see :func:`~tsds_qdrant.guards.sources.guard_against`.
        """
        if not settings.sources:
            return None
        from tsds_qdrant.guards.sources import guard_against

        return guard_against(
            settings,
            info,
            self.reading,
            collection=collection,
            connection=connection,
            progress=progress,
        )
