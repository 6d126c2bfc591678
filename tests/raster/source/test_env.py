"""GDAL options, formats and messages while rasters are open."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio._env import get_gdal_config
from rasterio.errors import RasterioIOError

from geoseg.raster.source.env import CACHE_BYTES, gdal_env, open_raster, without_georeference_warning


def test_options_are_set_inside_gdal_env_only() -> None:
    with rasterio.Env():
        with gdal_env():
            assert get_gdal_config("GDAL_CACHEMAX") == CACHE_BYTES
            assert get_gdal_config("GDAL_VRT_ENABLE_PYTHON") == "NO"
            assert get_gdal_config("GDAL_HTTP_TIMEOUT") == 60
        assert get_gdal_config("GDAL_HTTP_TIMEOUT") is None


def test_only_plain_rasters_are_opened(make: Callable[..., Path], tmp_path: Path) -> None:
    grid = tmp_path / "grid.asc"
    grid.write_text("ncols 2\nnrows 1\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n")
    with rasterio.open(grid) as dataset:
        assert dataset.driver == "AAIGrid"
    with pytest.raises(RasterioIOError, match="not recognized"), open_raster(str(grid)):
        pass


def test_the_georeference_warning_is_ignored_only_while_opening(make: Callable[..., Path]) -> None:
    path = make(np.ones((1, 4, 4), np.uint8), crs=None, transform=None)
    filters = list(warnings.filters)
    with open_raster(str(path), OVERVIEW_LEVEL="NONE") as dataset:
        assert warnings.filters == filters
        assert dataset.read().sum() == 16
    with pytest.warns(UserWarning, match="other"), without_georeference_warning:
        warnings.warn("other", UserWarning, stacklevel=1)


def test_a_message_of_gdal_that_is_not_utf8_prints_no_error(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(np.ones((1, 4, 4), np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(sensor="a")
    path.write_bytes(path.read_bytes().replace(b"<GDALMetadata>", b"<GD\xff\xfeMetadata>"))  # GDAL quotes the name
    with open_raster(str(path)) as dataset:
        assert dataset.read().sum() == 16
    assert capsys.readouterr().err == ""
