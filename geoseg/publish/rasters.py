"""Write the class map, its confidence and layers as COGs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from geoseg.grid.decision import CONFIDENCE, ENTROPY, MARGIN, PROBABILITIES
from geoseg.grid.fusion import DATES
from geoseg.grid.legend import NODATA_CLASS, NODATA_CONFIDENCE, Legend
from geoseg.grid.window import Grid, Window
from geoseg.raster.maps.class_map import NAME_TAG
from geoseg.raster.maps.cog import CogBand, write_cog

AREA_OR_POINT = "AREA_OR_POINT"

Piece = tuple[Window, NDArray[Any]]
"""Pixels of a window, shape (H, W), or (C, H, W) of several bands."""
Pieces = Iterable[Piece]
"""Pieces that together cover a raster."""


def write_classes(path: Path, grid: Grid, legend: Legend, pieces: Pieces, area_or_point: str = "Area") -> None:
    """Write class ids as a COG with the legend's palette; its names are in the tags ``CLASS_<id>``.

    A pixel of an overview has the most frequent class of its pixels, because an average of ids would be another class.
    ``area_or_point`` is the meaning of a sample in the scene; ``grid`` refers to pixel corners in both cases.
    """
    colors = {entry.id: entry.color for entry in legend.classes}
    tags = {AREA_OR_POINT: area_or_point, **{f"{NAME_TAG}{entry.id}": entry.name for entry in legend.classes}}
    write_cog(path, grid, pieces, CogBand(("class",), NODATA_CLASS, "mode", colors, tags))


UNITS = {
    CONFIDENCE: "probability of the class times 255",
    PROBABILITIES: "probability times 255, at least 1",
    MARGIN: "difference of the two largest probabilities times 255, at least 1",
    ENTROPY: "entropy of the probabilities, 255 where all are equal, at least 1",
    DATES: "number of dates whose scores were added",
}


def write_layer(
    path: Path, grid: Grid, name: str, bands: Sequence[str], pieces: Pieces, area_or_point: str = "Area"
) -> None:
    """Write the confidence or a layer as a COG: a valid pixel has at least 1; 0 is nodata.

    Args:
        path: The file.
        grid: Size and georeference.
        name: Confidence, one of `geoseg.grid.decision.LAYERS`, or the dates.
        bands: Description of each band.
        pieces: Windows and their values, shape (H, W), or (bands, H, W) if there are several bands.
        area_or_point: As of `write_classes`.
    """
    tags = {AREA_OR_POINT: area_or_point, "UNIT": UNITS[name]}
    dtype: Literal["uint8", "uint16"] = "uint16" if name == DATES else "uint8"
    write_cog(path, grid, pieces, CogBand(tuple(bands), NODATA_CONFIDENCE, "average", tags=tags, dtype=dtype))
