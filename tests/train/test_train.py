"""`geoseg train` from files to a bundle."""

import json
import re
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from geoseg.errors import GeosegError, SettingsError
from geoseg.evaluate.evaluate import evaluate
from geoseg.explain import key_schemas
from geoseg.model.bundle.bundle import read_bundle
from geoseg.train import worker
from geoseg.train.train import train
from geoseg.train_settings import TrainSettings, load_train_settings
from tests.support.cli import CommandLine
from tests.support.scenes import run, write_scene
from tests.support.training import VALUES, fields, settings, training_set, write_pair


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    return training_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def trained(paths: tuple[list[str], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained")
    train(settings(*paths, output, license="CC0-1.0", name="fields"))
    return output


def weights(output: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load((output / "bundle/weights.safetensors").read_bytes())


def assert_same(first: Path, second: Path) -> None:
    one, other = weights(first), weights(second)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_the_bundle_knows_the_classes_of_new_ground(trained: Path, tmp_path: Path) -> None:
    scene, labels = write_pair(tmp_path, "new", seed=77)
    run(scene, trained / "bundle", tmp_path / "results")
    found = evaluate([tmp_path / "results"], [labels], classes=mapping_file(tmp_path))
    assert found.metrics.mean_iou > 0.9
    bundle = read_bundle(trained / "bundle")
    assert bundle.legend.names == ("water", "field", "town")
    assert bundle.file.pixel_m == 10
    assert json.loads((trained / "bundle/model.json").read_text())["license"] == "CC0-1.0"


def mapping_file(folder: Path) -> Path:
    path = folder / "classes.yaml"
    path.write_text(yaml.safe_dump({"labels": {1: "water", 2: "field", 7: "town"}}))
    return path


def test_the_report_tells_data_split_and_figures(trained: Path) -> None:
    report = json.loads((trained / "report.json").read_text())
    assert [entry["epoch"] for entry in report["history"]] == [1, 2, 3]
    assert report["test"]["mean_iou"] > 0.9
    assert report["history"][-1]["loss"] < report["history"][0]["loss"] / 2
    card = (trained / "bundle/README.md").read_text()
    for text in ("# fields", "CC0-1.0", "| water |", "split by cells of 48 pixels", "On the test ground", "kappa"):
        assert text in card
    split = geopandas.read_file(trained / "split.gpkg")
    assert {*split["split"]} == {"training", "validation", "test"}
    assert split.crs.to_epsg() == 32632
    for picture in ("curves.png", "examples.png", "evaluation/confusion.png", "evaluation/calibration.png"):
        assert (trained / picture).stat().st_size > 5_000
    assert list((trained / "tensorboard").iterdir())


def test_the_same_training_gives_the_same_weights(
    trained: Path, paths: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    train(settings(*paths, tmp_path, run={"readers": 1}))
    assert_same(trained, tmp_path)


def test_another_seed_gives_other_weights(paths: tuple[list[str], list[str]], tmp_path: Path) -> None:
    short = {"epochs": 1, "steps_per_epoch": 1}
    for seed in (0, 1):
        train(settings(*paths, tmp_path / str(seed), run={**short, "seed": seed}))
    one, other = weights(tmp_path / "0"), weights(tmp_path / "1")
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_training_that_was_stopped_goes_on(
    trained: Path, paths: tuple[list[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = worker.save_checkpoint

    def save_and_die(checkpoint: Any, path: Path) -> None:
        saved(checkpoint, path)
        if checkpoint.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(worker, "save_checkpoint", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train(settings(*paths, tmp_path))
    epochs = []
    monkeypatch.setattr(
        worker, "save_checkpoint", lambda checkpoint, path: (epochs.append(checkpoint.epoch), saved(checkpoint, path))
    )
    train(settings(*paths, tmp_path))
    assert epochs == [3]
    assert_same(trained, tmp_path)


def test_other_settings_do_not_go_on(trained: Path, paths: tuple[list[str], list[str]]) -> None:
    with pytest.raises(SettingsError, match=r"checkpoint\.pt is of a training with other settings.*--overwrite"):
        train(settings(*paths, trained, optimizer={"learning_rate": 0.5}))


def test_a_damaged_checkpoint_is_told(paths: tuple[list[str], list[str]], tmp_path: Path) -> None:
    train(settings(*paths, tmp_path, run={"epochs": 1, "steps_per_epoch": 2}))
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no archive"):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(SettingsError, match=r"is no whole checkpoint.*--overwrite"):
            train(settings(*paths, tmp_path, run={"epochs": 1, "steps_per_epoch": 2}))


def test_fine_tuning_starts_where_the_bundle_ended(
    trained: Path, paths: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    start = {"start": str(trained / "bundle")}
    tuned = train(
        settings(
            *paths, tmp_path, network=start, run={"epochs": 1, "steps_per_epoch": 1}, optimizer={"learning_rate": 1e-6}
        )
    )
    assert tuned.start.startswith(f"{len(weights(trained))} of {len(weights(trained))} tensors")
    assert tuned.validation.mean_iou > 0.9


def test_geosegs_own_polygons_are_labels(trained: Path, paths: tuple[list[str], list[str]], tmp_path: Path) -> None:
    """The loop of corrections: publish, save as GeoPackage, train on it."""
    run([Path(path) for path in paths[0]], trained / "bundle", tmp_path / "results", polygons={"simplify_px": 0})
    parts = [geopandas.read_parquet(path) for path in sorted((tmp_path / "results/polygons").rglob("*.parquet"))]
    frame = geopandas.pd.concat(parts)
    frame.to_file(tmp_path / "corrected.gpkg")
    chosen = settings(paths[0], [str(tmp_path / "corrected.gpkg")], tmp_path / "again")
    assert train(chosen).validation.mean_iou > 0.85


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenes": ["missing/*.tif"]}, r"scenes: missing/\*\.tif finds no file"),
        ({"network": {"architecture": "unett"}}, r"network: mlm:architecture 'unett' is none"),
        ({"network": {"arguments": {"width": 0}}}, "width=0 is not a whole number"),
        ({"data": {"patch_px": 33}}, r"data\.patch_px=33 is not a multiple of 2.*Use 32"),
        ({"network": {"frozen_epochs": 1}}, "unet has no encoder of its own"),
        ({"network": {"start": "missing"}}, r"network\.start=missing cannot be read"),
        ({"classes": [{"name": "water", "labels": [1]}]}, r"holds 2, 7, which are no class"),
        (
            {"classes": [{"name": "water", "labels": [1, 2, 7]}, {"name": "snow", "labels": [9]}]},
            r"No training label of snow.*never occurs",
        ),
        ({"classes": [{"name": "a", "labels": [1]}, {"name": "b", "labels": [1]}]}, "1 stands for a and for b"),
        ({"ignore": [1, 2, 7]}, "The labels hold no pixel of water, field, town"),
        ({"split": {"cell_px": 4096}}, r"cells of ground, too few to hold out 2"),
        ({"split": {"validation": ["other"]}}, "other is no scene with labels"),
        ({"bands": ["red", "green"]}, "The model wants 2 bands"),
    ],
)
def test_bad_settings(
    changes: dict[str, Any], message: str, paths: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    with pytest.raises(GeosegError, match=message):
        train(settings(*paths, tmp_path, **changes))


def test_labels_elsewhere_are_refused(paths: tuple[list[str], list[str]], tmp_path: Path) -> None:
    _, labels = write_pair(tmp_path, "far", east_px=100_000)
    with pytest.raises(SettingsError, match=r"No label of .*far_labels\.tif lies on a scene such as"):
        train(settings(paths[0], [str(labels)], tmp_path))


def test_labels_without_a_crs_need_one_for_each_scene(paths: tuple[list[str], list[str]], tmp_path: Path) -> None:
    pixels, ids = fields(96, 96, 0)
    scene = write_scene(tmp_path / "a.tif", pixels)
    plain = write_scene(tmp_path / "plain.tif", VALUES[ids][None], crs=None)
    with pytest.raises(SettingsError, match=r"have no CRS.*give one for each"):
        train(settings([str(scene), paths[0][1]], [str(plain)], tmp_path))


def test_a_loss_that_is_not_finite_stops_and_names_the_windows(
    paths: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    train(settings(*paths, tmp_path, run={"epochs": 1, "steps_per_epoch": 2}))
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(SettingsError, match=r"The loss of step \d+ is (nan|inf)\. Its windows: .*scene\d\.tif rows"):
        train(settings(*paths, tmp_path / "b", optimizer={"learning_rate": 1e6, "clip_norm": None, "name": "sgd"}))
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept


def test_the_command_prints_what_came_out(
    paths: tuple[list[str], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = settings(*paths, tmp_path / "out", run={"epochs": 1}).model_dump(mode="json", exclude_defaults=True)
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(content))
    assert load_train_settings(tmp_path / "train.yaml") == settings(*paths, tmp_path / "out", run={"epochs": 1})
    geoseg = CommandLine(monkeypatch, capsys)
    printed = geoseg("train", "--config", tmp_path / "train.yaml", "--set", "run.steps_per_epoch=3")
    assert printed.code == 0, printed.err
    for text in (
        "4 scenes, 36 places",
        "unet on band1, band2, band3; random weights",
        "epoch 1 of 1: loss",
        "test ground: mIoU",
    ):
        assert text in printed.out
    unknown = geoseg("train", "--config", tmp_path / "train.yaml", "--set", "run.epoch=3")
    assert unknown.code == 2
    assert "Unknown setting run.epoch. Did you mean run.epochs?" in unknown.err


def test_missing_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("scenes: [a.tif]\noutput: out\n")
    with pytest.raises(SettingsError, match=r"Setting labels is missing\. Give labels: in a --config file"):
        load_train_settings(tmp_path / "train.yaml")


def test_predictions_use_the_moving_average(trained: Path) -> None:
    checkpoint = torch.load(trained / "checkpoint.pt", weights_only=True)
    name = next(iter(checkpoint["network"]))
    assert not torch.equal(checkpoint["network"][name], checkpoint["best"][name])
    assert np.isfinite(checkpoint["history"][0]["loss"])


def test_the_table_of_settings_is_the_schema() -> None:
    page = (Path(__file__).parents[2] / "configs/TRAINING.md").read_text().partition("## All keys")[2]
    table = dict(re.findall(r"^\| `([a-z0-9_.]+)` \| ([^|]*) \|", page, re.MULTILINE))
    schemas = key_schemas(TrainSettings.model_json_schema())
    keys = [key for key, schema in schemas.items() if "$ref" not in schema and not key.startswith("scene.")]
    assert [key for key in table if key != "scene"] == keys
    for key, default in table.items():
        if key != "scene" and "default" in schemas[key]:
            expected = schemas[key]["default"]
            assert default == f"`{expected if isinstance(expected, str) else json.dumps(expected)}`", key


def test_the_example_is_valid() -> None:
    example = load_train_settings(Path(__file__).parents[2] / "configs/train.yaml")
    assert example.names == ("other", "building", "road")
