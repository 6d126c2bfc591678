"""A mosaic gives the same bytes as one file of the same pixels."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform

from geoseg.config import Settings
from geoseg.run.report import Report
from geoseg.run.segment import segment
from geoseg.verify.validate import validate
from tests.support.bundles import unet_bundle
from tests.support.cli import CommandLine
from tests.support.mosaics import cut
from tests.support.scenes import TRANSFORM, digests, read_band, run, textured, write_scene

HEIGHT, WIDTH, STRIDE = 203, 317, 24
FP32 = {"address": "inline", "precision": "fp32"}
POLYGONS = {"min_area_px": 5}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unet_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return cut(tmp_path_factory.mktemp("cut") / "pieces", textured(HEIGHT, WIDTH), nodata=0)


@pytest.fixture(scope="module")
def uncut(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is published of the whole scene in one file of the name ``region``."""
    folder = tmp_path_factory.mktemp("uncut")
    scene = write_scene(folder / "region.tif", textured(HEIGHT, WIDTH), nodata=0)
    assert run(scene, bundle, folder / "out", polygons=POLYGONS).exit_code == 0
    return digests(folder / "out")


def run_mosaic(items: list[Path], bundle: Path, output: Path, **settings: Any) -> Report:
    mosaic = {"id": "region", "items": list(map(str, items)), **settings.pop("mosaic", {})}
    chosen = {"run": {"address": "inline"}, "polygons": POLYGONS, **settings}
    return segment(
        Settings.model_validate({"mosaics": [mosaic], "model": str(bundle), "output": str(output), **chosen})
    )


@pytest.mark.parametrize("block_px", [2 * STRIDE, 5 * STRIDE, 14 * STRIDE])
def test_a_scene_cut_into_overlapping_files_gives_the_bytes_of_the_whole(
    pieces: list[Path], bundle: Path, uncut: dict[str, str], tmp_path: Path, block_px: int
) -> None:
    shuffled = random.Random(block_px).sample(pieces, len(pieces))
    report = run_mosaic(shuffled, bundle, tmp_path / "out", tiling={"block_px": block_px})
    assert report.exit_code == 0
    assert report.scenes[0]["path"] == "mosaic region"
    assert digests(tmp_path / "out") == uncut


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("strides", [2, 5, 14])
def test_on_ray_too(pieces: list[Path], bundle: Path, uncut: dict[str, str], tmp_path: Path, strides: int) -> None:
    shuffled, how = random.Random(strides).sample(pieces, len(pieces)), {"address": "auto", "workers": 2}
    report = run_mosaic(shuffled, bundle, tmp_path / "out", run=how, tiling={"block_px": strides * STRIDE})
    assert report.exit_code == 0
    assert digests(tmp_path / "out") == uncut


def test_the_smallest_form_on_the_command_line(
    pieces: list[Path],
    bundle: Path,
    uncut: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pattern = str(pieces[0].parent / "*.tif")
    done = CommandLine(monkeypatch, capsys)(
        "segment", pattern, "--mosaic", "region", "--model", bundle, "--output", tmp_path / "out",
        "--address", "inline", "--set", "polygons.min_area_px=5",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert digests(tmp_path / "out") == uncut


def test_it_is_up_to_date_until_a_file_or_the_order_changes(pieces: list[Path], bundle: Path, tmp_path: Path) -> None:
    assert run_mosaic(pieces, bundle, tmp_path / "out").scenes[0]["status"] == "done"
    assert run_mosaic(pieces, bundle, tmp_path / "out").scenes[0]["status"] == "up to date"
    failed = run_mosaic(pieces[::-1], bundle, tmp_path / "out").scenes[0]
    assert failed["status"] == "failed"
    assert "its files were" in failed["error"]


def test_a_collar_of_the_files_is_seen(bundle: Path, tmp_path: Path) -> None:
    """Untagged white around each file would hide what its neighbours show."""
    pixels = textured(HEIGHT, WIDTH) + 1
    files = cut(tmp_path / "pieces", pixels)
    for file in files:
        with rasterio.open(file, "r+") as dataset:
            framed = dataset.read()
            framed[:, :8], framed[:, :, :8] = 4000, 4000
            dataset.write(framed)
    report = run_mosaic(files, bundle, tmp_path / "out")
    assert any("the value 4000 in all bands fills" in warning for warning in report.warnings)


def test_two_utm_zones_give_one_coverage_for_any_block_size(bundle: Path, tmp_path: Path) -> None:
    """The second file lies in the next zone, with a common strip; its pixels are warped."""
    west = write_scene(tmp_path / "west.tif", textured(90, 130), nodata=0)
    (x,), (y,) = transform("EPSG:32632", "EPSG:32633", [480_900], [5_480_000])
    moved = from_origin(round(x, -1), round(y, -1), 10, 10)
    east = write_scene(tmp_path / "east.tif", textured(90, 110, seed=3), nodata=0, crs="EPSG:32633", transform=moved)
    found = []
    for block_px in (2 * STRIDE, 5 * STRIDE, 14 * STRIDE):
        output = tmp_path / f"{block_px}"
        report = run_mosaic([west, east], bundle, output, tiling={"block_px": block_px}, run=FP32)
        assert report.exit_code == 0
        found.append(digests(output))
    assert found[0] == found[1] == found[2]
    assert [check.finding.name for check in validate(output) if not check.finding.ok] == []
    # The strip that only the second file covers has classes, too.
    classes = read_band(output / "rasters/region/classes.tif")
    assert (classes[:, 140:190] != 255).mean() > 0.3


def test_the_median_of_dates_gives_the_same_bytes_for_any_order_and_block_size(bundle: Path, tmp_path: Path) -> None:
    dates = [write_scene(tmp_path / f"{n}.tif", textured(100, 130, seed=n), nodata=0) for n in range(4)]
    found = []
    for number, strides in enumerate((1, 3, 14)):
        items, output = random.Random(number).sample(dates, 4), tmp_path / f"out{number}"
        how = {"mosaic": {"pick": "median"}, "tiling": {"block_px": strides * STRIDE}}
        assert run_mosaic(items, bundle, output, **how).exit_code == 0
        found.append(digests(output))
    assert found[0] == found[1] == found[2]
    assert [check.finding.name for check in validate(output) if not check.finding.ok] == []


def test_files_beside_the_area_of_interest_are_not_read(bundle: Path, tmp_path: Path) -> None:
    """All their pixels are damaged: the run succeeds, and its class map is that of the whole mosaic, cut."""
    pieces = cut(tmp_path / "pieces", textured(HEIGHT, WIDTH), overlap_px=4, nodata=0, compress="deflate")
    west, north = TRANSFORM @ (130, 90)
    east, south = TRANSFORM @ (180, 110)
    how: dict[str, Any] = {"run": FP32, "polygons": {}}
    assert run_mosaic(pieces, bundle, tmp_path / "whole", **how).exit_code == 0
    for piece in pieces:
        if piece.stem != "piece_0065_0103":  # it alone holds the area, and what patches see around it
            damage(piece)
    broken = run_mosaic(pieces, bundle, tmp_path / "broken", **how)
    assert "cannot be read" in broken.failed[0]["error"]
    aoi = {"aoi": [west, south, east, north], "aoi_crs": "EPSG:32632"}
    report = run_mosaic(pieces, bundle, tmp_path / "cut", scene=aoi, tiling={"block_px": STRIDE}, **how)
    assert report.exit_code == 0, report.failed
    expected = np.full((HEIGHT, WIDTH), 255)
    expected[90:110, 130:180] = read_band(tmp_path / "whole/rasters/region/classes.tif")[90:110, 130:180]
    np.testing.assert_array_equal(read_band(tmp_path / "cut/rasters/region/classes.tif"), expected)


def damage(file: Path) -> None:
    """Zero all compressed strips of a file."""
    content = bytearray(file.read_bytes())
    with rasterio.open(file) as dataset:
        for row in range(-(-dataset.height // dataset.block_shapes[0][0])):
            start, size = (
                int(dataset.get_tag_item(f"BLOCK_{what}_0_{row}", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")
            )
            content[start : start + size] = bytes(size)
    file.write_bytes(content)
