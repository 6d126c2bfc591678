"""`geoseg evaluate` from files to report."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
from PIL import Image
from rasterio.transform import from_origin
from sklearn.metrics import cohen_kappa_score, confusion_matrix, jaccard_score

from geoseg.evaluate import evaluate as module
from geoseg.evaluate.evaluate import evaluate
from geoseg.evaluate.report import draw_confusion
from geoseg.grid.legend import Legend, LegendClass
from geoseg.grid.window import Grid
from geoseg.publish.rasters import write_classes
from tests.support.cli import CommandLine
from tests.support.scenes import read_band, run, textured, write_scene

SCENE_PX = (150, 170)


@pytest.fixture(scope="module")
def results(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a scene of 150 x 170 pixels with random weights; the polygons follow the pixels."""
    output = tmp_path_factory.mktemp("results")
    run(*inputs, output, polygons={"simplify_px": 0})
    return output


@pytest.fixture
def geoseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def published(results: Path, name: str = "classes") -> np.ndarray:
    return read_band(results / f"rasters/scene/{name}.tif")


def wrong_labels(results: Path, path: Path) -> np.ndarray:
    """The class map with mistakes, shifted by a pixel, and with holes."""
    rng, classes = np.random.default_rng(5), published(results)
    labels = np.roll(classes, 1, 0)
    labels[rng.random(labels.shape) < 0.1] = 255
    mistakes = (rng.random(labels.shape) < 0.2) & (labels != 255)
    labels[mistakes] = rng.integers(0, classes[classes != 255].max() + 1, mistakes.sum())
    write_scene(path, labels[None], nodata=255)
    return labels


def test_results_agree_with_themselves(results: Path, tmp_path: Path, geoseg: CommandLine) -> None:
    labels = results / "rasters/scene/classes.tif"
    polygons = results / "polygons/scene=scene/part-00000.parquet"
    for source in (labels, polygons):
        done = geoseg("evaluate", results, "--labels", source, "--output", tmp_path)
        assert done.code == 0, done.err
        report = json.loads((tmp_path / "evaluation.json").read_text())
        occurring = [one for one in report["classes"] if one["label_pixels"]]
        assert report["pixel_accuracy"] == report["mean_iou"] == report["kappa"] == 1
        assert all(one["iou"] == one["f1"] == 1 for one in occurring)
        assert report["compared_pixels"] == (published(results) != 255).sum()
    assert len(report["polygons"]) == len(report["classes"])
    assert sum(one["matched"] for one in report["polygons"]) == len(geopandas.read_parquet(polygons))
    assert {one["f1"] for one in report["polygons"]} <= {1.0, None}


def test_the_report_holds_what_scikit_learn_computes(results: Path, tmp_path: Path, geoseg: CommandLine) -> None:
    labels, classes = wrong_labels(results, tmp_path / "labels.tif"), published(results)
    done = geoseg("evaluate", results, "--labels", tmp_path / "labels.tif", "--output", tmp_path / "out")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "out/evaluation.json").read_text())
    known = (labels != 255) & (classes != 255)
    a, b = labels[known], classes[known]
    ids = range(len(report["classes"]))
    np.testing.assert_array_equal(report["confusion"], confusion_matrix(a, b, labels=ids))
    occurring = np.union1d(a, b)
    np.testing.assert_allclose(
        [report["classes"][id_]["iou"] for id_ in occurring], jaccard_score(a, b, average=None, labels=occurring)
    )
    assert report["kappa"] == pytest.approx(cohen_kappa_score(a, b))
    confidence = published(results, "confidence")[known]
    mean = sum(one["pixels"] * one["confidence"] for one in report["calibration"]) / len(a)
    assert mean == pytest.approx(confidence.mean() / 255)
    assert report["scenes"][0]["confusion"] == report["confusion"]
    for name in ("confusion.png", "calibration.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) > 300
    text = (tmp_path / "out/evaluation.md").read_text()
    assert f"| mean IoU | {report['mean_iou']:.3f} |" in text
    assert f"mean IoU: {report['mean_iou']:.3f}" in done.out
    before = [
        (tmp_path / "out" / name).read_bytes() for name in ("evaluation.json", "confusion.png", "calibration.png")
    ]
    geoseg("evaluate", results, "--labels", tmp_path / "labels.tif", "--output", tmp_path / "out")
    after = [(tmp_path / "out" / name).read_bytes() for name in ("evaluation.json", "confusion.png", "calibration.png")]
    assert before == after


def test_windows_do_not_show(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_labels(results, tmp_path / "labels.tif")
    whole = evaluate([results], [tmp_path / "labels.tif"], boundary_px=4)
    monkeypatch.setattr(module, "CELL_PX", 37)
    parts = evaluate([results], [tmp_path / "labels.tif"], boundary_px=4)
    assert parts.metrics == whole.metrics


def test_a_model_is_evaluated_on_scenes(inputs: tuple[Path, Path], tmp_path: Path, geoseg: CommandLine) -> None:
    scene, bundle = inputs
    labels = write_scene(tmp_path / "labels.tif", np.zeros((1, *SCENE_PX), np.uint8))
    words = ("--model", bundle, "--labels", labels, "--output", tmp_path / "out", "--address", "inline")
    done = geoseg("evaluate", scene, *words)
    assert done.code == 0, done.err
    classes = read_band(tmp_path / "out/results/rasters/scene/classes.tif")
    report = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert report["pixel_accuracy"] == pytest.approx((classes == 0).sum() / (classes != 255).sum())
    other = write_scene(
        tmp_path / "other.tif", textured(90, 110, seed=3), nodata=0, transform=from_origin(4e5, 5e6, 10, 10)
    )
    done = geoseg("evaluate", other, *words)
    assert done.code == 2
    assert "has a label in" in done.err, "results of earlier evaluations do not count"
    done = geoseg("evaluate", tmp_path / "missing.tif", *words)
    assert done.code != 0
    assert "missing.tif does not exist" in done.err
    done = geoseg("evaluate", scene, "--labels", labels, "--output", tmp_path / "out", "--address", "inline")
    assert done.code == 2
    assert "give a --model, too" in done.err


def test_several_scenes_are_summed(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    other = write_scene(tmp_path / "other.tif", textured(90, 110, seed=3), nodata=0)
    run([inputs[0], other], inputs[1], tmp_path / "out")
    maps = [tmp_path / f"out/rasters/{name}/classes.tif" for name in ("other", "scene")]
    plain = []
    for number, path in enumerate(maps):
        ids = read_band(path)
        plain.append(write_scene(tmp_path / f"plain{number}.tif", ids[None], crs=None, nodata=255))
    total = evaluate([tmp_path / "out"], plain)
    assert [one.scene for one in total.scenes] == ["other", "scene"]
    assert total.metrics.compared_pixels == sum(one.metrics.compared_pixels for one in total.scenes)
    assert total.metrics.pixel_accuracy == 1
    with pytest.raises(
        module.SettingsError, match=r"1 label rasters have no CRS, such as .*plain0\.tif, and there are 2"
    ):
        evaluate([tmp_path / "out"], plain[:1])


def test_merged_classes_have_no_calibration_and_dissolved_polygons(results: Path, tmp_path: Path) -> None:
    rules = tmp_path / "classes.yaml"
    rules.write_text("predictions: {'*': land}\nlabels: {'*': land}")
    polygons = geopandas.read_parquet(results / "polygons/scene=scene")
    land = polygons.dissolve().explode()
    land[["geometry"]].to_parquet(tmp_path / "land.parquet")
    found = evaluate([results], [tmp_path / "land.parquet"], classes=rules)
    assert found.metrics.calibration == ()
    assert found.polygons[0].matched == found.polygons[0].predicted == len(land) < len(polygons)


def test_what_cannot_be_compared_is_named(results: Path, tmp_path: Path, geoseg: CommandLine) -> None:
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes((results / "rasters/scene/classes.tif").read_bytes()[:400])
    far = write_scene(tmp_path / "far.tif", np.zeros((1, 9, 9), np.uint8), crs="EPSG:32633")
    legend = Legend((LegendClass(0, "lake", (0, 0, 255)), LegendClass(1, "shore", (255, 255, 0))))
    grid = Grid(8, 9, (10.0, 0.0, 480_000.0, 0.0, -10.0, 5_480_000.0), "EPSG:32632")
    write_classes(tmp_path / "lakes.tif", grid, legend, [(grid.window, np.zeros((8, 9), np.uint8))])
    for words, message in (
        ((results, "--labels", far), "has a label in"),
        ((results, "--labels", damaged), "damaged.tif cannot be read"),
        ((results, "--labels", tmp_path / "none.tif"), "none.tif does not exist. Give label rasters"),
        ((tmp_path / "none", "--labels", far), "none does not exist. Give a results folder"),
        ((tmp_path, "--labels", far), "holds no rasters/*/classes.tif"),
        ((results, tmp_path / "lakes.tif", "--labels", far), "Evaluate results of one model at a time"),
        ((far, "--labels", far), "has the tags [] for names of classes"),
    ):
        done = geoseg("evaluate", *words, "--output", tmp_path / "out")
        assert done.code in {2, 3}
        assert message in " ".join(done.err.split())
        assert "Traceback" not in done.err
    assert not list((tmp_path / "out").glob("*"))


def test_an_output_that_is_a_file_is_named(results: Path, tmp_path: Path, geoseg: CommandLine) -> None:
    (tmp_path / "file").write_text("")
    done = geoseg("evaluate", results, "--labels", results / "rasters/scene/classes.tif", "--output", tmp_path / "file")
    assert done.code == 2
    assert "file cannot be written" in " ".join(done.err.split())


def test_many_classes_and_strange_names_can_be_drawn(tmp_path: Path) -> None:
    names = (r"a$\x$", "b|c", *(f"class {number}" for number in range(60)))
    picture = draw_confusion(np.eye(len(names), dtype=np.int64), names)
    picture.savefig(tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as drawn:
        assert max(drawn.size) < 5000


def test_polygons_in_land_that_is_not_labelled_do_not_count(results: Path, tmp_path: Path) -> None:
    polygons = geopandas.read_parquet(results / "polygons/scene=scene")
    first = polygons[polygons.index == polygons.geometry.area.idxmax()]
    first.to_parquet(tmp_path / "one.parquet")
    found = evaluate([results], [tmp_path / "one.parquet"])
    touching = polygons[polygons.intersects(first.geometry.iloc[0])]
    assert sum(one.matched for one in found.polygons) == 1
    assert sum(one.predicted for one in found.polygons) == len(touching) < len(polygons)
