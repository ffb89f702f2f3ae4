"""Groups of flags that several commands share, and that mean nothing below the command line."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsds_qdrant.cli.options import ASK_KEY, api_key
from tsds_qdrant.cli.terminal import say
from tsds_qdrant.collections import GRPC_PORT
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.paths import remembered_source
from tsds_qdrant.representations.model_names import remembered_model
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.task.settings import Reading

if TYPE_CHECKING:
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.collections.values import CollectionInfo
    from tsds_qdrant.progress import Progress
    from tsds_qdrant.task.examples import TaskExamples

HIGHEST_PORT = 65_535
READ_BY = (
    *("text_field", "template", "weight_field", "model"),
    *("delimiter", "no_header", "json_field"),
)
"""Settings of reading that vectors and weights depend on."""


def checked_location(location: str, flag: str = "--qdrant") -> str:
    """``location``, unless it is one that would silently mean a directory.

    Raises:
        SettingsError: it is empty, a host without a scheme, or ``:memory:``.
    """
    if not location.strip():
        raise SettingsError(f"{flag} is empty; give a directory or the URL of a server")
    if location.strip() == ":memory:":
        raise SettingsError(
            f"{flag} is ':memory:', which holds nothing once the command ends; give a directory, "
            f"which is made if it does not exist"
        )
    if location == "localhost" and not Path(location).exists():
        raise SettingsError(f"{flag} is '{location}'; write http://localhost:6333 for a server")
    if re.fullmatch(r"[A-Za-z0-9.-]+:[0-9]+", location) and not Path(location).exists():
        raise SettingsError(f"{flag} is '{location}'; write http://{location} for a server")
    return location


MovedOption = Annotated[
    str | None,
    typer.Option(
        "--qdrant",
        metavar="PATH|URL",
        help="Where the run's collection is now, if it was moved.",
        callback=lambda location: location and checked_location(location),
    ),
]


@dataclass(frozen=True)
class Where:
    """Where the candidates are

    Attributes:
        qdrant: a directory, or the URL of a server.
        collection: its name there.
        vector: which of several vectors of a point.
        ask_api_key: ask for the server's API key.
        grpc: speak gRPC to the server.
        grpc_port: where it listens.
    """

    qdrant: str = setting(
        MISSING,
        "Directory of embedded collections, or URL of a Qdrant server.",
        metavar="PATH|URL",
        parse=checked_location,
        envvar="TSDS_QDRANT",
    )
    collection: str = setting(MISSING, "The collection of candidates.", metavar="NAME")
    vector: str | None = setting(None, "Which vector, if the points have several.", metavar="NAME")
    ask_api_key: bool = setting(False, ASK_KEY)
    grpc: bool = setting(False, "Speak gRPC to the server: faster for large answers.")
    grpc_port: int = setting(
        GRPC_PORT, "Where --grpc connects.", metavar="PORT", least=1, hidden=True
    )

    def __post_init__(self) -> None:
        if self.grpc_port > HIGHEST_PORT:
            raise SettingsError(
                f"--grpc-port is {self.grpc_port}; a port is at most {HIGHEST_PORT}"
            )

    @cached_property
    def api_key(self) -> str | None:
        """The API key, asked for once."""
        return api_key(self.ask_api_key)

    def open(self) -> Collection:
        """Open the collection.

        Raises:
            CollectionError: see :func:`tsds_qdrant.open_collection`.
        """
        from tsds_qdrant.collections import open_collection

        return open_collection(
            self.qdrant,
            self.collection,
            vector=self.vector,
            api_key=self.api_key,
            grpc=self.grpc,
            grpc_port=self.grpc_port,
        )


def described_for(reading: Reading, collection: Collection, *, quiet: bool) -> CollectionInfo:
    """What is known of ``collection``, by the model that ``reading`` names where that is the same.

    Raises:
        TsdsError: see :func:`~tsds_qdrant.task.model.info_with_model`.
    """
    from tsds_qdrant.task.model import info_with_model

    info = info_with_model(collection, reading.model, reading.embedder)
    theirs, now = collection.info().metadata.get("model"), info.metadata.get("model")
    if theirs != now:
        say(
            f"'{now}' makes the vectors of collection '{info.name}' and is taken for its model "
            f"'{theirs}'",
            quiet=quiet,
        )
    return info


@dataclass(frozen=True)
class Examples:
    """Task examples

    Attributes:
        queries: where they come from.
        reading: how their texts are made and embedded.
    """

    queries: str = setting(
        MISSING,
        "Task examples: records, vectors, or a collection at the same place.",
        metavar="FILE|X.npy|collection:NAME",
    )
    reading: Reading = field(default_factory=Reading)

    def facts(self) -> dict[str, Any]:
        """What a manifest says of them: where they come from, and how they were read."""
        read = {name: getattr(self.reading, name) for name in READ_BY}
        if model := read["model"]:
            read["model"] = remembered_model(model)
        source = remembered_source(self.queries)
        return {"source": source, **{k: value for k, value in read.items() if value}}

    def described(self, collection: Collection, *, quiet: bool) -> CollectionInfo:
        """The collection; see :func:`described_for`."""
        return described_for(self.reading, collection, quiet=quiet)

    def read(self, info: CollectionInfo, key: str | None, progress: Progress) -> TaskExamples:
        """The task examples, for the collection that ``info`` describes.

        Raises:
            TsdsError: see :func:`~tsds_qdrant.task.examples.task_examples`.
        """
        from tsds_qdrant.task.examples import task_examples

        return task_examples(self.queries, info, self.reading, api_key=key, progress=progress)
