"""Whole runs: counts, odd sizes, several scenes, leftover files."""

import json
import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import yaml
from rasterio.transform import from_origin

import geoseg
from geoseg.config import load_settings
from geoseg.errors import SettingsError
from geoseg.grid.tiling import Lattice
from geoseg.verify.validate import validate
from tests.support.bundles import constant_bundle, identity_bundle, unet_bundle
from tests.support.onnx_models import linear_onnx
from tests.support.scenes import digests, read_band, run, textured, write_scene
from tests.support.web import serve


def test_identity_gives_the_input_back_exactly(tmp_path: Path) -> None:
    classes = np.random.default_rng(0).integers(0, 6, (1, 131, 97)).astype(np.uint8)
    scene = write_scene(tmp_path / "ids.tif", classes)
    run(scene, identity_bundle(tmp_path / "bundle"), tmp_path / "out", tiling={"block_px": 48})
    np.testing.assert_array_equal(read_band(tmp_path / "out/rasters/ids/classes.tif"), classes[0])
    assert (read_band(tmp_path / "out/rasters/ids/confidence.tif") == 255).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (5, 7), (32, 32), (33, 25)])
def test_scenes_of_any_size(tmp_path: Path, shape: tuple[int, int]) -> None:
    classes = np.random.default_rng(0).integers(0, 6, (1, *shape)).astype(np.uint8)
    scene = write_scene(tmp_path / "ids.tif", classes)
    report = run(scene, identity_bundle(tmp_path / "bundle"), tmp_path / "out", tiling={"block_px": 24})
    np.testing.assert_array_equal(read_band(tmp_path / "out/rasters/ids/classes.tif"), classes[0])
    polygons = gpd.read_parquet(tmp_path / "out/polygons")
    assert polygons["pixels"].sum() == classes.size == report.valid_pixels
    assert polygons["area_m2"].sum() == pytest.approx(classes.size * 100)


def test_a_scene_without_valid_pixels_runs_no_patch_and_publishes_empty_results(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "void.tif", np.zeros((4, 70, 70), np.uint16), nodata=0)
    asked = {"tiling": {"block_px": 24}, "scene": {"allow_empty": True}}
    report = run(scene, unet_bundle(tmp_path / "bundle"), tmp_path / "out", **asked)
    assert f"{scene} has no valid pixel: all bands are nodata (0) in all 4,900 pixels. Its class map is empty." in (
        report.warnings
    )
    assert (report.exit_code, report.patches, report.valid_pixels) == (0, 0, 0)
    assert (read_band(tmp_path / "out/rasters/void/classes.tif") == 255).all()
    assert (read_band(tmp_path / "out/rasters/void/confidence.tif") == 0).all()
    polygons = gpd.read_parquet(tmp_path / "out/polygons")
    assert len(polygons) == 0
    assert polygons.crs == "EPSG:32632"


@pytest.mark.parametrize("strides", [1, 3, 9])
def test_patches_run_are_the_lattices_patches_with_a_valid_pixel(tmp_path: Path, strides: int) -> None:
    pixels = textured(203, 190)
    pixels[:, 60:170, 40:] = 0
    scene = write_scene(tmp_path / "scene.tif", pixels, nodata=0)
    report = run(scene, unet_bundle(tmp_path / "bundle"), tmp_path / "out", tiling={"block_px": 24 * strides})
    lattice = Lattice.of((203, 190), 32, 8)
    valid = (pixels != 0).all(0)
    expected = sum(
        valid[i * 24 : i * 24 + 32, j * 24 : j * 24 + 32].any()
        for i in range(lattice.rows.count)
        for j in range(lattice.cols.count)
    )
    assert report.patches == expected < lattice.count
    assert report.valid_pixels == valid.sum()


def test_nodata_never_becomes_a_class_and_valid_never_becomes_nodata(tmp_path: Path) -> None:
    pixels = textured(120, 150)
    scene = write_scene(tmp_path / "scene.tif", pixels, nodata=0)
    run(scene, unet_bundle(tmp_path / "bundle"), tmp_path / "out", tiling={"block_px": 48})
    valid = (pixels != 0).all(0)
    np.testing.assert_array_equal(read_band(tmp_path / "out/rasters/scene/classes.tif") != 255, valid)
    np.testing.assert_array_equal(read_band(tmp_path / "out/rasters/scene/confidence.tif") != 0, valid)


def test_one_scene_fails_and_the_others_go_on(tmp_path: Path) -> None:
    good = write_scene(tmp_path / "good.tif", textured(80, 80), nodata=0)
    narrow = write_scene(tmp_path / "narrow.tif", textured(80, 80, bands=3), nodata=0)
    truncated = write_scene(tmp_path / "truncated.tif", textured(300, 300, seed=3), nodata=0)
    truncated.write_bytes(truncated.read_bytes()[:300_000])
    last = write_scene(tmp_path / "last.tif", textured(60, 90, seed=1), nodata=0)
    scenes = [good, narrow, tmp_path / "absent.tif", truncated, last]
    report = run(scenes, unet_bundle(tmp_path / "bundle"), tmp_path / "out", tiling={"block_px": 48})
    assert report.exit_code == 3
    assert [scene["status"] for scene in report.scenes] == ["done", "failed", "failed", "failed", "done"]
    for scene, path in zip(report.scenes, scenes, strict=True):
        assert scene["path"] == str(path)
        if scene["status"] == "failed":
            assert str(path) in scene["error"]
    assert {Path(file).parts[1] for file in digests(tmp_path / "out")} == {"good", "last", "scene=good", "scene=last"}
    assert not (tmp_path / "out/.work").exists(), "nothing half-written stays"


def test_the_report_keeps_the_given_order(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 6, (1, 30, 30)).astype(np.uint8)
    for name in ("far", "inside", "near"):
        write_scene(tmp_path / f"{name}.tif", ids)
    (tmp_path / "text.tif").write_text("no raster")
    bundle = identity_bundle(tmp_path / "bundle")
    with serve(tmp_path, tmp_path / "requests") as web:
        given = [
            f"{web.url}/far.tif",
            f"GTIFF_DIR:1:{os.path.relpath(tmp_path)}/inside.tif",
            str(tmp_path / "text.tif"),
        ]
        given += [f"{web.url}/absent.tif", str(tmp_path / "near.tif")]
        report = run(given, bundle, tmp_path / "out", scene={"remote": True, "allow_private_hosts": True})
    assert [scene["scene_id"] for scene in report.scenes] == ["far", "inside", "text", "absent", "near"]


def test_not_finite_logits_fail_the_scene_with_the_place(tmp_path: Path) -> None:
    bundle = linear_onnx(tmp_path / "bundle", np.eye(2), scaling=[{"type": "log1p"}])
    pixels = np.ones((2, 100, 100), np.int16)
    pixels[0, 70, 20] = -50
    report = run(write_scene(tmp_path / "s.tif", pixels), bundle, tmp_path / "out", tiling={"block_px": 24})
    assert report.exit_code == 3
    assert "not finite" in report.failed[0]["error"]
    assert "rows 48:80, columns 0:32" in report.failed[0]["error"]
    assert digests(tmp_path / "out") == {}
    assert not (tmp_path / "out/.work").exists()


def test_the_report_and_the_settings_can_be_read_back(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", textured(100, 100), nodata=0)
    priced = {"address": "inline", "price_per_hour": 4.5}
    report = run(scene, unet_bundle(tmp_path / "bundle"), tmp_path / "out", run=priced)
    folder = tmp_path / "out/runs" / report.run_id
    saved = json.loads((folder / "report.json").read_text())
    assert saved["scenes"][0]["status"] == "done"
    assert set(saved["stages"]) == {"read", "predict", "finish", "trace", "rasters", "polygons", "commit"}
    assert saved["stages"]["read"]["bytes"] > 100 * 100 * 8
    for stage in saved["stages"].values():
        assert set(stage) == {"units", "seconds", "cpu_seconds", "bytes"}
    assert saved["stages"]["predict"]["cpu_seconds"] > 0
    assert saved["seconds"] >= max(stage["seconds"] for stage in saved["stages"].values())
    assert 0 < saved["device_share"] < 1
    assert saved["px_per_s"] == pytest.approx(saved["valid_pixels"] / saved["seconds"], rel=0.01)
    assert saved["km2_per_h"] == pytest.approx(saved["px_per_s"] * 100 / 1e6 * 3600)
    assert saved["cost_per_1000_km2"] == pytest.approx(1000 * 4.5 / saved["km2_per_h"], rel=1e-3)
    assert saved["software"]["torch"].startswith("2.")
    by_class = saved["scenes"][0]["area_m2_by_class"]
    assert sum(by_class.values()) == pytest.approx(saved["valid_pixels"] * 100)
    assert load_settings(folder / "config.yaml", environment={}).scenes == (str(scene),)
    assert yaml.safe_load((folder / "config.yaml").read_text())["model"] == str(tmp_path / "bundle")


def test_polygons_and_class_map_agree(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", textured(100, 130), nodata=0)
    run(scene, unet_bundle(tmp_path / "bundle"), tmp_path / "out", polygons={"simplify_px": 0})
    classes = read_band(tmp_path / "out/rasters/scene/classes.tif")
    polygons = gpd.read_parquet(tmp_path / "out/polygons")
    with rasterio.open(tmp_path / "out/rasters/scene/classes.tif") as dataset:
        shapes = zip(polygons.geometry, polygons["class_id"], strict=True)
        burnt = rasterio.features.rasterize(shapes, classes.shape, fill=255, transform=dataset.transform, dtype="uint8")
        assert dataset.colormap(1)[0][:3] == (0x3A, 0x7B, 0xD5)
        assert dataset.tags()["CLASS_0"] == "class0"
    np.testing.assert_array_equal(burnt, classes)


def test_a_scene_published_with_another_model_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
    scene, bundle = write_scene(tmp_path / "s.tif", textured(60, 60), nodata=0), unet_bundle(tmp_path / "bundle")
    run(scene, bundle, tmp_path / "out")
    before = digests(tmp_path / "out")
    other = unet_bundle(tmp_path / "other", seed=5)
    refused = run(scene, other, tmp_path / "out")
    assert refused.exit_code == 3
    assert (
        "holds scene s made otherwise: the model test-model is another one of this name; what differs: weights"
        in refused.failed[0]["error"]
    )
    assert "Give --overwrite" in refused.failed[0]["error"]
    assert digests(tmp_path / "out") == before
    assert run(scene, other, tmp_path / "out", overwrite=True).exit_code == 0
    after = digests(tmp_path / "out")
    assert after.keys() == before.keys()
    assert after != before
    assert not (tmp_path / "out/.work").exists()


def test_two_scenes_of_one_name_are_refused_before_any_work(tmp_path: Path) -> None:
    for folder, name in (("a", "Scene.tif"), ("b", "scene.tif")):
        (tmp_path / folder).mkdir()
        write_scene(tmp_path / folder / name, textured(40, 40))
    scenes = [tmp_path / "a/Scene.tif", tmp_path / "b/scene.tif"]
    with pytest.raises(SettingsError, match=r"a/Scene\.tif and .*b/scene\.tif would both be published"):
        run(scenes, unet_bundle(tmp_path / "bundle"), tmp_path / "out")
    assert digests(tmp_path / "out") == {}


def test_one_dataset_never_mixes_crss(tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path / "bundle")
    a = write_scene(tmp_path / "a.tif", textured(40, 40), crs="EPSG:32632")
    b = write_scene(tmp_path / "b.tif", textured(40, 40), crs="EPSG:32633")
    c = write_scene(tmp_path / "c.tif", textured(30, 30), crs="EPSG:32632", transform=from_origin(9e5, 5e6, 10, 10))
    out = tmp_path / "out"
    mixed = run([b, a, c], bundle, out)
    assert mixed.exit_code == 3, "one scene elsewhere does not stop the others"
    assert [scene["status"] for scene in mixed.scenes] == ["failed", "done", "done"]
    assert mixed.failed[0]["error"] == (
        f"{b} lies in WGS 84 / UTM zone 33N (EPSG:32633), but {a} and 1 more of this run lie in WGS 84 / UTM zone 32N "
        "(EPSG:32632), and the polygons of one output must share a CRS. Give it alone with polygons.crs=EPSG:32632, "
        "give all scenes of the output with polygons.crs=EPSG:4326 and --overwrite, or give it an --output of its own."
    )
    again = run([b], bundle, out)
    assert "(EPSG:32633), but the output holds scene a in WGS 84 / UTM zone 32N" in again.failed[0]["error"]
    with pytest.raises(
        SettingsError, match=r"polygons\.crs=EPSG:4326, but the output holds scene a and 1 more in WGS 84"
    ):
        run([b], bundle, out, polygons={"crs": "EPSG:4326"})


def test_the_advice_for_a_scene_in_another_crs_works(tmp_path: Path) -> None:
    bundle, out = unet_bundle(tmp_path / "bundle"), tmp_path / "out"
    a = write_scene(tmp_path / "a.tif", textured(40, 40), crs="EPSG:32632")
    b = write_scene(tmp_path / "b.tif", textured(40, 40), crs="EPSG:32633")
    run(a, bundle, out)
    assert run(b, bundle, tmp_path / "own").exit_code == 0
    assert run(b, bundle, out, polygons={"crs": "EPSG:32632"}).exit_code == 0, "alone, in the CRS of the output"
    assert geoseg.read_polygons(out).crs == "EPSG:32632"
    assert run([a, b], bundle, out, polygons={"crs": "EPSG:4326"}, overwrite=True).exit_code == 0
    assert geoseg.read_polygons(out).crs == "EPSG:4326"


def test_two_scenes_that_overlap_are_named_with_the_area(tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path / "bundle")
    a, b, c = (
        write_scene(tmp_path / f"{name}.tif", textured(100, 100), transform=from_origin(480_000 + east, 5e6, 10, 10))
        for name, east in (("a", 0), ("b", 1000), ("c", 1500))
    )
    assert run([a, b], bundle, tmp_path / "out").warnings == [], "neighbours share a side"
    (warnings,) = run(c, bundle, tmp_path / "out").warnings
    assert warnings.startswith(
        f"{c} and scene b overlap by 0.5 km2 (outlines, nodata included). Polygons there are published"
    )


def test_a_block_that_cannot_fit_is_refused_before_any_work(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", textured(500, 500))
    with pytest.raises(SettingsError, match=r"tiling\.block_px=480 needs .* GiB .* more than run\.memory_gib=0\.001"):
        run(
            scene, unet_bundle(tmp_path / "bundle"), tmp_path / "out",
            tiling={"block_px": 480}, run={"address": "inline", "memory_gib": 0.001},
        )  # fmt: skip


def test_a_scene_without_crs_can_be_published_as_rasters_alone(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", textured(60, 60), crs=None, nodata=0)
    report = run(scene, unet_bundle(tmp_path / "bundle"), tmp_path / "out", scene={"allow_ungeoreferenced": True})
    assert report.exit_code == 0
    assert set(digests(tmp_path / "out")) == {"rasters/s/classes.tif", "rasters/s/confidence.tif"}


def test_results_without_polygons_replace_those_with(tmp_path: Path) -> None:
    scene, bundle = write_scene(tmp_path / "s.tif", textured(60, 60), crs=None), unet_bundle(tmp_path / "bundle")
    run(scene, bundle, tmp_path / "out", scene={"assume_crs": "EPSG:32632"})
    assert (tmp_path / "out/polygons/scene=s").exists()
    run(scene, bundle, tmp_path / "out", overwrite=True, scene={"allow_ungeoreferenced": True})
    assert set(digests(tmp_path / "out")) == {"rasters/s/classes.tif", "rasters/s/confidence.tif"}


@pytest.mark.parametrize(
    "polygons",
    [
        {},
        {"simplify_px": 0},
        {"simplify_px": 3, "min_area_px": 7},
        {"not_dissolved": ["class1", "class4"], "min_area_px": 6},
        {"crs": "EPSG:4326", "not_dissolved": ["class0"]},
    ],
)
def test_results_are_certified(tmp_path: Path, polygons: dict[str, object]) -> None:
    scene = write_scene(tmp_path / "scene.tif", textured(203, 317), nodata=0)
    run(scene, unet_bundle(tmp_path / "bundle"), tmp_path / "out", tiling={"block_px": 72}, polygons=polygons)
    checks = validate(tmp_path / "out")
    assert len(checks) > 5
    assert [check for check in checks if not check.finding.ok] == []


def test_rasters_have_the_georeference_and_pixel_interpretation_of_the_scene(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", textured(60, 50), nodata=0)
    with rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
    run(scene, unet_bundle(tmp_path / "bundle"), tmp_path / "out")
    for name in ("classes", "confidence"):
        with rasterio.open(scene) as given, rasterio.open(tmp_path / f"out/rasters/s/{name}.tif") as found:
            assert found.transform == given.transform
            assert found.crs == given.crs
            assert found.tags()["AREA_OR_POINT"] == given.tags()["AREA_OR_POINT"] == "Point"


def test_a_constant_model_makes_one_polygon(tmp_path: Path) -> None:
    bundle = constant_bundle(tmp_path / "bundle", 1, 3)
    scene = write_scene(tmp_path / "s.tif", np.ones((1, 300, 200), np.uint8))
    report = run(scene, bundle, tmp_path / "out")
    assert report.scenes[0]["polygons"] == 1
