"""Random signs that every machine draws alike: a hash of what they are for, no generator's state.

The counter-based hash is the output function of SplitMix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014) in int64, which numpy and torch have on all devices.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

VERSION = "splitmix64-1"
WORD = 64
"""Signs of one hash."""
ROW = 1 << 32
"""Counters from one word of a row to the next; rows are counted inside."""


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


STEP = _signed(0x9E3779B97F4A7C15)
FIRST = _signed(0xBF58476D1CE4E5B9)
SECOND = _signed(0x94D049BB133111EB)


def key_of(seed: int, layer: str, side: str) -> int:
    """What starts the counter of one matrix of signs: an int64."""
    content = f"{seed}\n{side}\n{layer}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little", signed=True)


def mixed(counters: Any, key: int) -> Any:
    """The hash of each int64 counter, in an array of numpy or torch, with wrap-around."""
    state = counters * STEP + key
    state = (state ^ _right(state, 30)) * FIRST
    state = (state ^ _right(state, 27)) * SECOND
    return state ^ _right(state, 31)


def _right(words: Any, bits: int) -> Any:
    """Shift without the sign, which int64 keeps by itself."""
    return (words >> bits) & ((1 << (64 - bits)) - 1)


def signs(key: int, rows: int, columns: int) -> npt.NDArray[np.int8]:
    """(rows, columns) of +1 and -1; columns do not depend on how many there are."""
    words = -(-columns // WORD)
    counters = np.arange(rows)[:, None] + np.arange(words) * ROW
    bits = (mixed(counters, key)[:, :, None] >> np.arange(WORD)) & 1
    drawn: npt.NDArray[np.int8] = (1 - 2 * bits).astype(np.int8).reshape(rows, -1)
    return drawn[:, :columns]


def torch_signs(key: int, rows: int, columns: int, device: Any) -> Any:
    """The same on a device of torch, as int8."""
    import torch

    words = -(-columns // WORD)
    counters = torch.arange(rows, device=device)[:, None]
    counters = counters + torch.arange(words, device=device) * ROW
    bits = (mixed(counters, key)[:, :, None] >> torch.arange(WORD, device=device)) & 1
    return (1 - 2 * bits).to(torch.int8).reshape(rows, -1)[:, :columns].contiguous()
