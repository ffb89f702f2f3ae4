"""Values of settings from texts, as a command line or a file gives them."""

from __future__ import annotations

from pathlib import Path

from tsds_qdrant.errors import SettingsError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def number_or_auto(text: str, flag: str) -> float | None:
    """A number, or None for ``auto``.

    Raises:
        SettingsError: neither.
    """
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{flag} is '{text}'; give a number or auto") from None


def whole_numbers(text: str, flag: str) -> tuple[int, ...]:
    """Whole numbers from ``1000`` or ``1000,10000``.

    Raises:
        SettingsError: a part is no whole number.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"{flag} is '{text}'; give whole numbers like 1000,10000") from None


def numbers(text: str, flag: str) -> tuple[float, ...]:
    """Numbers from ``0.9,0.5``.

    Raises:
        SettingsError: a part is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"{flag} is '{text}'; give numbers like 0.9,0.5,0.1") from None


def names(text: str, flag: str) -> tuple[str, ...]:
    """Names from ``tsds,random``.

    Raises:
        SettingsError: there is none.
    """
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise SettingsError(f"{flag} is '{text}'; give names, separated by commas")
    return found


def seconds_of(text: str, flag: str) -> float:
    """Seconds from ``60s``, ``5m``, ``1.5h``, ``1d`` or plain ``60``.

    Raises:
        SettingsError: something else, or not positive.
    """
    number, unit = (text[:-1], text[-1:]) if text[-1:] in UNITS else (text, "s")
    try:
        seconds = float(number) * UNITS[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SettingsError(f"{flag} is '{text}'; give a time like 60s, 5m or 1h")
    return seconds


def number_of(text: str, flag: str) -> float:
    """A number of a command line.

    Raises:
        SettingsError: it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{flag} is '{text}', which is no number; give one") from None


def weight_by_name(text: str, flag: str) -> tuple[str, float]:
    """A name and a positive number from ``space=2`` or ``space:2``.

    Raises:
        SettingsError: something else.
    """
    name, sign, number = text.rpartition("=" if "=" in text else ":")
    weight = number_of(number, flag) if sign and name else 0.0
    if not 0 < weight < float("inf"):
        raise SettingsError(f"{flag} is '{text}'; give a name and a positive number, like space=2")
    return name, weight


def directory_of(text: str, flag: str) -> Path:
    """The directory of that name, which ``flag`` gives.

    Raises:
        SettingsError: the name is empty.
    """
    if not text.strip():
        raise SettingsError(f"{flag} is empty; give a directory")
    return Path(text)
