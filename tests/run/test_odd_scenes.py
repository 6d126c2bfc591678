"""What settings say of a scene, from file to file: its nodata, its date, whether it may be empty."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np

from geoseg.run.report import Report
from tests.support.bundles import identity_bundle
from tests.support.scenes import read_band, run, write_scene

IDS = np.random.default_rng(0).integers(0, 6, (1, 60, 50)).astype(np.uint8)


def publish(tmp_path: Path, path: Path, **settings: Any) -> Report:
    """Publish a raster of class ids as it is."""
    return run(path, identity_bundle(tmp_path / "bundle"), tmp_path / "out", **settings)


def test_given_nodata_is_no_class_and_decides_the_results(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "ids.tif", IDS)
    assert publish(tmp_path, scene, scene={"nodata": 3}).exit_code == 0
    classes = read_band(tmp_path / "out/rasters/ids/classes.tif")
    np.testing.assert_array_equal(classes, np.where(IDS[0] == 3, 255, IDS[0]))
    facts = json.loads((tmp_path / "out/scenes/ids.json").read_text())["fingerprint"]
    assert facts["scene.nodata"] == ["3.0"]
    refused = publish(tmp_path, scene)
    assert 'scene.nodata was ["3.0"], now [null]' in refused.failed[0]["error"]
    assert publish(tmp_path, scene, scene={"nodata": [3]}).up_to_date


def test_a_date_is_the_midnight_of_its_day_in_utc(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "ids.tif", IDS)
    assert publish(tmp_path, scene, scene={"observed_at": "2026-06-21"}).exit_code == 0
    found = gpd.read_parquet(tmp_path / "out/polygons")["observed_at"]
    assert set(found.dt.to_pydatetime()) == {datetime(2026, 6, 21, tzinfo=UTC)}
