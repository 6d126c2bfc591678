"""Valid outputs pass; each planted fault is found by the check for it."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from geoseg.errors import SettingsError
from geoseg.grid.legend import Legend, LegendClass
from geoseg.grid.window import Grid
from geoseg.publish import geoparquet
from geoseg.publish.polygon_table import POLYGON_SCHEMA, build_table, published_crs
from geoseg.publish.provenance import Provenance
from geoseg.publish.rasters import write_classes, write_layer
from geoseg.raster.maps import class_map
from geoseg.vector.polygonize import polygonize
from geoseg.verify.coverage import Outline, cancel, polygon_edges
from geoseg.verify.validate import validate
from tests.support.cli import CommandLine
from tests.support.parts import write_parts
from tests.support.placing import measure
from tests.support.planting import seal
from tests.vector.class_maps import HARD, NODATA, draw, landscape_like, random_maps

LEGEND = Legend(tuple(LegendClass(i, f"class{i}", (i, 0, 0)) for i in range(255)))
UTM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_000_000.0)
ROTATED = (3.0, 1.0, 500_000.3, 1.0, -3.0, 4_000_000.7)
DEGREES = (1e-5, 0.0, 13.123456, 0.0, -1e-5, 52.654321)
COARSE = (25_000.0, 0.0, 100_000.0, 0.0, -25_000.0, -100_000.0)
"""Near the pole, where edges of a few pixels are curves in degrees."""
ALL = {
    *("manifest", "digests", "files", "crs", "settings", "results"),
    *("confidence map", "ids", "rings", "boxes", "coverage", "area", "area_m2"),
    *("pixels", "pixels by class", "first pixels", "rows", "columns"),
}


def publish(
    output, classes, *, scene="s", transform=UTM, epsg=32633, crs="native", simplify_px=0.0, change=None, **metadata
):
    """Publish a class map and its polygons; ``change`` modifies the table. The manifest matches."""
    grid = Grid(*classes.shape, transform, CRS.from_epsg(epsg).to_wkt())
    sure = (classes != NODATA).astype(np.uint8)
    polygons = polygonize(classes, sure, simplify_px=simplify_px, cut_px=16, transform=transform)
    table = build_table(measure(polygons, grid, classes), grid, LEGEND, cut_px=16, crs=crs, model="m")
    table = change(table) if change else table
    table = Provenance(simplify_px, 16, 0).stamp(table)
    table = table.replace_schema_metadata(
        {**table.schema.metadata, **{key.encode(): metadata[key] for key in metadata}}
    )
    folders = output / "rasters" / scene, output / "polygons" / f"scene={scene}"
    for folder in folders:
        folder.mkdir(parents=True)
    write_classes(folders[0] / "classes.tif", grid, LEGEND, [(grid.window, classes)])
    write_layer(folders[0] / "confidence.tif", grid, "confidence", ["confidence"], [(grid.window, sure)])
    write_parts(folders[1], table, published_crs(grid, crs))
    areas = table.group_by("class_name").aggregate([("area_m2", "sum")]).to_pydict()
    manifest = {
        "fingerprint": {
            "polygons.crs": crs,
            "polygons.simplify_px": simplify_px,
            "polygons.min_area_px": 1,
            "polygons.classes": None,
            "polygons.not_dissolved": [],
            "tiling.patch_px": 16,
            "tiling.overlap_px": 0,
            **{key.replace("geoseg:", "polygons."): _parsed(value) for key, value in metadata.items()},
        },
        "files": {str(path.relative_to(output)): {} for folder in folders for path in folder.iterdir()},
        "results": {
            "model": "m",
            "pixels": classes.size,
            "polygons": len(table),
            "area_m2_by_class": dict.fromkeys(LEGEND.names, 0.0)
            | dict(zip(areas["class_name"], areas["area_m2_sum"], strict=True)),
            "crs": "",
        },
    }
    (output / "scenes").mkdir(exist_ok=True)
    (output / f"scenes/{scene}.json").write_text(json.dumps(manifest))
    seal(output, scene)
    return output


def _parsed(value):
    try:
        return json.loads(value)
    except ValueError:
        return value


def failed(output):
    """Names of failed checks, without those that recompute: see tests/verify/test_planted_faults.py."""
    return {
        check.finding.name for check in validate(output) if not check.finding.ok and check.finding.kind != "recomputed"
    }


def replaced(table, name, values):
    field = POLYGON_SCHEMA.field(name)
    return table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))


def geometry_of(table):
    return shapely.from_wkb(table["geometry"].to_numpy())


def with_geometry(table, geometry):
    return replaced(table, "geometry", shapely.to_wkb(geometry))


def moved(table, old, new, rows):
    """Move the vertex ``old`` to ``new`` in some rows."""

    def move(points):
        points[(points == old).all(axis=1)] = new
        return points

    geometry = geometry_of(table)
    geometry[rows] = shapely.transform(geometry[rows], move)
    return with_geometry(table, geometry)


@pytest.fixture
def small_pieces(monkeypatch):
    """Row groups, parts and strips so small that neighbours fall in different ones."""
    monkeypatch.setattr(geoparquet, "ROW_GROUP_ROWS", 3)
    monkeypatch.setattr(geoparquet, "PART_ROWS", 7)
    monkeypatch.setattr(class_map, "STRIP_ROWS", 3)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"transform": ROTATED},
        {"transform": DEGREES, "epsg": 4326},
        {"crs": "EPSG:4326"},
        {"crs": "EPSG:3857"},
        {"transform": DEGREES, "epsg": 4326, "crs": "EPSG:32633"},
        {"transform": COARSE, "epsg": 3413, "crs": "EPSG:4326"},
    ],
    ids=str,
)
@pytest.mark.parametrize("simplify_px", [0.0, 2.0])
@pytest.mark.usefixtures("small_pieces")
def test_sound_outputs_pass(tmp_path, how, simplify_px):
    checks = validate(publish(tmp_path, landscape_like(1, (45, 38)), simplify_px=simplify_px, **how))
    assert [check for check in checks if not check.finding.ok] == []
    assert {check.finding.name for check in checks} - {"place"} == ALL
    assert ("place" in {check.finding.name for check in checks}) == ("crs" in how)


@pytest.mark.parametrize("classes", HARD.values(), ids=HARD.keys())
@pytest.mark.usefixtures("small_pieces")
def test_hard_maps_give_no_false_alarm(tmp_path, classes):
    assert all(check.finding.ok for check in validate(publish(tmp_path, classes)))


def test_a_scene_without_a_valid_pixel_passes(tmp_path):
    assert all(check.finding.ok for check in validate(publish(tmp_path, np.full((9, 7), NODATA, np.uint8))))


FIELD = draw("001122 001122 331122 33.422 333444 333444")
X, Y = UTM[2], UTM[5]
ISLAND = np.full((20, 20), 1, np.uint8)
ISLAND[5:9, 5:9] = 2


@pytest.mark.usefixtures("small_pieces")
class TestPlantedFaults:
    def test_a_removed_polygon(self, tmp_path):
        for row in range(5):
            output = publish(tmp_path / str(row), FIELD, change=lambda t, row=row: t.filter(np.arange(len(t)) != row))
            assert failed(output) == {"coverage", "area", "area_m2", "pixels", "pixels by class"}

    @pytest.mark.parametrize("crs", ["native", "EPSG:4326"])
    def test_a_moved_vertex_makes_a_gap_or_an_overlap(self, tmp_path, crs):
        """In every polygon of a larger map, so also where its neighbours were read before or come after."""
        classes = landscape_like(3, (24, 21))
        count = len(polygonize(classes, cut_px=16))
        assert count > 20
        for row in range(0, count, 9):

            def change(table, row=row):
                old = shapely.get_coordinates(geometry_of(table)[row])[0]
                return moved(table, old, old * (1 + 1e-6), [row])

            found = failed(publish(tmp_path / str(row), classes, crs=crs, change=change))
            assert "coverage" in found
            assert found <= {"coverage", "area", "boxes"}

    def test_a_vertex_moved_in_all_polygons_beside_nodata(self, tmp_path):
        """All edges have partners; only the class map shows that the outline is wrong."""
        old, new = (X + 20, Y - 30), (X + 21, Y - 31)
        output = publish(tmp_path, FIELD, change=lambda t: moved(t, old, new, np.arange(len(t))))
        assert failed(output) == {"coverage", "area", "boxes"}

    @pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326"])
    def test_a_missing_vertex_of_a_t_junction(self, tmp_path, crs):
        """The straight side of a polygon without the vertex where two others meet: GDAL's polygons."""
        classes = draw("0000 0000 1122 1122")

        def change(table):
            # Only collinear vertices go; in another CRS they are those that lie where they were.
            geometry = geometry_of(table)
            row = table["class_id"].to_pylist().index(0)
            ring = shapely.get_coordinates(geometry[row])
            middle = np.sort(ring[:, 0])[len(ring) // 2]
            nearest = np.argmin(np.abs(ring[:, 0] - middle) + np.abs(ring[:, 1] - ring[:, 1].min()))
            geometry[row] = shapely.Polygon(np.delete(ring[:-1], nearest % (len(ring) - 1), axis=0))
            return with_geometry(table, geometry)

        assert failed(publish(tmp_path, classes, crs=crs, change=change)) == {"coverage"}

    @pytest.mark.parametrize("picture", ["0000 0000 1122 1122", "0011 0011 0022 0022"])
    def test_polygons_of_gdal_lack_vertices_along_rows_and_columns(self, tmp_path, picture):
        def change(table):
            straight = {0: shapely.simplify(geometry_of(table)[0], 0)}
            return with_geometry(table, [straight.get(i, g) for i, g in enumerate(geometry_of(table))])

        assert failed(publish(tmp_path, draw(picture), change=change)) == {"coverage"}

    def test_a_vertex_moved_on_a_slanting_line(self, tmp_path):
        """No unpaired edge is a pixel side."""

        row, col = np.indices((30, 30))
        classes = (2 * row > abs(col - 15) + 17).astype(np.uint8)

        def change(table):
            xy = shapely.get_coordinates(geometry_of(table)[0])
            x, y = xy[((xy > (X, Y - 300)) & (xy < (X + 300, Y))).all(axis=1)][0]
            return moved(table, (x, y), (x, y - 1), [0])

        output = publish(tmp_path, classes, simplify_px=1.0, change=change)
        assert failed(output) == {"coverage", "area"}

    def test_an_edge_that_should_be_a_curve(self, tmp_path):
        """300 km along a scene's rows without inserted points: 500 m off in degrees."""

        def change(table):
            ring = shapely.get_coordinates(geometry_of(table)[0])[:-1]
            corners = [np.abs(ring - corner).sum(axis=1).argmin() for corner in _corners(ring)]
            assert len(ring) > 20
            return with_geometry(table, [shapely.Polygon(ring[corners])])

        output = publish(
            tmp_path,
            np.ones((3, 3000), np.uint8),
            transform=(100, 0, 2e5, 0, -100, 6.6e6),
            crs="EPSG:4326",
            change=change,
        )
        assert failed(output) == {"place"}

    def test_a_duplicate_polygon(self, tmp_path):
        output = publish(tmp_path, FIELD, change=lambda t: pa.concat_tables([t, t.slice(2, 1)]))
        assert failed(output) == {"ids", "coverage", "area", "area_m2", "pixels", "pixels by class"}

    def test_a_polygon_in_two_rows_of_which_one_has_another_id(self, tmp_path):
        """An overlap without a crossing."""

        def change(table):
            more = replaced(table.slice(0, 1), "polygon_id", [35])
            return pa.concat_tables([table, replaced(more, "pixels", [0])])

        assert failed(publish(tmp_path, FIELD, change=change)) == {"coverage", "area", "area_m2", "first pixels"}

    def test_a_polygon_whose_hole_is_filled(self, tmp_path):
        def change(table):
            return with_geometry(table, [shapely.Polygon(g.exterior) for g in geometry_of(table)])

        assert failed(publish(tmp_path, ISLAND, change=change)) == {"coverage", "area"}

    def test_a_duplicate_id(self, tmp_path):
        def change(table):
            ids = table["polygon_id"].to_pylist()
            return replaced(table, "polygon_id", [*ids[:-1], ids[0]])

        output = publish(tmp_path, FIELD, change=change)
        assert failed(output) == {"ids", "first pixels"}
        assert "1 duplicates, such as 0" in {check.finding.found for check in validate(output)}

    @pytest.mark.parametrize("wrong", [-1, 36, 1, 6, 20])
    def test_an_id_that_is_not_the_first_pixel(self, tmp_path, wrong):
        """Outside, east and south of the first pixel, nodata."""
        ids = {0: wrong}
        change = lambda t: replaced(t, "polygon_id", [ids.get(i, i) for i in t["polygon_id"].to_pylist()])  # noqa: E731
        assert failed(publish(tmp_path, FIELD, change=change)) == {"first pixels"}

    def test_a_wrong_class(self, tmp_path):
        change = lambda t: replaced(t, "class_id", [9, *t["class_id"].to_pylist()[1:]])  # noqa: E731
        assert failed(publish(tmp_path, FIELD, change=change)) == {
            "pixels by class",
            "first pixels",
            "results",
            "area_m2",
        }

    def test_wrong_pixels(self, tmp_path):
        change = lambda t: replaced(t, "pixels", [1, *t["pixels"].to_pylist()[1:]])  # noqa: E731
        assert failed(publish(tmp_path, FIELD, change=change)) == {"pixels", "pixels by class"}

    def test_a_self_crossing_ring(self, tmp_path):
        def change(table):
            ring = shapely.get_coordinates(geometry_of(table)[0])
            ring[[1, 2]] = ring[[2, 1]]
            return with_geometry(table, [shapely.Polygon(ring), *geometry_of(table)[1:]])

        output = publish(tmp_path, FIELD, change=change)
        assert "rings" in failed(output)
        found = next(check.finding.found for check in validate(output) if check.finding.name == "rings")
        assert "1 invalid" in found
        assert "polygon_id" in found
        assert "Self-intersection" in found

    @pytest.mark.parametrize(
        "make", [shapely.reverse, lambda _: shapely.Polygon(), lambda polygon: polygon.exterior, lambda _: None]
    )
    def test_geometries_that_are_no_counter_clockwise_polygons(self, tmp_path, make):
        def change(table):
            first, *others = geometry_of(table)
            wkb = [b"no geometry" if make(first) is None else shapely.to_wkb(make(first)), *shapely.to_wkb(others)]
            return replaced(table, "geometry", wkb)

        assert "rings" in failed(publish(tmp_path, FIELD, change=change))

    @pytest.mark.parametrize(
        ("pixel", "value", "checks"),
        [
            ((5, 5), 7, {"pixels by class"}),
            ((0, 0), 7, {"pixels by class", "first pixels"}),
            ((5, 5), NODATA, {"pixels", "pixels by class", "coverage", "area", "confidence map"}),
            ((3, 2), 3, {"pixels", "pixels by class", "coverage", "area", "confidence map"}),
        ],
    )
    def test_a_changed_pixel(self, tmp_path, pixel, value, checks):
        output = publish(tmp_path, FIELD)
        change_pixel(output / "rasters/s/classes.tif", pixel, value)
        assert failed(output) == {*checks, "area_m2"}

    def test_a_missing_part(self, tmp_path):
        output = publish(tmp_path, landscape_like(3, (24, 21)))
        (output / "polygons/scene=s/part-00001.parquet").unlink()
        assert failed(output) == {"digests", "files"}

    def test_a_damaged_part(self, tmp_path):
        output = publish(tmp_path, FIELD)
        part = output / "polygons/scene=s/part-00000.parquet"
        part.write_bytes(part.read_bytes()[:-9])
        digest, check = (check.finding for check in validate(output) if not check.finding.ok)
        assert (digest.name, digest.file) == ("digests", "polygons/scene=s/part-00000.parquet")
        assert check.name == "files"
        assert "part-00000.parquet" in check.found

    def test_other_columns(self, tmp_path):
        output = publish(tmp_path, FIELD)
        part = output / "polygons/scene=s/part-00000.parquet"
        pq.write_table(pq.read_table(part, partitioning=None).drop_columns("model"), part)
        assert failed(output) == {"digests", "files"}

    def test_two_crss(self, tmp_path):
        publish(tmp_path, FIELD, scene="a")
        publish(tmp_path, FIELD, scene="b", crs="EPSG:4326")
        assert [(check.scene, check.finding.name) for check in validate(tmp_path) if not check.finding.ok] == [
            ("b", "crs")
        ]

    def test_polygons_without_a_class_map(self, tmp_path):
        output = publish(tmp_path, FIELD)
        (output / "rasters/s/classes.tif").unlink()
        assert failed(output) == {"digests", "files"}


def _corners(ring):
    """The four corners of a long ring whose sides hardly bend."""
    turn = np.diff(ring, axis=0, append=ring[:1])
    angle = np.unwrap(np.arctan2(turn[:, 1], turn[:, 0]))
    sharp = np.abs(np.diff(angle, prepend=angle[-1] - 2 * np.pi)) > 1
    assert sharp.sum() == 4
    return ring[sharp]


def change_pixel(path, pixel, value):
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        classes = dataset.read(1)
        classes[pixel] = value
        dataset.write(classes, 1)
    seal(path.parents[2], path.parent.name)


def test_with_a_minimum_area_the_classes_may_differ(tmp_path):
    output = publish(tmp_path, FIELD, **{"geoseg:min_area_px": "3"})
    change_pixel(output / "rasters/s/classes.tif", (0, 0), 7)
    assert failed(output) == set()
    change_pixel(output / "rasters/s/classes.tif", (0, 0), NODATA)
    assert failed(output) == {"pixels", "coverage", "area", "area_m2", "first pixels", "confidence map"}


def test_with_some_classes_only_those_are_compared(tmp_path):
    def change(table):
        return table.filter(pa.array([value in (1, 3) for value in table["class_id"].to_pylist()]))

    output = publish(tmp_path, FIELD, change=change, **{"geoseg:classes": json.dumps([1, 3])})
    assert failed(output) == set()
    change_pixel(output / "rasters/s/classes.tif", (0, 4), 0)
    assert failed(output) == set()
    change_pixel(output / "rasters/s/classes.tif", (0, 3), 0)
    assert failed(output) == {"pixels by class", "area_m2"}


@pytest.mark.parametrize("metadata", [{"geoseg:min_area_px": "0"}, {"geoseg:classes": "3"}, {"geoseg:classes": "["}])
def test_invalid_metadata(tmp_path, metadata):
    assert failed(publish(tmp_path, FIELD, **metadata)) == {"files"}


def test_rasters_without_polygons(tmp_path):
    for scene, crs in (("placed", CRS.from_epsg(32633).to_wkt()), ("nowhere", "")):
        folder = tmp_path / "rasters" / scene
        folder.mkdir(parents=True)
        grid = Grid(*FIELD.shape, UTM, crs)
        write_classes(folder / "classes.tif", grid, LEGEND, [(grid.window, FIELD)])
        write_layer(
            folder / "confidence.tif",
            grid,
            "confidence",
            ["confidence"],
            [(grid.window, (FIELD != NODATA).astype(np.uint8))],
        )
    nowhere, placed = (check.finding for check in validate(tmp_path) if check.finding.name == "files")
    assert (nowhere.found, nowhere.ok) == ("rasters only, without a CRS", True)
    assert (placed.found, placed.ok) == ("rasters only, with a CRS", False)
    assert {check.finding.name for check in validate(tmp_path) if check.finding.ok} == {"files", "confidence map"}


def test_nothing_to_validate(tmp_path):
    with pytest.raises(SettingsError, match=r"nothing to validate\. Give the --output"):
        validate(tmp_path)


@settings(max_examples=100)
@given(classes=random_maps, simplify_px=st.sampled_from([0.0, 1.0, 3.0]), portions=st.integers(1, 5), data=st.data())
def test_coverage_check_agrees_with_geos(classes, simplify_px, portions, data):
    """Any portions give the same outline. A missing vertex is found, also where GEOS finds no fault (a gap)."""
    geometry = polygonize(classes, simplify_px=simplify_px, cut_px=5).geometry
    assert faults(geometry, classes, portions) == 0
    if len(geometry):
        row = data.draw(st.integers(0, len(geometry) - 1))
        ring = shapely.get_coordinates(geometry[row].exterior)[:-1]
        drop = data.draw(st.integers(0, len(ring) - 1))
        changed = shapely.Polygon(np.delete(ring, drop, axis=0), geometry[row].interiors) if len(ring) > 3 else None
        if changed is not None and changed.is_valid and changed.exterior.is_ccw:
            geometry[row] = changed
            collinear = shapely.Polygon(ring).symmetric_difference(shapely.Polygon(np.delete(ring, drop, axis=0))).area
            if collinear > 0 or not shapely.coverage_is_valid(geometry):
                assert faults(geometry, classes, portions) > 0


def faults(geometry, classes, portions):
    lone = np.empty((0, 4))
    for portion in np.array_split(geometry, portions):
        lone = cancel(np.concatenate([lone, polygon_edges(portion)]))
    outline = Outline.of(lone, classes.shape, lambda points: points)
    valid = np.pad(classes != NODATA, ((0, 1), (0, 0)))
    sides = outline.faults(valid, np.zeros(classes.shape[1], bool), 0)
    return len(outline.elsewhere) + len(sides)


@pytest.fixture
def command(monkeypatch, capsys):
    return CommandLine(monkeypatch, capsys)


def test_the_command_prints_every_check_and_returns_the_verdict(command, tmp_path):
    output = publish(tmp_path / "out", FIELD)
    printed = command("validate", output)
    assert printed.code == 0
    assert all(name in printed.out for name in ALL)
    change_pixel(output / "rasters/s/classes.tif", (5, 5), 7)
    printed = command("validate", output)
    assert printed.code == 3
    assert "pixels by class" in printed.err
    printed = command("validate", tmp_path)
    assert printed.code == 2
    assert "nothing to validate" in printed.err
