"""A picture of weights of sources over time, drawn by matplotlib (optional)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tsds_qdrant.report.path_plot import check_plot, new_figure, save_figure


def plot_weights(
    steps: Sequence[int], weights: Mapping[str, Sequence[float]], title: str, path: Path
) -> None:
    """Draw the ``weights`` of each source over ``steps`` into ``path``.

    Args:
        steps: (T,) numbers of steps, ascending.
        weights: source -> (T,) its weights.
        title: above the picture.
        path: a .png, .svg or .pdf file.

    Raises:
        TsdsError: as :func:`~tsds_qdrant.report.path_plot.check_plot`.
    """
    check_plot(path)
    figure = new_figure()
    axes = figure.add_subplot()
    for source, own in weights.items():
        # matplotlib leaves labels with a leading underscore out
        axes.plot(steps, own, label=f"\u200b{source}" if source.startswith("_") else source)
    axes.set(xlabel="step", ylabel="weight", title=title)
    axes.set_ylim(bottom=0)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    save_figure(figure, path)
