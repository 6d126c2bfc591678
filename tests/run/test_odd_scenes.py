"""What settings say of a scene, from file to file (nodata, date, whether it may be empty), and scenes out of reach."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest

import geoseg
from geoseg.run.report import Report
from tests.support.bundles import identity_bundle
from tests.support.scenes import read_band, run, write_scene

IDS = np.random.default_rng(0).integers(0, 6, (1, 60, 50)).astype(np.uint8)


def publish(tmp_path: Path, path: Path, **settings: Any) -> Report:
    """Publish a raster of class ids as it is."""
    return run(path, identity_bundle(tmp_path / "bundle"), tmp_path / "out", **settings)


def test_given_nodata_is_no_class_and_decides_the_results(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "ids.tif", IDS)
    assert publish(tmp_path, scene, scene={"nodata": 3}).exit_code == 0
    classes = read_band(tmp_path / "out/rasters/ids/classes.tif")
    np.testing.assert_array_equal(classes, np.where(IDS[0] == 3, 255, IDS[0]))
    facts = json.loads((tmp_path / "out/scenes/ids.json").read_text())["fingerprint"]
    assert facts["scene.nodata"] == ["3.0"]
    refused = publish(tmp_path, scene)
    assert 'scene.nodata was ["3.0"], now [null]' in refused.failed[0]["error"]
    assert publish(tmp_path, scene, scene={"nodata": [3]}).up_to_date


def test_a_date_is_the_midnight_of_its_day_in_utc(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "ids.tif", IDS)
    assert publish(tmp_path, scene, scene={"observed_at": "2026-06-21"}).exit_code == 0
    found = gpd.read_parquet(tmp_path / "out/polygons")["observed_at"]
    assert set(found.dt.to_pydatetime()) == {datetime(2026, 6, 21, tzinfo=UTC)}


AS_NOBODY = """
import json, os, sys
from geoseg.config import Settings
from geoseg.model.bundle import read_bundle
from geoseg.run.survey import survey
bundle, settings = read_bundle(sys.argv[1]), Settings(scenes=sys.argv[2:], model=sys.argv[1], output="out")
survey(settings, bundle)  # packages and their data may be closed to others, too
os.setgid(65534)
os.setuid(65534)
print(json.dumps(survey(settings, bundle).failed))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_files_of_another_user_fail_their_scenes_alone(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to others
        folder = Path(place)
        folder.chmod(0o755)
        good, closed, masked = (write_scene(folder / f"{name}.tif", IDS) for name in ("good", "closed", "masked"))
        Path(f"{masked}.msk").write_bytes(b"")
        for secret in (closed, Path(f"{masked}.msk")):
            secret.chmod(0o600)
        bundle = identity_bundle(folder / "bundle")
        command = [sys.executable, "-c", AS_NOBODY, str(bundle), *map(str, (closed, good, masked))]
        environment = os.environ | {"HOME": str(folder), "PYTHONPATH": str(Path(geoseg.__file__).parents[1])}
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert ran.returncode == 0, ran.stderr
    failed = dict(json.loads(ran.stdout))
    assert set(failed) == {str(closed), str(masked)}
    assert failed[str(closed)].startswith(f"{closed} cannot be read: Permission denied. Check the file")
    assert failed[str(masked)].startswith(f"{masked}.msk, which {masked} needs, cannot be read: Permission denied.")


def circle(path: Path) -> Path:
    path.symlink_to(path)
    return path


def circle_beside(path: Path) -> Path:
    circle(Path(f"{write_scene(path, IDS)}.aux.xml"))
    return path


def folder_of_scenes(path: Path) -> Path:
    path.mkdir()
    for name in ("b.TIF", "a.tif", "c.tif", "notes.txt"):
        (path / name).touch()
    return path


def not_utf8(path: Path) -> Path:
    return write_scene(path, IDS).rename(os.fsdecode(bytes(path.parent) + b"/\xff.tif"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (circle, "{0} cannot be reached: Too many levels of symbolic links. Check the path, its links"),
        (circle_beside, "{0}.aux.xml, which {0} needs, cannot be read: Too many levels of symbolic links."),
        (folder_of_scenes, "{0} is a directory, not a raster. Give the files in it: {0}/*.tif (2 here)."),
        (lambda path: path.mkdir() or path, "{0} is a directory, not a raster, and holds none."),
        (
            lambda path: path.with_name("*.tif"),
            "{0} does not exist: it is a pattern, which matches 1 file here, such as",
        ),
        (
            lambda path: path.with_name("no*.tif"),
            "it is a pattern, which matches no file here. Patterns are for the shell",
        ),
        (lambda path: path.with_name("a" * 300), "cannot be reached: File name too long."),
        (not_utf8, "\\udcff.tif has a name that is not UTF-8. Rename it."),
    ],
)
def test_what_cannot_be_read_fails_alone_and_names_its_file(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    good = write_scene(tmp_path / "good.tif", IDS)
    bad = make(tmp_path / "bad scene")
    report = run([bad, good], identity_bundle(tmp_path / "bundle"), tmp_path / "out")
    assert [scene["scene_id"] for scene in report.done] == ["good"]
    assert words.format(bad) in report.failed[0]["error"]
    saved = json.loads((tmp_path / f"out/runs/{report.run_id}/report.json").read_text())
    assert saved["exit_code"] == 3
