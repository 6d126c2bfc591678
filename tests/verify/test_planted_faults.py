"""`geoseg validate` finds every planted fault of an output, also if the manifest is changed to match it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from geoseg.verify.validate import validate
from tests.support.bundles import unet_bundle
from tests.support.cli import CommandLine
from tests.support.planting import FAULTS, edit, parts_of, replaced, seal, vertex_moved
from tests.support.scenes import run, textured, write_scene

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "minimum area": {"min_area_px": 6},
    "another CRS": {"crs": "EPSG:4326"},
}
SCENE = "field"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Valid outputs of one scene, by settings of the polygons."""
    folder = tmp_path_factory.mktemp("valid")
    scene = write_scene(folder / f"{SCENE}.tif", textured(70, 90), nodata=0)
    bundle = unet_bundle(folder / "bundle")
    observed = {"observed_at": "2026-06-21T10:30:00Z"}
    for name, polygons in VARIANTS.items():
        assert run(scene, bundle, folder / name, scene=observed, polygons=polygons).exit_code == 0
    return {name: folder / name for name in VARIANTS}


@pytest.fixture
def output(outputs: dict[str, Path], request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(outputs[getattr(request, "param", "plain")], tmp_path / "out"))


def failed(output: Path) -> set[str]:
    return {check.finding.name for check in validate(output) if not check.finding.ok}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_valid_output_passes(outputs: dict[str, Path], variant: str) -> None:
    checks = validate(outputs[variant])
    assert [check for check in checks if not check.finding.ok] == []
    columns = next(check.finding.found for check in checks if check.finding.name == "columns")
    assert all(name in columns for name in ("area_m2", "confidence", "geometry", "model", "observed_at"))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(output: Path, name: str) -> None:
    FAULTS[name].plant(output, SCENE)
    found = failed(output)
    assert found & {"digests", "manifest", "scene"}
    assert FAULTS[name].found_by & found or not FAULTS[name].found_by


@pytest.mark.parametrize("output", VARIANTS, indirect=True)
@pytest.mark.parametrize(
    "name", [name for name, fault in FAULTS.items() if fault.found_beside_files and fault.found_by]
)
def test_a_fault_is_found_if_the_manifest_matches_it(output: Path, name: str) -> None:
    FAULTS[name].plant(output, SCENE)
    seal(output, SCENE)
    assert FAULTS[name].found_by & failed(output)


def test_a_line_moved_by_the_last_bit_on_both_of_its_sides_is_found(output: Path) -> None:
    """No overlap and no changed sum: only the recomputed geometry differs."""
    edit(parts_of(output, SCENE), vertex_moved(by=0, everywhere=True))
    seal(output, SCENE)
    assert failed(output) <= {"geometry", "boxes"}
    assert "geometry" in failed(output)


def test_a_pixel_that_changes_no_row_is_found_by_its_digest(outputs: dict[str, Path], tmp_path: Path) -> None:
    """With a minimum area, a single pixel of another class is merged into its neighbours, so only the file differs."""
    output = Path(shutil.copytree(outputs["minimum area"], tmp_path / "out"))
    path = output / f"rasters/{SCENE}/classes.tif"
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        classes = dataset.read(1)
        # The middle of nine pixels of one class.
        nine = np.lib.stride_tricks.sliding_window_view(classes, (3, 3))
        row, col = np.argwhere((nine == nine[..., :1, :1]).all(axis=(2, 3)) & (nine[..., 0, 0] < 3))[0] + 1
        classes[row, col] += 1
        dataset.write(classes, 1)
    assert failed(output) == {"digests"}


def test_with_a_minimum_area_a_class_map_of_other_classes_is_found(outputs: dict[str, Path], tmp_path: Path) -> None:
    output = Path(shutil.copytree(outputs["minimum area"], tmp_path / "out"))
    path = output / f"rasters/{SCENE}/classes.tif"
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        classes = dataset.read(1)
        classes[classes != 255] = 0
        dataset.write(classes, 1)
    seal(output, SCENE)
    assert {"rows", "class_id"} <= failed(output)


def test_missing_scenes_of_manifests_and_reports_are_found(output: Path) -> None:
    """Also if only a report is left, or if it is not JSON."""
    (report,) = output.glob("runs/*/report.json")
    for folder in ("rasters", "polygons", "scenes"):
        shutil.rmtree(output / folder)
    (check,) = validate(output)
    assert (check.scene, check.finding.name, check.finding.file) == (
        SCENE,
        "scene",
        report.relative_to(output).as_posix(),
    )
    report.write_text("{")
    (check,) = validate(output)
    assert (check.finding.name, check.finding.found) == ("report", "cannot be read")


@pytest.mark.parametrize("content", ["", "[]", '{"fingerprint": {}, "files": {"../x": {"bytes": 1}}, "results": {}}'])
def test_an_invalid_manifest_is_reported(output: Path, content: str) -> None:
    (output / f"scenes/{SCENE}.json").write_text(content)
    assert failed(output) == {"manifest"}


def test_manifest_and_rows_must_agree(output: Path) -> None:
    path = output / f"scenes/{SCENE}.json"
    manifest = json.loads(path.read_text())
    manifest["results"]["polygons"] += 1
    manifest["fingerprint"]["polygons.simplify_px"] = 3.0
    path.write_text(json.dumps(manifest))
    found = {check.finding.name: check.finding for check in validate(output) if not check.finding.ok}
    assert set(found) == {"settings", "results"}
    assert (found["settings"].found, found["settings"].expected) == ("simplify_px=1.0", "simplify_px=3.0")
    assert f"{manifest['results']['polygons']} polygons" in found["results"].expected


def test_polygons_of_another_version_of_geoseg_are_not_compared_row_by_row(output: Path) -> None:
    path = output / f"scenes/{SCENE}.json"
    manifest = json.loads(path.read_text())
    manifest["fingerprint"]["polygons.algorithm"] = 0
    path.write_text(json.dumps(manifest))
    rows = next(check.finding for check in validate(output) if check.finding.name == "rows")
    assert rows.ok
    assert not rows.compared
    assert "another version of geoseg (algorithm 0, here " in rows.found


@pytest.mark.parametrize(
    ("polygons", "names"),
    [
        ({"classes": ["class1"]}, {"coverage", "area"}),
        ({"classes": ["class1"], "min_area_px": 6}, {"coverage", "area", "area_m2", "pixels by class"}),
        ({"not_dissolved": ["class1"], "simplify_m": 17.3}, set()),
        ({"crs": "EPSG:3857", "not_dissolved": ["class1"], "min_area_px": 6}, {"area", "pixels by class"}),
    ],
    ids=["classes", "classes-min-area", "not-dissolved", "other-crs"],
)
def test_rows_are_recomputed_whatever_the_settings(
    outputs: dict[str, Path], tmp_path: Path, polygons: dict[str, Any], names: set[str]
) -> None:
    folder = outputs["plain"].parent
    run(folder / f"{SCENE}.tif", folder / "bundle", tmp_path / "out", polygons=polygons)
    checks = validate(tmp_path / "out")
    assert [check for check in checks if not check.finding.ok] == []
    assert {check.finding.name for check in checks if not check.finding.compared} == names
    FAULTS["all classes 0" if "classes" not in polygons else "a confidence altered"].plant(tmp_path / "out", SCENE)
    seal(tmp_path / "out", SCENE)
    assert {"class_id", "confidence"} & failed(tmp_path / "out")


def test_the_command_prints_file_values_and_remedy(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = CommandLine(monkeypatch, capsys)
    valid = command("validate", output)
    assert (valid.code, valid.err) == (0, "")
    assert max(map(len, valid.out.splitlines())) <= 80
    assert "18 of 18 checks passed." in valid.out
    edit(parts_of(output, SCENE), lambda table: replaced(table, "area_m2", np.full(len(table), 50.0)))
    printed = command("validate", output)
    assert printed.code == 3
    assert max(map(len, printed.out.splitlines())) <= 80
    part = f"polygons/scene={SCENE}/part-00000.parquet"
    lines = [line.rstrip() for line in printed.err.splitlines()]
    start = lines.index(f"{SCENE}: area_m2 (recomputed) of {part}")
    assert lines[start + 1].startswith("  found     50.0 in polygon_id ")
    assert lines[start + 2].startswith("  expected  ")
    assert lines[start + 3] == "  remedy    Give the command of the run again with --verify: the scene is done again."
