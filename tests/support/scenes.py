"""Scenes and runs for tests."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine, from_origin

from geoseg.config import Settings
from geoseg.run.report import Report
from geoseg.run.segment import segment

TRANSFORM = from_origin(480_000, 5_480_000, 10, 10)


def write_scene(
    path: Path,
    pixels: np.ndarray,
    *,
    crs: str | None = "EPSG:32632",
    transform: Affine = TRANSFORM,
    nodata: float | None = None,
    **profile: Any,
) -> Path:
    """Write (C, H, W) pixels as a GeoTIFF."""
    count, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, crs=crs,
        transform=transform, nodata=nodata, **profile,
    ) as dataset:  # fmt: skip
        dataset.write(pixels)
    return path


def textured(height: int, width: int, bands: int = 4, seed: int = 0) -> np.ndarray:
    """Fields of a few pixels with noise, uint16, with holes of zeros (nodata) of all sizes."""
    rng = np.random.default_rng(seed)
    rows, cols = -(-height // 7), -(-width // 7)
    coarse = np.kron(rng.integers(100, 3000, (bands, rows, cols)), np.ones((1, 7, 7), int))[:, :height, :width]
    pixels = (coarse + rng.integers(0, 300, coarse.shape)).astype(np.uint16)
    holes = np.kron(rng.random((rows, cols)) < 0.15, np.ones((7, 7), bool))[:height, :width]
    holes |= rng.random((height, width)) < 0.01
    holes[height // 3 : height // 2, : width // 3] = True
    pixels[:, holes] = 0
    return pixels


def run(paths: Path | list[Path], model: Path, output: Path, *, order: Any = None, **settings: Any) -> Report:
    """Segment with inline as the default address; settings such as ``tiling={"block_px": 48}``."""
    scenes = [str(path) for path in (paths if isinstance(paths, list) else [paths])]
    settings = {"run": {"address": "inline"}, **settings}
    parsed = Settings.model_validate({"scenes": scenes, "model": str(model), "output": str(output), **settings})
    return segment(parsed, order=order) if order else segment(parsed)


def digests(output: Path) -> dict[str, str]:
    """sha256 of everything published: rasters and polygons."""
    files = sorted(p for folder in ("rasters", "polygons") for p in (output / folder).rglob("*") if p.is_file())
    return {str(file.relative_to(output)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def read_band(path: Path) -> np.ndarray:
    """The only band of a raster."""
    with rasterio.open(path) as dataset:
        return dataset.read(1)
