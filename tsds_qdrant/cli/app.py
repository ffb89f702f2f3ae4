"""The command group: errors become one sentence and an exit code.

Exit codes: 0 done, 1 expected failure, 2 wrong usage, 3 Qdrant unreachable, 130 interrupted.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tsds_qdrant.cli.check import check
from tsds_qdrant.cli.compare import compare
from tsds_qdrant.cli.demo import demo
from tsds_qdrant.cli.explain import explain
from tsds_qdrant.cli.export import export
from tsds_qdrant.cli.ingest import ingest
from tsds_qdrant.cli.path import path
from tsds_qdrant.cli.report import report
from tsds_qdrant.cli.reselect import reselect
from tsds_qdrant.cli.runs import runs, show
from tsds_qdrant.cli.select import select
from tsds_qdrant.cli.watch import watch
from tsds_qdrant.errors import TsdsError

INTERRUPTED = 130


class ErrorMappingGroup(TyperGroup):
    """Turns our errors, and Ctrl-C, into a line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except TsdsError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:
            raise  # typer ends quietly when the reader of a pipe is gone
        except OSError as error:
            named = f" '{error.filename}'" if error.filename else ""
            typer.echo(f"error: {error.strerror or error}{named}; make room or check it", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("interrupted; files that were written are whole, run it again", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=ErrorMappingGroup,
    name="tsds-qdrant",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


def print_version(wanted: bool) -> None:
    """Print the version and end, if wanted."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tsds-qdrant {version('tsds-qdrant')}")
        raise typer.Exit


@app.callback()
def group(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Pick the finetuning examples that a task needs, out of a Qdrant collection.

    Candidates live in a collection (a directory, or a Qdrant server); task examples show what
    the model is to learn. TSDS (arXiv 2410.11303) gives every candidate a probability.

    \b
    Example:
        tsds-qdrant ingest pool.jsonl --qdrant ./store --collection pool
        tsds-qdrant select --qdrant ./store --collection pool --queries task.jsonl \\
          --size 1000 --out selected.jsonl
    """


for command in (
    ingest,
    select,
    reselect,
    export,
    watch,
    runs,
    show,
    explain,
    report,
    path,
    compare,
    check,
    demo,
):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    app()
