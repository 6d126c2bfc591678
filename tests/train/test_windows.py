"""Windows: found in all scenes, drawn from a number alone, masked by the split."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely

from geoseg.errors import SettingsError
from geoseg.evaluate.counts import near_boundary
from geoseg.train.data.ground import TEST, TRAINING, VALIDATION
from geoseg.train.data.sites import find_sites
from geoseg.train.data.survey import find_labelled
from geoseg.train.data.windows import BatchReader, WindowSource
from geoseg.train_settings import TrainSettings
from tests.support.scenes import write_scene
from tests.support.training import VALUES, fields, settings, training_set, write_pair


def source_of(wanted: TrainSettings, split: int = TRAINING) -> WindowSource:
    scenes, _ = find_labelled(wanted)
    return WindowSource(scenes, find_sites(scenes, wanted), wanted.data, split, wanted.run.seed)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    folder = tmp_path_factory.mktemp("set")
    return settings(*training_set(folder), folder / "out")


def test_sites_count_the_labels_of_each_class(wanted: TrainSettings) -> None:
    source = source_of(wanted)
    expected = sum(np.bincount(fields(96, 96, seed)[1].ravel(), minlength=3) for seed in range(4))
    np.testing.assert_array_equal(source.sites.pixels.sum(axis=(0, 1)), expected)
    assert len(source.sites.scenes) == 4 * 9
    assert [len(source.sites.of(split)) > 0 for split in (TRAINING, VALIDATION, TEST)] == [True] * 3


def test_a_window_depends_on_its_number_alone(wanted: TrainSettings) -> None:
    first, again = source_of(wanted), source_of(wanted)
    numbers = list(range(20))
    reader = BatchReader(first, 3, 4)
    try:
        batches = list(reader.drawn(iter(numbers)))
    finally:
        reader.close()
    found = [place for batch in batches for place in batch.places]
    assert found == [again.draw(number)[0] for number in numbers]
    assert len({*found}) > 15
    assert [len(batch.places) for batch in batches] == [4] * 5


def test_labels_of_other_splits_are_hidden(wanted: TrainSettings) -> None:
    sources = {split: source_of(wanted, split) for split in (TRAINING, VALIDATION, TEST)}
    seen = {split: np.zeros((4, 96, 96), bool) for split in sources}
    for split, source in sources.items():
        places = [source.draw(number)[0] for number in range(60)] + source.whole_list(100)
        for place in places:
            labels = source.read(place).labels
            ids = fields(96, 96, place.scene)[1][place.window.slices(source.scenes[place.scene].scene.grid.window)]
            known = labels != 255
            np.testing.assert_array_equal(labels[known], ids[known])
            seen[split][place.scene][place.window.slices(source.scenes[place.scene].scene.grid.window)] |= known
        assert seen[split].any()
    assert not (seen[TRAINING] & (seen[VALIDATION] | seen[TEST])).any()
    assert not (seen[VALIDATION] & seen[TEST]).any()


def test_rare_classes_are_drawn_more_often_the_more_balance(tmp_path: Path) -> None:
    pixels, ids = fields(192, 192, 0)
    ids[:] = 0
    ids[20:26, 30:36] = 1
    ids[150:156, 100:106] = 2
    scene, labels = write_scene(tmp_path / "a.tif", pixels), write_scene(tmp_path / "l.tif", VALUES[ids][None])
    shares = []
    for balance in (0.0, 1.0):
        both = {"cell_px": 48, "guard_px": 0, "validation_share": 0.1, "test_share": 0.0}
        chosen = settings([str(scene)], [str(labels)], tmp_path, data={"balance": balance}, split=both)
        source = source_of(chosen)
        has = [(source.draw(number)[1].labels == 1).any() for number in range(60)]
        shares.append(np.mean(has))
    assert shares[0] < 0.15
    assert shares[1] > 0.25


def test_scenes_smaller_than_a_patch_are_reflected(tmp_path: Path) -> None:
    pairs = [write_pair(tmp_path, f"s{n}", size=(20, 27), seed=n, east_px=40 * n) for n in range(6)]
    chosen = settings(
        [str(a) for a, _ in pairs], [str(b) for _, b in pairs], tmp_path, split={"cell_px": 20, "guard_px": 0}
    )
    source = source_of(chosen)
    place, found = source.draw(0)
    pixels = fields(20, 27, place.scene)[0]
    np.testing.assert_array_equal(found.pixels, np.pad(pixels, [(0, 0), (0, 12), (0, 5)], mode="symmetric"))
    assert (found.labels[20:] == 255).all()
    assert (found.labels[:, 27:] == 255).all()


def test_edges_of_labels_may_be_left_out(wanted: TrainSettings) -> None:
    edged = wanted.model_copy(update={"data": wanted.data.model_copy(update={"edge_ignore_px": 2})})
    plain, without = source_of(wanted), source_of(edged)
    for number in range(5):
        place, found = plain.draw(number)
        labels = plain.scenes[place.scene].read_labels(place.window)
        expected = np.where(near_boundary(labels, 2), 255, found.labels)
        np.testing.assert_array_equal(without.read(place).labels, expected)


def test_pixels_that_are_not_valid_have_no_label(tmp_path: Path) -> None:
    pixels, ids = fields(96, 96, 0)
    pixels[:, 10:20, 30:50] = 0
    scene = write_scene(tmp_path / "a.tif", pixels, nodata=0)
    labels = write_scene(tmp_path / "l.tif", VALUES[ids][None])
    source = source_of(settings([str(scene)], [str(labels)], tmp_path))
    found = source.scenes[0].read(source.scenes[0].scene.grid.window)
    np.testing.assert_array_equal(found.valid, (pixels != 0).all(0))
    np.testing.assert_array_equal(found.labels, np.where(found.valid, ids, 255))


def test_polygons_are_labels(tmp_path: Path) -> None:
    scene, labels = write_pair(tmp_path, "a")
    with rasterio.open(labels) as dataset:
        shapes = list(rasterio.features.shapes(dataset.read(1), transform=dataset.transform))
        crs = dataset.crs
    names = {1: "water", 2: "field", 7: "town"}
    frame = geopandas.GeoDataFrame(
        {"class_name": [names[int(value)] for _, value in shapes]},
        geometry=[shapely.geometry.shape(one) for one, _ in shapes],
        crs=crs,
    )
    frame.to_file(tmp_path / "labels.gpkg")
    chosen = settings([str(scene)], [str(tmp_path / "labels.gpkg")], tmp_path)
    one = find_labelled(chosen)[0][0]
    np.testing.assert_array_equal(one.read_labels(one.scene.grid.window), fields(96, 96, 0)[1])


def test_labels_without_a_crs_are_taken_in_order(tmp_path: Path) -> None:
    pairs = [write_pair(tmp_path, f"s{n}", seed=n, east_px=100 * n) for n in range(2)]
    for n in range(2):
        write_scene(tmp_path / f"plain{n}.tif", VALUES[fields(96, 96, n)[1]][None], crs=None)
    chosen = settings([str(a) for a, _ in pairs], [str(tmp_path / f"plain{n}.tif") for n in range(2)], tmp_path)
    for n, one in enumerate(find_labelled(chosen)[0]):
        np.testing.assert_array_equal(one.read_labels(one.scene.grid.window), fields(96, 96, n)[1])


def test_folders_and_patterns_are_scenes(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    for n in range(2):
        _, labels = write_pair(tmp_path / "scenes", f"s{n}", seed=n, east_px=100 * n)
        labels.rename(tmp_path / "labels" / labels.name)
    folder = settings([str(tmp_path / "scenes")], [str(tmp_path / "labels")], tmp_path)
    pattern = settings([f"{tmp_path}/scenes/*.tif"], [f"{tmp_path}/**/*_labels.tif"], tmp_path)
    assert [one.scene.path for one in find_labelled(folder)[0]] == [one.scene.path for one in find_labelled(pattern)[0]]


def test_scenes_without_a_label_are_left_out_and_said(tmp_path: Path) -> None:
    scene, labels = write_pair(tmp_path, "a")
    far, _ = write_pair(tmp_path, "far", east_px=10_000)
    scenes, warnings = find_labelled(settings([str(scene), str(far)], [str(labels)], tmp_path))
    assert [one.scene.scene_id for one in scenes] == ["a"]
    assert "far.tif: no label lies there" in warnings[0]


def test_named_scenes_are_held_out_as_a_whole(tmp_path: Path) -> None:
    scenes, labels = training_set(tmp_path)
    held = {"validation": ["scene1"], "test": [scenes[3]], "guard_px": 0}
    # Scenes that only touch have no common ground, unless a guard is asked for.
    spaced = [write_pair(tmp_path / "b", f"scene{n}", seed=n, east_px=200 * n) for n in range(4)]
    chosen = settings(
        [str(a) for a, _ in spaced], [str(b) for _, b in spaced], tmp_path, split={**held, "test": ["scene3"]}
    )
    source = source_of(chosen)
    assert {*source.sites.scenes[source.sites.of(TEST)].tolist()} == {3}
    assert {*source.sites.scenes[source.sites.of(VALIDATION)].tolist()} == {1}
    assert {*source.sites.scenes[source.sites.of(TRAINING)].tolist()} == {0, 2}
    with pytest.raises(SettingsError, match=r"scene1.*validation.*scene0.*training.*0 pixels apart.*asks for 8"):
        source_of(settings(scenes, labels, tmp_path, split={**held, "guard_px": 8}))


def test_a_leak_is_refused(tmp_path: Path) -> None:
    pairs = [write_pair(tmp_path, f"s{n}", seed=n, east_px=90 * n) for n in range(3)]
    named = {"validation": ["s0"], "test": ["s2"], "guard_px": 0}
    chosen = settings([str(a) for a, _ in pairs], [str(b) for _, b in pairs], tmp_path, split=named)
    with pytest.raises(SettingsError, match=r"s0\.tif \(validation\) and .*s1\.tif \(training\) show the same ground"):
        source_of(chosen)
