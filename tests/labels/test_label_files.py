"""`geoseg labels sample`, `check` and `merge`: what QGIS gets, what mistakes are found, what training gets."""

import sqlite3
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely

from geoseg.errors import SettingsError
from geoseg.evaluate.class_mapping import ClassMapping
from geoseg.evaluate.label_polygons import draw, read_label_polygons
from geoseg.grid.window import Grid
from geoseg.labels.check import Kind, check_labels
from geoseg.labels.label_file import read_label_file
from geoseg.labels.merge import merge_labels
from geoseg.labels.sample import Sampling, sample_labels
from geoseg.labels.uncertainty import Measure, measure_windows
from tests.support.bundles import unet_bundle
from tests.support.cli import CommandLine
from tests.support.scenes import TRANSFORM, run, textured, write_scene

SIDE = 32
FINE = {"run": {"address": "inline", "precision": "fp32"}, "rasters": {"publish": "confidence,margin,entropy"}}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    scenes = [
        write_scene(folder / f"{name}.tif", textured(150, 200, seed=place), nodata=0,
                    transform=TRANSFORM * TRANSFORM.translation(200 * place, 0))
        for place, name in enumerate(("one", "two"))
    ]  # fmt: skip
    run(scenes, unet_bundle(folder / "bundle"), folder / "out", **FINE)
    return folder / "out"


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def sampled(results: Path, tmp_path: Path) -> Path:
    sample_labels(results, tmp_path / "labels.gpkg", Sampling(6, SIDE))
    return tmp_path / "labels.gpkg"


def band(results: Path, scene: str, name: str) -> np.ndarray:
    with rasterio.open(results / f"rasters/{scene}/{name}.tif") as dataset:
        return dataset.read(1)


@pytest.mark.parametrize("measure", list(Measure))
def test_scores_are_those_of_the_whole_raster(results: Path, measure: Measure) -> None:
    found = measure_windows(results / "rasters/one", "one", measure, SIDE, np.random.default_rng(5))
    classes = band(results, "one", "classes")
    values = band(results, "one", "confidence" if measure is Measure.RANDOM else measure).astype(float) / 255
    drawn = iter(np.random.default_rng(5).random(len(found.scores)))
    expected = []
    for row in range(0, 150, SIDE):
        for col in range(0, 200, SIDE):
            place = np.s_[row : row + SIDE, col : col + SIDE]
            valid = classes[place] != 255
            if valid.sum() * 2 >= SIDE**2:
                unsure = values[place][valid] if measure is Measure.ENTROPY else 1 - values[place][valid]
                score = next(drawn) if measure is Measure.RANDOM else unsure.mean()
                sums = np.bincount(classes[place][valid], unsure)
                expected.append((row // SIDE, col // SIDE, score, f"class{sums.argmax()}"))
    assert expected
    assert [tuple(place) for place in found.places.tolist()] == [one[:2] for one in expected]
    np.testing.assert_allclose(found.scores, [one[2] for one in expected])
    assert list(found.main_classes) == [one[3] for one in expected]


def test_a_sample_holds_the_predicted_polygons_of_its_windows(results: Path, sampled: Path) -> None:
    file = read_label_file(sampled)
    assert file.windows is not None
    assert len(file.windows) == 6
    assert not file.windows["done"].any()
    np.testing.assert_allclose(file.windows["pixel"], 10)
    for key, scene, outline in zip(file.windows["window"], file.windows["scene"], file.windows.geometry, strict=True):
        row, col = map(int, key.split()[1:])
        classes = band(results, scene, "classes")[row : row + SIDE, col : col + SIDE]
        labels = file.labels[file.labels["window"] == key]
        # simplified lines move area across the outline of a window, but little of it
        valid = np.count_nonzero(classes != 255)
        assert outline.area / 100 == pytest.approx(valid, rel=0.02)
        assert labels.area.sum() == pytest.approx(outline.area)
        for name in labels["class_name"].unique():
            share = labels[labels["class_name"] == name].area.sum() / 100
            assert share == pytest.approx(np.count_nonzero(classes == int(name[5:])), abs=0.1 * valid)
    assert [problem for problem in check_labels(file, ()) if problem.kind is not Kind.SLIVER] == []


def test_qgis_offers_the_classes_in_a_list(sampled: Path) -> None:
    with closing(sqlite3.connect(sampled)) as database:
        styles = dict(database.execute("SELECT f_table_name, styleQML FROM layer_styles"))
    assert set(styles) == {"labels", "windows"}
    form = ET.fromstring(styles["labels"].split("\n", 1)[1])  # noqa: S314  the package's own
    field = form.find("fieldConfiguration/field[@name='class_name']/editWidget[@type='ValueMap']")
    assert field is not None
    choices = {one.get("name"): one.get("value") for one in field.findall("config/Option/Option/Option/Option")}
    assert choices == {f"class{number}": f"class{number}" for number in range(5)}


def test_windows_of_earlier_rounds_are_not_proposed_again(results: Path, sampled: Path, tmp_path: Path) -> None:
    sample_labels(results, tmp_path / "second.gpkg", Sampling(6, SIDE, labelled=(sampled,)))
    first, second = (set(read_label_file(path).windows["window"]) for path in (sampled, tmp_path / "second.gpkg"))
    assert len(first | second) == 12
    with pytest.raises(SettingsError, match=r"labels\.gpkg exists already, perhaps with corrections"):
        sample_labels(results, sampled, Sampling(6, SIDE))


def edit(path: Path, layer: str, change) -> None:
    frame = geopandas.read_file(path, layer=layer)
    pyogrio.write_dataframe(change(frame), path, layer=layer, driver="GPKG", append=False, promote_to_multi=True)


def test_each_mistake_is_found_with_its_place(sampled: Path, command_line: CommandLine, tmp_path: Path) -> None:
    labels = read_label_file(sampled).labels
    order = labels.area.sort_values(ascending=False).index
    wrong, missing, gone, doubled = order[:4]
    inner = labels.geometry[doubled].representative_point().buffer(4)

    def spoil(frame):
        frame.loc[wrong, "class_name"] = "clas1"
        frame.loc[missing, "class_name"] = None
        frame = frame.drop(index=gone)
        return geopandas.GeoDataFrame(
            geopandas.pd.concat(
                [
                    frame,
                    geopandas.GeoDataFrame({"window": [""], "class_name": ["class0"]}, geometry=[inner], crs=frame.crs),
                ]
            )
        )

    edit(sampled, "labels", spoil)
    printed = command_line("labels", "check", sampled, "--classes", "class0,class1,class2,class3,class4", "--output",
                           tmp_path / "problems.gpkg")  # fmt: skip
    assert printed.code == 3
    assert "2 unknown classes, 1 overlap, 1 gap" in printed.out
    assert "'clas1' is no class; did you mean class1?" in printed.out
    assert "class_name is empty" in printed.out
    places = geopandas.read_file(tmp_path / "problems.gpkg")
    by_kind = {kind: places[places["problem"] == kind].geometry for kind in places["problem"].unique()}
    assert by_kind["overlap"].distance(inner).max() == 0
    assert by_kind["gap"].distance(labels.geometry[gone]).max() == 0
    assert by_kind["unknown class"].distance(labels.geometry[[wrong, missing]].union_all()).max() == 0


def test_holes_and_bow_ties_of_other_files(tmp_path: Path) -> None:
    ring = shapely.box(0, 0, 100, 100).difference(shapely.box(40, 40, 60, 60))
    tie = shapely.Polygon([(200, 0), (300, 100), (300, 0), (200, 100)])
    thread = shapely.box(400, 0, 500, 0.1)
    frame = geopandas.GeoDataFrame({"class_name": ["a", "b", "c"]}, geometry=[ring, tie, thread], crs="EPSG:32632")
    frame.to_file(tmp_path / "mine.geojson")
    problems = check_labels(read_label_file(tmp_path / "mine.geojson"), ("a", "b", "c"))
    assert {problem.kind for problem in problems} == {Kind.GAP, Kind.INVALID, Kind.SLIVER}


def mark_done(path: Path, count: int) -> list[str]:
    keys: list[str] = []

    def change(frame):
        frame["done"] = [number < count for number in range(len(frame))]
        keys.extend(frame["window"][:count])
        return frame

    edit(path, "windows", change)
    return keys


def test_corrections_become_labels_and_the_last_one_counts(
    results: Path, sampled: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    assert command_line("labels", "merge", sampled, "--output", tmp_path / "no.gpkg").code == 2
    keys = mark_done(sampled, 4)
    edit(sampled, "labels", lambda frame: frame.assign(class_name="class1"))
    later = tmp_path / "later.gpkg"
    sample_labels(results, later, Sampling(6, SIDE))
    again = mark_done(later, 1)
    edit(later, "labels", lambda frame: frame.assign(class_name="class3"))
    merged = tmp_path / "merged.gpkg"
    printed = command_line("labels", "merge", sampled, later, "--output", merged)
    assert printed.code == 0, printed.err
    assert "warning: 7 windows not marked as done, left out" in printed.out
    assert again == keys[:1]

    scene, row, col = keys[0].split()
    with rasterio.open(results / f"rasters/{scene}/classes.tif") as dataset:
        grid = Grid(dataset.height, dataset.width, tuple(dataset.transform)[:6], dataset.crs.to_wkt())
        classes = dataset.read(1)
    names = tuple(f"class{number}" for number in range(5))
    placed = read_label_polygons(merged, None).place(grid, ClassMapping(names, names))
    drawn = draw(placed, shapely.STRtree(placed.geometry), grid, grid.window)
    expected = np.full(drawn.shape, -1)
    for number, key in enumerate(keys):
        place, (row, col) = key.split()[0], map(int, key.split()[1:])
        if place == scene:
            window = np.s_[row : row + SIDE, col : col + SIDE]
            expected[window] = np.where(classes[window] == 255, -1, 3 if number == 0 else 1)
    assert (drawn != expected).mean() < 0.002  # lines of the scene's rim and of nodata are simplified
    assert check_labels(read_label_file(merged), names) == [] or {
        problem.kind for problem in check_labels(read_label_file(merged), names)
    } == {Kind.SLIVER}


def test_windows_of_two_scenes_on_the_same_ground_are_merged_once(sampled: Path, tmp_path: Path) -> None:
    def lay_over_another(frame):
        first, second = frame["window"].drop_duplicates()[:2]
        copied = frame[frame["window"] == first].assign(window=second, class_name="class0")
        return geopandas.GeoDataFrame(geopandas.pd.concat([frame[frame["window"] != second], copied]))

    mark_done(sampled, 2)
    keys = list(read_label_file(sampled).windows["window"][:2])
    outline = read_label_file(sampled).windows.geometry[0]
    edit(sampled, "windows", lambda frame: frame.set_geometry([outline, outline, *frame.geometry[2:]]))
    order = {key: place for place, key in enumerate(keys)}
    edit(sampled, "labels", lambda frame: lay_over_another(frame.sort_values("window", key=lambda one: one.map(order))))
    before = read_label_file(sampled).labels
    merge_labels([sampled], tmp_path / "merged.gpkg")
    merged = read_label_file(tmp_path / "merged.gpkg").labels
    assert set(merged["window"]) == {keys[0]}
    assert merged.area.sum() == pytest.approx(before[before["window"] == keys[0]].area.sum()) == outline.area


def test_harmful_mistakes_are_not_merged(sampled: Path, tmp_path: Path) -> None:
    mark_done(sampled, 6)
    edit(sampled, "labels", lambda frame: frame.assign(class_name="nothing"))
    with pytest.raises(SettingsError, match=r"unknown class at .*'nothing' is no class; .*and \d+ more.*labels check"):
        merge_labels([sampled], tmp_path / "merged.gpkg", ("class0", "class1"))
    assert not (tmp_path / "merged.gpkg").exists()


def test_what_cannot_be_used_is_named(results: Path, tmp_path: Path, command_line: CommandLine) -> None:
    for words, message in (
        (("sample", results, "--output", "x.shp"), "must end in .gpkg"),
        (("sample", results, "--output", "x.gpkg", "--by", "hope"), "--by hope is unknown; known are confidence"),
        (("sample", results, "--output", "x.gpkg", "--scene", "three"), "not three"),
        (("sample", tmp_path / "none", "--output", "x.gpkg"), "is not a folder"),
        (("sample", results, "--output", "x.gpkg", "--window-px", "5000"), "no window of 5000 px"),
        (("check", tmp_path / "none.gpkg"), "cannot be read as labels"),
    ):
        printed = command_line("labels", *words)
        assert printed.code == 2, words
        assert message in printed.err
    points = geopandas.GeoDataFrame({"kind": ["a"]}, geometry=[shapely.Point(0, 0)], crs="EPSG:32632")
    points.to_file(tmp_path / "points.gpkg")
    assert "has no column class_name; it has kind" in command_line("labels", "check", tmp_path / "points.gpkg").err
