"""``tsds-qdrant represent KIND``."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

from tsds_qdrant.cli.commands import FlagCommand, command_of
from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import Where, note_filter
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.records.recognising import field_map_of
from tsds_qdrant.representations.catalog import KINDS
from tsds_qdrant.representations.kinds import KindSettings
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.task.settings import Reading

if TYPE_CHECKING:
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.collections.values import PointId
    from tsds_qdrant.ingestion.represent_report import RepresentReport
    from tsds_qdrant.records.showing import Showing

WHY = {
    "no_text": "the payload has no text; see --text-field and --map",
    "no_supervised_tokens": "no answer within what the model reads; see --max-length and --map",
    "zero_gradient": "nothing is to be learnt of it, so it has no direction",
    "zero_vector": "what it is made of is zero",
    "nonfinite": "the model gives NaN or infinity; try --dtype float32",
}
"""What statuses mean, and what helps."""
USUAL = ("qdrant", "collection", "model", "of")


@dataclass(frozen=True)
class Run:
    """The run

    Attributes:
        fields: what a payload shows, where no usual shape says it.
        again: make what was made otherwise again.
        write: a server may be written to.
        fitted: where what is learnt from candidates is kept.
        datatype: how the numbers of a new dense space are stored.
    """

    fields: Mapping[str, str] = setting(
        {},
        "Fields that hold prompt, completion, input, system, messages or text.",
        "--map",
        metavar="PART=FIELD,..",
        parse=field_map_of,
    )
    again: bool = setting(
        False, "Make again what was made by other settings, and learn again what was learnt."
    )
    write: bool = setting(
        False, "Add it to a collection on a server, which is only read without this."
    )
    fitted: Path | None = setting(
        None, "Directory for what is learnt from candidates.", metavar="DIR", hidden=True
    )
    datatype: str = setting(
        "float32",
        "How the numbers of a new dense vector are stored: float32, float16.",
        metavar="NAME",
        hidden=True,
    )

    def __post_init__(self) -> None:
        if self.datatype not in ("float32", "float16"):
            raise SettingsError(f"--datatype is '{self.datatype}'; choose float32 or float16")


def variant(kind: str) -> Callable[..., None]:
    """The command ``represent KIND``, as Typer reads it."""
    settings = KINDS[kind]

    texts = ("text_field", "template") * (settings.reads in ("texts", "dialogues"))
    shown = ("fields",) * (settings.reads == "dialogues")

    @taking(
        Where,
        settings,
        only(Reading, *texts),
        only(SearchSettings, "where"),
        only(Run, *shown, "again", "write", "fitted", "datatype"),
        usual=USUAL,
    )
    def represent(
        where: Where,
        kind: KindSettings,
        search: SearchSettings,
        run: Run,
        reading: Reading,
        as_json: JsonOption = False,
    ) -> None:
        done(where, kind, reading, search, run, quiet=as_json)

    words = f"tsds-qdrant represent {settings.kind} --qdrant ./store --collection pool"
    represent.__doc__ = (
        f"{settings.summary}\n\n\b\nExample:\n    {words} \\\n      {settings.example}\n"
    )
    represent.__name__ = settings.kind
    return represent


def done(
    where: Where,
    kind: KindSettings,
    reading: Reading,
    search: SearchSettings,
    run: Run,
    *,
    quiet: bool,
) -> None:
    """Represent the candidates, and say what was done.

    Raises:
        SettingsError: a server, which may not be written to.
        TsdsError: see :func:`~tsds_qdrant.ingestion.represent.represent`.
    """
    from tsds_qdrant.collections import check_writes, is_server
    from tsds_qdrant.ingestion.represent import represent
    from tsds_qdrant.ingestion.represent_report import RepresentSettings

    check_writes(where.location, where.collection)
    if is_server(where.location) and not run.write:
        raise SettingsError(
            f"'represent {kind.kind}' adds '{kind.known_as}' to collection '{where.collection}' "
            f"of {where.location}, which is only read; give --write if it may, or ingest the "
            f"records into a directory and represent them there"
        )
    with where.open() as opened, progress_bars(quiet=quiet) as progress:
        note_filter(search.where, opened, quiet=quiet)
        kind = kind.of_space(opened.info().vector)
        shown = showing(opened, reading, run.fields, kind)
        made = kind.made()
        report = represent(
            opened,
            made,
            replace(shown, dialogues=made.dialogues),
            settings=RepresentSettings(
                search.where, run.again, run.fitted, run.datatype, rows_of(kind, made)
            ),
            remembered=kind.remembered(),
            kind=kind.kind,
            progress=progress,
        )
    if quiet:
        print_json(report.as_dict())
    else:
        say_done(where.collection, report)


def showing(
    collection: Collection, reading: Reading, fields: Mapping[str, str], kind: KindSettings
) -> Showing:
    """How payloads are shown: their texts as everywhere.

    Raises:
        InputError: no point has a field that is named.
    """
    from tsds_qdrant.pool.fields import check_template
    from tsds_qdrant.pool.texts import own_template, point_template
    from tsds_qdrant.records.showing import Showing

    wanted, own = reading.text_template(), own_template(collection.info())
    dialogues = kind.reads == "dialogues"
    if not (dialogues or kind.reads == "texts"):
        return Showing(wanted if wanted.to_dict() else own, fields)
    check_template(collection, wanted)
    way = point_template(collection, wanted)
    return Showing(way, fields, dialogues, assumed=not (wanted.to_dict() or own.to_dict()))


def rows_of(kind: KindSettings, made: Any) -> dict[PointId, int] | None:
    """The row of each point, where the representation is rows of a store.

    Raises:
        InputError: the file of ids cannot be used.
    """
    if kind.reads != "rows":
        return None
    from tsds_qdrant.ingestion.row_ids import read_row_ids

    ids = read_row_ids(vars(kind)["ids"], len(made))
    return {point_id: row for row, point_id in enumerate(ids)}


def say_done(collection: str, report: RepresentReport) -> None:
    """Say what a run has done."""
    seconds = sum(report.seconds.values())
    rate = f"{report.read / max(seconds, 1e-9):.3g}"
    say(
        f"{collection}: '{report.name}' made of {report.made} points"
        + (f" ({seconds:.1f} s, {rate}/s)" if report.read else ", nothing was missing")
    )
    if report.read and report.stayed:
        say(f"{report.stayed} were made by the same settings before, and stay as they are")
    for why, many in sorted(report.without.items()):
        say(f"{many} without: {why}" + (f" ({WHY[why]})" if why in WHY else ""))
    if report.missing:
        say(f"{report.missing} lack what it is made of")


class Kinds(UserDict[str, Any]):
    """The commands of all kinds; each is built when it is asked for."""

    def __getitem__(self, name: str) -> FlagCommand:
        if name not in self.data:
            raise KeyError(name)
        return command_of(name, variant(name))


class KindGroup(TyperGroup):
    """``represent``: a command for each kind."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all kinds."""
        return list(KINDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write what each kind is."""
        with formatter.section("Kinds"):
            formatter.write_dl([(name, kind.summary) for name, kind in KINDS.items()])


def command() -> KindGroup:
    """The group of commands."""
    group = KindGroup(
        name="represent",
        help="Represent candidates once more: by another model, gradients, words, ..\n\n"
        "Each kind has flags of its own: represent KIND --help. A run that was stopped goes on "
        "where it was; a second one represents what is new.\n\n\b\n"
        "Example:\n"
        "    tsds-qdrant represent hidden --qdrant ./store --collection pool --model ./smollm",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.commands = Kinds(dict.fromkeys(KINDS))
    return group
