"""Dates of a mosaic whose scores are summed: the decision of the whole stack, whatever order, blocks and retries."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from geoseg.errors import SettingsError
from geoseg.verify.validate import validate
from tests.run.test_mosaics import run_mosaic
from tests.support.bundles import unet_bundle
from tests.support.mosaics import cut
from tests.support.scenes import TRANSFORM, digests, read_band, run, textured, write_scene
from tests.support.stac import write_item

HEIGHT, WIDTH, STRIDE, DATES = 130, 170, 24, 3
FP32 = {"address": "inline", "precision": "fp32"}
ALL = ("confidence", "probabilities", "margin", "entropy")
FUSE = {"pick": "fuse"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unet_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def dates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of one place with other pixels and other holes; the last one covers a part."""
    folder = tmp_path_factory.mktemp("dates")
    sizes = [(HEIGHT, WIDTH), (HEIGHT, WIDTH), (70, 90)]
    return [
        write_scene(folder / f"{number}.tif", textured(*size, seed=number), nodata=0)
        for number, size in enumerate(sizes)
    ]


def fused(items: list[Path], bundle: Path, output: Path, **settings: Any) -> dict[str, str]:
    report = run_mosaic(items, bundle, output, **{"mosaic": FUSE, "run": FP32, **settings})
    assert report.exit_code == 0, report.failed
    return digests(output)


def probabilities(output: Path, scene: str) -> tuple[np.ndarray, np.ndarray]:
    """Of each class as 0..1, and validity."""
    with rasterio.open(output / f"rasters/{scene}/probabilities.tif") as dataset:
        values = dataset.read()
    return values / 255, values.any(axis=0)


def test_the_sum_is_that_of_the_dates_by_themselves(dates: list[Path], bundle: Path, tmp_path: Path) -> None:
    published = {"publish": ALL}
    fused(dates, bundle, tmp_path / "fused", rasters=published)
    total, count = np.zeros((5, HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH), int)
    for path in dates:
        with rasterio.open(path) as dataset:  # as large as the mosaic: a patch at a rim is not continued by reflection
            whole = np.pad(dataset.read(), ((0, 0), (0, HEIGHT - dataset.height), (0, WIDTH - dataset.width)))
        alone = write_scene(tmp_path / path.name, whole, nodata=0)
        run(alone, bundle, tmp_path / path.stem, run=FP32, rasters=published)
        values, valid = probabilities(tmp_path / path.stem, path.stem)
        total += values * valid
        count += valid
    rasters = tmp_path / "fused/rasters/region"
    np.testing.assert_array_equal(read_band(rasters / "dates.tif"), count)
    assert {*np.unique(count)} == {0, 1, 2, 3}
    valid, mean = count > 0, total / np.maximum(count, 1)
    found, known = probabilities(tmp_path / "fused", "region")
    np.testing.assert_array_equal(known, valid)
    assert np.abs(found - mean)[:, valid].max() < 1.01 / 255, "each is rounded to a byte"
    clear = np.sort(mean, axis=0)[-1] - np.sort(mean, axis=0)[-2] > 2 / 255
    classes = read_band(rasters / "classes.tif")
    np.testing.assert_array_equal(classes[valid & clear], mean.argmax(0)[valid & clear])
    assert (classes[~valid] == 255).all()
    assert (valid & clear).mean() > 0.5
    assert [check.finding for check in validate(tmp_path / "fused") if not check.finding.ok] == []


def test_neither_order_nor_blocks_change_a_byte(dates: list[Path], bundle: Path, tmp_path: Path) -> None:
    found = []
    for number, strides in enumerate((1, 3, 14)):
        items = random.Random(number).sample(dates, len(dates))
        found.append(fused(items, bundle, tmp_path / f"{number}", tiling={"block_px": strides * STRIDE}))
    threads = {"tiling": {"block_px": 2 * STRIDE}, "run": {**FP32, "workers": 3}}
    found.append(fused(dates, bundle, tmp_path / "threads", **threads))
    assert len(found[0]) == 4
    assert found[0] == found[1] == found[2] == found[3]
    again = run_mosaic(dates[::-1], bundle, tmp_path / "0", mosaic=FUSE, run=FP32)
    assert [scene["status"] for scene in again.scenes] == ["up to date"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_on_ray(dates: list[Path], bundle: Path, tmp_path: Path) -> None:
    ray = {"run": {"address": "auto", "precision": "fp32", "workers": 2}, "tiling": {"block_px": 2 * STRIDE}}
    assert fused(dates, bundle, tmp_path / "ray", **ray) == fused(dates, bundle, tmp_path / "inline")


def test_one_date_is_a_plain_mosaic(bundle: Path, tmp_path: Path) -> None:
    """Items of one day belong to one date, so that patches see across their borders."""
    folder = tmp_path / "items"
    items = []
    for file in cut(folder, textured(HEIGHT, WIDTH), nodata=0):
        asset = {"href": file.name, "bands": [{"name": f"band{number}"} for number in range(1, 5)]}
        items.append(write_item(folder / f"{file.stem}.json", {"data": asset}))
    first = run_mosaic(items, bundle, tmp_path / "first", run=FP32)
    assert first.exit_code == 0
    found = fused(items, bundle, tmp_path / "fused", tiling={"block_px": 2 * STRIDE})
    assert (read_band(tmp_path / "fused/rasters/region/dates.tif") <= 1).all()
    del found["rasters/region/dates.tif"]
    assert found == digests(tmp_path / "first")
    items[0].write_text(items[0].read_text().replace("2024-06-21", "2024-07-21"))
    fused(items, bundle, tmp_path / "two", tiling={"block_px": 2 * STRIDE})
    assert read_band(tmp_path / "two/rasters/region/dates.tif").max() == 2


@pytest.mark.slow
def test_a_lost_unit_is_repeated_and_a_run_resumed(
    dates: list[Path], bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"tiling": {"block_px": 2 * STRIDE}}
    expected = fused(dates, bundle, tmp_path / "expected", **how)
    monkeypatch.setenv("GEOSEG_FAULT", "predict:end:r0001c0001:1:oom")
    assert fused(dates, bundle, tmp_path / "lost", **how) == expected
    monkeypatch.setenv("GEOSEG_FAULT", "trace:start:r0001c0001:*:raise")
    assert run_mosaic(dates, bundle, tmp_path / "out", mosaic=FUSE, run=FP32, **how).exit_code == 3
    monkeypatch.delenv("GEOSEG_FAULT")
    report = run_mosaic(dates, bundle, tmp_path / "out", mosaic=FUSE, run=FP32, **how)
    assert report.resumed_blocks > 0
    assert digests(tmp_path / "out") == expected


@pytest.mark.slow
def test_with_thresholds_smoothing_and_an_area(dates: list[Path], bundle: Path, tmp_path: Path) -> None:
    west, north = TRANSFORM @ (30, 20)
    east, south = TRANSFORM @ (120, 90)
    how: dict[str, Any] = {
        "inference": {"thresholds": {"class1": 0.5}, "smoothing_radius_px": 1},
        "scene": {"aoi": [west, south, east, north], "aoi_crs": "EPSG:32632"},
        "rasters": {"publish": ALL},
        "polygons": {"min_area_px": 4},
    }
    found = [fused(dates, bundle, tmp_path / f"{n}", tiling={"block_px": n * STRIDE}, **how) for n in (1, 14)]
    assert found[0] == found[1]
    assert [check.finding for check in validate(tmp_path / "1") if not check.finding.ok] == []
    assert (read_band(tmp_path / "1/rasters/region/dates.tif")[:20] == 0).all()
    assert (read_band(tmp_path / "1/rasters/region/classes.tif") == 5).any()


def test_patches_without_a_score_are_refused(dates: list[Path], bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"pick: fuse with run\.on_nonfinite=nodata is not possible"):
        run_mosaic(dates, bundle, tmp_path / "out", mosaic=FUSE, run={**FP32, "on_nonfinite": "nodata"})
