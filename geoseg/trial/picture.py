"""Draw a trial: scene, class map and confidence of each site side by side, and a legend."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS, Legend
from geoseg.raster.thumbnail import stretch
from geoseg.trial.trial import Shown, Trial

PANELS = ("scene", "class map", "confidence")
SITES_PER_ROW, PANEL_IN = 2, 2.5
MAX_NAMED = 24
"""Most classes in the legend, those with the most pixels."""


def draw_trial(trial: Trial, legend: Legend, title: str) -> Figure:
    """Draw the sites, two in a row.

    Args:
        trial: What to draw.
        legend: Names and colours.
        title: Heading of the picture.
    """
    in_row = min(SITES_PER_ROW, len(trial.shown))
    rows = -(-len(trial.shown) // in_row)
    size = PANEL_IN * len(PANELS) * in_row, 0.9 * PANEL_IN * rows + 1.2
    figure = Figure(figsize=size, layout="constrained", dpi=120)
    axes = figure.subplots(rows, len(PANELS) * in_row, squeeze=False)
    scenes = _stretch_alike(trial.shown)
    for index, site in enumerate(trial.shown):
        first = index % in_row * len(PANELS)
        panels: list[Axes] = list(axes[index // in_row][first : first + len(PANELS)])
        panels[0].imshow(scenes[index], interpolation="nearest")
        panels[1].imshow(_paint(site.classes, legend), interpolation="nearest")
        known = np.ma.masked_equal(site.confidence, 0) / 255
        shown = panels[2].imshow(known, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        panels[0].set_ylabel(str(site.window).replace(", ", "\n"), fontsize=8)
        for panel, name in zip(panels, PANELS, strict=True):
            panel.set(xticks=(), yticks=())
            if index < in_row:
                panel.set_title(name, fontsize=10)
    for unused in axes.flat[len(PANELS) * len(trial.shown) :]:
        unused.set_axis_off()
    figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.01)
    figure.legend(handles=_legend(trial, legend), loc="outside lower center", ncols=3 * in_row, fontsize=9)
    figure.suptitle(_plain(title), fontsize=11)
    return figure


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; the same figure gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})


def _stretch_alike(shown: tuple[Shown, ...]) -> list[NDArray[np.uint8]]:
    """The scene at each site, shape (h, w, 3), all stretched by the percentiles of all sites together."""
    pixels = np.concatenate([site.colours.reshape(3, 1, -1) for site in shown], axis=2)
    valid = np.concatenate([site.classes.reshape(1, -1) for site in shown], axis=1) != NODATA_CLASS
    flat = stretch(pixels, valid)[0]
    ends = np.cumsum([site.classes.size for site in shown])
    return [part.reshape(*site.classes.shape, 3) for part, site in zip(np.split(flat, ends[:-1]), shown, strict=True)]


def _paint(classes: NDArray[np.uint8], legend: Legend) -> NDArray[np.uint8]:
    palette = np.full((256, 3), 255, np.uint8)
    for entry in legend.classes:
        palette[entry.id] = entry.color
    painted: NDArray[np.uint8] = palette[classes]
    return painted


def _legend(trial: Trial, legend: Legend) -> list[Patch]:
    share = trial.pixels / trial.pixels.sum()
    there = [index for index in np.argsort(-share, kind="stable")[:MAX_NAMED] if share[index] > 0]
    return [
        Patch(
            facecolor=[channel / 255 for channel in legend.classes[index].color],
            edgecolor="grey",
            label=f"{_plain(legend.names[index])} {share[index]:.1%}",
        )
        for index in there
    ]


def _plain(text: str) -> str:
    """A text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")
