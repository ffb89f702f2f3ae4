"""The command line in a child, so that somebody is left to say what killed it.

The embedded engine writes into mapped files. On a disk that is full, or fails, a write there is no
error but a signal (SIGBUS) that ends the process without a word, whatever was checked before.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer

from tsds_qdrant.cli.failures import failure, wants_json
from tsds_qdrant.cli.terminal import print_json
from tsds_qdrant.cli.words import named

FULL_BYTES = 16_000_000
"""A disk with less room than this is called full."""
ONCE_S = 1.0
PR_SET_PDEATHSIG = 1
PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")


def supervise(words: Sequence[str], commands: Collection[str]) -> None:
    """Return in a child of this process, which waits for it and ends as it does.

    Only where ``words`` hold one of ``commands``, and on Linux, where a child can be made to die
    with its parent; elsewhere return at once.
    """
    if sys.platform != "linux" or not any(word in commands for word in words):
        return
    passed_on = {getattr(signal, name) for name in PASSED_ON}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*passed_on, signal.SIGCHLD})
    parent = os.getpid()
    child = os.fork()
    if child:
        _wait(child, passed_on, words)
    _die_with(parent)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _Interrupt())
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Interrupt:
    """Interrupts once: who signals the whole group reaches the child twice, itself and from us."""

    def __init__(self) -> None:
        self._last = -ONCE_S

    def __call__(self, *_: Any) -> None:
        now, last = time.monotonic(), self._last
        self._last = now
        if now - last >= ONCE_S:
            raise KeyboardInterrupt


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that was asked for
        os.kill(os.getpid(), signal.SIGKILL)


def _wait(child: int, passed_on: Collection[signal.Signals], words: Sequence[str]) -> NoReturn:
    while True:
        met = signal.sigwaitinfo({*passed_on, signal.SIGCHLD})
        if met.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
        elif met.si_code <= 0:  # sent by somebody; what a terminal sends has reached the child
            os.kill(child, met.si_signo)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGBUS:
        message = _bus_error(words)
        if wants_json(words):
            print_json(failure("system", message))
            sys.stdout.flush()
        typer.echo(f"error: {message}", err=True)
        os._exit(1)
    if -code in {getattr(signal, name) for name in ENDING}:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _bus_error(words: Sequence[str]) -> str:
    location = named(words, "--to") or named(words, "--qdrant") or os.environ.get("TSDS_QDRANT", "")
    place = Path(location).absolute()
    while not place.exists():
        place = place.parent
    stored = "what was stored before is kept"
    again = "run the same command again, which goes on where this one ended"
    if not location or "://" in location:
        return f"a disk is full or fails (SIGBUS); {stored}; make room, then {again}"
    if shutil.disk_usage(place).free < FULL_BYTES:
        return f"the disk of '{location}' is full (SIGBUS); {stored}; make room, then {again}"
    return (
        f"a file below '{location}' cannot be read or written to its end, as its disk fails, was "
        f"full a moment ago, or something cut the file (SIGBUS); {stored}; {again}, or mend the "
        f"collection with 'tsds-qdrant repair-store'"
    )
