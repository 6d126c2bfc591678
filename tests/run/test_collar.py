"""Runs on scenes with an undeclared collar."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest

from geoseg.verify.validate import validate
from tests.support.bundles import unet_bundle
from tests.support.scenes import digests, read_band, run, textured, write_scene

HEIGHT, WIDTH, STRIDE = 203, 317, 24
FP32 = {"address": "inline", "precision": "fp32"}
AUTO = {"scene": {"collar": "auto"}, "run": FP32}
rows, cols = np.indices((HEIGHT, WIDTH))
PICTURE = np.abs(rows - 100) / 100 + np.abs(cols - 160) / 160 < 1.3


def framed() -> np.ndarray:
    pixels = np.maximum(textured(HEIGHT, WIDTH), 1)
    pixels[:, ~PICTURE] = 0
    pixels[:, 90:110, 150:170] = 0  # inside the picture
    return pixels


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return write_scene(folder / "scene.tif", framed()), unet_bundle(folder / "bundle")


def test_the_collar_is_nodata_and_in_the_report(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    report = run(*inputs, tmp_path, **AUTO)
    count = np.count_nonzero(~PICTURE)
    (text,) = [text for text in report.warnings if "collar" in text]
    assert text == (
        f"{inputs[0]}: scene.collar=auto rules out {count:,} black pixels around the picture, {count / 64351:.1%} of "
        "the scene."
    )
    classes = read_band(tmp_path / "rasters/scene/classes.tif")
    np.testing.assert_array_equal(classes != 255, PICTURE)
    assert gpd.read_parquet(tmp_path / "polygons")["pixels"].sum() == np.count_nonzero(PICTURE)
    assert all(check.finding.ok for check in validate(tmp_path))
    plain = run(*inputs, tmp_path / "plain", run=FP32)
    assert "If it means no data, set scene.nodata=0" in " ".join(plain.warnings)


def test_results_are_those_of_a_scene_with_a_mask(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run(*inputs, tmp_path / "auto", **AUTO)
    (tmp_path / "masked").mkdir()
    five = np.concatenate([framed(), PICTURE[None].astype(np.uint16)])
    masked = write_scene(tmp_path / "masked/scene.tif", five)
    run(masked, inputs[1], tmp_path / "expected", scene={"mask_band": 5, "bands": [1, 2, 3, 4]}, run=FP32)
    assert digests(tmp_path / "auto") == digests(tmp_path / "expected")


@pytest.mark.parametrize("noisy", [False, True])
def test_the_same_bytes_for_all_block_sizes_and_workers(inputs: tuple[Path, Path], tmp_path: Path, noisy: bool) -> None:
    scene, model = inputs
    if noisy:
        pixels = np.where(PICTURE, np.clip(textured(HEIGHT, WIDTH, 3) // 16 + 50, 0, 250), 255).astype(np.uint8)
        how: dict[str, Any] = {"compress": "JPEG", "photometric": "YCBCR", "jpeg_quality": 70}
        scene = write_scene(tmp_path / "scene.tif", pixels, **how)
        model = unet_bundle(tmp_path / "bundle", bands=3)
    for strides in (1, 3, 14):
        report = run(scene, model, tmp_path / str(strides), tiling={"block_px": strides * STRIDE}, **AUTO)
        assert report.exit_code == 0
    threads = {**AUTO, "run": {**FP32, "workers": 3}}
    run(scene, model, tmp_path / "threads", tiling={"block_px": 2 * STRIDE}, **threads)
    found = digests(tmp_path / "14")
    assert found == digests(tmp_path / "1") == digests(tmp_path / "3") == digests(tmp_path / "threads")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_on_ray(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run(*inputs, tmp_path / "inline", **AUTO)
    run(*inputs, tmp_path / "ray", tiling={"block_px": 48}, **{**AUTO, "run": {**FP32, "address": "auto"}})
    assert digests(tmp_path / "ray") == digests(tmp_path / "inline")


def test_resume(inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"tiling": {"block_px": 48}, **AUTO}
    run(*inputs, tmp_path / "expected", **how)
    monkeypatch.setenv("GEOSEG_FAULT", "trace:start:r0001c0001:*:raise")
    assert run(*inputs, tmp_path / "out", **how).exit_code == 3
    monkeypatch.delenv("GEOSEG_FAULT")
    assert run(*inputs, tmp_path / "out", **how).resumed_blocks > 0
    assert digests(tmp_path / "out") == digests(tmp_path / "expected")
    assert run(*inputs, tmp_path / "out", **how).scenes[0]["status"] == "up to date"
    refused = run(*inputs, tmp_path / "out", run=FP32, tiling={"block_px": 48})
    assert 'scene.collar was "' in refused.scenes[0]["error"]


def test_a_scene_of_one_colour_fails_with_the_cause(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "black.tif", np.zeros((4, 60, 60), np.uint16))
    report = run(scene, inputs[1], tmp_path / "out", **AUTO)
    assert "has no valid pixel: scene.collar rules out what is there in all 3,600 pixels" in report.scenes[0]["error"]


def test_a_scene_without_a_collar_keeps_its_results(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "whole.tif", np.maximum(textured(90, 90), 1))
    run(scene, inputs[1], tmp_path / "out", run=FP32)
    assert run(scene, inputs[1], tmp_path / "out", **AUTO).scenes[0]["status"] == "up to date"
