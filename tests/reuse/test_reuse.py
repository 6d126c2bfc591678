"""Polygons again without the model: other polygon settings take over class map and confidence as published."""

import json
from pathlib import Path
from typing import Any

import pytest

from geoseg.config import FAULT_VARIABLE, Settings
from geoseg.run.report import Report
from geoseg.run.segment import segment
from geoseg.store.manifest import read_manifest
from geoseg.store.storages.opening import open_storage
from geoseg.verify.validate import validate
from tests.support.cli import CommandLine
from tests.support.scenes import digests, run

SCENE_PX = 131, 173
STRIDE = 24
WHOLE = {"block_px": 8 * STRIDE}
SETTINGS: dict[str, dict[str, Any]] = {
    "lines": {"simplify_px": 2.5},
    "minimum area": {"min_area_px": 9},
    "chosen": {"simplify_px": 0, "not_dissolved": ["class1"], "classes": ["class1", "class2"], "crs": "EPSG:4326"},
}
SMOOTHED = {"rasters": {"publish": ["probabilities", "margin"]}, "inference": {"smoothing_radius_px": 2}}


def again(inputs: tuple[Path, Path], output: Path, **settings: Any) -> Report:
    """A run over published results; the model must have nothing to do."""
    kept = {file: file.stat().st_mtime_ns for file in (output / "rasters").rglob("*.tif")}
    report = run(*inputs, output, overwrite=True, **settings)
    assert report.exit_code == 0, report.scenes
    assert report.patches == 0
    assert report.precision == "none"
    assert not {"read", "predict", "finish"} & report.stages.keys()
    assert kept.items() >= {file: file.stat().st_mtime_ns for file in (output / "rasters").rglob("*.tif")}.items()
    return report


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("minimum area", {}),
        pytest.param("lines", {}, marks=pytest.mark.slow),
        pytest.param("chosen", {}, marks=pytest.mark.slow),
        pytest.param("minimum area", SMOOTHED, marks=pytest.mark.slow),
        pytest.param("chosen", SMOOTHED, marks=pytest.mark.slow),
    ],
)
def test_bytes_are_those_of_a_whole_run(
    inputs: tuple[Path, Path], tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    run(*inputs, tmp_path / "whole", tiling=WHOLE, polygons=SETTINGS[name], **options)
    manifest = (tmp_path / "whole/scenes/scene.json").read_bytes()
    run(*inputs, tmp_path / "out", tiling=WHOLE, **options)
    before = digests(tmp_path / "out")
    for strides in (1, 3, 8):
        again(inputs, tmp_path / "out", tiling={"block_px": strides * STRIDE}, polygons=SETTINGS[name], **options)
        assert digests(tmp_path / "out") == digests(tmp_path / "whole") != before
        assert (tmp_path / "out/scenes/scene.json").read_bytes() == manifest
        again(inputs, tmp_path / "out", tiling={"block_px": strides * STRIDE}, **options)
        assert digests(tmp_path / "out") == before
    assert not (tmp_path / "out/.work").exists()


def test_results_again_are_valid_and_the_report_says_what_was_kept(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    first = run(*inputs, tmp_path)
    assert "reused" not in first.scenes[0]
    report = again(inputs, tmp_path, polygons={"min_area_px": 30})
    assert report.scenes[0]["reused"] == ["classes", "confidence"]
    assert report.scenes[0]["polygons"] < first.scenes[0]["polygons"]
    assert report.valid_pixels == first.valid_pixels
    assert [check.finding.text for check in validate(tmp_path) if not check.finding.ok] == []


@pytest.fixture
def geoseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def test_it_says_what_it_keeps_and_asks_for_overwrite(
    geoseg: CommandLine, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    command = ["segment", inputs[0], "--model", inputs[1], "--output", tmp_path, "--address", "inline"]
    assert geoseg(*command).code == 0
    before = digests(tmp_path)
    other = [*command, "--set", "polygons.simplify_px=2.5"]
    refused = geoseg(*other)
    assert refused.code == 3
    changes = "polygons.simplify_px was 1.0, now 2.5"
    assert changes in refused.out + refused.err
    assert "Give --overwrite to replace it, or another --output." in refused.out + refused.err
    assert "Its class map and other rasters stay, the model has nothing to do." in refused.out + refused.err
    assert digests(tmp_path) == before
    said = "scene: classes and confidence are taken over as published, the rest is made again without the model: "
    planned = geoseg(*other, "--overwrite", "--dry-run")
    assert f"{said}{changes}." in planned.out
    assert digests(tmp_path) == before
    done = geoseg(*other, "--overwrite")
    assert done.code == 0
    assert f"{said}{changes}." in done.out + done.err


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"inference": {"smoothing_radius_px": 1}}, marks=pytest.mark.slow),
        {"rasters": {"publish": ["confidence", "margin"]}},
        pytest.param({"scene": {"nodata": 1}}, marks=pytest.mark.slow),
        pytest.param({"tiling": {"overlap_px": 4}}, marks=pytest.mark.slow),
    ],
    ids=["smoothing", "one more raster", "validity", "overlap"],
)
def test_what_decides_pixels_needs_the_model(
    inputs: tuple[Path, Path], tmp_path: Path, settings: dict[str, Any]
) -> None:
    run(*inputs, tmp_path / "out")
    report = run(*inputs, tmp_path / "out", overwrite=True, **settings)
    assert report.exit_code == 0
    assert report.patches > 0
    run(*inputs, tmp_path / "whole", **settings)
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_a_raster_less_is_a_matter_of_publication(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run(*inputs, tmp_path / "out", rasters={"publish": ["confidence", "entropy"]})
    again(inputs, tmp_path / "out", rasters={"publish": ["confidence"]})
    run(*inputs, tmp_path / "whole", rasters={"publish": ["confidence"]})
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_a_changed_class_map_is_not_taken_over(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run(*inputs, tmp_path / "out")
    path = tmp_path / "out/rasters/scene/classes.tif"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    report = run(*inputs, tmp_path / "out", polygons={"simplify_px": 2}, overwrite=True)
    assert report.patches > 0
    run(*inputs, tmp_path / "whole", polygons={"simplify_px": 2})
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_polygons_of_another_version_are_made_again_from_the_rasters(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run(*inputs, tmp_path)
    expected, path = digests(tmp_path), tmp_path / "scenes/scene.json"
    manifest = json.loads(path.read_text())
    manifest["fingerprint"]["polygons.algorithm"] -= 1
    path.write_text(json.dumps(manifest))
    again(inputs, tmp_path)
    assert digests(tmp_path) == expected


@pytest.mark.parametrize("rule", ["reuse:start:r0001c0001:*:enospc", "commit:middle:*:*:enospc"])
def test_a_run_that_fails_is_continued(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    tiling, polygons = {"block_px": 2 * STRIDE}, SETTINGS["minimum area"]
    run(*inputs, tmp_path / "whole", tiling=tiling, polygons=polygons)
    run(*inputs, tmp_path / "out", tiling=tiling)
    monkeypatch.setenv(FAULT_VARIABLE, rule)
    assert run(*inputs, tmp_path / "out", tiling=tiling, polygons=polygons, overwrite=True).exit_code == 3
    monkeypatch.delenv(FAULT_VARIABLE)
    report = run(*inputs, tmp_path / "out", tiling=tiling, polygons=polygons, overwrite=True)
    assert report.exit_code == 0
    assert report.patches == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_on_ray_no_predictor_is_started(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    polygons = SETTINGS["minimum area"]
    run(*inputs, tmp_path / "whole", polygons=polygons)
    run(*inputs, tmp_path / "out")
    where = {"address": "auto", "workers": 2}
    again(inputs, tmp_path / "out", tiling={"block_px": 2 * STRIDE}, polygons=polygons, run=where)
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_in_a_bucket(inputs: tuple[Path, Path], s3_url: str, tmp_path: Path) -> None:
    polygons = SETTINGS["lines"]
    run(*inputs, tmp_path, polygons=polygons)
    manifest = read_manifest(open_storage(str(tmp_path)), "scene")
    segment_to(s3_url, inputs)
    report = segment_to(s3_url, inputs, overwrite=True, polygons=polygons)
    assert report.patches == 0
    assert read_manifest(open_storage(s3_url), "scene") == manifest
    assert segment_to(s3_url, inputs, polygons=polygons, run={"address": "inline", "verify": True}).up_to_date


def segment_to(url: str, inputs: tuple[Path, Path], **settings: Any) -> Report:
    where = {"scenes": [str(inputs[0])], "model": str(inputs[1]), "output": url}
    return segment(Settings.model_validate({**where, "run": {"address": "inline"}, **settings}))
