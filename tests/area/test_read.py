"""Areas of interest from files and numbers, and what is refused."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from geoseg.area.read import read_area
from geoseg.errors import SettingsError

SQUARE, HOLED = shapely.box(8, 49, 9, 50), shapely.box(8.5, 49, 10, 50).difference(shapely.box(8.6, 49.1, 8.7, 49.2))


def write(path: Path, *shapes: Any, crs: Any = 4326, **how: Any) -> Path:
    frame = gpd.GeoDataFrame({"name": ["x"] * len(shapes)}, geometry=list(shapes), crs=crs)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path, **how)
    return path


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg", "a.shp", "a.fgb", "a.parquet", "a.kml", "ü #1.geojson"])
def test_the_union_of_all_features_with_their_holes(tmp_path: Path, name: str) -> None:
    area = read_area(str(write(tmp_path / name, SQUARE, HOLED)), None)
    assert area.geometry.equals(SQUARE.union(HOLED))
    assert (area.crs.to_epsg(), area.warnings) == (4326, ())


def test_odd_geometries(tmp_path: Path) -> None:
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    collection = shapely.GeometryCollection([shapely.MultiPolygon([SQUARE]), shapely.Point(1, 1)])
    high = shapely.force_3d(shapely.box(20, 20, 21, 21), 7)
    path = write(tmp_path / "odd.gpkg", bow, collection, high, shapely.Point(0, 0), None, shapely.Polygon())
    area = read_area(str(path), None)
    assert area.geometry.area == pytest.approx(2 + 1 + 1)
    assert area.warnings == (f"{path}: 1 of 4 features of the area of interest are no polygons and ignored.",)


def test_one_layer_of_several(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", SQUARE, layer="fields")
    write(path, HOLED, layer="town", mode="a")
    assert read_area(f"{path}#town", None).geometry.equals(HOLED)
    with pytest.raises(SettingsError, match=rf"it holds the layers fields, town; give {path}#LAYER"):
        read_area(str(path), None)
    with pytest.raises(SettingsError, match="it has no layer lake, but fields, town"):
        read_area(f"{path}#lake", None)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_a_file_without_a_crs_needs_one(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.shp", shapely.box(480_000, 5_470_000, 490_000, 5_480_000), crs=None))
    with pytest.raises(SettingsError, match=r"a\.shp has no CRS.*Set scene\.aoi_crs"):
        read_area(path, None)
    assert read_area(path, "EPSG:32632").crs.to_epsg() == 32632


def test_numbers() -> None:
    area = read_area((8, 49, 9, 50), None)
    assert (area.geometry.bounds, area.crs.to_epsg(), area.source) == ((8, 49, 9, 50), 4326, "8,49,9,50 (WGS 84)")
    assert read_area((480_000, 5_470_000, 490_000, 5_480_000), "EPSG:32632").crs.to_epsg() == 32632
    assert read_area((170, -20, -170, 20), None).geometry.bounds == (170, -20, 190, 20)


@pytest.mark.parametrize(
    ("given", "crs", "words"),
    [
        ((9, 49, 9, 50), None, "is empty. Give xmin,ymin,xmax,ymax: longitude before latitude"),
        ((8, 50, 9, 49), None, "is empty"),
        ((9e5, 1, 8e5, 2), "EPSG:32632", "is empty. Give xmin,ymin,xmax,ymax."),
        ((8, 49, 9, 50), "EPSG:1", "scene.aoi_crs=EPSG:1 is no CRS"),
        ("absent.geojson", None, "absent.geojson does not exist"),
        ("/vsicurl/https://example.com/a.geojson", None, "does not exist. Give a vector file on this machine"),
        ("https://example.com/a.geojson", None, "does not exist"),
    ],
)
def test_what_is_refused(given: Any, crs: str | None, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_area(given, crs)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read"),
        ("<html>404</html>", "cannot be read"),
        ("<OGRVRTDataSource></OGRVRTDataSource>", "it names data elsewhere"),
        ('{"type": "FeatureCollection", "features": []}', "holds no polygon but no feature"),
        ('{"type": "LineString", "coordinates": [[0, 0], [1, 1]]}', "holds no polygon but LineString"),
        ('{"type": "MultiPoint", "coordinates": [[0, 0], [1, 1]]}', "holds no polygon but MultiPoint"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}', "holds no polygon but Polygon"),
    ],
)
def test_files_without_polygons(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(content)
    with pytest.raises(SettingsError) as raised:
        read_area(str(path), None)
    assert str(path) in str(raised.value)
    assert words in str(raised.value)


def test_another_crs_than_that_of_the_file(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.geojson", SQUARE))
    with pytest.raises(SettingsError, match=r"is in WGS 84, and scene\.aoi_crs=EPSG:32632\. Leave that out"):
        read_area(path, "EPSG:32632")
    assert read_area(path, "EPSG:4326").geometry.equals(SQUARE)


def test_a_table_without_geometries(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SettingsError, match="it holds no layer"):
        read_area(str(path), None)
