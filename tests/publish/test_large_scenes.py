"""Numbers of a scene of 200,000 x 200,000 pixels in what is published."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from pyproj import CRS
from rasterio.windows import Window as RasterioWindow

from geoseg.grid.legend import Legend, LegendClass
from geoseg.grid.window import Grid, Window
from geoseg.publish.polygon_table import build_table, publication_order
from geoseg.publish.rasters import write_layer
from geoseg.vector.polygons import PixelPolygons
from geoseg.verify.coverage import Outline, cancel, polygon_edges
from tests.support.placing import place

SIDE = 200_000
GRID = Grid(SIDE, SIDE, (0.5, 0.0, 300_000.0, 0.0, -0.5, 5_480_000.0), CRS.from_epsg(32632).to_wkt("WKT2_2019"))
LEGEND = Legend((LegendClass(0, "water", (0, 0, 255)),))


def hilbert(row: int, col: int, side: int) -> int:
    """The textbook's loop, in integers without a size."""
    index, half = 0, side // 2
    while half:
        right, lower = int(col & half > 0), int(row & half > 0)
        index += half * half * ((3 * right) ^ lower)
        if not lower:
            if right:
                row, col = side - 1 - row, side - 1 - col
            row, col = col, row
        half //= 2
    return index


@pytest.mark.parametrize("cut_px", [1, 7, 384])
def test_order_of_publication(cut_px: int) -> None:
    rng = np.random.default_rng(0)
    ids = np.unique(np.append(rng.integers(0, SIDE * SIDE, 500), [0, SIDE - 1, SIDE * SIDE - SIDE, SIDE * SIDE - 1]))
    cells = -(-SIDE // cut_px)
    side = 1 << (cells - 1).bit_length()
    expected = sorted(
        ids.tolist(), key=lambda name: (hilbert(name // SIDE // cut_px, name % SIDE // cut_px, side), name)
    )
    assert ids[publication_order(ids, GRID, cut_px)].tolist() == expected


def test_polygons_of_the_far_corner_and_of_the_whole_scene() -> None:
    """Ids, pixels, sums and areas are exact; a coordinate is what the affine says."""
    everything = shapely.box(0, 0, SIDE, SIDE)
    hole = shapely.box(SIDE - 3, SIDE - 2, SIDE - 1, SIDE - 1)
    corner = shapely.box(SIDE - 1, SIDE - 1, SIDE, SIDE)
    pixels = np.array([SIDE * SIDE - 3, 1], np.int64)
    polygons = PixelPolygons(
        np.array([shapely.difference(everything, hole), corner]),
        np.zeros(2, np.uint8),
        np.array([0, SIDE * SIDE - 1]),
        pixels,
        pixels * 255 - np.array([1, 0]),
    )
    table = build_table(place(polygons, GRID), GRID, LEGEND, cut_px=384, model="m")
    rows = {row["polygon_id"]: row for row in table.to_pylist()}
    whole, last = rows[0], rows[39_999_999_999]
    assert (whole["pixels"], whole["area_m2"], whole["confidence"]) == (39_999_999_997, 39_999_999_997 / 4, 1.0)
    assert (last["pixels"], last["area_m2"]) == (1, 0.25)
    assert shapely.from_wkb(last["geometry"]).bounds == (399_999.5, 5_380_000.0, 400_000.0, 5_380_000.5)
    assert whole["bbox"] == {"xmin": 300_000.0, "ymin": 5_380_000.0, "xmax": 400_000.0, "ymax": 5_480_000.0}


def test_outline_in_the_far_corner() -> None:
    """The same polygon is complete, and missing, in the last rows."""
    start = SIDE - 4
    edges = cancel(polygon_edges(np.array([shapely.box(start, start, SIDE, SIDE)], object)))
    outline = Outline.of(edges, (SIDE, SIDE), lambda xy: xy)
    inside = np.zeros((5, SIDE), bool)
    inside[1:, start:] = True
    above = np.zeros(SIDE, bool)
    assert not len(outline.faults(inside, above, start - 1))
    inside[4, SIDE - 1] = False
    faults = outline.faults(inside, above, start - 1)
    assert faults.max() == SIDE
    assert faults.min() >= SIDE - 2


def test_confidence_of_more_than_two_gigapixels(tmp_path: Path) -> None:
    """A piece in the far corner of a sparse raster comes back from there, and nothing else takes room."""
    grid = Grid(SIDE, 11_000, GRID.transform, GRID.crs)
    values = np.arange(1, 201, dtype=np.uint8).reshape(10, 20)
    path = tmp_path / "confidence.tif"
    write_layer(path, grid, "confidence", ["confidence"], [(Window(SIDE - 10, 11_000 - 20, 10, 20), values)])
    assert path.stat().st_size < 400_000
    with rasterio.open(path) as dataset:
        assert dataset.shape == (SIDE, 11_000)
        np.testing.assert_array_equal(dataset.read(1, window=RasterioWindow(10_980, SIDE - 10, 20, 10)), values)
        assert not dataset.read(1, window=RasterioWindow(0, SIDE - 2000, 9000, 2000)).any()
