"""Scenes whose bands lie in several files, of several resolutions, against numpy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from geoseg.catalog.entry import describe_entry
from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.raster.bands import select_bands
from geoseg.raster.read import read_window
from geoseg.raster.source.scene import Scene
from tests.support.scenes import TRANSFORM, write_scene

NAMES = ("blue", "rededge", "coastal")
SIZE = 540


@pytest.fixture
def stack(tmp_path: Path) -> dict[str, np.ndarray]:
    """A file a band at 10, 20 and 60 m, with nodata in the coarse ones; of each its pixels."""
    generator, bands = np.random.default_rng(3), {}
    for name, side in zip(NAMES, (1, 2, 6), strict=True):
        pixels = generator.integers(1, 3000, (SIZE // side, SIZE // side)).astype(np.uint16)
        if side > 1:
            pixels[generator.random(pixels.shape) < 0.05] = 0
        bands[name] = pixels
        write_scene(tmp_path / f"{name}.tif", pixels[None], transform=TRANSFORM @ Affine.scale(side), nodata=0)
    return bands


def bilinear(pixels: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of a finer grid: the mean of the four nearest, weighted by distance, without nodata (0)."""
    places = (np.arange(len(pixels) * factor) + 0.5) / factor - 0.5
    low, valid = np.floor(places).astype(int), pixels > 0
    total, weight = np.zeros((len(places),) * 2), np.zeros((len(places),) * 2)
    for row in (0, 1):
        for col in (0, 1):
            rows, cols = low + row, low + col
            near = [1 - np.abs(places - index) for index in (rows, cols)]
            inside = [(index >= 0) & (index < len(pixels)) for index in (rows, cols)]
            clipped = np.ix_(rows.clip(0, len(pixels) - 1), cols.clip(0, len(pixels) - 1))
            share = np.outer(near[0] * inside[0], near[1] * inside[1]) * valid[clipped]
            total += share * pixels[clipped]
            weight += share
    nearest = np.kron(valid, np.ones((factor, factor), bool))
    return np.floor(np.where(nearest, total / np.where(weight > 0, weight, 1), 0) + 0.5), nearest


def mapping(folder: Path, **files: str) -> dict[str, str]:
    return {"id": "s", **{name: str(folder / f"{name}.tif") for name in NAMES}, **files}


def read(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    return read_window(scene, select_bands(scene, scene.bands), scene.grid.window)


def test_coarse_bands_are_brought_to_the_finest_bilinearly(tmp_path: Path, stack: dict[str, np.ndarray]) -> None:
    scene = describe_entry(mapping(tmp_path), SceneSettings(), NAMES)
    assert scene.scene_id == "s"
    assert scene.grid.window.shape == (SIZE, SIZE)
    pixels, valid = read(scene)
    red_edge, coastal = bilinear(stack["rededge"], 2), bilinear(stack["coastal"], 6)
    np.testing.assert_array_equal(valid, red_edge[1] & coastal[1])
    np.testing.assert_array_equal(pixels[0, valid], stack["blue"][valid])
    for band, (expected, _) in zip(pixels[1:], (red_edge, coastal), strict=True):
        # Half a unit is rounded either way: GDAL's weights are not exact.
        off = np.abs(band.astype(float) - expected)[valid]
        assert off.max() <= 1
        assert np.mean(off > 0) < 0.02


def test_nearest_repeats_pixels(tmp_path: Path, stack: dict[str, np.ndarray]) -> None:
    pixels, valid = read(describe_entry(mapping(tmp_path), SceneSettings(resampling="nearest"), NAMES))
    for band, name, factor in zip(pixels, NAMES, (1, 2, 6), strict=True):
        repeated = np.kron(stack[name], np.ones((factor, factor), np.uint16))
        np.testing.assert_array_equal(band[valid], repeated[valid])


@pytest.mark.parametrize("resolution_m", [10, 20, 30, 60])
def test_another_resolution_can_be_chosen(tmp_path: Path, stack: dict[str, np.ndarray], resolution_m: int) -> None:
    settings = SceneSettings(resolution_m=resolution_m, resampling="nearest")
    scene = describe_entry(mapping(tmp_path), settings, NAMES)
    assert scene.grid.window.shape == (SIZE * 10 // resolution_m,) * 2
    assert scene.grid.transform[:3] == (resolution_m, 0, 480_000)
    if resolution_m == 60:
        pixels, valid = read(scene)
        np.testing.assert_array_equal(pixels[2, valid], stack["coastal"][valid])


def test_bands_by_number_name_and_date(tmp_path: Path) -> None:
    first, second = (np.random.default_rng(seed).integers(1, 99, (3, 9, 9)).astype(np.uint8) for seed in (0, 1))
    for name, pixels in (("spring", first), ("autumn", second)):
        with rasterio.open(write_scene(tmp_path / f"{name}.tif", pixels), "r+") as dataset:
            dataset.descriptions = ("green", "red", "nir")
    spring, autumn = tmp_path / "spring.tif", tmp_path / "autumn.tif"
    entry = {"red": f"{spring}#2", "NIR": str(spring), "red@2": str(autumn), "nir@2": f"{autumn}#3"}
    for names in (("red", "nir", "red@2", "nir@2"), ("red", "nir", "red", "nir"), ("B4", "B8", "B4", "B8")):
        scene = describe_entry(entry, SceneSettings(), names)
        pixels, _ = read(scene)
        np.testing.assert_array_equal(pixels, np.concatenate([first[1:], second[1:]]))
        assert scene.files == (str(spring), str(autumn))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"red": "{a}#1"}, "for band nir the mapping under scenes has no file for it. It has red"),
        ({"red": "{a}#1", "nir": "{a}#2", "swir": "{a}#1"}, "names swir, which the model does not take"),
        ({"red": "{a}#1", "nir": "{a}#3"}, r"has 2 bands, counted from 1, and .*a\.tif#3 is wanted"),
        ({"red": "{a}#1", "nir": "{a}"}, r"has 2 bands \(1 unnamed, 2 unnamed\), and nir is not the name of one"),
        ({"red": "{a}#1", "nir": "{a}#2", "B8": "{a}#2"}, "names B8, which"),
        ({"red": "{a}#1", "B8": "{a}#2", "B08": "{a}#2"}, "has several: B8, B08"),
        ({"red": "{a}#1", "nir": "missing.tif"}, r"missing\.tif does not exist"),
        ({"red": "{a}#1", "nir": "https://example.com/b.tif"}, "scene.remote=false"),
    ],
)
def test_wrong_mappings(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    file = write_scene(tmp_path / "a.tif", np.ones((2, 8, 8), np.uint8))
    with pytest.raises(SceneError, match=message):
        describe_entry({key: text.format(a=file) for key, text in entry.items()}, SceneSettings(), ("red", "nir"))
