"""Scenes that are huge and nearly empty, from file to polygons."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import rasterio.windows
import shapely
from pyproj import CRS, Geod

from geoseg.grid.tiling import Lattice
from geoseg.grid.window import Window
from tests.support.bundles import identity_bundle
from tests.support.scenes import TRANSFORM, run

PATCH, OVERLAP, BLOCK = 256, 64, 3840


def islands(side: int) -> list[Window]:
    """One inside a block, one over the borders of four, one over an internal tile, one in each corner."""
    middle = side // 2 // BLOCK * BLOCK
    corners = [Window(row, col, 70, 90) for row in (0, side - 70) for col in (0, side - 90)]
    return [*corners, Window(1000, 1000, 200, 300), Window(middle - 50, middle - 99, 150, 200), Window(510, 40, 4, 7)]


def values_of(island: Window) -> np.ndarray:
    """Fields of 9 x 9 pixels of the classes 1 to 5."""
    coarse = np.random.default_rng(island.row + island.col).integers(
        1, 6, (island.height // 9 + 1, island.width // 9 + 1)
    )
    return np.kron(coarse, np.ones((9, 9), int))[: island.height, : island.width].astype(np.uint16)


def part(window: Window) -> rasterio.windows.Window:
    return rasterio.windows.Window(window.col, window.row, window.width, window.height)


def sparse_scene(path: Path, side: int) -> Path:
    """Four bands of 16 bits in which only the internal tiles of the islands are stored."""
    with rasterio.open(
        path, "w", driver="GTiff", count=4, height=side, width=side, dtype="uint16", crs="EPSG:32632", nodata=0,
        transform=TRANSFORM, tiled=True, blockxsize=512, blockysize=512, compress="deflate", sparse_ok=True,
        bigtiff="YES",
    ) as dataset:  # fmt: skip
        for island in islands(side):
            dataset.write(np.stack([values_of(island)] * 4), window=part(island))
    return path


def expected_polygons(side: int) -> dict[int, tuple[int, int, tuple[float, ...]]]:
    """Class, pixels and box in pixels of each component, by ``polygon_id``; by GDAL, each island alone."""
    found = {}
    for island in islands(side):
        values = values_of(island).astype(np.uint8)
        for shape, value in rasterio.features.shapes(values, connectivity=4):
            polygon = shapely.geometry.shape(shape)
            inside = rasterio.features.rasterize([polygon], values.shape).astype(bool)
            row, col = np.argwhere(inside)[0].tolist()
            name = (island.row + row) * side + island.col + col
            box = shapely.affinity.translate(polygon, island.col, island.row).bounds
            found[name] = (int(value), int(inside.sum()), box)
    return found


def touched_patches(side: int) -> int:
    """Patches that hold a pixel of an island."""
    axis = Lattice.of((side, side), PATCH, OVERLAP).rows
    origins = np.arange(axis.count) * axis.stride_px
    touched = set()
    for island in islands(side):
        rows = np.flatnonzero((origins < island.row_stop) & (origins + PATCH > island.row)).tolist()
        cols = np.flatnonzero((origins < island.col_stop) & (origins + PATCH > island.col)).tolist()
        touched |= {(row, col) for row in rows for col in cols}
    return len(touched)


def geodesic_m2(polygon: shapely.Polygon, crs: CRS) -> float:
    """Area on the ellipsoid, by GeographicLib."""
    moved = gpd.GeoSeries([polygon], crs=crs).to_crs(4326).iloc[0]
    return abs(Geod(ellps="WGS84").geometry_area_perimeter(moved)[0])


@pytest.mark.parametrize("side", [20_000, pytest.param(200_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_islands_in_a_large_empty_scene(tmp_path: Path, side: int) -> None:
    scene = sparse_scene(tmp_path / "empty.tif", side)
    bundle = identity_bundle(tmp_path / "bundle", patch_px=PATCH, overlap_px=OVERLAP)
    report = run(
        scene, bundle, tmp_path / "out", scene={"bands": [1]}, tiling={"block_px": BLOCK}, polygons={"simplify_px": 0}
    )
    assert (report.exit_code, report.patches) == (0, touched_patches(side))
    assert report.valid_pixels == sum(island.pixels for island in islands(side))
    rasters = tmp_path / "out/rasters/empty"
    with rasterio.open(rasters / "classes.tif") as classes, rasterio.open(rasters / "confidence.tif") as confidence:
        assert classes.shape == confidence.shape == (side, side)
        for island in islands(side):
            np.testing.assert_array_equal(classes.read(1, window=part(island)), values_of(island))
            assert (confidence.read(1, window=part(island)) == 255).all()
    assert sum(file.stat().st_size for file in rasters.iterdir()) < 1_000_000 + side * side / 5_000
    polygons = gpd.read_parquet(tmp_path / "out/polygons").set_index("polygon_id")
    expected = expected_polygons(side)
    assert sorted(polygons.index) == sorted(expected)
    back = ~TRANSFORM
    affine = [back.a, back.b, back.d, back.e, back.xoff, back.yoff]
    boxes = polygons.geometry.affine_transform(affine).bounds.round(6)
    for name, (class_id, pixels, box) in expected.items():
        assert (polygons.class_id[name], polygons.pixels[name]) == (class_id, pixels)
        # 2,000 km east of its zone the projection stretches areas by more than 1 %, so they are geodesic.
        ellipsoidal = side > 100_000
        expected_m2 = geodesic_m2(polygons.geometry[name], polygons.crs) if ellipsoidal else pixels * 100
        assert polygons.area_m2[name] == pytest.approx(expected_m2, rel=1e-4 if ellipsoidal else 0)
        assert tuple(boxes.loc[name]) == box
