"""`has_data` against the pixels that are read, over layouts, nodata, masks and windows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rasterio.windows
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.read import read_window
from geoseg.raster.source.env import gdal_env
from geoseg.raster.source.scene import Scene, describe
from geoseg.raster.sparse import has_data

SIDE, BANDS = 150, 3
TILED: dict[str, Any] = {"tiled": True, "blockxsize": 32, "blockysize": 16}
LAYOUTS: list[dict[str, Any]] = [
    {**TILED, "interleave": "pixel", "compress": "deflate"},
    {**TILED, "interleave": "band"},
    {"blockysize": 7, "interleave": "pixel", "compress": "lzw"},
    {"blockysize": 1, "interleave": "band"},
]
KINDS: list[tuple[str, float | None]] = [
    *(("uint8", None), ("uint8", 0), ("int16", -3), ("uint16", 65535), ("float32", float("nan"))),
    *(("float32", -3.4028234663852886e38), ("float64", 1e300), ("int64", -(2**60) - 1)),
]
FRAME: dict[str, Any] = {
    "driver": "GTiff",
    "count": BANDS,
    "height": SIDE,
    "width": SIDE,
    "crs": "EPSG:32633",
    "transform": Affine(2, 0, 5e5, 0, -2, 5e6),
    "sparse_ok": True,
}
ISLANDS = (Window(40, 50, 3, 3), Window(0, 120, 20, 5), Window(149, 149, 1, 1))


def write(path: Path, dtype: str, nodata: float | None, **profile: Any) -> Path:
    """Three islands, of which only the first holds all bands; one of band 2 alone is made of nodata."""
    with rasterio.open(path, "w", **FRAME | {"dtype": dtype, "nodata": nodata} | profile) as dataset:
        for number, island in enumerate(ISLANDS):
            part = rasterio.windows.Window(island.col, island.row, island.width, island.height)
            for band in range(1, BANDS + 1 if not number else 2):
                dataset.write(np.full(island.shape, 5 + number, dtype), band, window=part)
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    """Scenes of every layout and kind; the last ones with a mask, overviews, as a COG and as a VRT."""
    folder = tmp_path_factory.mktemp("sparse")
    made = [
        write(folder / f"{i}-{j}.tif", dtype, nodata, **layout)
        for i, layout in enumerate(LAYOUTS)
        for j, (dtype, nodata) in enumerate(KINDS)
    ]
    for name, internal in (("internal", True), ("external", False)):
        path = write(folder / f"{name}.tif", "uint8", None, **LAYOUTS[0])
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(np.indices((SIDE, SIDE))[0] > 60)
        made.append(path)
    overviews = write(folder / "overviews.tif", "uint8", 0, **LAYOUTS[0])
    with rasterio.open(overviews, "r+") as dataset:
        dataset.build_overviews([2, 4])
    for name, options in (("cog", {"driver": "COG", "SPARSE_OK": True}), ("copy.vrt", {"driver": "VRT"})):
        with gdal_env():
            rasterio.shutil.copy(made[1], folder / name, **options)
        made.append(folder / name)
    return [describe(path) for path in (*made, overviews)]


@st.composite
def windows(draw: st.DrawFn) -> Window:
    row, col = draw(st.integers(0, SIDE - 1)), draw(st.integers(0, SIDE - 1))
    return Window(row, col, draw(st.integers(1, SIDE - row)), draw(st.integers(1, SIDE - col)))


@settings(max_examples=300)
@given(data=st.data(), window=windows(), rule=st.sampled_from(["any", "all"]), mask=st.sampled_from([None, 2, 3]))
def test_false_is_certain(
    scenes: list[Scene], data: st.DataObject, window: Window, rule: Any, mask: int | None
) -> None:
    scene = data.draw(st.sampled_from(scenes))
    selection = BandSelection(tuple(data.draw(st.lists(st.integers(1, BANDS), min_size=1, max_size=3))), mask, rule)
    _, valid = read_window(scene, selection, window)
    assert has_data(scene, selection, window) or not valid.any()


@pytest.mark.parametrize("layout", LAYOUTS[:3])
@pytest.mark.parametrize(("dtype", "nodata"), KINDS[1:])
def test_absent_tiles_are_found(tmp_path: Path, layout: dict[str, Any], dtype: str, nodata: float) -> None:
    """Every tile that no island touches is without data, every other one has some."""
    scene, selection = describe(write(tmp_path / "s.tif", dtype, nodata, **layout)), BandSelection((1, 2, 3))
    height, width = scene.block_shape
    for row in range(0, SIDE, height):
        for col in range(0, SIDE, width):
            tile = Window(row, col, min(height, SIDE - row), min(width, SIDE - col))
            touched = any(tile.intersect(island) for island in ISLANDS)
            assert has_data(scene, selection, tile) == touched


def test_only_the_selected_bands_are_inspected(tmp_path: Path) -> None:
    scene = describe(write(tmp_path / "s.tif", "uint8", 0, **LAYOUTS[1]))
    north_east = Window(0, 100, 30, 50)
    assert has_data(scene, BandSelection((1,)), north_east)
    assert not has_data(scene, BandSelection((2, 3)), north_east)
    assert has_data(scene, BandSelection((2, 3), mask_band=1), north_east)


def test_an_absent_alpha_band_is_transparent(tmp_path: Path) -> None:
    scene = describe(write(tmp_path / "s.tif", "uint8", None, **LAYOUTS[1]))
    far = Window(100, 0, 20, 20)
    assert has_data(scene, BandSelection((1, 2)), far), "absent pixels are 0, and 0 is data"
    assert not has_data(scene, BandSelection((1, 2), mask_band=3), far)


def test_nodata_of_a_sidecar_does_not_fill_absent_tiles(tmp_path: Path) -> None:
    """Tiles that are absent read as the nodata value of the file; a sidecar that names another makes them data."""
    path = write(tmp_path / "s.tif", "uint8", None, **LAYOUTS[0])
    sidecar = "<PAMDataset><PAMRasterBand band='{}'><NoDataValue>9</NoDataValue></PAMRasterBand></PAMDataset>"
    Path(f"{path}.aux.xml").write_text(sidecar.format(1))
    scene, far = describe(path), Window(100, 0, 20, 20)
    assert scene.nodata[0] == 9
    _, valid = read_window(scene, BandSelection((1,)), far)
    assert has_data(scene, BandSelection((1,)), far) == valid.all()


def test_one_giant_strip_is_never_taken_for_sparse(tmp_path: Path) -> None:
    """GDAL shows such a strip as rows, and says of all but the first that they are not stored."""
    path = tmp_path / "s.tif"
    with rasterio.open(
        path,
        "w",
        **FRAME
        | {
            "height": 5000,
            "dtype": "uint8",
            "blockysize": 5000,
            "nodata": 0,
            "compress": "deflate",
            "interleave": "band",
            "count": 1,
        },
    ) as dataset:
        dataset.write(np.repeat(np.arange(5000) > 4000, SIDE).astype(np.uint8).reshape(5000, SIDE), 1)
    scene = describe(path)
    assert scene.block_shape == (1, SIDE), "or this test shows nothing"
    assert has_data(scene, BandSelection((1,)), Window(3990, 0, 20, 20))
    with rasterio.open(path, "r+") as dataset:
        dataset.nodata = None
    assert describe(path).absent_blocks == 0


def test_a_missing_file_and_a_window_outside_are_errors(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tif", "uint8", 0)
    scene = describe(path)
    with pytest.raises(ValueError, match="reaches outside the scene"):
        has_data(scene, BandSelection((1,)), Window(0, 0, SIDE + 1, 1))
    path.unlink()
    with pytest.raises(SceneError, match=r"s\.tif can no longer be opened"):
        has_data(scene, BandSelection((1,)), Window(0, 0, 1, 1))
