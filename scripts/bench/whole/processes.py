"""Fresh processes: what one takes, and the most memory that it and its children hold."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

POLL_S = 0.02
SCRIPTS = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """A process that has ended well.

    Attributes:
        seconds: from its start to its end.
        peak: bytes of memory, pages of files that it maps among them; 0 where the system does not
            say.
        own: the same without those pages, which the system takes back as it likes.
        stdout: what it wrote.
    """

    seconds: float
    peak: int
    own: int
    stdout: str


def ran(words: Sequence[str]) -> Ended:
    """Run Python with ``words``, and wait for its end.

    Raises:
        RuntimeError: it failed; the message is its own.
    """
    path = os.pathsep.join(filter(None, (str(SCRIPTS), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    held: dict[int, tuple[int, int]] = {}
    with TemporaryFile("w+") as out, TemporaryFile("w+") as said:
        started = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, *words], stdout=out, stderr=said, env=environment, text=True
        )
        while child.poll() is None:
            for process in _tree(child.pid):
                before, now = held.get(process, (0, 0)), _memory(process)
                held[process] = max(before[0], now[0]), max(before[1], now[1])
            time.sleep(POLL_S)
        seconds = time.perf_counter() - started
        out.seek(0), said.seek(0)
        if child.returncode:
            raise RuntimeError(f"'{' '.join(words)}' failed: {said.read()}")
        peak, own = (sum(each[kind] for each in held.values()) for kind in (0, 1))
        return Ended(seconds, peak, own, out.read())


def _tree(process: int) -> Iterator[int]:
    """``process`` and all that descend from it."""
    yield process
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = file.read_text().split()
        except OSError:  # it has ended
            continue
        for child in children:
            yield from _tree(int(child))


def _memory(process: int) -> tuple[int, int]:
    """Bytes at the highest, and bytes of its own now; zeros where nobody says that."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    found = [int(facts.get(name, "0").split()[0]) for name in ("VmHWM", "RssAnon")]
    return 1024 * found[0], 1024 * found[1]
