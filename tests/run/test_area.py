"""Runs on an area of interest: the class map is that of the whole scene, cut; nothing beside the area is read."""

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely

from geoseg.errors import SettingsError
from geoseg.verify.validate import validate
from tests.support.bundles import unet_bundle
from tests.support.cli import CommandLine
from tests.support.scenes import TRANSFORM, digests, read_band, run, textured, write_scene

HEIGHT, WIDTH, STRIDE = 203, 317, 24
FP32 = {"address": "inline", "precision": "fp32"}
LAYERS = ("confidence", "margin", "probabilities")


def at(col: float, row: float) -> tuple[float, float]:
    return TRANSFORM * (col, row)


AREA = shapely.MultiPolygon(
    [
        shapely.Polygon(
            [at(40.2, 30.7), at(150.1, 22.3), at(171.6, 95.4), at(88.8, 120.9)],
            [[at(80, 50), at(110, 50), at(110, 80), at(80, 80)]],
        ),
        shapely.Polygon([at(250.5, 150.5), at(262.5, 150.5), at(262.5, 159.5), at(250.5, 159.5)]),
        shapely.Polygon([at(300, -20), at(400, -20), at(400, 20), at(300, 20)]),
    ]
)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return write_scene(folder / "scene.tif", textured(HEIGHT, WIDTH), nodata=0), unet_bundle(folder / "bundle")


@pytest.fixture(scope="module")
def aoi(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("aoi") / "aoi.gpkg", AREA)


@pytest.fixture(scope="module")
def reference(inputs: tuple[Path, Path], aoi: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the area, in one block."""
    return cut_run(inputs, aoi, tmp_path_factory.mktemp("reference"), strides=14)


def save(path: Path, *shapes: Any, crs: Any = 32632) -> str:
    gpd.GeoDataFrame(geometry=list(shapes), crs=crs).to_file(path)
    return str(path)


def cut_run(inputs: tuple[Path, Path], aoi: Any, output: Path, strides: int = 3, **settings: Any) -> Path:
    wanted = {"tiling": {"block_px": strides * STRIDE}, "run": FP32, "rasters": {"publish": LAYERS}, **settings}
    assert run(*inputs, output, **{**wanted, "scene": {"aoi": aoi, **wanted.get("scene", {})}}).exit_code == 0
    return output


def inside(geometry: Any = AREA) -> np.ndarray:
    """rasterio's rule, as no edge of `AREA` meets the centre of a pixel, except along rows and columns."""
    mask = rasterio.features.geometry_mask([geometry], (HEIGHT, WIDTH), TRANSFORM, invert=True)
    mask[150:159, 250:262] = True  # its centres lie on the boundary
    mask[159, 250:263] = mask[150:160, 262] = False
    return mask


@pytest.mark.parametrize("strides", [1, 2, 5])
def test_the_same_bytes_for_all_block_sizes(
    inputs: tuple[Path, Path], aoi: str, reference: Path, tmp_path: Path, strides: int
) -> None:
    assert digests(cut_run(inputs, aoi, tmp_path, strides)) == digests(reference)


@pytest.mark.parametrize("polygons", [{}, {"min_area_px": 9, "crs": "EPSG:4326"}], ids=["plain", "minimum area"])
def test_every_raster_is_that_of_the_whole_scene_cut(
    inputs: tuple[Path, Path], aoi: str, tmp_path: Path, polygons: dict[str, Any]
) -> None:
    cut = cut_run(inputs, aoi, tmp_path / "cut", polygons=polygons)
    whole = tmp_path / "whole"
    run(*inputs, whole, run=FP32, rasters={"publish": LAYERS})
    for name in ("classes", *LAYERS):
        with rasterio.open(whole / f"rasters/scene/{name}.tif") as raster:
            expected = np.where(inside(), raster.read(), raster.nodata)
        with rasterio.open(cut / f"rasters/scene/{name}.tif") as raster:
            np.testing.assert_array_equal(raster.read(), expected, err_msg=name)
    assert all(check.finding.ok for check in validate(cut))
    rows = gpd.read_parquet(cut / "polygons")
    assert rows["pixels"].sum() == np.count_nonzero(read_band(cut / "rasters/scene/classes.tif") != 255) > 5000


def test_augmented_patches_and_a_random_field_are_those_of_the_whole_scene(
    inputs: tuple[Path, Path], aoi: str, tmp_path: Path
) -> None:
    inference = {"augment": "flips", "crf": "convolutional", "crf_radius_px": 1, "crf_iterations": 1}
    cut = cut_run(inputs, aoi, tmp_path / "cut", inference=inference)
    run(*inputs, tmp_path / "whole", run=FP32, inference=inference)
    whole = read_band(tmp_path / "whole/rasters/scene/classes.tif")
    np.testing.assert_array_equal(read_band(cut / "rasters/scene/classes.tif"), np.where(inside(), whole, 255))


def test_smoothing_sees_the_area_alone(inputs: tuple[Path, Path], aoi: str, tmp_path: Path) -> None:
    found = [
        digests(cut_run(inputs, aoi, tmp_path / f"{n}", n, inference={"smoothing_radius_px": 2})) for n in (1, 3, 14)
    ]
    assert found[0] == found[1] == found[2]
    assert all(check.finding.ok for check in validate(tmp_path / "3"))


def test_threads_and_resume(
    inputs: tuple[Path, Path], aoi: str, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = cut_run(inputs, aoi, tmp_path / "threads", 2, run={**FP32, "workers": 3})
    assert digests(threads) == digests(reference)
    monkeypatch.setenv("GEOSEG_FAULT", "trace:start:r0001c0001:*:raise")
    output, failed = tmp_path / "resumed", {"tiling": {"block_px": 48}, "run": FP32, "scene": {"aoi": aoi}}
    broken = run(*inputs, output, rasters={"publish": LAYERS}, **failed)
    monkeypatch.delenv("GEOSEG_FAULT")
    assert broken.exit_code == 3
    report = run(*inputs, output, rasters={"publish": LAYERS}, **failed)
    assert report.resumed_blocks > 0
    assert digests(output) == digests(reference)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_on_ray(inputs: tuple[Path, Path], aoi: str, reference: Path, tmp_path: Path) -> None:
    ray = {"address": "auto", "precision": "fp32", "workers": 2}
    assert digests(cut_run(inputs, aoi, tmp_path, 2, run=ray)) == digests(reference)


def test_nothing_is_read_in_blocks_beside_the_area(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    """All tiles are damaged but those of the blocks that the area touches: the run succeeds, and has their pixels."""
    model, side = inputs[1], 48
    aoi = save(tmp_path / "aoi.gpkg", shapely.Polygon([at(105, 60), at(135, 60), at(135, 85), at(110, 85)]))
    tiled = write_scene(
        tmp_path / "scene.tif", textured(240, 288), nodata=0, tiled=True, blockxsize=side, blockysize=side,
        compress="deflate",
    )  # fmt: skip
    expected = cut_run((tiled, model), aoi, tmp_path / "sound", strides=2)
    # The block in row 1 and column 2, and the overlap of its last patches.
    damaged = damage(tiled, tmp_path / "damaged/scene.tif", keep={(1, 2), (1, 3), (2, 2), (2, 3)})
    assert run(damaged, model, tmp_path / "whole", run=FP32).exit_code == 3
    cut_run((damaged, model), aoi, tmp_path / "cut", strides=2)
    assert digests(tmp_path / "cut") == digests(expected)


def damage(path: Path, target: Path, keep: set[tuple[int, int]]) -> Path:
    """A copy in which the bytes of all internal tiles but some are zero."""
    content = bytearray(path.read_bytes())
    with rasterio.open(path) as dataset:
        rows, cols = -(-dataset.height // 48), -(-dataset.width // 48)
        for row, col in {(row, col) for row in range(rows) for col in range(cols)} - keep:
            start, size = (
                int(dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")
            )
            content[start : start + size] = bytes(size)
    target.parent.mkdir()
    target.write_bytes(content)
    return target


def test_dry_run_counts_blocks_and_patches(
    inputs: tuple[Path, Path], aoi: str, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["segment", inputs[0], "--model", inputs[1], "--output", tmp_path / "out", "--address", "inline"]
    told = cli(*words, "--aoi", aoi, "--set", "tiling.block_px=24", "--dry-run")
    pixels = int(inside().sum())
    assert told.code == 0
    line = next(line for line in told.out.splitlines() if line.startswith("scene: "))
    monkeypatch.setenv("GEOSEG_FAULT", f"predict:start:*:*:note={tmp_path / 'blocks'}")
    report = run(*inputs, tmp_path / "out", scene={"aoi": aoi}, tiling={"block_px": 24})
    blocks, patches = len((tmp_path / "blocks").read_text().splitlines()), report.patches
    # One more block is read, at the east edge: patches of another block cover it.
    assert line == (
        f"scene: the area of interest holds {pixels:,} of {HEIGHT * WIDTH:,} pixels; {blocks + 1} of 126 blocks are "
        f"read, and {patches} of 117 patches are predicted."
    )


def test_an_area_is_known_by_its_pixels(inputs: tuple[Path, Path], aoi: str, tmp_path: Path) -> None:
    output = cut_run(inputs, aoi, tmp_path / "out")
    gpd.read_file(aoi).explode()[::-1].to_file(tmp_path / "other.fgb")
    again = run(*inputs, output, scene={"aoi": str(tmp_path / "other.fgb")}, run=FP32, rasters={"publish": LAYERS})
    assert [scene["status"] for scene in again.scenes] == ["up to date"]
    other = save(tmp_path / "third.gpkg", AREA.buffer(20))
    refused = run(*inputs, output, scene={"aoi": other}, run=FP32, rasters={"publish": LAYERS})
    assert 'scene.aoi was "' in refused.scenes[0]["error"]
    assert refused.exit_code == 3


def test_an_area_around_the_whole_scene_changes_nothing(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run(*inputs, tmp_path, run=FP32)
    again = run(*inputs, tmp_path, run=FP32, scene={"aoi": [8.0, 49.0, 9.9, 50.0]})
    assert [scene["status"] for scene in again.scenes] == ["up to date"]


def test_scenes_outside_are_skipped_and_named(
    inputs: tuple[Path, Path], aoi: str, tmp_path: Path, cli: CommandLine
) -> None:
    far = write_scene(tmp_path / "far.tif", textured(60, 60), crs="EPSG:32633", nodata=0)
    words = ["--model", inputs[1], "--address", "inline", "--aoi", aoi]
    told = cli("segment", far, inputs[0], "--output", tmp_path / "out", *words)
    assert told.code == 0
    assert f"{far} lies outside the area of interest and is skipped." in told.out.replace("\n", " ")
    assert "2 scenes: 1 published, 1 outside the area of interest" in told.out
    (report,) = (tmp_path / "out/runs").glob("*/report.json")
    assert [scene["status"] for scene in json.loads(report.read_text())["scenes"]] == ["skipped", "done"]
    told = cli("segment", far, "--output", tmp_path / "other", *words)
    assert told.code == 2
    assert "does not touch the scene" in told.err
    assert not (tmp_path / "other").exists()


def test_settings(inputs: tuple[Path, Path], tmp_path: Path, cli: CommandLine) -> None:
    words = ["segment", inputs[0], "--model", inputs[1], "--output", tmp_path / "out", "--address", "inline"]
    west, south, east, north = gpd.GeoSeries([AREA], crs=32632).to_crs(4326).total_bounds
    assert cli(*words, "--aoi", f"{west},{south},{east},{north}", "--dry-run").code == 0
    swapped = cli(*words, "--aoi", f"{south},{west},{north},{east}")
    assert swapped.code == 2
    assert "Check its CRS, and that x (longitude) comes before y (latitude)" in swapped.err
    assert cli(*words, "--aoi", "-60,-10,-50,0").code == 2
    assert "xmin,ymin,xmax,ymax" in cli(*words, "--aoi", "1,2,3").err
    assert "scene.aoi" in cli(*words, "--set", "scene.aoi=[1, 2, 3]").err


def test_a_scene_without_a_crs_has_no_place_for_an_area(inputs: tuple[Path, Path], aoi: str, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "plain.tif", textured(60, 60), crs=None, nodata=0)
    report = run(scene, inputs[1], tmp_path / "out", scene={"aoi": aoi, "allow_ungeoreferenced": True})
    assert "has no CRS, so the area of interest" in report.scenes[0]["error"]


def test_an_area_of_nodata_is_named(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    aoi = save(tmp_path / "aoi.gpkg", shapely.Polygon([at(10, 70), at(80, 70), at(80, 95), at(10, 95)]))
    report = run(*inputs, tmp_path / "out", scene={"aoi": aoi})
    assert "has no valid pixel in the area of interest: all bands are nodata (0)" in report.scenes[0]["error"]


def test_an_empty_area_is_refused_before_anything_is_written(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no polygon but Point"):
        run(*inputs, tmp_path / "out", scene={"aoi": save(tmp_path / "p.gpkg", shapely.Point(at(50, 50)))})
    assert not (tmp_path / "out").exists()
