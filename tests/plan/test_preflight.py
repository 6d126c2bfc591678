"""Odd inputs that are found only by comparison with the model, the settings or the other scenes of a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import CRS
from rasterio.transform import Affine, from_origin

from geoseg.config import Settings
from geoseg.errors import SceneError
from geoseg.model.bundle.bundle import read_bundle
from geoseg.plan.preflight import check_scene, drop_repeated, lost_masks
from geoseg.publish.geodesy.crs import missing_grids, transformer
from geoseg.raster.bands import select_bands
from geoseg.raster.source.scene import describe
from tests.support.bundles import unet_bundle
from tests.support.scenes import textured, write_scene

COLOURS = ["red", "green", "blue", "nir"]


def warnings(path: Path, tmp_path: Path, polygons: dict[str, Any] | None = None, **scene: Any) -> list[str]:
    """Warnings of preflight for a scene of four bands and a model of red, green, blue and near infrared."""
    bundle = read_bundle(unet_bundle(tmp_path / "bundle", bands=COLOURS, gsd=10))
    given = {"scenes": [str(path)], "model": str(bundle.path), "output": "out", "scene": scene}
    settings = Settings.model_validate({**given, "polygons": polygons or {}})
    described = describe(path)
    selection = select_bands(described, 4, settings.scene)
    return check_scene(described, selection, settings, bundle)


def scene_of(tmp_path: Path, names: list[str | None] | None = None, **how: Any) -> Path:
    path = write_scene(tmp_path / "scene.tif", textured(60, 60), nodata=0, **how)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = names or [None] * 4
    return path


def test_a_plain_scene_gives_no_warning(tmp_path: Path) -> None:
    assert warnings(scene_of(tmp_path), tmp_path) == []


def with_mask(tmp_path: Path) -> Path:
    path = write_scene(tmp_path / "masked.tif", textured(60, 60))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.eye(60, dtype=bool))
    return path


def test_row10_a_mask_that_a_sibling_has_may_be_lost(tmp_path: Path) -> None:
    masked = with_mask(tmp_path)
    plain = write_scene(tmp_path / "plain.tif", textured(60, 60))
    other = write_scene(tmp_path / "other.tif", textured(60, 60), nodata=0)
    scenes = [describe(path) for path in (plain, masked, other)]
    (text,) = lost_masks(scenes)
    assert text.startswith(f"{plain}: it has no mask and no nodata value, while {masked} comes with a .msk file")
    assert lost_masks([scenes[0], scenes[2]]) == []
    Path(f"{masked}.msk").unlink()
    assert lost_masks([describe(path) for path in (plain, masked, other)]) == []


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["Red", "GREEN", "blue", "n-i-r"], ""),
        ([None, None, "blue", None], ""),
        (["blue", "green", "red", "nir"], "band 1 is blue, not red; band 3 is red, not blue"),
        (["B04", "B03", "B02", "B08"], ""),
        (["B02", "B03", "B04", "B08"], "band 1 is B02, not red; band 3 is B04, not blue"),
    ],
)
def test_row29_bands_with_other_names_are_told(tmp_path: Path, names: list[str | None], words: str) -> None:
    found = warnings(scene_of(tmp_path, names), tmp_path)
    assert bool(found) == bool(words)
    assert all(words in text and "Set scene.bands=3,2,1,4 if the names are right" in text for text in found)


def test_row29_or_refused(tmp_path: Path) -> None:
    assert warnings(scene_of(tmp_path, list(COLOURS)), tmp_path, strict_bands=True) == []
    for names in (["blue", "green", "red", "nir"], ["red", "green", "blue", None]):
        with pytest.raises(SceneError, match=r"name the bands differently: .*leave out scene\.strict_bands"):
            warnings(scene_of(tmp_path, names), tmp_path, strict_bands=True)


@pytest.mark.parametrize(
    ("crs", "size", "words"),
    [
        ("EPSG:32632", 10, ""),
        ("EPSG:32632", 19.9, ""),
        ("EPSG:32632", 20.1, "pixels of 20.1 m, while test-model was trained on 10 m"),
        ("EPSG:32632", 0.3, "pixels of 0.3 m"),
        ("EPSG:4326", 0.0001, ""),
        ("EPSG:4326", 0.001, "pixels of 101 m"),
        ("EPSG:2225", 20, ""),
        ("EPSG:2225", 80, "pixels of 24.4 m"),
    ],
)
def test_row30_other_pixels_than_the_models_are_told(tmp_path: Path, crs: str, size: float, words: str) -> None:
    origin = {"EPSG:32632": (480_000, 5_480_000), "EPSG:4326": (9, 34), "EPSG:2225": (6_561_666, 1_640_416)}[crs]
    found = warnings(scene_of(tmp_path, crs=crs, transform=from_origin(*origin, size, size)), tmp_path)
    assert len(found) == bool(words)
    assert all(words in text and "gdalwarp -tr 10 10" in text for text in found)


def test_row30_a_bundle_need_not_tell_its_pixels(tmp_path: Path) -> None:
    assert read_bundle(unet_bundle(tmp_path / "plain")).file.pixel_m is None
    resolved = unet_bundle(tmp_path / "resolved", **{"raster:spatial_resolution": 0.5})
    assert read_bundle(resolved).file.pixel_m == 0.5


def test_row32_another_unit_is_told_before_any_work(tmp_path: Path) -> None:
    reflectance = (textured(60, 60) / 10_000).astype(np.float32)
    found = warnings(write_scene(tmp_path / "scene.tif", reflectance, nodata=0), tmp_path)
    assert len(found) == 4
    assert "values of band red" in found[0]


def test_row32_declared_nodata_is_no_other_unit(tmp_path: Path) -> None:
    pixels = textured(60, 60).astype(np.int16)
    pixels[1, :, :50] = -32768  # valid pixels all the same, as other bands hold data
    path = write_scene(tmp_path / "scene.tif", pixels, nodata=-32768)
    assert warnings(path, tmp_path, nodata_rule="all") == []
    with rasterio.open(path, "r+") as dataset:
        dataset.nodata = None
    assert any("values of band green (mostly -32768 to" in text for text in warnings(path, tmp_path, nodata_rule="all"))


def test_row40_and_42_areas_are_right_where_those_of_the_crs_are_not(tmp_path: Path) -> None:
    europe = from_origin(4_000_000, 1_300_000, 10, 10)  # Lambert conformal conic, in the far south
    polar = from_origin(10_000, 10_000, 10, 10)
    for crs, transform in (("EPSG:3034", europe), ("EPSG:3413", polar), ("EPSG:3857", polar)):
        path = scene_of(tmp_path, crs=crs, transform=transform)
        assert warnings(path, tmp_path) == [], "their areas are measured on the ellipsoid"


ENGINEERING = 'ENGCRS["Site",EDATUM["Stake"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'


def test_row45_a_crs_without_a_place_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"'Site' is tied to no place on the earth.*Give the scene"):
        warnings(scene_of(tmp_path, crs=ENGINEERING), tmp_path)


def test_row45_metres_that_claim_to_be_degrees_are_refused_before_any_work(tmp_path: Path) -> None:
    path = scene_of(tmp_path, crs="EPSG:4326")
    with pytest.raises(
        SceneError, match=r"scene\.tif: .*'WGS 84' has no longitude and latitude.*Check the scene's trans"
    ):
        warnings(path, tmp_path)


@pytest.mark.parametrize("crs", ["EPSG:32632+5773", "EPSG:4979"])
def test_row45_heights_do_not_matter(tmp_path: Path, crs: str) -> None:
    transform = Affine(0.0001, 0, 9, 0, -0.0001, 49) if crs == "EPSG:4979" else from_origin(480_000, 5_480_000, 10, 10)
    assert warnings(scene_of(tmp_path, crs=crs, transform=transform), tmp_path) == []


def test_row45_a_missing_grid_is_told_and_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    london = scene_of(tmp_path, crs="EPSG:27700", transform=from_origin(530_000, 180_000, 10, 10))
    grids = missing_grids(CRS("EPSG:27700"), CRS("EPSG:4326"))
    found = warnings(london, tmp_path, {"crs": "EPSG:4326"})
    assert bool(grids) == bool(found)
    assert all(grids[0] in text and "projsync" in text for text in found)
    assert warnings(london, tmp_path) == []
    monkeypatch.setenv("PROJ_NETWORK", "ON")
    assert not transformer(CRS("EPSG:27700"), CRS("EPSG:4326")).is_network_enabled


def test_row39_a_scene_across_the_antimeridian_is_told(tmp_path: Path) -> None:
    path = scene_of(tmp_path, crs="EPSG:32601", transform=from_origin(332_400, 6_655_500, 10, 10))
    (text,) = warnings(path, tmp_path, {"crs": "EPSG:4326"})
    assert "crosses the antimeridian: longitudes in EPSG:4326 go on beyond 180" in text
    assert warnings(path, tmp_path) == []


def test_row40_a_pole_in_degrees_is_refused_before_any_work(tmp_path: Path) -> None:
    path = scene_of(tmp_path, crs="EPSG:3031", transform=from_origin(-300, 300, 10, 10))
    with pytest.raises(SceneError, match=r"contains a pole.*polygons\.crs=native"):
        warnings(path, tmp_path, {"crs": "EPSG:4326"})
    assert warnings(path, tmp_path) == []


def test_row50_one_file_of_many_names_is_done_once(tmp_path: Path) -> None:
    scene, other = tmp_path / "scene.tif", tmp_path / "other.tif"
    scene.write_bytes(b"a")
    other.write_bytes(b"a")
    (tmp_path / "symbolic.tif").symlink_to(scene)
    (tmp_path / "hard.tif").hardlink_to(scene)
    absent = str(tmp_path / "absent.tif")
    given = [str(path) for path in (scene, other, tmp_path / "symbolic.tif", tmp_path / "hard.tif", scene)]
    kept, words = drop_repeated([*given, absent, absent, f"{tmp_path}/../{tmp_path.name}/other.tif"])
    assert kept == (str(scene), str(other), absent)
    assert [text.partition(" is given twice")[0] for text in words][:4] == [given[2], given[3], str(scene), absent]
    assert f"{given[2]} is given twice and is the same file as {scene}" in words[0]
