"""Published rasters, the columns made of them, and what `geoseg validate` says about them."""

import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import scipy.ndimage
import scipy.stats
import torch

from geoseg.config import load_settings
from geoseg.errors import SettingsError
from geoseg.verify.validate import validate
from tests.support.bundles import trained_network, unet_bundle
from tests.support.planting import seal
from tests.support.scenes import digests, read_band, run, textured, write_scene
from tests.support.views_oracle import blended

ALL = ["confidence", "probabilities", "margin", "entropy"]
PLACE = "rasters/scene"
SHAPE = (70, 83)
EXACT = {"address": "inline", "precision": "fp32"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return write_scene(folder / "scene.tif", textured(*SHAPE), nodata=0), unet_bundle(folder / "bundle")


@pytest.fixture(scope="module")
def output(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    assert run(*inputs, folder, rasters={"publish": ALL}, tiling={"block_px": 24}, run=EXACT).exit_code == 0
    return folder


def failed(output: Path) -> set[str]:
    return {check.finding.name for check in validate(output) if not check.finding.ok}


def test_the_rasters_are_those_of_the_whole_scene(inputs: tuple[Path, Path], output: Path) -> None:
    pixels = textured(*SHAPE)
    valid = (pixels != 0).all(0)
    network = trained_network(inputs[1]).double()

    def softmax(patch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return torch.softmax(network(torch.from_numpy(patch)[None]), 1)[0].numpy()

    whole = blended(softmax, np.where(valid, (pixels.astype(float) - 1500) / 80, 0), 32, 8)
    ordered = np.sort(whole, 0)
    for name, expected, error in (
        ("probabilities", whole, 0.55),
        ("margin", (ordered[-1] - ordered[-2])[None], 0.55),
        ("entropy", scipy.stats.entropy(whole, axis=0)[None] / np.log(len(whole)), 1.05),
    ):
        with rasterio.open(output / PLACE / f"{name}.tif") as dataset:
            found = dataset.read().astype(float)
            assert dataset.nodata == 0
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            names = [f"class{i}" for i in range(5)] if name == "probabilities" else [name]
            assert list(dataset.descriptions) == names
        assert np.abs(found - np.clip(expected * 255, 1, 255) * valid).max() <= error, name


def test_polygons_have_the_mean_margin_and_the_second_class_of_their_pixels(output: Path) -> None:
    with rasterio.open(output / PLACE / "probabilities.tif") as dataset:
        probabilities = dataset.read().astype(int)
    margin = read_band(output / PLACE / "margin.tif").astype(int)
    plain = geopandas.read_parquet(output / "polygons")
    # Simplified lines move; the pixels of a polygon are those of its component.
    assert list(plain.columns)[6:9] == ["confidence", "margin_mean", "second_class"]
    labels = read_band(output / PLACE / "classes.tif")
    for row in plain.nlargest(8, "pixels").itertuples():
        first = divmod(row.polygon_id, SHAPE[1])
        inside = component(labels, first)
        assert inside.sum() == row.pixels
        assert row.margin_mean == pytest.approx(margin[inside].mean() / 255, rel=1e-6)
        means = probabilities[:, inside].sum(1)
        means[row.class_id] = -1
        assert row.second_class == f"class{means.argmax()}"


def component(labels: np.ndarray, first: tuple[int, int]) -> np.ndarray:
    """The 4-connected pixels of the class of one, by scipy."""
    parts, _ = scipy.ndimage.label(labels == labels[first])
    return np.asarray(parts == parts[first])


def test_other_rasters_change_nothing_else(inputs: tuple[Path, Path], output: Path, tmp_path: Path) -> None:
    run(*inputs, tmp_path, run=EXACT)
    plain, more = digests(tmp_path), digests(output)
    rasters = {key for key in more if key.startswith("rasters/")}
    assert {f"{PLACE}/{name}.tif" for name in ["classes", *ALL]} == rasters
    assert all(plain[key] == more[key] for key in plain.keys() & rasters)
    columns = list(geopandas.read_parquet(tmp_path / "polygons").columns)
    assert geopandas.read_parquet(output / "polygons")[columns].equals(geopandas.read_parquet(tmp_path / "polygons"))


def test_without_confidence_its_probabilities_tell_it(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run(*inputs, tmp_path, rasters={"publish": ["probabilities"]})
    assert not (tmp_path / PLACE / "confidence.tif").exists()
    checks = validate(tmp_path)
    assert [check for check in checks if not check.finding.ok or not check.finding.compared] == []
    with pytest.raises(SettingsError, match=r"rasters\.publish.* must be a list with confidence, from which"):
        load_settings(assignments=["rasters.publish=margin"], flags={"scenes": ["a"], "model": "m", "output": "o"})


def test_a_valid_output_is_compared_in_every_column(output: Path) -> None:
    checks = {check.finding.name: check.finding for check in validate(output)}
    assert all(finding.ok for finding in checks.values())
    assert "margin_mean" in checks["columns"].found
    assert "second_class" in checks["columns"].found
    assert {f"{name} map" for name in ALL} | {"agreement"} <= checks.keys()


@pytest.mark.parametrize(
    ("name", "found_by"),
    [
        ("probabilities", {"agreement"}),
        ("margin", {"agreement", "margin_mean"}),
        ("confidence", {"agreement", "confidence"}),
        ("classes", {"agreement"}),
    ],
)
def test_a_changed_pixel_contradicts_the_other_rasters(
    output: Path, tmp_path: Path, name: str, found_by: set[str]
) -> None:
    folder = shutil.copytree(output, tmp_path / "out")
    path = folder / PLACE / f"{name}.tif"
    with rasterio.open(path) as dataset:
        pixels, profile = dataset.read(), dataset.profile
    row, col = np.unravel_index(read_band(path.with_name("margin.tif")).argmax(), SHAPE)  # no tie can hide it
    if name == "classes":
        pixels[0, row, col] = (pixels[0, row, col] + 1) % 5
    else:
        pixels[:, row, col] = 255 - pixels[:, row, col]
    tags, described = rasterio.open(path).tags(), rasterio.open(path).descriptions
    with rasterio.open(path, "w", **{**profile, "driver": "GTiff"}) as dataset:
        dataset.write(pixels)
        dataset.update_tags(**tags)
        dataset.descriptions = described
    assert "digests" in failed(folder)
    seal(folder, "scene")
    assert found_by <= failed(folder)


def test_a_raster_that_lost_a_pixel_or_itself_is_found(output: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(output, tmp_path / "out")
    path = folder / PLACE / "entropy.tif"
    with rasterio.open(path) as dataset:
        pixels, profile = dataset.read(), dataset.profile
    pixels[0, 38:42, 38:42] = 0
    with rasterio.open(path, "w", **{**profile, "driver": "GTiff"}) as dataset:
        dataset.write(pixels)
    seal(folder, "scene")
    assert "entropy map" in failed(folder)
    path.unlink()
    assert {"digests", "files"} <= failed(folder)
