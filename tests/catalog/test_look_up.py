"""What entries of scenes and mosaics stand for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import geopandas as gpd
import numpy as np
import pytest
import rustac
import shapely

from geoseg.catalog.look_up import look_up
from geoseg.catalog.mosaic import describe_mosaic
from geoseg.config import SceneSettings
from geoseg.errors import SceneError, UnreachableError
from geoseg.mosaic_settings import MosaicSettings
from geoseg.stac.item import Item
from tests.support.cli import CommandLine
from tests.support.scenes import write_scene
from tests.support.stac import write_item
from tests.support.web import Web, serve

REMOTE = SceneSettings(remote=True, allow_private_hosts=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two rasters and two Items of them, and another file."""
    (tmp_path / "deep").mkdir()
    for name in ("b", "a", "deep/c"):
        write_scene(tmp_path / f"{name}.tif", np.ones((1, 8, 8), np.uint8))
    (tmp_path / "readme.md").write_text("no raster")
    for name, cloud in (("b", 3), ("a", 80)):
        assets = {"red": {"href": f"{name}.tif", "bands": [{"name": "red"}]}}
        write_item(tmp_path / f"{name}.json", assets, **{"eo:cloud_cover": cloud})
    return tmp_path


def names(found: list[str | Item]) -> list[str]:
    return [one.id if isinstance(one, Item) else Path(one).name for one in found]


def items_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"{name}.json").read_text()) for name in ("b", "a")]


def test_files_directories_patterns_and_lists(folder: Path) -> None:
    (folder / "list.txt").write_text("# dates\nb.tif   # autumn\n\ndeep\n")
    for entry, expected in {
        "b.tif": ["b.tif"],
        "": ["a.tif", "b.tif"],
        "*.tif": ["a.tif", "b.tif"],
        "**/*.tif": ["a.tif", "b.tif", "c.tif"],
        "list.txt": ["b.tif", "c.tif"],
        "*.json": ["a", "b"],
        "b.json": ["b"],
    }.items():
        assert names(look_up([str(folder / entry)])) == expected, entry
    assert names(look_up([str(folder / "b.tif"), str(folder), str(folder / "*.tif")])) == ["b.tif", "a.tif"]


def test_item_collections_and_tables(folder: Path) -> None:
    items = items_of(folder)
    (folder / "all.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    for item in items:
        item["geometry"] = json.loads(shapely.to_geojson(shapely.box(8, 49, 9, 50)))
        item["bbox"] = [8, 49, 9, 50]
        item["assets"]["red"]["href"] = str(folder / item["assets"]["red"]["href"])
    rustac.write_sync(str(folder / "all.parquet"), items)
    index = gpd.GeoDataFrame({"location": ["b.tif", "deep/c.tif"]}, geometry=[shapely.box(0, 0, 1, 1)] * 2, crs=4326)
    index.to_file(folder / "index.gti.gpkg")
    index.to_parquet(folder / "index.parquet")
    assert names(look_up([str(folder / "all.json")])) == ["b", "a"]
    found = look_up([str(folder / "all.parquet")])
    assert names(found) == ["b", "a"]
    first = found[0]
    assert isinstance(first, Item)
    assert first.cloud_percent == 3
    assert first.time == look_up([str(folder / "b.json")])[0].time  # type: ignore[union-attr]
    assert names(look_up([str(folder / "index.gti.gpkg")])) == ["b.tif", "c.tif"]
    assert names(look_up([str(folder / "index.parquet")])) == ["b.tif", "c.tif"]
    entries = MosaicSettings(id="m", items=(str(folder / "all.parquet"),))
    by_table = describe_mosaic(entries, SceneSettings(), ["red"])
    by_items = describe_mosaic(MosaicSettings(id="m", items=(str(folder / "all.json"),)), SceneSettings(), ["red"])
    assert by_table.grid == by_items.grid
    assert by_table.files == by_items.files


def test_the_order_of_items(folder: Path) -> None:
    def order(**options: Any) -> list[str]:
        items = (str(folder / "a.json"), str(folder / "b.json"))
        scene = describe_mosaic(MosaicSettings(id="m", items=items, **options), SceneSettings(), ["red"])
        assert scene.composite is not None
        return [source.name for source in scene.composite.sources]

    assert order() == ["Item a", "Item b"]
    assert order(order="least_cloud") == ["Item b", "Item a"]
    (folder / "b.json").write_text((folder / "b.json").read_text().replace("2024-06-21", "2024-07-21"))
    assert order(order="newest") == ["Item b", "Item a"]
    with pytest.raises(SceneError, match=r"order=newest needs the time of each item, and .*a\.tif does not tell it"):
        describe_mosaic(MosaicSettings(id="m", items=(str(folder / "a.tif"),), order="newest"))


@pytest.fixture
def web(folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    with serve(folder, tmp_path_factory.mktemp("log") / "log") as server:
        yield server


def test_prefixes_and_items_of_a_web_server(folder: Path, web: Web) -> None:
    (folder / "index.html").write_text(
        '<a href="b.tif">b</a> <a href="/x/c.tif">c</a> <A HREF=\'a.tif\'>a</A> <a href="../d.tif">'
    )
    with pytest.raises(SceneError, match=r"scene\.remote=false"):
        look_up([f"{web.url}/b.json"])
    with pytest.raises(SceneError, match=r"would be read unencrypted|not a public host"):
        look_up([f"{web.url}/b.json"], SceneSettings(remote=True))
    assert names(look_up([f"{web.url}/b.json"], REMOTE)) == ["b"]
    scene = describe_mosaic(MosaicSettings(id="m", items=(f"{web.url}/b.json", f"{web.url}/a.json")), REMOTE, ["red"])
    assert scene.files == tuple(f"/vsicurl/{web.url}/{name}.tif" for name in ("b", "a"))
    assert all(version.content for version in scene.versions)
    with pytest.raises(SceneError, match="404"):
        look_up([f"{web.url}/missing.json"], REMOTE)
    with pytest.raises(UnreachableError, match="cannot be reached"):
        look_up(["http://127.0.0.1:1/a.json"], REMOTE)


def test_an_item_from_the_network_names_no_local_file(folder: Path, web: Web) -> None:
    for href in ("/etc/passwd", "file:///etc/passwd", str(folder / "a.tif")):
        write_item(folder / "evil.json", {"red": {"href": href, "bands": [{"name": "red"}]}}, stated=False)
        mosaic = MosaicSettings(id="m", items=(f"{web.url}/evil.json",))
        with pytest.raises(SceneError, match=r"Item evil, asset red: .*(comes from the network|cannot be opened over)"):
            describe_mosaic(mosaic, REMOTE, ["red"])


def test_a_prefix_of_a_bucket(folder: Path, s3_server: str, s3_environment: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_S3_ENDPOINT": s3_server.removeprefix("http://"), "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE",
    }.items():  # fmt: skip
        s3_environment.setenv(name, value)
    client = boto3.client("s3", endpoint_url=s3_server)
    client.create_bucket(Bucket="catalog")
    for file in folder.rglob("*.*"):
        client.upload_file(str(file), "catalog", f"x/{file.relative_to(folder)}")
    found = look_up(["s3://catalog/x/"], REMOTE)
    assert found == [f"s3://catalog/x/{name}.tif" for name in ("a", "b", "deep/c")]
    scene = describe_mosaic(MosaicSettings(id="m", items=("s3://catalog/x/b.json",)), REMOTE, ["red"])
    assert scene.files == ("/vsis3/catalog/x/b.tif",)
    with pytest.raises(SceneError, match="lists no raster"):
        look_up(["s3://catalog/nothing/"], REMOTE)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", '{"type": "Catalog"}', r"neither a STAC Item with assets nor an ItemCollection \(Catalog\)"),
        ("x.json", '{"type": "FeatureCollection", "features": []}', "FeatureCollection without a STAC Item"),
        ("x.parquet", "no table", "cannot be read as Parquet"),
        ("x.gpkg", "no table", "cannot be read as a tile index"),
        ("x.txt", "", "lists no file"),
        ("*.nothing", None, "is a pattern that matches no file here"),
    ],
)
def test_what_stands_for_nothing(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SceneError, match=message):
        look_up([str(tmp_path / name)])


def test_scenes_list_prints_what_a_run_would_take(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    geoseg = CommandLine(monkeypatch, capsys)
    done = geoseg("scenes", "list", folder)
    assert done.code == 0
    assert done.out.splitlines()[-1] == "2 found"
    assert "8.72" in done.out
    done = geoseg("scenes", "list", folder / "*.json", "--json")
    listed = json.loads(done.out)
    assert [(one["name"], one["cloud_percent"], one["bands"]) for one in listed] == [
        ("a", 80, ["red"]),
        ("b", 3, ["red"]),
    ]
    (folder / "broken.tif").write_text("x")
    assert geoseg("scenes", "list", folder).code == 3
    monkeypatch.chdir(folder)
    (folder / "list.yaml").write_text("[a.tif, deep]")
    assert geoseg("scenes", "list", "list.yaml").out.splitlines()[-1] == "2 found"
    (folder / "list.yaml").write_text("search: 3")
    wrong = geoseg("scenes", "list", "list.yaml")
    assert wrong.code == 2
    assert "holds no search" in wrong.err
