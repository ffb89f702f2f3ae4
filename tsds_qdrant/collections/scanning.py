"""How exact searches of embedded collections are computed."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tsds_qdrant.errors import SettingsError

AUTO, CPU, ENGINE = "auto", "cpu", "engine"
DEVICES = re.compile(r"auto|cpu|engine|mps|xpu|cuda(:[0-9]+)?")
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Scanning:
    """What scans an embedded collection, and in how much memory.

    Attributes:
        device: cpu; cuda, cuda:1, mps, .. by torch; auto, a GPU where torch has one and the scan
            is long enough to pay for it, else the CPU; engine, Qdrant's own exact search.
        memory: share of the machine's memory up to which vectors stay mapped into the process;
            larger ones are mapped block by block in every scan, which costs little as long as the
            system has room to keep them.

    Raises:
        SettingsError: a value that cannot be right.
    """

    device: str = AUTO
    memory: float = 0.05

    def __post_init__(self) -> None:
        if not DEVICES.fullmatch(self.device):
            raise SettingsError(
                f"--scan-device is '{self.device}'; give auto, cpu, cuda, cuda:1, mps, or engine "
                f"for Qdrant's own exact search"
            )
        if not 0 <= self.memory <= 1:
            raise SettingsError(f"--scan-memory is {self.memory:g}; give a share from 0 to 1")

    @property
    def memory_bytes(self) -> float:
        """How much memory that share is."""
        return self.memory * machine_memory()


def machine_memory() -> float:
    """Bytes of memory that this process may have; infinite where that is not known."""
    known = []
    with suppress(ValueError, OSError, AttributeError):
        known.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    with suppress(ValueError, OSError):
        known.append(float(CGROUP_LIMIT.read_text(encoding="ascii")))
    return min(known, default=float("inf"))
