"""A picture of weights of sources over time, drawn by matplotlib (optional)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tsds_qdrant.report.path_plot import check_plot, new_figure, save_figure

MOST_LISTED, LONGEST = 16, 24
"""Sources in the legend, those of the largest weights at the end, and letters of their names."""
STYLES = ("-", "--", ":", "-.")
COLOURS = 10
"""Of matplotlib's usual cycle; lines of the same colour have other styles."""


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
    listed = sorted(weights, key=lambda source: -weights[source][-1])[:MOST_LISTED]
    for k, (source, own) in enumerate(weights.items()):
        style = STYLES[k // COLOURS % len(STYLES)]
        label = _shown(source) if source in listed else "_nolegend_"
        axes.plot(steps, own, style, label=label)
    axes.set(xlabel="step", ylabel="weight", title=title)
    axes.set_ylim(0, 1.05 * max(max(own) for own in weights.values()))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    save_figure(figure, path)


def _shown(source: str) -> str:
    """A label that matplotlib neither leaves out, for its first sign, nor takes for a formula."""
    cut = source if len(source) <= LONGEST else f"{source[: LONGEST - 2]}.."
    label = cut.replace("$", r"\$")
    return f"\u200b{label}" if label.startswith("_") else label
