"""A picture of the regularisation path, drawn by matplotlib (optional)."""

from __future__ import annotations

from pathlib import Path

from tsds_qdrant.errors import MissingPackageError, OutputError
from tsds_qdrant.outputs import atomic_write
from tsds_qdrant.workflow.trace import TracedPath

FORMATS = ("png", "svg", "pdf")


def plot_path(traced: TracedPath, path: Path) -> None:
    """Draw support, effective size and mean distance over alpha into ``path``.

    Raises:
        MissingPackageError: matplotlib is not installed.
        OutputError: another suffix than .png, .svg or .pdf, or the file cannot be written.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise OutputError(f"'{path}' names no picture; use one of .{', .'.join(FORMATS)}")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackageError(
            'a plot needs matplotlib; run: pip install "tsds-qdrant[plot]"'
        ) from None
    alphas = [point.alpha for point in traced.points]
    figure = Figure(figsize=(7, 4), layout="constrained")
    sizes = figure.add_subplot()
    sizes.plot(alphas, [p.support for p in traced.points], "o-", label="support")
    sizes.plot(alphas, [p.effective_size for p in traced.points], "s-", label="effective size")
    sizes.set(yscale="log", xlabel="alpha (alignment)", ylabel="candidates")
    distance = sizes.twinx()
    distance.plot(alphas, [p.transport_cost for p in traced.points], "^:", color="0.4")
    distance.set_ylabel("mean distance (dotted)")
    sizes.set_title(f"Regularisation path, {traced.candidates} candidates")
    sizes.legend(loc="upper right")
    with atomic_write(path) as stream:
        figure.savefig(stream, format=kind)
