"""Messages of the command line: file, value, remedy and exit code, without traceback."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import geoseg as package
from tests.support.bundles import identity_bundle, unet_bundle
from tests.support.cli import CommandLine
from tests.support.onnx_models import linear_onnx
from tests.support.scenes import digests, textured, write_scene


@pytest.fixture
def geoseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def good(tmp_path: Path) -> list[object]:
    """Arguments of a run that succeeds."""
    scene = write_scene(tmp_path / "good.tif", textured(70, 90), nodata=0)
    return [scene, "--model", unet_bundle(tmp_path / "bundle"), "--output", tmp_path / "out", "--address", "inline"]


def test_a_run_prints_its_results_and_their_place(geoseg: CommandLine, good: list[object], tmp_path: Path) -> None:
    printed = geoseg("segment", *good)
    assert printed.code == 0
    assert "done good: " in printed.out
    assert "1 scene: 1 published; report: " in printed.out
    assert re.search(
        r"\d+ patches through the model, [\d.]+ s, [\d.]+ Mpx/s, [\d.,]+ km2/h, network busy \d+%; ", printed.out
    )
    report = next((tmp_path / "out/runs").iterdir()) / "report.json"
    assert f"report: {report}\n" in printed.out
    assert json.loads(report.read_text())["exit_code"] == 0


def test_published_up_to_date_and_failed_scenes_are_counted_separately(
    geoseg: CommandLine, good: list[object], tmp_path: Path
) -> None:
    geoseg("segment", *good)
    more = [write_scene(tmp_path / f"{name}.tif", textured(20, 20), nodata=0) for name in ("b", "c")]
    printed = geoseg("segment", *good, *more, html(tmp_path / "d.tif"))
    assert printed.code == 3
    assert "4 scenes: 2 published, 1 up to date, 1 failed; report: " in printed.out


def test_no_report_is_named_if_it_could_not_be_written(geoseg: CommandLine, good: list[object], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/runs").write_text("a file where a folder must be")
    printed = geoseg("segment", *good)
    assert printed.code == 0
    assert f"The report could not be written to {tmp_path / 'out'}: " in printed.out
    assert "1 scene: 1 published; no report could be written\n" in printed.out


def scene_with(path: Path, **how: object) -> Path:
    return write_scene(
        path,
        textured(70, 90, **{k: v for k, v in how.items() if k == "bands"}),
        **{k: v for k, v in how.items() if k != "bands"},
    )


def truncated(path: Path) -> Path:
    write_scene(path, textured(400, 400), nodata=0)
    path.write_bytes(path.read_bytes()[:200_000])
    return path


def html(path: Path) -> Path:
    path.write_text("<html>404</html>")
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: scene_with(p, bands=3), ["wants 4 bands (band1, band2, band3, band4)", "has 3", "scene.bands"]),
        (lambda p: scene_with(p, crs=None), ["names no coordinate reference system", "scene.assume_crs"]),
        (lambda p: p, ["does not exist", "Check the path"]),
        (truncated, ["cannot be read at rows", "truncated or damaged", "fetch it again"]),
        (html, ["cannot be opened as a raster", "It is a web page"]),
    ],
    ids=["band count", "no CRS", "missing", "truncated", "html"],
)
def test_a_bad_scene_fails_alone(
    geoseg: CommandLine, good: list[object], tmp_path: Path, make: Callable[[Path], Path], words: list[str]
) -> None:
    bad = make(tmp_path / "bad scene.tif")
    printed = geoseg("segment", bad, *good)
    assert printed.code == 3
    for word in [str(bad), *words]:
        assert word in printed.err
    assert "Traceback" not in printed.out + printed.err
    assert "done good" in printed.out
    assert {Path(file).parts[1] for file in digests(tmp_path / "out")} == {"good", "scene=good"}
    assert not (tmp_path / "out/.work").exists()


def test_nan_logits_name_file_and_patch(geoseg: CommandLine, tmp_path: Path) -> None:
    bundle = linear_onnx(tmp_path / "bundle", np.eye(2), scaling=[{"type": "log1p"}])
    scene = write_scene(tmp_path / "minus.tif", np.full((2, 50, 50), -5, np.int16))
    printed = geoseg("segment", scene, "--model", bundle, "--output", tmp_path / "out", "--address", "inline")
    assert printed.code == 3
    for word in [str(scene), "not finite", "rows 0:32, columns 0:32", str(bundle / "model.json")]:
        assert word in printed.err
    assert digests(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "tiling.patchpx=3"], ["Unknown setting tiling.patchpx", "tiling.patch_px"]),
        (["--set", "tiling.block_px=25"], ["block_px=25 is not a multiple of stride=24", "Use 24 or 48"]),
        (["--set", "tiling.patch_px=30"], ["patch_px=30 is not a multiple of 4", "Use 28 or 32"]),
        (["--set", "tiling.overlap_px=20"], ["overlap_px=20", "half of patch_px=32", "overlap_px=8"]),
        (["--set", "tiling.overlap_px=16384"], ["tiling.overlap_px=16384 must lie between 0", "use overlap_px=8"]),
        (["--set", "run.workers=10000"], ["run.workers=10000", "threads of one process, at most 256", "address=local"]),
        (["--set", "run.batch_size=4096", "--set", "tiling.patch_px=8192"], ["GiB", "run.batch_size=", "or less"]),
        (["--set", "polygons.classes=[lava]"], ["['lava'] are not classes of the model", "Use its classes: class0"]),
        (["--set", "polygons.simplify_m=10000000"], ["at most 1000 are possible", "Set it lower"]),
        (["--set", "run.device=cuda"], ["device=cuda", "run.device=cpu"]),
        (["--set", "polygons.crs=EPSG:999999"], ["polygons.crs=EPSG:999999 is not in PROJ's database"]),
        (["--model", "nowhere"], ["nowhere is not a model bundle", "model.json"]),
        (["--config", "absent.yaml"], ["absent.yaml cannot be read"]),
    ],
)
def test_bad_settings_stop_before_any_work(
    geoseg: CommandLine, good: list[object], tmp_path: Path, more: list[str], words: list[str]
) -> None:
    printed = geoseg("segment", *good, *more)
    assert printed.code == 2
    for word in words:
        assert word in printed.err
    assert "Traceback" not in printed.out + printed.err
    assert digests(tmp_path / "out") == {}


def test_an_output_that_cannot_be_written_is_named(geoseg: CommandLine, good: list[object], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")  # root may write into any folder, but nobody into a file
    printed = geoseg("segment", *good, "--output", tmp_path / "file" / "out")
    assert printed.code == 2
    assert f"The output {tmp_path / 'file' / 'out'} cannot be written: Not a directory" in printed.err


def test_a_scene_given_twice_is_named_and_done_once(geoseg: CommandLine, good: list[object]) -> None:
    printed = geoseg("segment", good[0], *good)
    assert printed.code == 0
    assert f"{good[0]} is given twice; it is segmented once" in printed.out
    assert "1 scene: 1 published" in printed.out


def test_an_unknown_option_is_a_usage_error(geoseg: CommandLine, good: list[object]) -> None:
    assert geoseg("segment", *good, "--fast").code == 2


def test_a_dry_run_predicts_and_writes_nothing(geoseg: CommandLine, good: list[object], tmp_path: Path) -> None:
    printed = geoseg(
        "segment", tmp_path / "absent.tif", *good, "--dry-run", "--set", "run.workers=2", "--set", "tiling.block_px=48"
    )
    assert printed.code == 3
    assert "70 x 90" in printed.out
    assert "4 of 48 px" in printed.out
    assert "12" in printed.out, "3 x 4 patches"
    assert "would fail" in printed.err
    assert "absent.tif" in printed.err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_refuses_blocks_that_do_not_fit(geoseg: CommandLine, good: list[object]) -> None:
    printed = geoseg("segment", *good, "--dry-run", "--set", "run.memory_gib=0.0001", "--set", "tiling.block_px=96")
    assert printed.code == 2
    assert "tiling.block_px=96 needs" in printed.err


def test_warnings_about_the_bundle_are_printed_once(geoseg: CommandLine, tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path / "bundle", activation="none", scaling=[])
    scenes = [scene_with(tmp_path / name) for name in ("a.tif", "b.tif")]
    printed = geoseg("segment", *scenes, "--model", bundle, "--output", tmp_path / "out", "--address", "inline")
    assert printed.code == 0
    (report,) = (tmp_path / "out/runs").glob("*/report.json")
    warnings = json.loads(report.read_text())["warnings"]
    for words in ("test-model states no scaling", "which are no probabilities, but geoseg:activation is none"):
        assert printed.out.count(words) == 1
        assert len([text for text in warnings if words in text]) == 1


def test_models_can_be_shown_and_checked(geoseg: CommandLine, tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path / "bundle", bands=["red", "nir"], classes=["land", "water"])
    shown = geoseg("models", "show", bundle)
    assert shown.code == 0
    assert "red, nir" in shown.out
    assert "water" in shown.out
    for words in (
        "test-model (weights.safetensors, unet)",
        "NCHW: batch any, bands 2, height 32, width 32",
        "32 px, 8 px, multiples of 4 px",
        "z-score mean=1500.0 stddev=80.0",
        "softmax",
        "model.json (",
        "weights.safetensors (",
    ):
        assert words in shown.out
    assert geoseg("models", "check", bundle).code == 0
    described = json.loads((bundle / "model.json").read_text())
    described.update({"geoseg:activation": "none", "geoseg:scaling": []})
    (bundle / "model.json").write_text(json.dumps(described))
    checked = geoseg("models", "check", bundle)
    assert checked.code == 0
    assert "warning: test-model states no scaling" in checked.out
    assert "which are no probabilities, but geoseg:activation is none" in checked.out
    (bundle / "weights.safetensors").write_bytes(b"")
    assert geoseg("models", "check", bundle).code == 2


@pytest.mark.parametrize(
    "words",
    [[], *([word] for word in ("segment", "clean", "validate", "polygonize", "demo", "models")), ["models", "show"]],
)
def test_every_command_has_help_under_two_names(geoseg: CommandLine, words: list[str]) -> None:
    short, long = geoseg(*words, "-h"), geoseg(*words, "--help")
    assert (short.code, short.out) == (0, long.out)
    assert "Usage: " in short.out


def test_version_and_completion(geoseg: CommandLine) -> None:
    printed = geoseg("--version")
    assert (printed.code, printed.out) == (0, f"geoseg {package.__version__}\n")
    assert "--install-completion" in geoseg("-h").out


def test_public_names_are_listed_and_exist() -> None:
    listed = subprocess.run(
        [sys.executable, "-c", "import geoseg, sys; print(*dir(geoseg), 'torch' in sys.modules)"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert listed == ["Settings", "__version__", "load_settings", "polygonize", "read_polygons", "segment", "False"]
    assert all(hasattr(package, name) for name in package.__all__)


def test_singular_and_units_of_small_areas(geoseg: CommandLine, tmp_path: Path) -> None:
    bundle = identity_bundle(tmp_path / "bundle")
    for name, side, area in (("acre", 20, "4.00 ha"), ("yard", 3, "900 m2")):
        scene = write_scene(tmp_path / f"{name}.tif", np.ones((1, side, side), np.uint8))
        printed = geoseg("segment", scene, "--model", bundle, "--output", tmp_path / "out", "--address", "inline")
        assert f"done {name}: 1 polygon, {area}\n" in printed.out
        assert "\n1 patch through the model, " in printed.out
    classes = tmp_path / "out/rasters/yard/classes.tif"
    assert geoseg("polygonize", classes, "--output", tmp_path / "p.parquet").out.startswith("1 polygon in ")


def test_a_table_is_not_cut_at_80_columns(
    geoseg: CommandLine, good: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    scene = write_scene(tmp_path / f"{'long name ' * 9}.tif", textured(70, 90), nodata=0)
    printed = geoseg("segment", scene, *good[1:], "--dry-run")
    (row,) = [line for line in printed.out.splitlines() if "70 x 90" in line]
    assert row.rstrip().endswith(f" {'long name ' * 9}".rstrip())
    assert "1 2 3 4" in row
    assert "about 1 min" in row
