"""Collars without a nodata tag are detected, without false positives."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from geoseg.config import SceneSettings
from geoseg.raster.bands import BandSelection, NodataRule, select_bands
from geoseg.raster.rim.collar_warnings import collar_warnings
from geoseg.raster.source.scene import describe
from tests.support.scenes import write_scene

IMAGE = np.random.default_rng(0).integers(1, 250, (3, 400, 300)).astype(np.uint8)
COLLARS = {"pix4d_drone_rgba": 0, "rio_RGBA_byte": 0, "s1_gcps_only_u16": 0, "s2_nc_8band_4326": 255}
"""Real scenes without nodata, of which all bands are read, and the value of their collar."""


def rotated(value: Any, image: NDArray[Any] = IMAGE) -> NDArray[Any]:
    """The image with what a rotated scene leaves in the corners of its frame."""
    rows, cols = np.indices(image.shape[1:])
    inside = np.abs(rows - 200) / 200 + np.abs(cols - 150) / 150 < 1.2
    return np.where(inside, image, np.reshape(np.asarray(value, image.dtype), (-1, 1, 1)))


def warnings(path: Path, bands: tuple[int, ...] = (1, 2, 3), rule: NodataRule = "any", **how: Any) -> str:
    (text,) = collar_warnings(describe(path, SceneSettings(**how)), BandSelection(bands, nodata_rule=rule)) or [""]
    return text


@pytest.mark.parametrize(
    ("value", "bands", "rule", "words"),
    [
        (0, (1, 2, 3), "any", r"the value 0 in all bands fills 43% .*set scene\.nodata=0 and scene\.nodata_rule=all\."),
        (255, (3, 1), "all", r"the value 255 in all bands fills .*set scene\.nodata=255\."),
        (255, (2,), "any", r"the value 255 fills .*set scene\.nodata=255\."),
        ([9, 8, 7], (3, 1), "all", r"the values 7, 9 \(by band\) fill .*set scene\.nodata=\[9,null,7\]\."),
    ],
)
def test_a_collar_is_named_with_its_value(
    tmp_path: Path, value: Any, bands: tuple[int, ...], rule: NodataRule, words: str
) -> None:
    path = write_scene(tmp_path / "scene.tif", rotated(value))
    assert re.fullmatch(f"{path}: {words}", warnings(path, bands, rule))


def test_scenes_that_declare_validity_pass(tmp_path: Path) -> None:
    assert warnings(write_scene(tmp_path / "tagged.tif", rotated(0), nodata=0)) == ""
    assert warnings(write_scene(tmp_path / "given.tif", rotated(0)), nodata=0) == ""
    path = write_scene(tmp_path / "masked.tif", rotated(0))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(rotated(0)[0] != 0)
    assert warnings(path) == ""


def test_scenes_without_a_collar_pass(tmp_path: Path) -> None:
    line = IMAGE.copy()
    line[:, [0, -1]], line[:, :, [0, -1]] = 0, 0
    lake = IMAGE.copy()
    lake[:, 150:250, 100:200] = 0
    classes = rotated(0, IMAGE // 50)
    flat = np.zeros_like(IMAGE)
    for name, pixels in {"image": IMAGE, "line": line, "lake": lake, "classes": classes, "flat": flat}.items():
        assert warnings(write_scene(tmp_path / f"{name}.tif", pixels)) == "", name
    assert warnings(write_scene(tmp_path / "nan.tif", np.full((3, 9, 9), np.nan, np.float32))) == ""


@pytest.mark.data
def test_real_scenes(data: Path, tmp_path: Path) -> None:
    for path in sorted(data.glob("*.tif")):
        scene = describe(path, SceneSettings(allow_ungeoreferenced=True))
        found = collar_warnings(scene, select_bands(scene, scene.bands))
        assert bool(found) == (path.stem in COLLARS), path.stem
        assert all(f"the value {COLLARS[path.stem]} " in text for text in found)
    with rasterio.open(data / "rio_RGB_byte.tif") as source:
        untagged = write_scene(tmp_path / "untagged.tif", source.read())
    assert "the value 0 in all bands fills" in warnings(untagged)
