"""Published polygons, compared with the class map by tools that share no code with the engine."""

from io import StringIO
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin
from rich.console import Console

from geoseg.errors import SettingsError
from geoseg.plan import polygon_plan
from geoseg.run.summary import print_report
from geoseg.vector.polygonize import polygonize as polygonize_whole
from tests.support.bundles import identity_bundle, unet_bundle
from tests.support.oracle import polygonize as polygonize_by_gdal
from tests.support.scenes import TRANSFORM, digests, read_band, run, textured, write_scene

SHAPE = (203, 317)
STRIDE = 24


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return write_scene(folder / "scene.tif", textured(*SHAPE), nodata=0), unet_bundle(folder / "bundle")


def publish(inputs: tuple[Path, Path], output: Path, **polygons: Any) -> tuple[gpd.GeoDataFrame, np.ndarray]:
    """Polygons with their vertices in pixels, and the class map."""
    run(*inputs, output, tiling={"block_px": 2 * STRIDE}, polygons=polygons)
    found = gpd.read_parquet(output / "polygons")
    back = ~TRANSFORM
    affine = [back.a, back.b, back.d, back.e, back.xoff, back.yoff]
    found["geometry"] = found.geometry.affine_transform(affine).apply(lambda g: shapely.set_precision(g, 1e-6))
    return found.sort_values("polygon_id", ignore_index=True), read_band(output / "rasters/scene/classes.tif")


def test_unsimplified_polygons_and_their_attributes_equal_gdals(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    found, _ = publish(inputs, tmp_path, simplify_px=0)
    rasters = tmp_path / "rasters/scene"
    oracle = polygonize_by_gdal(rasters / "classes.tif", rasters / "confidence.tif")
    np.testing.assert_array_equal(found["polygon_id"], oracle.first_pixel)
    np.testing.assert_array_equal(found["class_id"], oracle.class_id)
    np.testing.assert_array_equal(found["pixels"], oracle.pixels)
    np.testing.assert_allclose(found["confidence"], oracle.confidence_sum / oracle.pixels / 255, rtol=1e-6)
    assert shapely.equals(found.geometry, oracle.geometry).all()
    np.testing.assert_allclose(found["area_m2"], oracle.pixels * 100)
    np.testing.assert_allclose(found["perimeter_m"], shapely.length(oracle.geometry) * 10)


def test_the_end_of_a_run_names_the_setting_that_removes_specks(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    printed = {}
    for least in (0, 5):
        output, out = tmp_path / str(least), Console(file=StringIO(), width=200)
        report = run(*inputs, output, tiling={"block_px": 2 * STRIDE}, polygons={"min_area_px": least})
        print_report(report, str(output), out, out)
        printed[least] = out.file.getvalue()
        pixels = gpd.read_parquet(output / "polygons")["pixels"]
        assert report.scenes[0]["specks"] == (pixels < 5).sum()
        if not least:
            share = 100 * (pixels < 5).sum() // len(pixels)
    assert share > 33
    assert f"{share} % of these polygons have fewer than 5 pixels; polygons.min_area_px=5" in printed[0]
    assert "min_area_px" not in printed[5]


@pytest.mark.parametrize("simplify_px", [0, 1, 3.5])
def test_polygons_are_a_valid_coverage_of_the_valid_pixels(
    inputs: tuple[Path, Path], tmp_path: Path, simplify_px: float
) -> None:
    found, classes = publish(inputs, tmp_path, simplify_px=simplify_px)
    assert found.geometry.is_valid.all()
    assert shapely.coverage_is_valid(found.geometry.to_numpy())
    assert found.geometry.area.sum() == pytest.approx((classes != 255).sum())
    assert found["pixels"].sum() == (classes != 255).sum()


def test_a_minimum_area_is_that_of_the_whole_raster(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    found, classes = publish(inputs, tmp_path, simplify_px=1, min_area_px=12)
    confidence = read_band(tmp_path / "rasters/scene/confidence.tif")
    whole = polygonize_whole(classes, confidence, simplify_px=1, min_area_px=12, cut_px=STRIDE)
    np.testing.assert_array_equal(found["polygon_id"], whole.first_pixel)
    np.testing.assert_array_equal(found["class_id"], whole.class_id)
    np.testing.assert_array_equal(found["pixels"], whole.pixels)
    assert shapely.equals(found.geometry, whole.geometry).all()
    assert found["pixels"].min() >= 12


def test_only_the_wanted_classes_are_published(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    everything, _ = publish(inputs, tmp_path / "all")
    some, _ = publish(inputs, tmp_path / "some", classes=["class4", "class1"])
    expected = everything[everything["class_id"].isin([1, 4])].reset_index(drop=True)
    assert 0 < len(some) < len(everything)
    assert some.drop(columns="scene", errors="ignore").equals(expected.drop(columns="scene", errors="ignore"))


def test_only_classes_that_are_not_dissolved_are_cut_at_the_lattice(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    cut, classes = publish(inputs, tmp_path, simplify_px=0, not_dissolved=["class0"])
    assert shapely.coverage_is_valid(cut.geometry.to_numpy())
    for class_id in range(5):
        pixels = [(cut["class_id"] == class_id), cut["pixels"]]
        assert pixels[1][pixels[0]].sum() == (classes == class_id).sum()
    bounds = cut[cut["class_id"] == 0].bounds
    cells = np.floor(bounds[["minx", "miny"]].to_numpy() / STRIDE)
    assert (np.ceil(bounds[["maxx", "maxy"]].to_numpy() / STRIDE) <= cells + 1).all(), "none reaches over a cell"
    whole = polygonize_whole(classes, cut_px=STRIDE)
    others = cut[cut["class_id"] != 0]
    np.testing.assert_array_equal(others["polygon_id"], whole.first_pixel[whole.class_id != 0])
    assert len(cut) > len(whole)


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        (
            {"classes": ["lava"]},
            r"polygons\.classes: \['lava'\] are not classes of the model\. Use its classes: class0, ",
        ),
        ({"not_dissolved": ["lava"]}, r"polygons\.not_dissolved: \['lava'\]"),
        ({"simplify_m": 20_000}, r"polygons\.simplify_m=20000.* is 2000 pixels .* at most 1000"),
    ],
)
def test_impossible_polygon_settings_are_refused(
    inputs: tuple[Path, Path], tmp_path: Path, polygons: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        run(*inputs, tmp_path, polygons=polygons)


def test_settings_in_metres_need_a_planar_crs(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    for crs, origin, words in [
        ("EPSG:4326", (9, 49, 1e-4, 1e-4), r"WGS 84\. Use .*_px: a pixel has 81\.\d+ m2 on average"),
        ("EPSG:4087", (1e6, 6_679_000, 10, 10), r"WGS 84 / World Equidistant .*_px: a pixel has 50\.\d+ m2 on"),
    ]:
        scene = write_scene(tmp_path / "far.tif", textured(40, 40), crs=crs, transform=from_origin(*origin))
        for key in ("simplify_m", "min_area_m2"):
            with pytest.raises(SettingsError, match=rf"areas are those on the ground.*far\.tif is {words}"):
                run(scene, inputs[1], tmp_path / "out", polygons={key: 30})
    metres, _ = publish(inputs, tmp_path / "metres", simplify_m=20, min_area_m2=900)
    pixels, _ = publish(inputs, tmp_path / "pixels", simplify_px=2, min_area_px=9)
    assert metres.equals(pixels)


@pytest.mark.parametrize("polygons", [{}, {"min_area_px": 9}])
def test_row63_noise_is_an_error_with_a_remedy(tmp_path: Path, polygons: dict[str, Any]) -> None:
    noise = np.random.default_rng(0).integers(0, 6, (1, 300, 300)).astype(np.uint8)
    bundle = identity_bundle(tmp_path / "bundle", patch_px=64, overlap_px=16)
    settings = {**polygons, "max_count": 20_000}
    report = run(write_scene(tmp_path / "s.tif", noise), bundle, tmp_path / "out", polygons=settings)
    assert report.exit_code == 3
    message = report.failed[0]["error"]
    assert f"{tmp_path / 's.tif'}: the class map has more than polygons.max_count=20000 regions" in message
    assert ("Cut the scene into smaller ones" if polygons else "Set polygons.min_area_px (such as 9)") in message
    assert digests(tmp_path / "out") == {}
    assert not (tmp_path / "out/.work").exists()


def test_row63_a_block_too_large_for_memory_is_not_traced(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(polygon_plan, "MAX_BLOCK_COUNT", 5000)
    noise = np.random.default_rng(0).integers(0, 6, (1, 300, 300)).astype(np.uint8)
    bundle = identity_bundle(tmp_path / "bundle", patch_px=64, overlap_px=16)
    report = run(write_scene(tmp_path / "s.tif", noise), bundle, tmp_path / "out", tiling={"block_px": 480})
    assert "regions in one block, more than 5000" in report.failed[0]["error"]
    assert run(tmp_path / "s.tif", bundle, tmp_path / "out", tiling={"block_px": 48}).exit_code == 0
