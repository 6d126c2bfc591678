"""Parts of the publication against one sort in memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import shapely
from pyproj import CRS

from geoseg.grid.legend import Legend, LegendClass
from geoseg.grid.window import Grid
from geoseg.publish import sorting
from geoseg.publish.arrow_files import write_table
from geoseg.publish.geoparquet import write_part
from geoseg.publish.polygon_table import build_table
from geoseg.publish.sorting import sorted_parts
from geoseg.vector.polygons import PixelPolygons
from tests.support.placing import place

GRID = Grid(40, 50, (1.0, 0.0, 300_000.0, 0.0, -1.0, 5_480_000.0), CRS.from_epsg(32632).to_wkt("WKT2_2019"))
LEGEND = Legend((LegendClass(0, "water", (0, 0, 255)),))


def table_of(names: np.ndarray) -> pa.Table:
    """A pixel each; every third is a circle, so that geometries differ in size."""
    row, col = np.divmod(names, GRID.width)
    boxes, circles = shapely.box(col, row, col + 1, row + 1), shapely.buffer(shapely.points(col + 0.5, row + 0.5), 0.5)
    ones = np.ones(len(names), np.int64)
    polygons = PixelPolygons(np.where(names % 3, boxes, circles), np.zeros(len(names), np.uint8), names, ones, ones)
    return build_table(place(polygons, GRID), GRID, LEGEND, cut_px=8, model="m")


def scattered(folder: Path, files: int) -> list[Path]:
    """The pixels of the scene in some files, one of which is empty."""
    place = np.random.default_rng(0).integers(1, files, GRID.height * GRID.width)
    tables = [table_of(np.flatnonzero(place == number)) for number in range(files)]
    for number, table in enumerate(tables):
        (folder / f"{number}.arrow").write_bytes(write_table(table))
    return [folder / f"{number}.arrow" for number in range(files)]


@pytest.mark.parametrize("array_bytes", [1 << 30, 5000, 1])
def test_parts_are_the_sorted_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, array_bytes: int) -> None:
    monkeypatch.setattr(sorting, "PART_ROWS", 700)
    monkeypatch.setattr(sorting, "ARRAY_BYTES", array_bytes)
    expected = table_of(np.arange(GRID.height * GRID.width))
    for files in (2, 9):
        parts = list(sorted_parts(scattered(tmp_path, files), GRID, 8))
        assert [len(part) for part in parts] == [700, 700, 600]
        assert all((part["geometry"].num_chunks == 1) == (array_bytes == 1 << 30) for part in parts)
        assert pa.concat_tables(parts).equals(expected, check_metadata=True)


def test_parts_do_not_depend_on_the_files_of_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "ARRAY_BYTES", 5000)
    written = set()
    for files in (2, 9):
        (part,) = sorted_parts(scattered(tmp_path, files), GRID, 8)
        written.add(write_part(tmp_path, 0, part, crs_wkt=GRID.crs).read_bytes())
    assert len(written) == 1


@pytest.mark.slow
def test_a_part_of_more_than_two_gibibytes(tmp_path: Path) -> None:
    """Three polygons of 800 MB together are more than one of Arrow's arrays holds; takes 8 GB of memory."""
    angle = np.linspace(0, 2 * np.pi, 50_000_000, endpoint=False)
    circle = shapely.Polygon(np.column_stack([20 + np.cos(angle), 20 + np.sin(angle)]))
    circles = PixelPolygons(
        np.array([circle] * 3), np.zeros(3, np.uint8), np.arange(3), np.ones(3, int), np.ones(3, int)
    )
    table = build_table(place(circles, GRID), GRID, LEGEND, cut_px=8, model="m")
    (tmp_path / "spanning.arrow").write_bytes(write_table(table))
    (part,) = sorted_parts([tmp_path / "spanning.arrow"], GRID, 8)
    assert part["polygon_id"].to_pylist() == [0, 1, 2]
    assert pc.binary_length(part["geometry"]).to_pylist() == [13 + 16 * 50_000_001] * 3
