import json
from pathlib import Path

import duckdb
import duckdb_extension_spatial
import geopandas
import geoparquet_validator
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from pyproj import CRS

from geoseg.errors import SettingsError
from geoseg.grid.legend import Legend, LegendClass
from geoseg.grid.window import Grid
from geoseg.publish import geoparquet
from geoseg.publish.geoparquet import PART_ROWS, ROW_GROUP_ROWS, read_polygons
from geoseg.publish.polygon_table import POLYGON_SCHEMA, build_table, published_crs
from geoseg.vector.polygons import PixelPolygons
from tests.support.oracle import polygonize
from tests.support.parts import write_parts
from tests.support.placing import place

LEGEND = Legend(tuple(LegendClass(i, name, (i, 0, 0)) for i, name in enumerate(("water", "forest", "field"))))
UTM = CRS.from_epsg(32633).to_wkt()
TRANSFORM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_000_000.0)


def squares(side, crs="native"):
    """The table of a scene whose every pixel is a polygon."""
    first = np.arange(side * side)
    row, col = np.divmod(first, side)
    polygons = PixelPolygons(
        shapely.box(col, row, col + 1, row + 1), (first % 3).astype(np.uint8), first, np.ones_like(first), first % 256
    )
    grid = Grid(side, side, TRANSFORM, UTM)
    return build_table(place(polygons, grid), grid, LEGEND, cut_px=16, crs=crs, model="m")


def traced(folder, classes):
    """The table of a class map that went through files, as in a run."""
    paths = []
    for name, pixels in (("classes.tif", classes), ("confidence.tif", np.where(classes == 255, 0, 200))):
        height, width = pixels.shape
        with rasterio.open(
            folder / name, "w", driver="GTiff", height=height, width=width, count=1, dtype="uint8", crs="EPSG:32633",
            transform=TRANSFORM,
        ) as dataset:  # fmt: skip
            dataset.write(pixels.astype(np.uint8), 1)
        paths.append(folder / name)
    grid = Grid(*classes.shape, TRANSFORM, UTM)
    return build_table(place(polygonize(*paths), grid), grid, LEGEND, cut_px=16, model="m")


def smooth_classes(side=96, seed=0):
    coarse = np.random.default_rng(seed).choice([0, 1, 2, 255], (side // 6, side // 6))
    return np.kron(coarse, np.ones((6, 6), int)).astype(np.uint8)


def publish(output, scene, table, crs=UTM):
    folder = output / "polygons" / f"scene={scene}"
    folder.mkdir(parents=True)
    return write_parts(folder, table, crs)


def assert_conformant(path):
    report = geoparquet_validator.check(str(path))
    for conformance_class in ("core", "covering", "distribution"):
        assert geoparquet_validator.failed(report, conformance_class) == []
        assert geoparquet_validator.conformant(report, conformance_class)
    assert any(outcome["status"] == "pass" for outcome in report["outcomes"])


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of 1,000 rows and row groups of 100, so that tests cross their edges."""
    monkeypatch.setattr(geoparquet, "PART_ROWS", 1000)
    monkeypatch.setattr(geoparquet, "ROW_GROUP_ROWS", 100)


def test_the_counts_are_the_documented_ones():
    assert (ROW_GROUP_ROWS, PART_ROWS) == (32_768, 262_144)


@pytest.mark.parametrize("crs", ["native", "EPSG:4326", "EPSG:3857"])
def test_a_validator_finds_nothing(tmp_path, small_parts, crs):
    wkt = published_crs(Grid(40, 40, TRANSFORM, UTM), crs)
    for path in publish(tmp_path, "a", squares(40, crs=crs), wkt):
        assert_conformant(path)
        assert geopandas.read_parquet(path).crs == CRS(UTM if crs == "native" else crs)


def test_a_validator_finds_nothing_in_a_file_of_real_size(tmp_path):
    (path,) = publish(tmp_path, "a", squares(200))
    assert_conformant(path)
    assert [pq.ParquetFile(path).metadata.row_group(i).num_rows for i in range(2)] == [32_768, 7_232]


def test_the_validator_can_fail(tmp_path):
    table = squares(4)
    clockwise = shapely.orient_polygons(
        shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False)), exterior_cw=True
    )
    index = table.schema.get_field_index("geometry")
    wrong = table.set_column(index, POLYGON_SCHEMA.field("geometry"), pa.array(shapely.to_wkb(clockwise), pa.binary()))
    (path,) = publish(tmp_path, "a", wrong)
    assert geoparquet_validator.failed(geoparquet_validator.check(str(path)))


def test_parts_and_row_groups_are_cut_at_fixed_counts(tmp_path, small_parts):
    table = squares(50)
    paths = publish(tmp_path, "a", table)
    assert [path.name for path in paths] == [f"part-0000{i}.parquet" for i in range(3)]
    files = [pq.ParquetFile(path) for path in paths]
    assert [file.metadata.num_rows for file in files] == [1000, 1000, 500]
    assert {file.metadata.row_group(i).num_rows for file in files for i in range(file.num_row_groups)} == {100}
    back = pa.concat_tables([file.read() for file in files])
    assert back.cast(POLYGON_SCHEMA).equals(table)
    for file in files:
        assert file.schema_arrow.equals(POLYGON_SCHEMA)


def test_the_metadata_describe_the_file_and_nothing_else(tmp_path, small_parts):
    first, *_ = publish(tmp_path, "a", squares(50))
    metadata = pq.read_metadata(first).metadata
    assert set(metadata) == {b"geo", b"geoseg:area_method", b"ARROW:schema"}
    assert metadata[b"geoseg:area_method"] == b"planar"
    geo = json.loads(metadata[b"geo"])
    column = geo["columns"]["geometry"]
    rows = geopandas.read_parquet(first)
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    assert (column["encoding"], column["orientation"], column["edges"]) == ("WKB", "counterclockwise", "planar")
    assert column["geometry_types"] == ["Polygon"]
    assert column["bbox"] == rows.total_bounds.tolist()
    assert CRS.from_json_dict(column["crs"]) == CRS.from_epsg(32633)
    group = pq.read_metadata(first).row_group(0)
    chunks = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {chunk.compression for chunk in chunks.values()} == {"ZSTD"}
    assert [name for name, chunk in chunks.items() if not chunk.is_stats_set] == ["geometry"]


def test_the_same_table_gives_the_same_bytes_for_any_memory_layout(tmp_path, small_parts):
    table = squares(50)
    pieces = pa.concat_tables([table.slice(start, 333) for start in range(0, len(table), 333)])
    one, two = (publish(tmp_path / name, "a", rows) for name, rows in (("one", table), ("two", pieces)))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_scene_of_nodata_gives_one_valid_part_without_rows(tmp_path):
    (path,) = publish(tmp_path, "a", traced(tmp_path, np.full((5, 7), 255)))
    assert_conformant(path)
    assert pq.read_schema(path).equals(POLYGON_SCHEMA)
    frame = read_polygons(tmp_path)
    assert len(frame) == 0
    assert frame.crs == CRS.from_epsg(32633)


def test_duckdb_gets_the_counts_and_areas_of_the_class_map(tmp_path):
    classes = smooth_classes()
    publish(tmp_path, "a", traced(tmp_path, classes))
    root = Path(duckdb_extension_spatial.__file__).parent
    (extension,) = root.rglob("spatial.duckdb_extension")
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as connection:
        connection.execute(f"LOAD '{extension}'")
        rows = connection.read_parquet(f"{tmp_path}/polygons/*/*.parquet", hive_partitioning=True)
        sums = "class_name, sum(area_m2), sum(ST_Area(geometry)), sum(pixels), any_value(scene)"
        found = rows.aggregate(sums, "class_name").order("class_name").fetchall()
        (count,) = rows.filter("bbox.xmin < 500100 AND ST_IsValid(geometry)").aggregate("count(*)").fetchone()
    pixels = {name: int((classes == LEGEND.names.index(name)).sum()) for name in sorted(LEGEND.names)}
    assert found == [(name, 100.0 * n, 100.0 * n, n, "a") for name, n in pixels.items()]
    assert count == (read_polygons(tmp_path).bounds.minx < 500_100).sum() > 0


def test_geopandas_reads_the_polygons_that_intersect_a_box(tmp_path, small_parts):
    paths = publish(tmp_path, "a", squares(50))
    box = (500_095, 3_999_795, 500_125, 3_999_805)
    found = pa.concat_tables([pq.read_table(path, columns=["polygon_id"]) for path in paths])
    assert len(found) == 2500
    for frame in (geopandas.read_parquet(paths[0].parent, bbox=box), read_polygons(tmp_path, bbox=box)):
        assert sorted(frame["polygon_id"]) == [row * 50 + col for row in (19, 20) for col in (9, 10, 11, 12)]


def test_scenes_are_read_together_and_keep_their_names(tmp_path):
    for scene in ("20240131", "007"):
        publish(tmp_path, scene, traced(tmp_path, smooth_classes(seed=len(scene))))
    (tmp_path / "polygons" / ".scene=half").mkdir()
    (tmp_path / "polygons" / ".scene=half" / "part-00000.parquet").write_bytes(b"not yet")
    frame = read_polygons(tmp_path)
    assert isinstance(frame, geopandas.GeoDataFrame)
    assert frame.crs == CRS.from_epsg(32633)
    assert set(frame["scene"]) == {"20240131", "007"}
    assert [*frame.columns] == [*POLYGON_SCHEMA.names[:-1], "scene"]
    assert frame.is_valid.all()
    assert np.array_equal(frame.area, frame["area_m2"])
    assert (frame["confidence"] == np.float32(200 / 255)).all()
    narrow = read_polygons(str(tmp_path), columns=["scene", "class_name"])
    assert [*narrow.columns] == ["scene", "class_name", "geometry"]
    assert len(narrow) == len(frame)


def test_scenes_of_two_crs_are_refused(tmp_path):
    publish(tmp_path, "a", squares(3))
    publish(tmp_path, "b", squares(3), CRS.from_epsg(32634).to_wkt())
    with pytest.raises(SettingsError, match=r"scene=a.* is in WGS 84 / UTM zone 33N and .*scene=b.* UTM zone 34N"):
        read_polygons(tmp_path)


def test_an_output_without_polygons_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="finished run"):
        read_polygons(tmp_path)
