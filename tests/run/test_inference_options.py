"""Options of `inference`: the same bytes for any block size and executor, and the answer of the whole raster."""

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio

from geoseg.config import FAULT_VARIABLE
from geoseg.errors import SettingsError
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.smoothing import smooth
from geoseg.store.manifest import read_json
from geoseg.store.storages.opening import open_storage
from geoseg.verify.validate import validate
from tests.support.bundles import unet_bundle
from tests.support.scenes import digests, read_band, run, textured, write_scene

STRIDE = 24
RASTERS = ["probabilities", "margin", "entropy", "confidence"]
OPTIONS: dict[str, dict[str, Any]] = {
    "views": {"inference": {"augment": "flips-and-turns", "temperature": 2, "scales": [1, 0.5]}},
    "crf": {"inference": {"crf": "convolutional"}},
    "thresholds": {
        "inference": {"thresholds": {"class0": 0.3, "class3": 0.4}, "unsure_class": "?"},
        "rasters": {"publish": RASTERS},
        "polygons": {"not_dissolved": ["?"]},
    },
    "smoothing": {"inference": {"smoothing_radius_px": 3}},
    "smoothing and minimum area": {
        "inference": {"smoothing_radius_px": 24},
        "rasters": {"publish": RASTERS},
        "polygons": {"min_area_px": 20},
    },
    "rasters": {"rasters": {"publish": RASTERS}, "polygons": {"min_area_px": 5, "crs": "EPSG:4326"}},
}
"""Settings that are not at their default."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return write_scene(folder / "scene.tif", textured(91, 107), nodata=0), unet_bundle(folder / "bundle")


@pytest.fixture(scope="module")
def plain(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("plain")
    run(*inputs, output)
    return digests(output)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_same_bytes_for_any_blocks_and_threads(
    inputs: tuple[Path, Path], plain: dict[str, str], tmp_path: Path, options: dict[str, Any]
) -> None:
    found = []
    for strides, workers in ((1, 2), (2, 1), (5, 1)):
        output, how = tmp_path / str(strides), {"address": "inline", "workers": workers}
        report = run(*inputs, output, tiling={"block_px": strides * STRIDE}, **options, run=how)
        assert report.exit_code == 0, report.failed
        found.append(digests(output))
    assert found[0] == found[1] == found[2]
    assert found[0] != plain
    assert [check for check in validate(tmp_path / "1") if not check.finding.ok] == []


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_same_bytes_on_ray(inputs: tuple[Path, Path], tmp_path: Path, options: dict[str, Any]) -> None:
    run(*inputs, tmp_path / "inline", **options)
    tiling, how = {"block_px": 2 * STRIDE}, {"address": "auto", "workers": 2}
    run(*inputs, tmp_path / "ray", **options, tiling=tiling, run=how)
    assert digests(tmp_path / "ray") == digests(tmp_path / "inline")


def test_the_fingerprint_names_only_what_is_not_at_its_default(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    def chosen(output: Path, **inference: Any) -> dict[str, Any]:
        run(*inputs, output, inference=inference)
        manifest = read_json(open_storage(str(output)), "scenes/scene.json")
        assert manifest is not None
        return {key: value for key, value in manifest.fingerprint.items() if key.startswith("inference.")}

    assert chosen(tmp_path / "default", augment="none", temperature=1, scales=[1], crf_radius_px=2) == {}
    assert chosen(tmp_path / "other", temperature=2.0, scales=[1, 2], crf="convolutional", crf_radius_px=2) == {
        "inference.temperature": 2.0,
        "inference.scales": [1.0, 2.0],
        "inference.crf": "convolutional",
        "inference.crf_radius_px": 2,
    }


def test_results_of_other_options_are_not_replaced(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run(*inputs, tmp_path)
    report = run(*inputs, tmp_path, inference={"augment": "flips"})
    assert "inference.augment was null, now" in report.failed[0]["error"]


def test_unsure_pixels_are_those_whose_winner_is_below_its_threshold(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    def rasters(output: Path, **inference: Any) -> tuple[np.ndarray, np.ndarray]:
        run(*inputs, output, inference=inference, tiling={"block_px": STRIDE})
        classes, confidence = (read_band(output / f"rasters/scene/{name}.tif") for name in ("classes", "confidence"))
        return classes, confidence

    classes, confidence = rasters(tmp_path / "plain")
    own = classes == 1
    middle = int(np.median(confidence[own]))
    found, same = rasters(tmp_path / "unsure", thresholds={"class1": (middle + 0.5) / 255})
    np.testing.assert_array_equal(same, confidence)
    # The threshold lies between two steps of the confidence, so no pixel is ambiguous.
    np.testing.assert_array_equal(found, np.where(own & (confidence <= middle), 5, classes))
    assert 0 < (found == 5).sum() < own.sum()
    with rasterio.open(tmp_path / "unsure/rasters/scene/classes.tif") as dataset:
        assert dataset.tags()["CLASS_5"] == "unsure"
        assert dataset.colormap(1)[5] == (128, 128, 128, 255)


@pytest.mark.parametrize(
    ("inference", "message"),
    [
        ({"thresholds": {"sea": 0.5}}, r"'sea'.* are not classes of the model\. Use its classes: class0, class1"),
        ({"thresholds": {"class1": 0.5}, "unsure_class": "class2"}, "unsure_class=class2 is a class of the model"),
        ({"thresholds": {"class1": 2}}, r"inference\.thresholds=.* must be names with a number above 0 to 1 each"),
    ],
)
def test_wrong_thresholds_are_refused(
    inputs: tuple[Path, Path], tmp_path: Path, inference: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        run(*inputs, tmp_path, inference=inference)


def test_smoothed_classes_are_those_of_the_whole_class_map(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run(*inputs, tmp_path / "plain")
    classes = read_band(tmp_path / "plain/rasters/scene/classes.tif")
    run(*inputs, tmp_path / "smooth", inference={"smoothing_radius_px": 2}, tiling={"block_px": STRIDE})
    found = read_band(tmp_path / "smooth/rasters/scene/classes.tif")
    np.testing.assert_array_equal(found, smooth(np.pad(classes, 2, constant_values=NODATA_CLASS), 2))
    assert (found != classes).sum() > 100
    for name in ("plain", "smooth"):
        table = geopandas.read_parquet(tmp_path / name / "polygons")
        assert int(table["pixels"].sum()) == (classes != NODATA_CLASS).sum()
    plain = geopandas.read_parquet(tmp_path / "plain/polygons")
    assert len(table) < len(plain) / 2, "single pixels are gone"


@pytest.mark.parametrize("point", ["smooth:start", "smooth:end", "trace:start"])
def test_smoothing_is_resumed(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    how = {"tiling": {"block_px": 2 * STRIDE}, "inference": {"smoothing_radius_px": 3}}
    run(*inputs, tmp_path / "whole", **how)
    monkeypatch.setenv(FAULT_VARIABLE, f"{point}:r0001c0001:*:enospc")
    assert run(*inputs, tmp_path / "again", **how).exit_code == 3
    monkeypatch.delenv(FAULT_VARIABLE)
    report = run(*inputs, tmp_path / "again", **how)
    assert report.exit_code == 0
    assert report.resumed_blocks > 0
    assert digests(tmp_path / "again") == digests(tmp_path / "whole")


def test_a_radius_beyond_the_next_block_is_refused(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    message = r"smoothing_radius_px=25 is larger than tiling\.block_px=24.*Set tiling\.block_px=25 or more"
    with pytest.raises(SettingsError, match=message):
        run(*inputs, tmp_path, inference={"smoothing_radius_px": 25}, tiling={"block_px": STRIDE})
