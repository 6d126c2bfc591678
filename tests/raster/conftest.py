"""Rasters for tests: real files, one line each."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write a GeoTIFF of (C, H, W) pixels, in UTM zone 33 N unless told otherwise: ``make(pixels, nodata=0)``."""

    def write(pixels: NDArray[Any], name: str = "scene.tif", **profile: Any) -> Path:
        settings: dict[str, Any] = {
            "driver": "GTiff",
            "count": pixels.shape[0],
            "height": pixels.shape[1],
            "width": pixels.shape[2],
            "dtype": pixels.dtype,
            "crs": "EPSG:32633",
            "transform": Affine(2, 0, 500_000, 0, -2, 5_000_000),
            "photometric": "minisblack",
        } | profile
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(tmp_path / name, "w", **settings) as dataset:
                dataset.write(pixels)
        return tmp_path / name

    return write
