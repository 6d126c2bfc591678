"""Runs with a quality band: no class under a cloud, and the results of a scene whose clouds are nodata."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import Affine

from geoseg.verify.validate import validate
from tests.support.bundles import unet_bundle
from tests.support.scenes import TRANSFORM, digests, read_band, run, textured, write_scene

HEIGHT, WIDTH, STRIDE, GROW = 204, 316, 24, 3
FP32 = {"address": "inline", "precision": "fp32"}
PIXELS = textured(HEIGHT, WIDTH)


def clouds() -> np.ndarray:
    """A scene classification of half the resolution: clear, with round clouds and their shadows."""
    rows, cols = np.mgrid[: HEIGHT // 2, : WIDTH // 2]
    classes = np.where((rows // 9 + cols // 13) % 2, 4, 5)
    for number, (row, col, radius) in enumerate([(20, 30, 14), (70, 100, 22), (95, 150, 12), (0, 157, 9)]):
        classes[np.hypot(rows - row, cols - col) < radius] = (9, 8, 10, 3)[number]
    classes[50, 60] = 11  # snow is valid
    return classes[None].astype(np.uint8)


BAD = np.isin(clouds()[0], [3, 8, 9, 10]).repeat(2, 0).repeat(2, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_scene(folder / "scene.tif", PIXELS, nodata=0)
    write_scene(folder / "scene_SCL.tif", clouds(), transform=TRANSFORM * Affine.scale(2))
    unet_bundle(folder / "bundle")
    return folder


def quality(**more: Any) -> dict[str, Any]:
    return {"scene": {"quality": {"file": "{stem}_SCL.tif", "preset": "s2-scl", **more}}, "run": FP32}


def test_results_are_those_of_a_scene_whose_clouds_are_nodata(folder: Path, tmp_path: Path) -> None:
    run(folder / "scene.tif", folder / "bundle", tmp_path / "out", **quality())
    (tmp_path / "cut").mkdir()
    cut = write_scene(tmp_path / "cut/scene.tif", np.where(BAD, 0, PIXELS), nodata=0)
    run(cut, folder / "bundle", tmp_path / "expected", run=FP32)
    assert digests(tmp_path / "out") == digests(tmp_path / "expected")
    assert all(check.finding.ok for check in validate(tmp_path / "out"))


def test_no_polygon_lies_under_a_cloud(folder: Path, tmp_path: Path) -> None:
    run(folder / "scene.tif", folder / "bundle", tmp_path, polygons={"simplify_px": 0, "min_area_px": 5}, **quality())
    classes = read_band(tmp_path / "rasters/scene/classes.tif")
    np.testing.assert_array_equal(classes != 255, (PIXELS[0] != 0) & ~BAD)
    polygons = gpd.read_parquet(tmp_path / "polygons")
    rows, cols = np.nonzero(BAD)
    centres = shapely.points(*(TRANSFORM * (cols + 0.5, rows + 0.5)))
    assert len(polygons.sindex.query(centres, predicate="intersects")[0]) == 0
    assert polygons["pixels"].sum() == np.count_nonzero(classes != 255)


def test_the_same_bytes_for_all_block_sizes_and_workers(folder: Path, tmp_path: Path) -> None:
    inputs, how = (folder / "scene.tif", folder / "bundle"), quality(grow_px=GROW)
    for strides in (1, 3, 14):
        run(*inputs, tmp_path / str(strides), tiling={"block_px": strides * STRIDE}, **how)
    threads = {**how, "run": {**FP32, "workers": 3}}
    run(*inputs, tmp_path / "threads", tiling={"block_px": 2 * STRIDE}, **threads)
    found = digests(tmp_path / "14")
    assert found == digests(tmp_path / "1") == digests(tmp_path / "3") == digests(tmp_path / "threads")
    grown = read_band(tmp_path / "1/rasters/scene/classes.tif") == 255
    assert np.count_nonzero(grown) > np.count_nonzero(BAD | (PIXELS[0] == 0)) + 1000


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_on_ray(folder: Path, tmp_path: Path) -> None:
    inputs, how = (folder / "scene.tif", folder / "bundle"), quality(grow_px=GROW)
    run(*inputs, tmp_path / "inline", **how)
    run(*inputs, tmp_path / "ray", tiling={"block_px": 2 * STRIDE}, **{**how, "run": {**FP32, "address": "auto"}})
    assert digests(tmp_path / "ray") == digests(tmp_path / "inline")


def test_resume_and_change(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("scene.tif", "scene_SCL.tif"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    inputs, how = (tmp_path / "scene.tif", folder / "bundle"), {"tiling": {"block_px": 48}, **quality(grow_px=GROW)}
    run(*inputs, tmp_path / "expected", **how)
    monkeypatch.setenv("GEOSEG_FAULT", "trace:start:r0001c0001:*:raise")
    assert run(*inputs, tmp_path / "out", **how).exit_code == 3
    monkeypatch.delenv("GEOSEG_FAULT")
    assert run(*inputs, tmp_path / "out", **how).resumed_blocks > 0
    assert digests(tmp_path / "out") == digests(tmp_path / "expected")
    assert run(*inputs, tmp_path / "out", **how).scenes[0]["status"] == "up to date"
    refused = run(*inputs, tmp_path / "out", **{**how, **quality(grow_px=GROW + 1)})
    assert "scene.quality was " in refused.scenes[0]["error"]
    with rasterio.open(tmp_path / "scene_SCL.tif", "r+") as dataset:
        dataset.write(np.full((1, 5, 5), 9, np.uint8), window=((80, 85), (5, 10)))
    refused = run(*inputs, tmp_path / "out", **how)
    assert "scene_SCL.tif has changed since" in refused.scenes[0]["error"]


def test_with_an_area_of_interest(folder: Path, tmp_path: Path) -> None:
    inputs, how = (folder / "scene.tif", folder / "bundle"), quality(grow_px=GROW)
    run(*inputs, tmp_path / "whole", **how)
    west, north = TRANSFORM * (30, 20)
    east, south = TRANSFORM * (190, 150)
    aoi = {"aoi": [west, south, east, north], "aoi_crs": "EPSG:32632"}
    run(*inputs, tmp_path / "cut", tiling={"block_px": 48}, **{**how, "scene": {**how["scene"], **aoi}})
    expected = np.full((HEIGHT, WIDTH), 255)
    expected[20:150, 30:190] = read_band(tmp_path / "whole/rasters/scene/classes.tif")[20:150, 30:190]
    np.testing.assert_array_equal(read_band(tmp_path / "cut/rasters/scene/classes.tif"), expected)


def test_a_scene_under_one_cloud_fails_with_the_cause(folder: Path, tmp_path: Path) -> None:
    write_scene(tmp_path / "all.tif", np.full((1, 10, 10), 9, np.uint8), transform=TRANSFORM * Affine.scale(40))
    report = run(folder / "scene.tif", folder / "bundle", tmp_path / "out", **quality(file=str(tmp_path / "all.tif")))
    assert "has no valid pixel: scene.quality rules out what is there in " in report.scenes[0]["error"]
    assert "Set scene.quality to the values of pixels that are not valid, if these are" in report.scenes[0]["error"]


def test_a_scene_without_its_quality_band_fails_alone(folder: Path, tmp_path: Path) -> None:
    other = write_scene(tmp_path / "other.tif", PIXELS, nodata=0)
    report = run([folder / "scene.tif", other], folder / "bundle", tmp_path / "out", **quality())
    assert [scene["status"] for scene in report.scenes] == ["done", "failed"]
    assert f"{other}: its quality band (scene.quality.file={{stem}}_SCL.tif): " in report.scenes[1]["error"]
