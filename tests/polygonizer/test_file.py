"""`geoseg polygonize`: the same file for any blocks, the polygons of the array, messages that help."""

import hashlib

import geopandas
import geoparquet_validator
import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter

import geoseg
from geoseg.polygonizer.class_raster import open_class_raster
from geoseg.polygonizer.file import PolygonizeOptions, polygonize_raster
from geoseg.publish import geoparquet, sorting
from geoseg.publish.geodesy.pixel_area import pixel_area
from tests.support.cli import CommandLine
from tests.support.scenes import TRANSFORM, write_scene
from tests.vector.class_maps import landscape_like

SHAPE = (1100, 1300)
COLUMNS = ["polygon_id", "value", "class_name", "area_m2", "perimeter_m", "pixels", "geometry"]


@pytest.fixture
def run(monkeypatch, capsys):
    return CommandLine(monkeypatch, capsys)


@pytest.fixture(scope="module")
def values():
    """A class map of int16 with nodata -5, larger than two blocks of 512, with components through many blocks."""
    coarse = np.kron(landscape_like(0, (SHAPE[0] // 5, SHAPE[1] // 5)), np.ones((5, 5), np.uint8)).astype(np.int16)
    values = np.where(coarse == 255, -5, coarse * 300)
    values[:, 700:703] = 0
    values[600:603] = 0
    return values.astype(np.int16)


@pytest.fixture(scope="module")
def raster(tmp_path_factory, values):
    return write_scene(tmp_path_factory.mktemp("raster") / "map.tif", values[None], nodata=-5, tiled=True)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("options", [{}, {"min_area_px": 60}, {"simplify_px": 0.0, "values": [0, 300]}])
def test_any_blocks_give_the_same_file_and_the_polygons_of_the_array(tmp_path, raster, values, options):
    outputs = [tmp_path / f"{block_px}.parquet" for block_px in (512, 1024, 2048)]
    counts = {
        polygonize_raster(raster, output, PolygonizeOptions(block_px=int(output.stem), **options)) for output in outputs
    }
    assert len({digest(output) for output in outputs}) == 1
    frame = geopandas.read_parquet(outputs[0]).sort_values("polygon_id", ignore_index=True)
    assert counts == {len(frame)}
    assert [*frame.columns] == COLUMNS
    expected = geoseg.polygonize(
        values, transform=TRANSFORM, crs="EPSG:32632", nodata=-5, **{"simplify_px": 1.0, **options}
    )
    assert len(expected) > 100
    for column in ("polygon_id", "value", "pixels"):
        assert np.array_equal(frame[column], expected[column])
    assert frame["value"].dtype == np.int16
    assert frame.geometry.geom_equals_exact(expected.geometry, 0).all()
    assert frame["class_name"].tolist() == [str(value) for value in expected["value"]]
    assert np.array_equal(frame["area_m2"], 100.0 * frame["pixels"])


def test_the_file_is_geoparquet_in_row_groups_and_in_order(tmp_path, raster, monkeypatch):
    whole = tmp_path / "whole.parquet"
    polygonize_raster(raster, whole)
    monkeypatch.setattr(sorting, "PART_ROWS", 2000)
    monkeypatch.setattr(geoparquet, "ROW_GROUP_ROWS", 500)
    output = tmp_path / "parts.parquet"
    count = polygonize_raster(raster, output)
    report = geoparquet_validator.check(str(output))
    for conformance_class in ("core", "covering", "distribution"):
        assert geoparquet_validator.conformant(report, conformance_class)
    with pq.ParquetFile(output) as file:
        rows = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        assert file.metadata.metadata[b"geoseg:simplify_px"] == b"1"
        assert file.metadata.metadata[b"geoseg:min_area_px"] == b"1", "as in the files of a run, where 1 is none"
        assert file.metadata.metadata[b"geoseg:area_method"] == b"planar"
    assert sum(rows) == count > 2000
    assert set(rows[:-1]) == {500}
    frame, expected = geopandas.read_parquet(output), geopandas.read_parquet(whole)
    assert frame.equals(expected)
    assert frame.crs == "EPSG:32632"


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb"])
def test_other_formats_hold_the_same(tmp_path, raster, suffix, monkeypatch):
    monkeypatch.setattr(sorting, "PART_ROWS", 2000)
    parquet, output = tmp_path / "a.parquet", tmp_path / f"a{suffix}"
    for path in (parquet, output):
        polygonize_raster(raster, path)
    frame = geopandas.read_file(output).sort_values("polygon_id", ignore_index=True)
    expected = geopandas.read_parquet(parquet).sort_values("polygon_id", ignore_index=True)
    assert [*frame.columns] == COLUMNS
    assert frame.crs == expected.crs
    for column in COLUMNS[:-1]:
        assert frame[column].tolist() == expected[column].tolist()
    assert frame.geometry.geom_equals_exact(expected.geometry, 0).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a" + suffix, "a.parquet"]


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg", ".fgb"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "uint32", "int32", "int64", "uint64"])
def test_values_of_any_type_in_any_format(tmp_path, suffix, dtype):
    pixels = np.array([[[0, 0, 100], [7, 7, 7]]], dtype)
    output = tmp_path / f"a{suffix}"
    polygonize_raster(write_scene(tmp_path / "map.tif", pixels), output)
    frame = geopandas.read_parquet(output) if suffix == ".parquet" else geopandas.read_file(output)
    assert dict(zip(frame["polygon_id"], frame["value"], strict=True)) == {0: 0, 2: 100, 3: 7}


@pytest.fixture(scope="module")
def confidence():
    """A smooth field in 250 steps with more than 100,000 components, as a probability has."""
    rng = np.random.default_rng(0)
    field = gaussian_filter(rng.standard_normal((420, 420)), 3)
    return np.clip(125 + 40 * field / field.std(), 0, 250).astype(np.uint8)


def test_a_continuous_quantity_is_refused_unless_allowed(run, tmp_path, confidence):
    raster = write_scene(tmp_path / "confidence.tif", confidence[None])
    printed = run("polygonize", raster, "--output", tmp_path / "a.parquet")
    assert printed.code == 3
    assert f"{raster} looks like a quantity that varies continuously" in printed.err
    for remedy in ("Polygonize the class map", "--values", "--allow-continuous"):
        assert remedy in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["confidence.tif"]
    assert run("polygonize", raster, "--output", tmp_path / "a.parquet", "--allow-continuous").code == 0
    assert len(geopandas.read_parquet(tmp_path / "a.parquet")) > 100_000
    assert run("polygonize", raster, "--output", tmp_path / "b.parquet", "--values", "1,2,3").code == 0
    with rasterio.open(raster, "r+") as dataset:
        dataset.update_tags(CLASS_3="a class after all")
    assert run("polygonize", raster, "--output", tmp_path / "c.parquet").code == 0


@pytest.mark.parametrize(
    "make",
    [
        # Classes have no order: neighbours of a noisy map with many of them are as far apart as chance has it.
        lambda rng, _: rng.permutation(250)[rng.integers(0, 250, (400, 400))],
        lambda rng, _: np.where(rng.random((900, 900)) < 0.2, rng.integers(0, 6, (900, 900)), 3),
        lambda rng, _: np.kron(rng.integers(0, 200, (400, 400)), np.ones((2, 2), int)),
        lambda _, field: field // 8,
        lambda _, field: field[:250, :250],
    ],
    ids=["noise of many classes", "salt", "small fields of many classes", "thirty steps", "few polygons"],
)
def test_class_maps_are_not_taken_for_a_quantity(tmp_path, confidence, make):
    classes = make(np.random.default_rng(1), confidence).astype(np.uint8)
    raster = write_scene(tmp_path / "map.tif", classes[None])
    assert polygonize_raster(raster, tmp_path / "a.parquet", PolygonizeOptions(simplify_px=0)) > 30_000


def test_255_is_a_value_where_it_is_not_nodata(tmp_path):
    pixels = np.zeros((1, 1200, 3), np.uint8)
    pixels[0, -1, 1] = 255
    polygonize_raster(
        write_scene(tmp_path / "map.tif", pixels), tmp_path / "a.parquet", PolygonizeOptions(block_px=512)
    )
    assert sorted(geopandas.read_parquet(tmp_path / "a.parquet")["value"]) == [0, 255]


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg", ".fgb"])
def test_nothing_but_nodata_is_a_file_without_rows(tmp_path, suffix):
    output = tmp_path / f"a{suffix}"
    raster = write_scene(tmp_path / "map.tif", np.zeros((1, 9, 9), np.int32), nodata=0)
    assert polygonize_raster(raster, output, PolygonizeOptions(min_area_px=3)) == 0
    frame = geopandas.read_parquet(output) if suffix == ".parquet" else geopandas.read_file(output)
    assert len(frame) == 0


def test_names_come_from_the_tags_and_masked_pixels_are_nodata(tmp_path):
    raster = write_scene(tmp_path / "map.tif", np.array([[[3, 9, 4]]], np.uint8))
    with rasterio.open(raster, "r+") as dataset:
        dataset.update_tags(CLASS_3="water", CLASS_4="water", CLASS_x="odd", OTHER_9="no")
        dataset.write_mask(np.array([[True, False, True]]))
    polygonize_raster(raster, tmp_path / "a.parquet")
    frame = geopandas.read_parquet(tmp_path / "a.parquet")
    assert frame[["value", "class_name"]].to_numpy().tolist() == [[3, "water"], [4, "water"]]
    with rasterio.open(raster, "r+") as dataset:
        dataset.write_mask(np.array([[True, True, False]]))
    polygonize_raster(raster, tmp_path / "a.parquet", PolygonizeOptions(overwrite=True))
    assert geopandas.read_parquet(tmp_path / "a.parquet")["class_name"].tolist() == ["water", "9"]


def test_the_command_reports_its_output_and_replaces_only_with_overwrite(run, tmp_path, raster):
    output = tmp_path / "new" / "a.parquet"
    printed = run("polygonize", raster, "--output", output, "--values", "0,300", "--min-area-px", 9)
    assert (printed.code, printed.err) == (0, "")
    frame = geopandas.read_parquet(output)
    assert f"{len(frame):,} polygons in {output}" in printed.out
    assert set(frame["value"]) == {0, 300}
    before = digest(output)
    printed = run("polygonize", raster, "--output", output)
    assert printed.code == 2
    assert f"{output} exists already. Add --overwrite" in printed.err
    assert digest(output) == before
    assert run("polygonize", raster, "--output", output, "--overwrite", "--block-px", 512).code == 0
    assert digest(output) != before


def integers(path, **how):
    return write_scene(path, np.arange(300, dtype=np.int32).reshape(1, 15, 20), **how)


@pytest.mark.parametrize(
    ("make", "options", "code", "words"),
    [
        (lambda path: path, [], 3, ["map.tif does not exist"]),
        (lambda path: write_scene(path, np.zeros((1, 4, 4), np.float32)), [], 3, ["float32", "-ot Int32"]),
        (lambda path: write_scene(path, np.zeros((2, 4, 4), np.uint8)), [], 3, ["2 bands", "-b 1"]),
        (integers, [], 3, ["map.tif", "at least 300 different values", "255", "Name those you want"]),
        (lambda path: integers(path, crs=None), [], 3, ["has no CRS", "gdal_edit.py -a_srs"]),
        (integers, ["--values", "1;2"], 2, ["'1;2'", "such as 1,2,3"]),
        (lambda path: write_scene(path, np.zeros((1, 4, 4), np.uint8)), ["--values", "300"], 3, ["[300]", "uint8"]),
        (integers, ["--block-px", 1000], 2, ["block_px=1000 is not a multiple of 512", "Use 512"]),
        (integers, ["--simplify-px", -1], 2, ["simplify_px=-1.0", "between 0 and 1000"]),
        (integers, ["--output", "a.shp"], 2, ["a.shp", "'.shp'", ".parquet, .gpkg, .fgb"]),
        (integers, ["--output", "a"], 2, ["no suffix", ".parquet, .gpkg, .fgb"]),
    ],
)
def test_a_refused_raster_or_option_is_explained_and_no_file_is_left(run, tmp_path, make, options, code, words):
    raster = make(tmp_path / "map.tif")
    printed = run("polygonize", raster, "--output", tmp_path / "a.parquet", *options)
    assert printed.code == code
    for word in words:
        assert word in printed.err
    assert {path.name for path in tmp_path.iterdir()} <= {"map.tif"}


def test_areas_are_sums_of_the_areas_of_pixels_on_the_ground(tmp_path, values):
    # Plate carree at 60 degrees north: twice too large on the plane.
    shifted = write_scene(
        tmp_path / "m.tif", values[None], nodata=-5, crs="EPSG:4087", transform=from_origin(1e6, 6_679_000, 10, 10)
    )
    outputs = [tmp_path / f"{block_px}.parquet" for block_px in (512, 2048)]
    for output in outputs:
        polygonize_raster(shifted, output, PolygonizeOptions(block_px=int(output.stem), min_area_px=60))
    assert digest(outputs[0]) == digest(outputs[1])
    assert pq.read_metadata(outputs[0]).metadata[b"geoseg:area_method"] == b"geodesic"
    frame = geopandas.read_parquet(outputs[0])
    area = pixel_area(open_class_raster(shifted, None).grid)
    assert frame["area_m2"].sum() == area.units(area.grid.window)[values != -5].sum() * area.unit_m2
    assert 0.49 < frame["area_m2"].sum() / frame["pixels"].sum() / 100 < 0.51
