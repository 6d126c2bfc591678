"""Runs on scenes of several files, and on STAC Items."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from sklearn.metrics import jaccard_score

from geoseg.config import Settings
from geoseg.run.report import Report
from geoseg.run.segment import segment
from tests.run.test_real_data import DYNAMIC_WORLD_BANDS, SENTINEL2_L1C, dynamic_world_bundle
from tests.support.bundles import unet_bundle
from tests.support.scenes import TRANSFORM, digests, read_band, run, textured, write_scene
from tests.support.stac import write_item

STRIDE = 24
SIDES = {"B1": 6, "B5": 2, "B6": 2, "B7": 2, "B8A": 2, "B9": 6, "B10": 6, "B11": 2, "B12": 2}
"""Side of the pixels of each of Sentinel-2's bands, in those of the finest."""


def run_entry(entry: Any, bundle: Path, output: Path, **settings: Any) -> Report:
    chosen = {"run": {"address": "inline"}, **settings}
    return segment(Settings.model_validate({"scenes": [entry], "model": str(bundle), "output": str(output), **chosen}))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unet_bundle(tmp_path_factory.mktemp("bundle") / "bundle", bands=["blue", "green", "red", "nir"])


@pytest.fixture(scope="module")
def item(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four bands at 10, 10, 20 and 60 m as an Item, and the same pixels, resampled by repetition, in one file."""
    folder = tmp_path_factory.mktemp("item")
    pixels = textured(198, 306)
    for band, (name, side) in enumerate({"blue": 1, "green": 1, "red": 2, "nir": 6}.items()):
        coarse = pixels[band, ::side, ::side]
        write_scene(folder / f"{name}.tif", coarse[None], transform=TRANSFORM @ Affine.scale(side), nodata=0)
        pixels[band] = np.kron(coarse, np.ones((side, side), np.uint16))[:198, :306]
    write_scene(folder / "stack.tif", pixels, nodata=0)
    assets = {
        name: {"href": f"{name}.tif", "bands": [{"eo:common_name": name}]} for name in ("nir", "red", "green", "blue")
    }
    return write_item(folder / "region.json", assets)


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_three_block_sizes_give_the_same_bytes(bundle: Path, item: Path, tmp_path: Path, resampling: str) -> None:
    found = []
    for block_px in (2 * STRIDE, 5 * STRIDE, 14 * STRIDE):
        settings = {"tiling": {"block_px": block_px}, "scene": {"resampling": resampling}}
        assert run_entry(str(item), bundle, tmp_path / f"{block_px}", **settings).exit_code == 0
        found.append(digests(tmp_path / f"{block_px}"))
    assert found[0] == found[1] == found[2]


def test_an_item_gives_the_bytes_of_the_stack_of_its_resampled_bands(bundle: Path, item: Path, tmp_path: Path) -> None:
    at = {"observed_at": "2024-06-21T10:30:00Z"}
    (tmp_path / "region.tif").symlink_to(item.parent / "stack.tif")
    assert run(tmp_path / "region.tif", bundle, tmp_path / "stack", scene=at).exit_code == 0
    report = run_entry(str(item), bundle, tmp_path / "item", scene={"resampling": "nearest"})
    assert report.exit_code == 0
    assert digests(tmp_path / "item") == digests(tmp_path / "stack")
    mapping = {"id": "region", **{name: str(item.parent / f"{name}.tif") for name in ("blue", "green", "red", "nir")}}
    assert run_entry(mapping, bundle, tmp_path / "mapping", scene={"resampling": "nearest", **at}).exit_code == 0
    assert digests(tmp_path / "mapping") == digests(tmp_path / "stack")


def test_another_scale_of_the_item_is_another_result(bundle: Path, item: Path, tmp_path: Path) -> None:
    assert run_entry(str(item), bundle, tmp_path / "out").scenes[0]["status"] == "done"
    assert run_entry(str(item), bundle, tmp_path / "out").scenes[0]["status"] == "up to date"
    text = item.read_text()
    try:
        item.write_text(text.replace('"roles"', '"raster:scale": 0.5, "roles"'))
        failed = run_entry(str(item), bundle, tmp_path / "out").scenes[0]
    finally:
        item.write_text(text)
    assert "scene.sources was" in failed["error"]


@pytest.mark.slow
@pytest.mark.data
def test_a_sentinel2_chip_as_files_of_three_resolutions(data: Path, tmp_path: Path) -> None:
    """The water that Dynamic World finds is that of the chip, and the class map that of the stack."""
    with rasterio.open(data / "sen1floods_S2_13band.tif") as dataset:
        pixels, transform, crs = dataset.read(), dataset.transform, dataset.crs.to_string()
    assets, stack = {}, np.empty_like(pixels)
    for band, (name, values) in enumerate(zip(SENTINEL2_L1C, pixels, strict=True)):
        side = SIDES.get(name, 1)
        padded = np.pad(values, (0, -len(values) % side), mode="edge").astype(float)
        means = padded.reshape(len(padded) // side, side, -1, side).mean(axis=(1, 3))
        coarse = np.round(means).astype(values.dtype)
        write_scene(tmp_path / f"{name}.tif", coarse[None], crs=crs, transform=transform @ Affine.scale(side))
        assets[name] = {"href": f"{name}.tif", "bands": [{"name": name}]}
        stack[band] = np.kron(coarse, np.ones((side, side), values.dtype))[:512, :512]
    bundle, settings = dynamic_world_bundle(data, tmp_path / "bundle"), {"tiling": {"patch_px": 256, "overlap_px": 64}}
    item = write_item(tmp_path / "chip.json", assets, **{"s2:processing_baseline": "02.06"})
    wanted = {"bands": [SENTINEL2_L1C.index(name) + 1 for name in DYNAMIC_WORLD_BANDS]}
    write_scene(tmp_path / "chip.tif", stack, crs=crs, transform=transform)
    assert run(tmp_path / "chip.tif", bundle, tmp_path / "stack", scene=wanted, **settings).exit_code == 0
    assert (
        run_entry(str(item), bundle, tmp_path / "nearest", scene={"resampling": "nearest"}, **settings).exit_code == 0
    )
    np.testing.assert_array_equal(
        *(read_band(tmp_path / f"{name}/rasters/chip/classes.tif") for name in ("stack", "nearest"))
    )

    assert run_entry(str(item), bundle, tmp_path / "bilinear", **settings).exit_code == 0
    label = read_band(data / "sen1floods_label.tif")
    known = label >= 0
    whole = run(data / "sen1floods_S2_13band.tif", bundle, tmp_path / "whole", scene=wanted, **settings)
    assert whole.exit_code == 0
    iou = [
        jaccard_score(label[known] == 1, read_band(tmp_path / path)[known] == 0)
        for path in ("whole/rasters/sen1floods_S2_13band/classes.tif", "bilinear/rasters/chip/classes.tif")
    ]
    assert abs(iou[0] - iou[1]) < 0.01, iou
