"""Promise 4: kill any process at any moment, run the same command again: only unfinished blocks are done again."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from geoseg.config import FAULT_VARIABLE
from geoseg.plan import fingerprint
from geoseg.raster.source import content_digest
from geoseg.run.report import Report
from tests.support.scenes import digests, run, textured, write_scene

BLOCKS = 30
TILING = {"block_px": 48}


@pytest.fixture(scope="module")
def reference(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Report]:
    output = tmp_path_factory.mktemp("reference")
    report = run(*inputs, output, tiling=TILING)
    assert report.resumed_blocks == report.retries == 0
    return digests(output), report


def fail_at(monkeypatch: pytest.MonkeyPatch, inputs: tuple[Path, Path], output: Path, rule: str, **more: Any) -> Report:
    monkeypatch.setenv(FAULT_VARIABLE, rule)
    report = run(*inputs, output, tiling=TILING, **more)
    monkeypatch.delenv(FAULT_VARIABLE)
    return report


def test_a_second_run_does_only_what_is_left(
    inputs: tuple[Path, Path], reference: tuple[dict[str, str], Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = fail_at(monkeypatch, inputs, tmp_path, "predict:start:r0003c0002:*:enospc")
    assert failed.exit_code == 3
    assert "No space left on device" in failed.failed[0]["error"]
    assert "run the same command again" in failed.failed[0]["error"]
    assert digests(tmp_path) == {}
    again = run(*inputs, tmp_path, tiling=TILING)
    assert again.resumed_blocks == 3 * 6 + 2
    assert again.stages["read"]["units"] == BLOCKS - again.resumed_blocks
    assert failed.valid_pixels + again.valid_pixels == reference[1].valid_pixels, "each run tells of its own work"
    assert failed.patches + again.patches == reference[1].patches, "no patch went through the model twice"
    assert digests(tmp_path) == reference[0]
    assert not (tmp_path / ".work").exists()
    manifest = json.loads((tmp_path / "scenes/scene.json").read_text())
    assert {key: facts["sha256"] for key, facts in manifest["files"].items()} == reference[0]


def test_a_finished_scene_is_up_to_date(
    inputs: tuple[Path, Path], reference: tuple[dict[str, str], Report], tmp_path: Path
) -> None:
    first = run(*inputs, tmp_path, tiling=TILING)
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "rasters").rglob("*.tif")}
    second = run(*inputs, tmp_path, tiling={"block_px": 24})
    assert second.exit_code == 0
    assert second.patches == 0
    assert [scene["status"] for scene in second.scenes] == ["up to date"]
    assert second.scenes[0]["polygons"] == first.scenes[0]["polygons"]
    assert {file: file.stat().st_mtime_ns for file in times} == times
    third = run(*inputs, tmp_path, tiling=TILING, overwrite=True)
    assert third.patches == 0, "the same command can be given again after a crash, --overwrite or not"
    assert digests(tmp_path) == reference[0]


def test_a_published_file_that_is_gone_is_made_again(
    inputs: tuple[Path, Path], reference: tuple[dict[str, str], Report], tmp_path: Path
) -> None:
    run(*inputs, tmp_path, tiling=TILING)
    (tmp_path / "rasters/scene/classes.tif").unlink()
    again = run(*inputs, tmp_path, tiling=TILING)
    assert "rasters/scene/classes.tif of scene scene is gone or changed; the scene is done again." in again.warnings
    assert digests(tmp_path) == reference[0]


def spoil(path: Path) -> None:
    """Change a byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("key", ["rasters/scene/confidence.tif", "polygons/scene=scene/part-00000.parquet"])
@pytest.mark.parametrize("old_time", [False, True])
def test_a_published_file_of_which_a_byte_has_changed_is_made_again(
    inputs: tuple[Path, Path], reference: tuple[dict[str, str], Report], tmp_path: Path, key: str, old_time: bool
) -> None:
    """Also if the file was given its old time back."""
    run(*inputs, tmp_path, tiling=TILING)
    before = (tmp_path / key).stat()
    spoil(tmp_path / key)
    if old_time:
        os.utime(tmp_path / key, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = run(*inputs, tmp_path, tiling=TILING)
    kept = ", its polygons alone, from its class map" if key.startswith("polygons") else ""
    assert f"{key} of scene scene is gone or changed; the scene is done again{kept}." in again.warnings
    assert (again.patches == 0) == bool(kept)
    assert digests(tmp_path) == reference[0]
    assert run(*inputs, tmp_path, tiling=TILING).patches == 0


def test_a_file_older_than_its_manifest_is_read_on_demand(
    inputs: tuple[Path, Path], reference: tuple[dict[str, str], Report], tmp_path: Path
) -> None:
    run(*inputs, tmp_path, tiling=TILING)
    spoil(tmp_path / "rasters/scene/classes.tif")
    manifest = tmp_path / "scenes/scene.json"
    manifest.write_bytes(manifest.read_bytes())  # newer than the damaged file, as after an error of the disk
    assert run(*inputs, tmp_path, tiling=TILING).patches == 0
    again = run(*inputs, tmp_path, tiling=TILING, run={"address": "inline", "verify": True})
    assert "rasters/scene/classes.tif of scene scene is gone or changed; the scene is done again." in again.warnings
    assert digests(tmp_path) == reference[0]


def test_a_copy_of_an_output_is_up_to_date(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run(*inputs, tmp_path / "first", tiling=TILING)
    shutil.copytree(tmp_path / "first", tmp_path / "copy", copy_function=shutil.copyfile)
    for file in (tmp_path / "copy/rasters").rglob("*.tif"):
        file.touch()  # later than the manifest
    assert run(*inputs, tmp_path / "copy", tiling=TILING, run={"address": "inline", "verify": True}).patches == 0
    assert run(*inputs, tmp_path / "copy", tiling=TILING).patches == 0


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"polygons": {"simplify_px": 2.0}}, "polygons.simplify_px was 1.0, now 2.0"),
        ({"tiling": {**TILING, "overlap_px": 4, "block_px": "auto"}}, "tiling.overlap_px was 8, now 4"),
        ({"scene": {"nodata_rule": "all"}}, 'scene.nodata_rule was "any", now "all"'),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused_and_listed(
    inputs: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    change: str,
    finished: bool,
) -> None:
    fail_at(monkeypatch, inputs, tmp_path, "none:*:*:*:raise" if finished else "read:start:r0002c0001:*:enospc")
    before = digests(tmp_path)
    refused = run(*inputs, tmp_path, **{"tiling": TILING, **settings})
    assert refused.exit_code == 3
    assert refused.patches == 0
    message = refused.failed[0]["error"]
    assert ("holds scene scene made otherwise" if finished else "unfinished work on scene scene") in message
    assert f": {change}. Give --overwrite" in message, "that and nothing else changed"
    assert digests(tmp_path) == before
    replaced = run(*inputs, tmp_path, overwrite=True, **{"tiling": TILING, **settings})
    assert replaced.exit_code == 0
    assert not (tmp_path / ".work").exists()


def test_another_input_under_the_same_name_is_refused(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", textured(60, 60), nodata=0)
    size = scene.stat().st_size
    run(scene, inputs[1], tmp_path / "out")
    write_scene(scene, textured(60, 60, seed=1), nodata=0)
    os.utime(scene, (scene.stat().st_atime, scene.stat().st_mtime + 60))
    assert scene.stat().st_size == size
    refused = run(scene, inputs[1], tmp_path / "out")
    assert refused.exit_code == 3
    said = r"s\.tif has changed since \(size same, modified \d\d:\d\d, was \d\d:\d\d\)\. Give --overwrite"
    assert re.search(said, refused.failed[0]["error"]), refused.failed[0]["error"]
    assert run(scene, inputs[1], tmp_path / "out", overwrite=True).exit_code == 0


def test_a_touch_of_the_input_changes_nothing(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = write_scene(tmp_path / "s.tif", textured(203, 267), nodata=0)

    def touched(blocks: Any) -> Any:
        os.utime(scene, ns=(1, 1))
        return blocks

    monkeypatch.setenv(FAULT_VARIABLE, "finish:start:r0002c0001:*:enospc")
    assert run(scene, inputs[1], tmp_path / "out", tiling=TILING).exit_code == 3
    monkeypatch.delenv(FAULT_VARIABLE)
    os.utime(scene, ns=(2, 2))
    resumed = run(scene, inputs[1], tmp_path / "out", tiling=TILING, order=touched)
    assert (resumed.exit_code, resumed.resumed_blocks, resumed.warnings) == (0, 2 * 6 + 1, [])
    os.utime(scene, ns=(3, 3))
    again = run(scene, inputs[1], tmp_path / "out", tiling=TILING)
    assert [scene["status"] for scene in again.scenes] == ["up to date"]
    assert again.warnings == []


def test_a_large_input_that_may_have_been_edited_in_place_is_named(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = write_scene(tmp_path / "s.tif", textured(200, 200), nodata=0)
    monkeypatch.setattr(content_digest, "PIECE_BYTES", 256)  # 256 pieces of 256 bytes are less than its 320,000 bytes
    run(scene, inputs[1], tmp_path / "out")
    os.utime(scene, ns=(3, 3))
    again = run(scene, inputs[1], tmp_path / "out")
    assert [scene["status"] for scene in again.scenes] == ["up to date"]
    (warnings,) = again.warnings
    assert warnings.startswith(
        f"{scene} has another time and no other content, as far as was looked (size same, modified "
    )
    assert warnings.endswith("If it was edited in place, give another --output.")


def test_another_model_is_named_with_what_differs(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", textured(60, 60), nodata=0)
    bundle = tmp_path / "bundle"
    shutil.copytree(inputs[1], bundle)
    run(scene, bundle, tmp_path / "out")
    described = json.loads((bundle / "model.json").read_text())
    name = described["mlm:name"]
    (bundle / "model.json").write_text(json.dumps({**described, "geoseg:nodata_fill": 0.5}))
    same_name = run(scene, bundle, tmp_path / "out").failed[0]["error"]
    assert f": the model {name} is another one of this name; what differs: geoseg:nodata_fill. Give --ov" in same_name
    (bundle / "model.json").write_text(json.dumps({**described, "mlm:name": "newer"}))
    weights = load_file(bundle / "weights.safetensors")
    save_file({key: np.asarray(value * 2) for key, value in weights.items()}, bundle / "weights.safetensors")
    other_name = run(scene, bundle, tmp_path / "out").failed[0]["error"]
    assert f": the model was {name}, now newer; what differs: weights. Give --overwrite" in other_name
    assert "sha256" not in same_name + other_name


def test_a_sidecar_belongs_to_the_input(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", textured(60, 60), nodata=0)
    run(scene, inputs[1], tmp_path / "out")
    sidecar = Path(f"{scene}.aux.xml")
    sidecar.write_text('<PAMDataset><PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>')
    refused = run(scene, inputs[1], tmp_path / "out")
    assert "s.tif.aux.xml" in refused.failed[0]["error"]
    assert "scene.nodata was " in refused.failed[0]["error"]


def test_an_input_replaced_during_the_run_is_refused_at_the_end(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", textured(60, 60), nodata=0)

    def replaced_first(blocks: Any) -> Any:
        write_scene(scene, textured(60, 60, seed=1), nodata=0)
        os.utime(scene, (scene.stat().st_atime, scene.stat().st_mtime + 60))
        return blocks

    report = run(scene, inputs[1], tmp_path / "out", order=replaced_first)
    assert report.exit_code == 3
    said = r"has changed since the run began \(size same, modified \d\d:\d\d, was \d\d:\d\d\)\. Run the same command"
    assert re.search(said, report.failed[0]["error"]), report.failed[0]["error"]
    assert digests(tmp_path / "out") == {}
    assert run(scene, inputs[1], tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("point", ["start", "middle", "end"])
def test_a_commit_that_was_cut_short_is_completed(
    inputs: tuple[Path, Path],
    reference: tuple[dict[str, str], Report],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
) -> None:
    fail_at(monkeypatch, inputs, tmp_path, f"commit:{point}:*:*:enospc")
    again = run(*inputs, tmp_path, tiling=TILING)
    assert again.exit_code == 0
    assert again.patches == 0
    assert digests(tmp_path) == reference[0]
    assert not (tmp_path / ".work").exists()


def test_work_of_other_blocks_is_adopted_when_their_size_is_auto(
    inputs: tuple[Path, Path], reference: tuple[dict[str, str], Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, inputs, tmp_path, "finish:start:r0002c0001:*:enospc")
    again = run(*inputs, tmp_path)
    assert again.resumed_blocks == 2 * 6 + 1
    assert digests(tmp_path) == reference[0]


def test_records_of_another_format_are_not_read(
    inputs: tuple[Path, Path], reference: tuple[dict[str, str], Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(fingerprint, "RECORDS", fingerprint.RECORDS - 1)
        fail_at(monkeypatch, inputs, tmp_path, "finish:start:r0002c0001:*:enospc")
    again = run(*inputs, tmp_path, tiling=TILING)
    assert again.resumed_blocks == 0
    assert any("what it has done cannot be used" in warning for warning in again.warnings)
    assert digests(tmp_path) == reference[0]


@pytest.mark.parametrize(
    ("kind", "polygons"),
    [
        ("blocks", {}),
        pytest.param("blocks", {"min_area_px": 9}, marks=pytest.mark.slow),
        ("merged", {"min_area_px": 9}),
        ("graphs", {"min_area_px": 9}),
        pytest.param("changes", {"min_area_px": 9}, marks=pytest.mark.slow),
        ("traced", {}),
        pytest.param("traced", {"min_area_px": 9}, marks=pytest.mark.slow),
    ],
)
def test_lost_and_damaged_work_is_done_again(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, polygons: dict[str, Any]
) -> None:
    run(*inputs, tmp_path / "whole", tiling=TILING, polygons=polygons)
    output = tmp_path / "out"
    fail_at(monkeypatch, inputs, output, "publish:start:*:*:enospc", polygons=polygons)
    damaged = 0
    for number, file in enumerate(sorted(output.glob(f".work/scene/*/*/{kind}/*"))):
        if number % 4 == 0:
            file.write_bytes(b"\0" * file.stat().st_size)
            damaged += 1
    reports = [run(*inputs, output, tiling=TILING, polygons=polygons) for _ in range(damaged + 1)]
    assert all("is lost or damaged" in report.failed[0]["error"] for report in reports if report.exit_code)
    assert reports[-1].exit_code == 0
    assert digests(output) == digests(tmp_path / "whole")
