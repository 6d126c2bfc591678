"""Bad and odd inputs in whole runs: what is published, reported or refused."""

import os
import re
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from pyproj import CRS
from rasterio.transform import Affine, from_origin

from geoseg.errors import SettingsError
from geoseg.publish.geodesy.pixel_area import pixel_area
from geoseg.raster.source.scene import describe
from geoseg.run.report import Report
from geoseg.verify.validate import validate
from tests.support.bundles import identity_bundle, unet_bundle
from tests.support.onnx_models import linear_onnx
from tests.support.scenes import digests, read_band, run, textured, write_scene

IDS = np.random.default_rng(0).integers(0, 6, (1, 90, 70)).astype(np.uint8)


def certified(output: Path) -> gpd.GeoDataFrame:
    """The published polygons, after `geoseg validate` has passed."""
    assert [check for check in validate(output) if not check.finding.ok] == []
    return gpd.read_parquet(output / "polygons")


def run_ids(tmp_path: Path, name: str = "ids", pixels: np.ndarray = IDS, **how: Any) -> Report:
    """Publish a raster of class ids as it is, every corner kept."""
    scene = write_scene(tmp_path / f"{name}.tif", pixels, **how)
    bundle = identity_bundle(tmp_path / "bundle")
    return run(scene, bundle, tmp_path / "out", tiling={"block_px": 48}, polygons={"simplify_px": 0})


@pytest.mark.parametrize(
    "transform",
    [
        pytest.param(Affine(8, 3, 480_000, 3, -9, 5_480_000), id="row2-sheared"),
        pytest.param(Affine.translation(480_000, 5_480_000) @ Affine.rotation(33) @ Affine.scale(10, -10), id="row2"),
        pytest.param(Affine(10, 0, 480_000, 0, 10, 5_480_000), id="row43-south-up"),
        pytest.param(Affine(-10, 0, 480_000, 0, -10, 5_480_000), id="row43-west-up"),
    ],
)
def test_polygons_lie_where_the_pixels_lie(tmp_path: Path, transform: Affine) -> None:
    run_ids(tmp_path, transform=transform)
    with rasterio.open(tmp_path / "out/rasters/ids/classes.tif") as dataset:
        assert dataset.transform == transform
    polygons = certified(tmp_path / "out")
    assert shapely.is_ccw(polygons.exterior.values).all()
    back = polygons.geometry.affine_transform((~transform).to_shapely())
    burnt = rasterio.features.rasterize(zip(back, polygons["class_id"], strict=True), IDS.shape[1:], fill=255)
    np.testing.assert_array_equal(burnt, IDS[0])
    assert polygons["area_m2"].sum() == pytest.approx(IDS.size * abs(transform.determinant))


def test_row14_a_paletted_scene_is_expanded_for_an_rgb_model(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "p.tif", IDS, photometric="palette")
    colours = {0: (200, 0, 0), 1: (0, 200, 0), 2: (0, 0, 200), 3: (0, 9, 0), 4: (9, 0, 0), 5: (0, 0, 9)}
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {index: (*colour, 255) for index, colour in colours.items()})
    bundle = linear_onnx(tmp_path / "bundle", np.eye(3))
    assert "scene.expand_palette" in run(path, bundle, tmp_path / "out").failed[0]["error"]
    assert run(path, bundle, tmp_path / "out", scene={"expand_palette": True}).exit_code == 0
    expected = np.array([0, 1, 2, 1, 0, 2], np.uint8)[IDS[0]]
    np.testing.assert_array_equal(read_band(tmp_path / "out/rasters/p/classes.tif"), expected)


def damaged(path: Path) -> Path:
    """The ids in internal tiles of 16 pixels, one of which cannot be decoded: rows 16:32, columns 32:48."""
    write_scene(path, IDS, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    with rasterio.open(path) as dataset:
        offset, size = (int(dataset.get_tag_item(f"BLOCK_{what}_2_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = b"\xff" * size
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("block_px", [24, 48, 96])
def test_row23_holes_are_nodata_and_reported_whatever_the_blocks(tmp_path: Path, block_px: int) -> None:
    path, bundle = damaged(tmp_path / "d.tif"), identity_bundle(tmp_path / "bundle")
    assert run(path, bundle, tmp_path / "out").exit_code == 3
    report = run(path, bundle, tmp_path / "out", scene={"on_read_error": "nodata"}, tiling={"block_px": block_px})
    assert report.exit_code == 0
    expected = IDS[0].copy()
    expected[16:32, 32:48] = 255
    np.testing.assert_array_equal(read_band(tmp_path / "out/rasters/d/classes.tif"), expected)
    counts = [int(text.split(": ")[1].split()[0]) for text in report.warnings if "cannot be decoded" in text]
    assert sum(counts) == 256, "each pixel is reported once"
    assert len(certified(tmp_path / "out")) > 0


def test_row33_a_model_of_reflectance_gets_reflectance(tmp_path: Path) -> None:
    """Class 1 where the second band is the larger one, which the stored numbers alone do not tell."""
    stored = np.random.default_rng(1).integers(1, 1000, (2, 50, 60)).astype(np.uint16)
    path = write_scene(tmp_path / "s.tif", stored)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.001, 0.002), (0.5, 0.0)
    bundle = linear_onnx(tmp_path / "bundle", np.eye(2))
    report = run(path, bundle, tmp_path / "out", scene={"apply_scale": True})
    expected = stored[1] * 0.002 > stored[0] * 0.001 + 0.5
    found = read_band(tmp_path / "out/rasters/s/classes.tif")
    assert (found != expected).mean() < 0.001, "ties aside"
    assert (found != (stored[1] > stored[0])).any()
    assert any("stored numbers are scaled" in text for text in report.warnings)


def test_row34_pixels_that_are_not_finite_may_be_nodata(tmp_path: Path) -> None:
    bundle = linear_onnx(tmp_path / "bundle", np.eye(2), scaling=[{"type": "log1p"}])
    pixels = np.random.default_rng(1).integers(1, 99, (2, 100, 100)).astype(np.int16)
    pixels[0, 70, 20] = -50
    settings = {"run": {"address": "inline", "on_nonfinite": "nodata"}, "tiling": {"block_px": 24}}
    report = run(write_scene(tmp_path / "s.tif", pixels), bundle, tmp_path / "out", **settings)
    assert report.exit_code == 0
    classes = read_band(tmp_path / "out/rasters/s/classes.tif")
    assert np.argwhere(classes == 255).tolist() == [[70, 20]]
    words = r"s.tif: band band1 is not finite after step 1 of 1 of its scaling \(log1p\).* in rows 48:80, columns 0:32"
    assert any(re.search(words, text) for text in report.warnings)
    assert certified(tmp_path / "out")["pixels"].sum() == 9999


def test_row39_across_the_antimeridian_in_its_own_crs_and_in_degrees(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", IDS, crs="EPSG:32601", transform=from_origin(332_400, 6_655_500, 10, 10))
    bundle = identity_bundle(tmp_path / "bundle")
    run(scene, bundle, tmp_path / "native")
    report = run(scene, bundle, tmp_path / "degrees", polygons={"crs": "EPSG:4326"})
    assert any("crosses the antimeridian" in text for text in report.warnings)
    native, degrees = certified(tmp_path / "native"), certified(tmp_path / "degrees")
    west, _, east, _ = degrees.total_bounds
    assert 179.9 < west < 180 < east < 180.1
    assert degrees["area_m2"].sum() == pytest.approx(native["area_m2"].sum())


@pytest.mark.parametrize(("crs", "size"), [("EPSG:3031", 10), ("EPSG:3413", 10), ("EPSG:6931", 10)])
def test_row40_a_scene_at_a_pole(tmp_path: Path, crs: str, size: float) -> None:
    run_ids(tmp_path, crs=crs, transform=from_origin(-300, 300, size, size))
    polygons = certified(tmp_path / "out")
    assert polygons["pixels"].sum() == IDS.size
    # EPSG:3031 and 3413 are true at 71 and 70 degrees; at the pole their metres are 3 % too short.
    assert polygons["area_m2"].sum() == pytest.approx(IDS.size * size**2, rel=0.07)


def test_row45_a_local_crs_fails_before_any_work(tmp_path: Path) -> None:
    site = 'ENGCRS["Site",EDATUM["Stake"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
    report = run_ids(tmp_path, crs=site)
    assert report.exit_code == 3
    assert "'Site' is tied to no place on the earth" in report.failed[0]["error"]
    assert report.patches == 0


def test_row45_a_projection_that_proj_does_not_have_fails_its_scene_alone(tmp_path: Path) -> None:
    good, bad = write_scene(tmp_path / "good.tif", IDS), write_scene(tmp_path / "bad.tif", IDS, crs=None)
    wkt = CRS.from_epsg(32632).to_wkt("WKT1_GDAL").replace("Transverse_Mercator", "Transvezse_Mercator")
    Path(f"{bad}.aux.xml").write_text(f"<PAMDataset><SRS>{wkt}</SRS></PAMDataset>")
    report = run([good, bad], identity_bundle(tmp_path / "bundle"), tmp_path / "out")
    (failed,) = report.failed
    assert (
        f"{bad}: PROJ has no transformation from the CRS 'WGS 84 / UTM zone 32N' by 'Transvezse_Mercator'"
        in failed["error"]
    )
    assert [scene["scene_id"] for scene in report.done] == ["good"]


@pytest.mark.parametrize(("crs", "body"), [("IAU_2015:50210", "Europa"), ("IAU_2015:49900", "Mars")])
def test_a_scene_of_another_planet_fails_alone_where_polygons_are_wanted_on_earth(
    tmp_path: Path, crs: str, body: str
) -> None:
    pixel = 10 if "10" in crs else 1e-4
    there = write_scene(tmp_path / "there.tif", IDS, crs=crs, transform=from_origin(1, 2, pixel, pixel))
    scenes, bundle = [write_scene(tmp_path / "here.tif", IDS), there], identity_bundle(tmp_path / "bundle")
    report = run(scenes, bundle, tmp_path / "out", polygons={"crs": "EPSG:4326"})
    assert (report.exit_code, [scene["scene_id"] for scene in report.done]) == (3, ["here"])
    (failed,) = report.failed
    assert re.search(
        rf"there\.tif: PROJ has no transformation from the CRS {body}.* to WGS 84 \(EPSG:4326\): "
        rf"one is of {body}, the other of Earth\. Use polygons\.crs=native\.$",
        failed["error"],
    )
    assert run(there, bundle, tmp_path / "alone").exit_code == 0
    certified(tmp_path / "alone")


@pytest.mark.parametrize(
    ("crs", "transform"),
    [("EPSG:3413", from_origin(100_000, -100_000, 25_000, 25_000)), ("EPSG:4326", from_origin(9, 60, 0.05, 0.05))],
)
def test_areas_and_curves_do_not_depend_on_blocks(tmp_path: Path, crs: str, transform: Affine) -> None:
    ids = np.random.default_rng(1).integers(0, 3, (1, 90, 70)).astype(np.uint8)
    ids[0, :40, 3:] = 5
    scene, bundle = write_scene(tmp_path / "s.tif", ids, crs=crs, transform=transform), identity_bundle(tmp_path / "b")
    polygons = {"crs": "EPSG:4326", "min_area_px": 2}
    for block_px in (24, 48, 96):
        assert run(scene, bundle, tmp_path / f"{block_px}", tiling={"block_px": block_px}, polygons=polygons).done
    assert digests(tmp_path / "24") == digests(tmp_path / "48") == digests(tmp_path / "96")
    area = pixel_area(describe(str(scene)).grid)
    assert area.method == "geodesic"
    areas_m2 = gpd.read_parquet(tmp_path / "24/polygons")["area_m2"].to_numpy()
    assert areas_m2.sum() == areas_m2[::-1].cumsum()[-1] == int(area.units(area.grid.window).sum()) * area.unit_m2


def test_row45_heights_are_kept_in_the_crs(tmp_path: Path) -> None:
    assert run_ids(tmp_path, crs="EPSG:32632+5773").exit_code == 0
    assert certified(tmp_path / "out").crs.is_compound


@pytest.mark.parametrize(
    "name",
    ["Straße 北京", "a b", "50%20#1?x=2", "line\nbreak", "q'uo\"te", "[a-z]*{1,2}", "n" * 240, "-dash", "ünï&é$x"],
)
def test_row51_any_name_from_file_to_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "dïr # %41 [x]"
    folder.mkdir()
    report = run_ids(folder, name)
    (scene,) = report.done
    assert read_band(folder / "out/rasters" / scene["scene_id"] / "classes.tif").shape == IDS.shape[1:]
    polygons = gpd.read_parquet(folder / "out/polygons" / f"scene={scene['scene_id']}")
    assert polygons["pixels"].sum() == IDS.size
    assert [check for check in validate(folder / "out") if not check.finding.ok] == []


def test_row51_a_very_long_path(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["d" * 200] * 8)
    folder.mkdir(parents=True)
    assert run_ids(folder).exit_code == 0
    assert len(certified(folder / "out")) > 0


@pytest.mark.parametrize("published", ["rasters/classes/classes.tif", "polygons/scene=classes/classes.tif"])
def test_row52_an_output_that_would_replace_its_input_is_refused(tmp_path: Path, published: str) -> None:
    scene = tmp_path / "out" / published
    scene.parent.mkdir(parents=True)
    write_scene(scene, IDS)
    before = scene.read_bytes()
    with pytest.raises(SettingsError, match=r"would replace its own input .*classes\.tif\. Give --output another"):
        run(scene, identity_bundle(tmp_path / "bundle"), tmp_path / "out", overwrite=True)
    assert scene.read_bytes() == before


def test_row52_an_output_beside_the_input_is_fine(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "ids.tif", IDS)
    before = scene.read_bytes()
    assert run(scene, identity_bundle(tmp_path / "bundle"), tmp_path).exit_code == 0
    assert scene.read_bytes() == before


@pytest.mark.parametrize(
    "output",
    [
        pytest.param("/proc/geoseg", id="where-root-may-not-write-either"),
        pytest.param(
            "read-only", id="read-only-folder", marks=pytest.mark.skipif(os.geteuid() == 0, reason="root ignores chmod")
        ),
    ],
)
def test_row53_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, output: str) -> None:
    (tmp_path / "read-only").mkdir(mode=0o500)
    scene, bundle = write_scene(tmp_path / "ids.tif", IDS), identity_bundle(tmp_path / "bundle")
    with pytest.raises(SettingsError, match=r"The output .* cannot be written: .*Give --output a directory"):
        run(scene, bundle, tmp_path / output)


def test_row50_a_link_to_a_scene_of_the_run_is_no_second_scene(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "ids.tif", IDS)
    (tmp_path / "link.tif").symlink_to(scene)
    report = run([scene, tmp_path / "link.tif"], identity_bundle(tmp_path / "bundle"), tmp_path / "out")
    assert [done["scene_id"] for done in report.scenes] == ["ids"]
    assert any("link.tif is given twice and is the same file as" in text for text in report.warnings)
    assert {Path(file).parts[1] for file in digests(tmp_path / "out")} == {"ids", "scene=ids"}


def test_rows_10_18_31_and_32_are_in_the_report(tmp_path: Path) -> None:
    strips = np.tile(textured(8, 700), (1, 1, 40)).astype(np.float32)
    strips[0, 4, 13_990:14_010] = np.nan
    scene = write_scene(tmp_path / "s.tif", strips, nodata=0, blockysize=1)
    masked = write_scene(tmp_path / "masked.tif", textured(60, 60))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(masked, "r+") as dataset:
        dataset.write_mask(np.eye(60, dtype=bool))
    plain = write_scene(tmp_path / "plain.tif", np.full((4, 60, 60), 1500, np.uint16))
    report = run([scene, masked, plain], unet_bundle(tmp_path / "bundle"), tmp_path / "out")
    assert report.exit_code == 0
    for path, words in [
        (scene, "decodes 27 times its pixels"),
        (scene, "are NaN or infinite, which the file does not declare"),
        (plain, "band 1 holds 1500 everywhere"),
        (plain, f"it has no mask and no nodata value, while {masked} comes with a .msk file"),
    ]:
        assert any(text.startswith(f"{path}: ") and words in text for text in report.warnings), words


def test_row31_a_scene_of_mostly_nan_fails_before_any_work(tmp_path: Path) -> None:
    pixels = textured(80, 80).astype(np.float32)
    pixels[1, :60] = np.nan
    report = run(write_scene(tmp_path / "s.tif", pixels), unet_bundle(tmp_path / "bundle"), tmp_path / "out")
    assert (report.exit_code, report.patches) == (3, 0)
    assert "75.0% of 6400 pixels of a sample are NaN" in report.failed[0]["error"]
