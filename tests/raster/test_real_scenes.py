"""Real imagery, each file with a special case."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.raster.bands import describe_warnings, select_bands
from geoseg.raster.read import read_window
from geoseg.raster.source.scene import describe

pytestmark = pytest.mark.data


def test_true_alpha_is_the_mask_of_an_rgb_model(data: Path) -> None:
    scene = describe(data / "rio_RGBA_byte.tif")
    _, valid = read_window(scene, select_bands(scene, 3), scene.grid.window)
    with rasterio.open(scene.path) as dataset:
        np.testing.assert_array_equal(valid, dataset.read(4) > 0)
    assert 0 < valid.sum() < valid.size


def test_near_infrared_tagged_alpha_is_an_input(data: Path) -> None:
    scene = describe(data / "naip6_train_cluster.tif")
    assert scene.alpha_band == 4
    selection = select_bands(scene, 4, names=("red", "green", "blue", "nir"))
    assert selection.mask_band is None
    assert "tagged alpha but feeds the model" in describe_warnings(scene, selection)[0]
    pixels, valid = read_window(scene, selection, scene.grid.window)
    with rasterio.open(scene.path) as dataset:
        np.testing.assert_array_equal(pixels, dataset.read())
    np.testing.assert_array_equal(valid, (pixels != 0).all(axis=0))


def test_ground_control_points_without_a_transform_are_refused(data: Path) -> None:
    with pytest.raises(SceneError, match=r"210 ground control points alone. Rectify it first"):
        describe(data / "s1_gcps_only_u16.tif")


def test_mask_inside_a_jpeg_cog(data: Path) -> None:
    scene = describe(data / "rio_cogeo_jpeg.tif")
    assert scene.has_mask
    _, valid = read_window(scene, select_bands(scene, 3), scene.grid.window)
    with rasterio.open(scene.path) as dataset:
        np.testing.assert_array_equal(valid, dataset.dataset_mask() > 0)


def test_thirteen_bands_must_be_chosen_from(data: Path) -> None:
    scene = describe(data / "sen1floods_S2_13band.tif")
    with pytest.raises(SceneError, match=r"has 13: 1 B1, 2 B2, .*Name the 3 to use"):
        select_bands(scene, 3)
    pixels, _ = read_window(scene, select_bands(scene, 3, SceneSettings(bands=[4, 3, 2])), scene.grid.window)
    assert pixels.dtype == np.int16
