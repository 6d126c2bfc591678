"""The picture of lines in README.md: ``python -m tests.benchmarks.lines_picture`` writes it."""

import numpy as np
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from tests.benchmarks.lines import geos, ours, stairs
from tests.benchmarks.table import ROOT
from tests.benchmarks.true_borders import draw_true_map

PICTURE = ROOT / "docs" / "lines.png"
SIDE_PX, SEED = 200, 1
VIEW = (30, 85, 50)
"""First column and row, and columns and rows of the part that is shown."""
COLOURS = ["#a8ddb5", "#fdd49e", "#c6dbef", "#e5d8bd", "#d9d9d9", "#fbb4b9", "#ccebc5", "#decbe4"]
WAYS = {"stairs of pixels": stairs, "GEOS coverage_simplify, 1 px": geos, "geoseg, 1 px": ours}


def draw() -> None:
    """Draw the same class map with three kinds of lines, vertices as dots."""
    classes = draw_true_map(SIDE_PX, SEED).classes
    col, row, side = VIEW
    figure = Figure(figsize=(10.5, 3.8), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, way) in zip(figure.subplots(1, len(WAYS)), WAYS.items(), strict=True):
        geometry = way(classes)
        inside = shapely.box(col, row, col + side, row + side)
        rings = shapely.get_parts(shapely.boundary(geometry[shapely.intersects(geometry, inside)]))
        lines = [shapely.get_coordinates(ring) for ring in rings]
        xy = np.unique(np.concatenate(lines), axis=0)
        shown = ((xy >= (col, row)) & (xy <= (col + side, row + side))).all(axis=1)
        colours = ListedColormap(COLOURS)
        axes.imshow(
            classes, cmap=colours, vmin=-0.5, vmax=7.5, extent=(0, SIDE_PX, SIDE_PX, 0), interpolation="nearest"
        )
        axes.add_collection(LineCollection(lines, colors="#222222", linewidths=1.2))
        axes.plot(*xy[shown].T, "o", color="#c0392b", markersize=2.5)
        axes.set(xlim=(col, col + side), ylim=(row + side, row), xticks=[], yticks=[], aspect="equal")
        axes.set_title(f"{name}: {np.count_nonzero(shown)} vertices", fontsize=10)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, metadata={"Software": None})


if __name__ == "__main__":
    draw()
