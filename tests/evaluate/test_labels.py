"""Labels of any kind on the grid of a class map."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio.features
import shapely
import shapely.affinity
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject

from geoseg.errors import SceneError, SettingsError
from geoseg.evaluate.class_mapping import ClassMapping, read_class_mapping
from geoseg.evaluate.label_polygons import read_label_polygons
from geoseg.evaluate.labels import open_labels
from geoseg.grid.window import Grid, Window
from tests.support.scenes import TRANSFORM, write_scene

LEGEND = ("water", "forest", "field")
GRID = Grid(120, 150, tuple(TRANSFORM)[:6], CRS.from_epsg(32632).to_wkt())
SAME = ClassMapping(LEGEND, LEGEND)


def random_ids(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    blocks = np.random.default_rng(seed).choice([0, 1, 2, 255], (shape[0] // 5 + 1, shape[1] // 5 + 1))
    return blocks.repeat(5, 0).repeat(5, 1)[: shape[0], : shape[1]].astype(np.uint8)


def read(sources: list, mapping: ClassMapping = SAME, window: Window = GRID.window) -> np.ndarray:
    with open_labels(sources, GRID, mapping) as labels:
        return labels(window)


def test_a_raster_on_the_same_grid_is_copied(tmp_path: Path) -> None:
    ids = random_ids((120, 150))
    path = write_scene(tmp_path / "labels.tif", ids[None], nodata=255)
    np.testing.assert_array_equal(read([path]), ids)
    window = Window(17, 23, 40, 51)
    np.testing.assert_array_equal(read([path], window=window), ids[window.slices(GRID.window)])


def test_a_raster_without_crs_belongs_to_the_pixels_of_the_same_size(tmp_path: Path) -> None:
    ids = random_ids((120, 150))
    path = write_scene(tmp_path / "labels.tif", ids[None], crs=None, nodata=255)
    np.testing.assert_array_equal(read([path]), ids)
    smaller = write_scene(tmp_path / "smaller.tif", ids[None, 1:], crs=None, nodata=255)
    with pytest.raises(
        SettingsError, match=r"smaller\.tif has no CRS and 119 x 150 pixels, the class map has 120 x 150"
    ):
        read([smaller])


@pytest.mark.parametrize(
    ("crs", "transform", "shape"),
    [
        ("EPSG:32632", from_origin(479_900, 5_480_070, 3, 3), (500, 560)),
        ("EPSG:32632", from_origin(480_300, 5_479_800, 10, 10), (60, 70)),
        ("EPSG:4326", from_origin(8.725, 49.475, 0.0001, 0.0001), (150, 250)),
        ("EPSG:32633", from_origin(45_000, 5_500_000, 20, 20), (1500, 1500)),
    ],
)
def test_a_raster_elsewhere_gives_its_nearest_pixels(
    tmp_path: Path, crs: str, transform: rasterio.Affine, shape: tuple[int, int]
) -> None:
    ids = random_ids(shape, seed=3)
    path = write_scene(tmp_path / "labels.tif", ids[None], crs=crs, transform=transform, nodata=255)
    expected = np.full((120, 150), 255, np.uint8)
    reproject(
        ids, expected, src_transform=transform, src_crs=crs, src_nodata=255, dst_transform=TRANSFORM,
        dst_crs="EPSG:32632", dst_nodata=255, resampling=Resampling.nearest, tolerance=1e-6,
    )  # fmt: skip
    found = read([path])
    assert (found == expected).mean() > 0.999, "but for middles on the edge of two labels"
    assert 0 < (expected == 255).sum() < expected.size
    for window in (Window(0, 0, 7, 150), Window(31, 47, 60, 9), Window(119, 149, 1, 1)):
        np.testing.assert_array_equal(read([path], window=window), found[window.slices(GRID.window)])


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"]
)
def test_beside_a_raster_without_nodata_there_is_no_label(tmp_path: Path, dtype: str) -> None:
    transform = from_origin(480_300, 5_479_800, 10, 10)
    path = write_scene(tmp_path / "labels.tif", np.ones((1, 60, 70), dtype), transform=transform)
    expected = np.full((120, 150), 255, np.uint8)
    expected[20:80, 30:100] = 1
    np.testing.assert_array_equal(read([path]), expected)


def test_a_small_difference_of_pixel_size_adds_up(tmp_path: Path) -> None:
    labels = np.zeros((1, 120, 150), np.uint8)
    labels[..., 100:] = 1
    path = write_scene(tmp_path / "labels.tif", labels, transform=from_origin(480_000, 5_480_000, 10.009, 10))
    # The middle of column 100 lies 1004.5 m from the west, in column 100.36 of the labels: 1000.9 m is their edge.
    np.testing.assert_array_equal(read([path])[0, 95:105], [0] * 5 + [1] * 5)
    far = write_scene(tmp_path / "far.tif", labels, transform=from_origin(480_000, 5_480_000, 10.06, 10))
    np.testing.assert_array_equal(read([far])[0, 95:105], [0] * 6 + [1] * 4)


def test_labels_much_finer_than_the_class_map_are_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = random_ids((1200, 1500), seed=2)
    path = write_scene(tmp_path / "labels.tif", fine[None], transform=from_origin(480_000, 5_480_000, 1, 1), nodata=255)
    whole = read([path])
    np.testing.assert_array_equal(whole, fine[5::10, 5::10])
    monkeypatch.setattr("geoseg.evaluate.label_rasters.MAX_PIXELS", 3000)
    np.testing.assert_array_equal(read([path]), whole)


def test_ignored_values_leave_the_others_as_they_are(tmp_path: Path) -> None:
    values = np.array([[1, 255], [2, 9]], np.uint8).repeat(60, 0).repeat(75, 1)
    path = write_scene(tmp_path / "labels.tif", values[None])
    mapping = read_class_mapping(None, LEGEND, ignore=[255, 9])
    np.testing.assert_array_equal(read([path], mapping), np.where(values > 2, 255, values))


def test_values_of_a_raster_are_mapped_or_named(tmp_path: Path) -> None:
    values = np.array([[-1, 40, 41], [42, 40, -1]], np.int16).repeat(60, 0).repeat(50, 1)
    path = write_scene(tmp_path / "labels.tif", values[None])
    with pytest.raises(
        SettingsError, match=r"labels\.tif holds -1, 40, 41, 42, which are no class of 0 water, 1 forest"
    ):
        read([path])
    rules = tmp_path / "classes.yaml"
    rules.write_text("labels: {40: water, 41: field, '*': ignore}")
    mapping = read_class_mapping(rules, LEGEND)
    np.testing.assert_array_equal(read([path], mapping), np.select([values == 40, values == 41], [0, 2], 255))
    rules.write_text("labels: {40: water, 41: field, 42: field}")
    mapping = read_class_mapping(rules, LEGEND, ignore=[-1])
    np.testing.assert_array_equal(read([path], mapping), np.select([values == 40, values > 40], [0, 2], 255))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(CLASS_40="water", CLASS_41="forest", CLASS_42="field")
        dataset.nodata = -1
    np.testing.assert_array_equal(read([path]), np.where(values < 0, 255, values - 40))


def test_numbers_are_ids_only_if_they_are_in_the_legend(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "labels.tif", np.full((1, 120, 150), 3, np.uint8))
    with pytest.raises(SettingsError, match=r"holds 3, which is no class of 0 water, 1 forest, 2 field\. Say what"):
        read([path])


def test_the_first_label_counts(tmp_path: Path) -> None:
    one, other = random_ids((120, 150), 1), random_ids((120, 150), 2)
    paths = [write_scene(tmp_path / f"{n}.tif", ids[None], nodata=255) for n, ids in enumerate((one, other))]
    np.testing.assert_array_equal(read(paths), np.where(one == 255, other, one))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((2, 120, 150), np.uint8), "has 2 bands of uint8; labels have one band"),
        (np.zeros((1, 120, 150), np.complex64), "has 1 bands of complex64; labels have one band"),
        (np.full((1, 120, 150), 0.5, np.float32), "holds 0.5; labels are whole numbers"),
    ],
)
def test_rasters_that_are_no_labels_are_refused(tmp_path: Path, pixels: np.ndarray, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read([write_scene(tmp_path / "labels.tif", pixels)])


def test_a_damaged_raster_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    path.write_bytes(b"II*\0 and nothing else")
    with pytest.raises(SceneError, match=r"labels\.tif cannot be read"):
        read([path])


def label_polygons(tmp_path: Path, crs: str = "EPSG:32632") -> tuple[Path, geopandas.GeoDataFrame]:
    rng = np.random.default_rng(4)
    corners = np.stack([480_000 + 10 * rng.uniform(0, 130, 12), 5_480_000 - 10 * rng.uniform(10, 110, 12)], axis=1)
    shapes = [
        shapely.Point(*corner).buffer(10 * radius)
        for corner, radius in zip(corners, rng.uniform(2, 15, 12), strict=True)
    ]
    frame = geopandas.GeoDataFrame(
        {"kind": ["water", "forest", "field"] * 4}, geometry=shapes, crs="EPSG:32632"
    ).to_crs(crs)
    frame.to_file(tmp_path / "labels.gpkg", engine="pyogrio")
    return tmp_path / "labels.gpkg", frame


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326"])
def test_polygons_give_pixels_by_their_middles(tmp_path: Path, crs: str) -> None:
    path, frame = label_polygons(tmp_path, crs)
    placed = frame.to_crs("EPSG:32632").geometry
    shapes = [(shape, LEGEND.index(kind)) for shape, kind in zip(placed, frame["kind"], strict=True)]
    expected = rasterio.features.rasterize(shapes, (120, 150), fill=255, transform=TRANSFORM, dtype=np.uint8)
    source = read_label_polygons(path, "kind")
    np.testing.assert_array_equal(read([source]), expected)
    for row, col in ((0, 0), (31, 47), (90, 120)):
        window = Window(row, col, 30, 30)
        np.testing.assert_array_equal(read([source], window=window), expected[window.slices(GRID.window)])
    rules = tmp_path / "classes.yaml"
    rules.write_text("labels: {water: water, '*': ignore}\noutside: field")
    mapping = read_class_mapping(rules, LEGEND)
    np.testing.assert_array_equal(read([source], mapping), np.select([expected == 0, expected == 255], [0, 2], 255))


def test_polygons_without_columns_are_of_one_class(tmp_path: Path) -> None:
    _, frame = label_polygons(tmp_path)
    path = tmp_path / "plain.geojson"
    frame[["geometry"]].to_file(path, engine="pyogrio")
    rules = tmp_path / "classes.yaml"
    rules.write_text("labels: {'*': forest}\noutside: field")
    ids = read([read_label_polygons(path, None)], read_class_mapping(rules, LEGEND))
    assert set(np.unique(ids)) == {1, 2}
    with pytest.raises(SettingsError, match="Name the column with --class-column, or give all of them one class"):
        read([read_label_polygons(path, None)])


def test_polygon_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    path, frame = label_polygons(tmp_path)
    with pytest.raises(SettingsError, match=r"labels\.gpkg has no column class; it has kind"):
        read_label_polygons(path, "class")
    frame.set_crs(None, allow_override=True).to_parquet(tmp_path / "lost.parquet")
    with pytest.raises(SettingsError, match=r"lost\.parquet has no CRS"):
        read_label_polygons(tmp_path / "lost.parquet", "kind")
    (tmp_path / "broken.gpkg").write_bytes(b"nothing")
    with pytest.raises(SettingsError, match=r"broken\.gpkg cannot be read as polygons"):
        read_label_polygons(tmp_path / "broken.gpkg", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels: [1, 2]", "labels must map values to names"),
        ("labels: {1: lake}", "'lake' is no compared class. The prediction has water, forest, field"),
        ("predictions: {lake: water}", "predictions names lake; the legend has water, forest, field"),
        ("predictions: {'*': ignore}", "leaves no class of water, forest, field to compare"),
        ("outside: lake", "'lake' is no compared class"),
        ("classes: {1: water}", "holds .'classes'.; a file of --classes has the keys labels, predictions, outside"),
        ("labels: {1: water", "cannot be read as YAML"),
    ],
)
def test_mistakes_in_a_mapping_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "classes.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_class_mapping(path, LEGEND)


def test_classes_of_the_prediction_are_merged_left_out_and_renamed(tmp_path: Path) -> None:
    path = tmp_path / "classes.yaml"
    path.write_text("predictions: {water: wet, 1: dry, field: dry}\nlabels: {0: wet, 1: dry}")
    mapping = read_class_mapping(path, LEGEND)
    assert mapping.names == ("wet", "dry")
    assert mapping.merges
    assert mapping.predicted_ids()[:4].tolist() == [0, 1, 1, 255]
    path.write_text("predictions: {water: water}")
    mapping = read_class_mapping(path, LEGEND)
    assert mapping.names == ("water",)
    assert mapping.predicted_ids()[:4].tolist() == [0, 255, 255, 255]


def test_land_outside_is_outside_of_all_polygon_files(tmp_path: Path) -> None:
    paths = []
    for number, (col, kind) in enumerate(((10, "water"), (60, "forest"), (100, "other"))):
        box = shapely.box(480_000 + 10 * col, 5_479_000, 480_000 + 10 * (col + 20), 5_479_900)
        frame = geopandas.GeoDataFrame({"kind": [kind]}, geometry=[box], crs="EPSG:32632")
        frame.to_parquet(tmp_path / f"{number}.parquet")
        paths.append(tmp_path / f"{number}.parquet")
    rules = tmp_path / "classes.yaml"
    rules.write_text("labels: {water: water, forest: forest, other: ignore}\noutside: field")
    mapping = read_class_mapping(rules, LEGEND)
    row = read([read_label_polygons(path, "kind") for path in paths], mapping)[50]
    expected = np.full(150, 2, np.uint8)
    expected[10:30], expected[60:80], expected[100:120] = 0, 1, 255
    np.testing.assert_array_equal(row, expected)


def test_polygons_beyond_a_projection_are_cut_first(tmp_path: Path) -> None:
    world = geopandas.GeoDataFrame({"kind": ["water"]}, geometry=[shapely.box(-180, -90, 180, 90)], crs="EPSG:4326")
    world.to_file(tmp_path / "world.gpkg", engine="pyogrio")
    assert (read([read_label_polygons(tmp_path / "world.gpkg", "kind")]) == 0).all()


def test_only_the_polygons_of_a_file_are_labels(tmp_path: Path) -> None:
    west, north = 480_000, 5_480_000
    spike = shapely.Polygon([(0, 0), (200, 0), (200, -200), (100, -200), (100, -900), (100, -200), (0, -200)])
    spike = shapely.affinity.translate(spike, west, north)
    line = shapely.LineString([(west, north - 1000), (west + 1500, north - 1000)])
    frame = geopandas.GeoDataFrame({"kind": ["water", "forest"]}, geometry=[spike, line], crs="EPSG:32632")
    frame.to_parquet(tmp_path / "labels.parquet")
    ids = read([read_label_polygons(tmp_path / "labels.parquet", "kind")])
    assert (ids == 0).sum() == 400
    assert (ids == 255).sum() == ids.size - 400
    frame.iloc[1:].to_parquet(tmp_path / "lines.parquet")
    with pytest.raises(SettingsError, match=r"lines\.parquet holds no polygons but LineString"):
        read_label_polygons(tmp_path / "lines.parquet", "kind")


def test_polygons_without_a_class_are_named(tmp_path: Path) -> None:
    boxes = [shapely.box(480_000, 5_479_900, 480_100, 5_480_000), shapely.box(480_200, 5_479_900, 480_300, 5_480_000)]
    frame = geopandas.GeoDataFrame({"kind": [1, None]}, geometry=boxes, crs="EPSG:32632")
    frame.to_parquet(tmp_path / "labels.parquet")
    source = read_label_polygons(tmp_path / "labels.parquet", "kind")
    with pytest.raises(SettingsError, match="holds missing, which is no class"):
        read([source])
    rules = tmp_path / "classes.yaml"
    rules.write_text("labels: {1: forest, missing: ignore}")
    assert (read([source], read_class_mapping(rules, LEGEND)) == 1).sum() == 100


def test_numbers_as_text_are_numbers_in_a_mapping(tmp_path: Path) -> None:
    box = shapely.box(480_000, 5_479_900, 480_100, 5_480_000)
    frame = geopandas.GeoDataFrame({"kind": ["3"]}, geometry=[box], crs="EPSG:32632")
    frame.to_parquet(tmp_path / "labels.parquet")
    rules = tmp_path / "classes.yaml"
    rules.write_text("labels: {3: forest}")
    source = read_label_polygons(tmp_path / "labels.parquet", "kind")
    assert (read([source], read_class_mapping(rules, LEGEND)) == 1).sum() == 100


def test_a_table_without_geometry_is_no_label(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SettingsError, match=r"labels\.csv (has no geometry|cannot be read as polygons)"):
        read_label_polygons(tmp_path / "labels.csv", None)
