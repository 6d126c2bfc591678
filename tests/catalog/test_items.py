"""Which bands of STAC Items are taken, and how their values are read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from geoseg.catalog.entry import describe_entry
from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.raster.bands import select_bands
from geoseg.raster.read import read_window
from geoseg.raster.source.scene import Scene
from geoseg.stac.item import Item, find_bands
from geoseg.stac.sentinel2 import stored_offset
from tests.support.scenes import write_scene
from tests.support.stac import write_item


def item(assets: dict[str, Any], **properties: Any) -> Item:
    return Item({"id": "i", "properties": properties, "assets": assets}, "/catalog/i.json")


def read(scene: Scene, **settings: Any) -> np.ndarray:
    pixels, valid = read_window(scene, select_bands(scene, scene.bands, SceneSettings(**settings)), scene.grid.window)
    return np.where(valid, pixels, pixels.dtype.type(0))


RED, BLUE = ({"name": name, "common_name": name} for name in ("red", "blue"))
EARTH_SEARCH = {
    "blue": {"href": "B02.tif", "type": "image/tiff", "roles": ["data"], "eo:bands": [BLUE]},
    "red": {"href": "B04.tif", "type": "image/tiff", "roles": ["data"], "eo:bands": [RED]},
    "red-jp2": {"href": "B04.jp2", "type": "image/jp2", "roles": ["data"], "eo:bands": [RED]},
    "visual": {"href": "TCI.tif", "type": "image/tiff", "roles": ["visual"], "eo:bands": [RED, BLUE]},
    "thumbnail": {"href": "p.jpg", "roles": ["thumbnail"]},
    "scl": {"href": "SCL.tif", "type": "image/tiff", "roles": ["data"]},
}
PLANETARY_COMPUTER = {
    name: {"href": f"{name}.tif", "eo:bands": [{"name": name, "common_name": common}], "gsd": 10}
    for name, common in (("B02", "blue"), ("B04", "red"), ("B8A", "nir08"))
}
COPERNICUS = {
    f"{name}_{gsd}m": {"href": f"{name}_{gsd}.jp2", "gsd": gsd, "bands": [{"name": name, "eo:common_name": common}]}
    for name, common in (("B02", "blue"), ("B04", "red"))
    for gsd in (60, 10, 20)
}
ONE_FILE = {"data": {"href": "a.tif", "bands": [{"name": "N"}, {"name": "R", "eo:common_name": "red"}, {"name": "B2"}]}}


@pytest.mark.parametrize(
    ("assets", "names", "expected"),
    [
        (EARTH_SEARCH, ["red", "blue"], [("red", 1), ("blue", 1)]),
        (EARTH_SEARCH, ["B4", "B02", "SCL"], [("red", 1), ("blue", 1), ("scl", 1)]),
        (PLANETARY_COMPUTER, ["blue", "B8A", "b4"], [("B02", 1), ("B8A", 1), ("B04", 1)]),
        (COPERNICUS, ["B4", "blue"], [("B04_10m", 1), ("B02_10m", 1)]),
        (ONE_FILE, ["red", "B02", "n"], [("data", 2), ("data", 3), ("data", 1)]),
    ],
)
def test_bands_are_found_as_catalogs_name_them(
    assets: dict[str, Any], names: list[str], expected: list[tuple[str, int]]
) -> None:
    assert [(band.asset, band.number) for band in find_bands(item(assets), names)] == expected


def test_an_absent_or_ambiguous_band_is_an_error_that_lists_what_was_there() -> None:
    with pytest.raises(SceneError, match=r"no band is named nir\. There are: B02 \(blue\), B04 \(red\), B8A \(nir08\)"):
        find_bands(item(PLANETARY_COMPUTER), ["nir"])
    twice = {key: {"href": f"{key}.tif", "bands": [{"name": "red"}]} for key in ("a", "b")}
    with pytest.raises(SceneError, match=r"band red is in the assets a, b\. Name the one to use"):
        find_bands(item(twice), ["red"])
    with pytest.raises(SceneError, match="There are: none"):
        find_bands(item({}), ["red"])


@pytest.mark.parametrize(
    ("properties", "declared", "expected"),
    [
        ({}, None, None),
        ({"s2:processing_baseline": "03.01"}, None, 0),
        ({"s2:processing_baseline": "04.00"}, None, -1000),
        ({"processing:version": "05.11"}, None, -1000),
        ({"s2:product_uri": "S2B_MSIL2A_20220301T104019_N0400_R008_T32TMT_20220301T135213.SAFE"}, None, -1000),
        ({"s2:processing_baseline": "05.09"}, 0.0, 0),
        ({"s2:processing_baseline": "05.09"}, -1000.0, -1000),
        ({}, -1000.0, -1000),
        # Earth Search takes the offset away and says so, while its bands still state it.
        ({"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"}, -1000.0, 0),
        ({"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"}, None, 0),
        ({"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "05.09"}, None, -1000),
        ({"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "02.08"}, None, 0),
    ],
)
def test_the_offset_of_sentinel2(properties: dict[str, Any], declared: float | None, expected: int | None) -> None:
    assert stored_offset(properties, "B04", declared) == expected
    assert stored_offset(properties, "SCL", declared) == 0


@pytest.fixture
def files(tmp_path: Path) -> np.ndarray:
    """Two bands as files, values around 1000, nodata 0."""
    values = np.random.default_rng(0).integers(900, 3000, (2, 12, 12)).astype(np.uint16)
    values[:, 3] = 0
    for name, band in zip(("red", "nir"), values, strict=True):
        write_scene(tmp_path / f"{name}.tif", band[None], nodata=0)
    return values


ASSETS = {name: {"href": f"{name}.tif", "bands": [{"name": name}]} for name in ("red", "nir")}


def test_the_offset_of_sentinel2_is_taken_away_once(tmp_path: Path, files: np.ndarray) -> None:
    harmonised = np.where(files > 0, np.maximum(files.astype(int) - 1000, 0), 0)
    path = write_item(tmp_path / "new.json", ASSETS, **{"s2:processing_baseline": "05.00"})
    scene = describe_entry(str(path), SceneSettings(), ["red", "nir"])
    assert scene.composite is not None
    assert "lowered by 1000" in scene.composite.notes[0]
    np.testing.assert_array_equal(read(scene), harmonised)
    np.testing.assert_allclose(read(scene, apply_scale=True)[:, :3], (files[:, :3] - 1000.0) / 10_000, rtol=1e-5)

    # The files state it, too: they do not lower it a second time.
    for name in ("red", "nir"):
        with rasterio.open(tmp_path / f"{name}.tif", "r+") as dataset:
            dataset.scales, dataset.offsets = (0.0001,), (-0.1,)
    stated = {key: {**asset, "raster:scale": 0.0001, "raster:offset": -0.1} for key, asset in ASSETS.items()}
    path = write_item(tmp_path / "stated.json", stated, constellation="sentinel-2")
    scene = describe_entry(str(path), SceneSettings(), ["red", "nir"])
    np.testing.assert_array_equal(read(scene), harmonised)
    np.testing.assert_allclose(read(scene, apply_scale=True)[:, :3], (files[:, :3] - 1000.0) / 10_000, rtol=1e-5)

    path = write_item(
        tmp_path / "applied.json", stated, constellation="sentinel-2", **{"earthsearch:boa_offset_applied": True}
    )
    scene = describe_entry(str(path), SceneSettings(), ["red", "nir"])
    np.testing.assert_array_equal(read(scene), files)
    np.testing.assert_allclose(read(scene, apply_scale=True), files / 10_000.0, rtol=1e-5)


def test_scale_and_nodata_of_other_items(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 100, (1, 8, 8)).astype(np.int16)
    values[0, 2] = -5
    write_scene(tmp_path / "a.tif", values)
    assets = {"qa": {"href": "a.tif", "raster:bands": [{"scale": 2.75e-05, "offset": -0.2, "nodata": -5}]}}
    scene = describe_entry(str(write_item(tmp_path / "landsat.json", assets)), SceneSettings(), ["qa"])
    assert scene.time is not None
    assert scene.time.isoformat() == "2024-06-21T10:30:00+00:00"
    selection = select_bands(scene, 1, SceneSettings(apply_scale=True))
    pixels, valid = read_window(scene, selection, scene.grid.window)
    np.testing.assert_array_equal(valid, values[0] != -5)
    np.testing.assert_allclose(pixels[0, 0], values[0, 0] * 2.75e-05 - 0.2, rtol=1e-6)
    np.testing.assert_array_equal(read(scene), np.where(values == -5, 0, values))


def test_an_item_that_contradicts_its_file_fails(tmp_path: Path, files: np.ndarray) -> None:
    path = write_item(tmp_path / "i.json", ASSETS)
    document = json.loads(path.read_text())
    document["assets"]["nir"]["proj:transform"][2] += 15
    path.write_text(json.dumps(document))
    with pytest.raises(SceneError, match=r"nir\.tif is not what it was said to be: .*correct the Item's proj:"):
        read(describe_entry(str(path), SceneSettings(), ["red", "nir"]))
    document["assets"]["nir"]["proj:shape"] = [0, 5]
    path.write_text(json.dumps(document))
    with pytest.raises(SceneError, match=r"Item i, asset nir: its proj:shape \[0, 5\] .* cannot be used"):
        describe_entry(str(path), SceneSettings(), ["red", "nir"])
    document["properties"]["proj:code"] = "EPSG:999999"
    path.write_text(json.dumps(document))
    with pytest.raises(SceneError, match="'EPSG:999999' is no coordinate reference system"):
        describe_entry(str(path), SceneSettings(), ["red", "nir"])


@pytest.mark.parametrize(
    ("href", "message"),
    [
        ("file:///etc/passwd", "neither a file that exists here nor a name that geoseg opens"),
        ("/vsizip/a.zip/a.tif", "neither a file that exists here nor a name that geoseg opens"),
        ("https://example.com/a.tif", "scene.remote=false"),
        ("missing.tif", "missing.tif does not exist"),
        ("", "has no href"),
    ],
)
def test_hrefs_obey_the_rules_of_scenes(tmp_path: Path, files: np.ndarray, href: str, message: str) -> None:
    path = write_item(tmp_path / "i.json", {"red": {"href": href}}, stated=False)
    with pytest.raises(SceneError, match=rf"Item i.* asset red.*{message}"):
        describe_entry(str(path), SceneSettings(), ["red"])


def test_hrefs_to_private_hosts_need_permission(tmp_path: Path) -> None:
    path = write_item(tmp_path / "i.json", {"red": {"href": "https://127.0.0.1/a.tif"}}, stated=False)
    with pytest.raises(SceneError, match=r"Item i, asset red: .* which is not a public host"):
        describe_entry(str(path), SceneSettings(remote=True), ["red"])


@pytest.mark.parametrize("content", ["{", "[]", '{"type": "FeatureCollection"}', '{"type": "Feature"}'])
def test_what_is_no_item(tmp_path: Path, content: str) -> None:
    (tmp_path / "i.json").write_text(content)
    with pytest.raises(SceneError, match=r"i\.json (is not valid JSON|holds a list|is no STAC Item)"):
        describe_entry(str(tmp_path / "i.json"), SceneSettings(), ["red"])
