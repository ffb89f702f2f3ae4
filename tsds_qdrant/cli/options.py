"""Arguments and flags that are in no group, and the API key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

StateArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The run's state file.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the figures as JSON on stdout, and no messages.")
]


def api_key(ask: bool) -> str | None:
    """The API key, from a prompt or the environment; never from the command line."""
    if ask:
        return str(typer.prompt("API key", hide_input=True, err=True))
    return os.environ.get("TSDS_QDRANT_API_KEY")
