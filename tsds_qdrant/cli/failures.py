"""What a failing command says: a sentence on stderr, and with ``--json`` an object on stdout.

    {"error": {"kind": "unreachable", "message": "..", "retryable": true, "exit_code": 3}}

Kinds are those of :class:`~tsds_qdrant.errors.TsdsError` and ``KINDS``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import typer

from tsds_qdrant.cli.terminal import print_json, say
from tsds_qdrant.errors import TsdsError

INTERRUPTED = 130
BROKEN_PIPE = 141
"""As a shell has it for a program that SIGPIPE ends: 128 + 13."""
JSON_FLAG = "--json"
AS_JSON = "tsds_qdrant.as_json"
"""Whether a command prints JSON, in the ``meta`` of its context: a file of flags may say so."""
KINDS = {
    "usage": "the command line cannot be read",
    "system": "the system refuses: a disk is full, a file cannot be opened, ..",
    "aborted": "a question was not answered",
    "interrupted": "Ctrl-C, or SIGINT",
    "internal": "a fault of this program; the traceback is on stderr",
}
"""Kinds of failures beside those of our errors."""
UsageError: Any = typer.BadParameter.__mro__[1]


def failure(kind: str, message: str, exit_code: int = 1, *, retryable: bool = False) -> Any:
    """What is printed of a failure where JSON is asked for."""
    facts = {"kind": kind, "message": message, "retryable": retryable, "exit_code": exit_code}
    return {"error": facts}


def wants_json(words: Sequence[str]) -> bool:
    """Whether ``words`` of a command line ask for JSON."""
    flags = words[: words.index("--")] if "--" in words else words
    return JSON_FLAG in flags


@contextmanager
def reported(words: Sequence[str], meta: dict[str, Any]) -> Iterator[None]:
    """Report what fails in the block, and end with its exit code.

    Args:
        words: of the command line.
        meta: of the command's context, as far as there is one.

    Raises:
        typer.Exit: something failed; other errors are those that the caller shows itself.
    """

    def printed(kind: str, message: str, exit_code: int = 1, *, retryable: bool = False) -> None:
        if wants_json(words) or meta.get(AS_JSON):
            print_json(failure(kind, message, exit_code, retryable=retryable))

    try:
        yield
    except TsdsError as error:
        printed(error.kind, str(error), error.exit_code, retryable=error.retryable)
        say(f"error: {error}")
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        _forget_stdout()
        raise typer.Exit(BROKEN_PIPE) from None
    except OSError as error:
        named = f" '{error.filename}'" if error.filename else ""
        message = f"{error.strerror or error}{named}; make room or check it"
        printed("system", message)
        say(f"error: {message}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt as interrupt:
        kept = str(interrupt) or "files that were written are whole, run it again"
        message = f"interrupted; {kept}"
        printed("interrupted", message, INTERRUPTED, retryable=True)
        say(message)
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except typer.Abort:
        printed("aborted", "a question was not answered; answer it, or leave out what asks it")
        raise
    except UsageError as error:
        printed("usage", " ".join(error.format_message().split()), error.exit_code)
        raise
    except Exception as error:
        printed("internal", f"{type(error).__name__}: {error}")
        raise


def _forget_stdout() -> None:
    """Let what is still to be flushed go nowhere: whoever read it is gone."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
