"""Items, mosaics, areas and searches that cannot be used: one clear message each, exit code 2 or 3."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from rasterio.transform import Affine

from tests.catalog.test_search import Api
from tests.support.bundles import unet_bundle
from tests.support.cli import CommandLine, Printed
from tests.support.scenes import TRANSFORM, textured, write_scene
from tests.support.stac import write_item

BANDS = ("blue", "green", "red", "nir")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    unet_bundle(folder / "bundle", bands=list(BANDS))
    pixels = textured(60, 60)
    write_scene(folder / "scene.tif", pixels, nodata=0)
    for band, values in zip(BANDS, pixels, strict=True):
        write_scene(folder / f"{band}.tif", values[None], nodata=0)
    return folder


@pytest.fixture
def geoseg(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    command = CommandLine(monkeypatch, capsys)

    def run(*words: object) -> Printed:
        how = ("--model", folder / "bundle", "--output", tmp_path / "out", "--address", "inline")
        done = command("segment", *words, *how)
        assert not (tmp_path / "out/rasters").exists()
        return done

    return run


def assets(**changed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {band: {"href": f"{band}.tif", "bands": [{"name": band}]} for band in BANDS}
    return {key: {**asset, **changed.get(key, {})} for key, asset in found.items()}


def failed(done: Printed, *said: str) -> None:
    """One scene failed with one message, and no traceback."""
    text = " ".join(f"{done.out} {done.err}".split())
    assert done.code == 3, text
    assert "1 scene: 1 failed" in text
    assert "Traceback" not in text
    for words in said:
        assert words in text


def refused(done: Printed, *said: str) -> None:
    """The run did not start."""
    text = " ".join(done.err.split())
    assert done.code == 2, f"{done.out} {text}"
    assert len(done.err.strip().splitlines()) == 1, done.err
    for words in said:
        assert words in text


def test_an_item_without_a_band(folder: Path, geoseg: Any) -> None:
    there = {key: asset for key, asset in assets().items() if key != "nir"}
    item = write_item(folder / "absent.json", there)
    failed(geoseg(item), "Item absent: no band is named nir. There are: blue, green, red.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proj:shape": [61, 60]}, "is not what it was said to be: 60 x 60 pixels"),
        ({"proj:transform": [10, 0, 480_050, 0, -10, 5_480_000]}, "is not what it was said to be"),
        ({"proj:code": "EPSG:32633"}, "in another CRS"),
        ({"proj:code": "EPSG:123456"}, "'EPSG:123456' is no coordinate reference system"),
        ({"proj:shape": ["a", 4]}, "cannot be used"),
    ],
)
def test_an_item_with_contradictory_projections(
    folder: Path, geoseg: Any, changes: dict[str, Any], message: str
) -> None:
    item = write_item(folder / "wrong.json", assets())
    document = json.loads(item.read_text())
    document["assets"]["red"].update(changes)
    item.write_text(json.dumps(document))
    failed(geoseg(item), "Item wrong", message)


def test_items_that_contradict_each_other(folder: Path, geoseg: Any) -> None:
    """A mosaic whose second Item lies on another continent, by a wrong zone and side."""
    first, far = write_item(folder / "first.json", assets()), folder / "far"
    far.mkdir(exist_ok=True)
    for band in BANDS:
        moved = TRANSFORM @ Affine.translation(6_000_000, 0)
        write_scene(far / f"{band}.tif", np.ones((1, 60, 60), np.uint16), transform=moved)
    second = write_item(far / "second.json", assets())
    failed(geoseg(first, second, "--mosaic", "m"), "mosaic m: its items reach over", "more than the earth")


@pytest.mark.parametrize(
    ("href", "more", "message"),
    [
        ("file:///etc/passwd", (), "neither a file that exists here nor a name that geoseg opens"),
        ("https://example.com/a.tif", (), "scene.remote=false"),
        ("https://127.0.0.1/a.tif", ("--remote",), "is not a public host"),
        ("https://169.254.169.254/latest", ("--remote",), "is not a public host"),
        ("http://example.com/a.tif", ("--remote",), "would be read unencrypted"),
        ("https://user:secret@example.com/a.tif", ("--remote",), "holds a user name"),
        ("gone.tif", (), "gone.tif does not exist"),
    ],
)
def test_hrefs_that_must_not_be_read(folder: Path, geoseg: Any, href: str, more: tuple[str, ...], message: str) -> None:
    item = write_item(folder / "href.json", assets(red={"href": href}), stated=False)
    done = geoseg(item, *more)
    failed(done, "Item href, asset red", message)
    assert "secret" not in f"{done.out}{done.err}"


def test_an_area_without_crs_or_outside_everything(folder: Path, geoseg: Any, tmp_path: Path) -> None:
    box = shapely.box(480_000, 5_479_700, 480_300, 5_480_000)
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        gpd.GeoDataFrame(geometry=[box]).to_file(tmp_path / "none.gpkg", driver="GPKG")
    refused(geoseg(folder / "scene.tif", "--aoi", tmp_path / "none.gpkg"), "none.gpkg", "scene.aoi_crs")
    refused(geoseg(folder / "scene.tif", "--aoi", "100,10,101,11"), "does not touch the scene")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_search_that_finds_nothing(
    folder: Path, geoseg: Any, api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Api, "found", 0)
    config = tmp_path / "search.yaml"
    config.write_text(f"mosaics: [{{id: m, items: [{{search: '{api}', collections: [s2]}}]}}]")
    words = ("--config", config, "--remote", "--set", "scene.allow_private_hosts=true")
    failed(geoseg(*words), "mosaic m", "finds no Item. Widen it.")


def test_a_mosaic_larger_than_the_earth(folder: Path, geoseg: Any) -> None:
    far = write_scene(
        folder / "far.tif", textured(20, 20), nodata=0, transform=TRANSFORM @ Affine.translation(0, 5_000_000)
    )
    failed(geoseg(folder / "scene.tif", far, "--mosaic", "m"), "more than the earth", "set grid.bounds")


@pytest.mark.parametrize(
    ("mosaic", "message"),
    [
        ("{id: m, items: []}", "mosaics"),
        ("{id: m, items: [a.tif], pick: last}", "first"),
        ("{id: m, items: [a.tif], order: oldest}", "given"),
        ("{id: m, items: [a.tif], grid: {resolution_m: 0}}", "resolution_m"),
        ("{id: m, items: [{search: x}]}", "collections"),
    ],
)
def test_settings_of_mosaics(geoseg: Any, tmp_path: Path, mosaic: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(f"mosaics: [{mosaic}]")
    refused(geoseg("--config", tmp_path / "c.yaml"), "mosaics", message)
