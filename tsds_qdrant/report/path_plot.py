"""A picture of the regularisation path, drawn by matplotlib (optional)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import MissingPackageError, OutputError
from tsds_qdrant.files.outputs import atomic_write, check_writable
from tsds_qdrant.solver.path import PathPoint

FORMATS = ("png", "svg", "pdf")


def check_plot(path: Path) -> None:
    """Check, before long work, that :func:`plot_path` can draw into ``path``.

    Raises:
        MissingPackageError: matplotlib is not installed.
        OutputError: another suffix than .png, .svg or .pdf, or the file cannot be written.
    """
    if path.suffix.lower().lstrip(".") not in FORMATS:
        raise OutputError(f"'{path}' names no picture; use one of .{', .'.join(FORMATS)}")
    if find_spec("matplotlib") is None:
        raise MissingPackageError('a plot needs matplotlib; run: pip install "tsds-qdrant[plot]"')
    check_writable(path)


def plot_path(points: Sequence[PathPoint], candidates: int, path: Path) -> None:
    """Draw support, effective size and mean distance of ``points`` over alpha into ``path``.

    Raises:
        TsdsError: as :func:`check_plot`.
    """
    check_plot(path)
    alphas = [point.alpha for point in points]
    figure = new_figure()
    sizes = figure.add_subplot()
    sizes.plot(alphas, [p.support for p in points], "o-", label="support")
    sizes.plot(alphas, [p.effective_size for p in points], "s-", label="effective size")
    sizes.set(yscale="log", xlabel="alpha (alignment)", ylabel="candidates")
    distance = sizes.twinx()
    distance.plot(alphas, [p.transport_cost for p in points], "^:", color="0.4")
    distance.set_ylabel("mean distance (dotted)")
    sizes.set_title(f"Regularisation path, {candidates} candidates")
    sizes.legend(loc="upper right")
    save_figure(figure, path)


def new_figure() -> Any:
    """An empty picture of the usual size."""
    from matplotlib.figure import Figure

    return Figure(figsize=(7, 4), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write ``figure`` into ``path``, in the format of its suffix.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # signs that the font lacks are boxes
        figure.savefig(stream, format=path.suffix.lower().lstrip("."))
