"""Windows of a scene against rasterio's own reads and masks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.windows
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection, NodataRule, select_bands
from geoseg.raster.read import read_window
from geoseg.raster.source.scene import describe
from tests.support.scenes import write_scene

LAYOUTS: list[dict[str, Any]] = [
    {"tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": "pixel", "compress": "deflate"},
    {"tiled": True, "blockxsize": 32, "blockysize": 16, "interleave": "band"},
    {"blockysize": 3, "interleave": "pixel"},
    {"blockysize": 61, "interleave": "band", "compress": "lzw"},
]
KINDS: list[tuple[str, float | None]] = [
    *(("uint8", None), ("uint8", 0), ("int16", -3), ("uint16", 2), ("float32", float("nan"))),
    *(("float32", 1.0), ("float64", -3.4028234663852886e38)),
]
HEIGHT, WIDTH, BANDS = 61, 75, 3
FRAME: dict[str, Any] = {
    "driver": "GTiff",
    "count": BANDS,
    "height": HEIGHT,
    "width": WIDTH,
    "crs": "EPSG:32633",
    "transform": Affine(2, 0, 5e5, 0, -2, 5e6),
}


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int, bool], Path]:
    """A raster of every layout and kind, with and without its own mask; few values, so that nodata abounds."""
    rng, folder, made = np.random.default_rng(0), tmp_path_factory.mktemp("rasters"), {}
    for i, layout in enumerate(LAYOUTS):
        for j, (dtype, nodata) in enumerate(KINDS):
            for masked in (False, True):
                pixels = rng.integers(0, 4, (BANDS, HEIGHT, WIDTH)).astype(dtype)
                if nodata is not None:
                    pixels[rng.random(pixels.shape) < 0.2] = nodata
                path = made[i, j, masked] = folder / f"{i}{j}{masked}.tif"
                profile = FRAME | layout | {"dtype": dtype, "nodata": nodata}
                internal = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=i % 2 == 0)
                with internal, rasterio.open(path, "w", **profile) as dataset:
                    dataset.write(pixels)
                    if masked:
                        dataset.write_mask(rng.random((HEIGHT, WIDTH)) < 0.8)
    return made


@st.composite
def windows(draw: st.DrawFn) -> Window:
    row, col = draw(st.integers(0, HEIGHT - 1)), draw(st.integers(0, WIDTH - 1))
    return Window(row, col, draw(st.integers(1, HEIGHT - row)), draw(st.integers(1, WIDTH - col)))


@settings(max_examples=300)
@given(
    layout=st.integers(0, len(LAYOUTS) - 1),
    kind=st.integers(0, len(KINDS) - 1),
    masked=st.booleans(),
    window=windows(),
    bands=st.lists(st.integers(1, BANDS), min_size=1, max_size=4),
    rule=st.sampled_from(["any", "all"]),
)
def test_window_equals_rasterio(
    rasters: dict[tuple[int, int, bool], Path],
    layout: int,
    kind: int,
    masked: bool,
    window: Window,
    bands: list[int],
    rule: Any,
) -> None:
    scene = describe(rasters[layout, kind, masked])
    pixels, valid = read_window(
        scene, select_bands(scene, len(bands), SceneSettings(bands=bands, nodata_rule=rule)), window
    )

    part = rasterio.windows.Window(window.col, window.row, window.width, window.height)
    with rasterio.open(scene.path) as dataset:
        np.testing.assert_array_equal(pixels, dataset.read(bands, window=part))
        expected = np.ones(window.shape, bool)
        if masked:
            expected &= dataset.dataset_mask(window=part) != 0
        nodata = dataset.nodata
    assert pixels.dtype == KINDS[kind][0]
    if nodata is not None:
        hits = np.isnan(pixels) if np.isnan(nodata) else pixels == nodata
        expected &= ~(hits.any(axis=0) if rule == "any" else hits.all(axis=0))
    np.testing.assert_array_equal(valid, expected & np.isfinite(pixels).all(axis=0))


@pytest.mark.parametrize(("rule", "combine"), [("any", np.all), ("all", np.any)])
def test_nodata_rules_are_those_of_the_band_masks(
    rasters: dict[tuple[int, int, bool], Path], rule: Any, combine: Any
) -> None:
    scene = describe(rasters[0, 1, False])
    _, valid = read_window(scene, BandSelection((1, 2, 3), nodata_rule=rule), scene.grid.window)
    with rasterio.open(scene.path) as dataset:
        np.testing.assert_array_equal(valid, combine(dataset.read_masks(), axis=0))
        if rule == "all":
            np.testing.assert_array_equal(valid, dataset.dataset_mask() != 0)


def test_window_outside_the_scene_is_an_error(rasters: dict[tuple[int, int, bool], Path]) -> None:
    scene = describe(rasters[0, 0, False])
    with pytest.raises(ValueError, match=r"rows 60:62, columns 0:4 reaches outside the scene, rows 0:61"):
        read_window(scene, BandSelection((1,)), Window(60, 0, 2, 4))


@pytest.mark.parametrize(
    ("declared", "given", "rule", "expected"),
    [
        (None, None, "any", [True, True, True]),
        (None, 7, "any", [False, False, True]),
        (None, 7, "all", [False, True, True]),
        (9, 7, "all", [False, True, True]),
        (9, [None, 7], "any", [False, True, True]),
        (9, None, "any", [True, True, False]),
    ],
)
def test_given_nodata_takes_the_place_of_the_declared(
    tmp_path: Path, declared: float | None, given: Any, rule: NodataRule, expected: list[bool]
) -> None:
    pixels = np.array([[[7, 7, 9]], [[7, 8, 9]]], np.uint8)
    path = write_scene(tmp_path / "scene.tif", pixels, nodata=declared)
    scene = describe(path, SceneSettings(nodata=given))
    _, valid = read_window(scene, BandSelection((1, 2), nodata_rule=rule), scene.grid.window)
    assert valid.tolist() == [expected]


def test_given_nodata_must_fit_the_bands_of_the_file(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "scene.tif", np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(SceneError, match=r"scene\.nodata holds 3 values, and .*scene\.tif has 2 bands. Give one for"):
        describe(path, SceneSettings(nodata=[1, 2, None]))
