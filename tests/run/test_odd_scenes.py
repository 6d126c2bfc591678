"""Settings of scenes in whole runs (nodata, date, empty scenes), and scenes that cannot be read."""

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
import rasterio

import geoseg
from geoseg.config import FAULT_VARIABLE
from geoseg.run.report import Report
from tests.support.bundles import identity_bundle, unet_bundle
from tests.support.scenes import TRANSFORM, digests, read_band, run, write_scene

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


def test_a_date_is_midnight_in_utc(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "ids.tif", IDS)
    assert publish(tmp_path, scene, scene={"observed_at": "2026-06-21"}).exit_code == 0
    found = gpd.read_parquet(tmp_path / "out/polygons")["observed_at"]
    assert set(found.dt.to_pydatetime()) == {datetime(2026, 6, 21, tzinfo=UTC)}


def two_bands(path: Path, second: np.ndarray, **how: Any) -> Path:
    return write_scene(path, np.stack([IDS[0] + 1, second]).astype(np.int16), **how)


def masked(path: Path, mask: np.ndarray) -> Path:
    write_scene(path, np.concatenate([IDS, IDS]))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)
    return path


def sparse(path: Path) -> Path:
    height, width = IDS.shape[1:]
    with rasterio.open(
        path, "w", driver="GTiff", count=2, height=height, width=width, dtype="uint8", crs="EPSG:32632", nodata=0,
        transform=TRANSFORM, sparse_ok=True, tiled=True, blockxsize=16, blockysize=16,
    ):  # fmt: skip
        return path


NOTHING, NAN = np.zeros(IDS.shape[1:], bool), np.full((2, *IDS.shape[1:]), np.nan, np.float32)
VOID: dict[str, tuple[Callable[[Path], Path], dict[str, Any], str]] = {
    "band": (
        lambda path: two_bands(path, np.full(NOTHING.shape, -9999), nodata=-9999),
        {},
        (
            "band 2 is nodata (-9999) in all 3,000 pixels. Set scene.nodata_rule=all if a pixel counts where some "
            "bands hold data, or scene.bands without that band, or scene.allow_empty to publish an empty class map."
        ),
    ),
    "all bands": (
        lambda path: write_scene(path, np.full((2, *NOTHING.shape), -9999, np.int16), nodata=-9999),
        {},
        (
            "all bands are nodata (-9999) in all 3,000 pixels. Set scene.nodata to the true value, if that is none, or "
            "scene.allow_empty"
        ),
    ),
    "mask band": (
        lambda path: write_scene(path, np.stack([IDS[0], IDS[0], NOTHING]).astype(np.uint8)),
        {"mask_band": 3},
        "the mask band 3 is 0 in all 3,000 pixels. Set scene.mask_band to the right band, or scene.allow_empty",
    ),
    "mask": (lambda path: masked(path, NOTHING), {}, "the mask is 0 in all 3,000 pixels. Set scene.allow_empty"),
    "NaN": (
        lambda path: write_scene(path, NAN),
        {"max_nonfinite_share": 1},
        "a value is NaN or infinite in all 3,000 pixels. Set scene.allow_empty",
    ),
    "not stored": (
        sparse,
        {},
        "nothing is stored or can be decoded in all 3,000 pixels. Set scene.allow_empty",
    ),
}


@pytest.mark.parametrize(("make", "scene", "words"), VOID.values(), ids=VOID)
def test_a_scene_without_a_valid_pixel_fails_and_names_the_cause(
    tmp_path: Path, make: Callable[[Path], Path], scene: dict[str, Any], words: str
) -> None:
    path, bundle = make(tmp_path / "void.tif"), unet_bundle(tmp_path / "bundle", bands=2)
    good = write_scene(tmp_path / "good.tif", np.stack([IDS[0], IDS[0], IDS[0] + 1]))
    given = {"scene": {"bands": [1, 2], **scene}, "tiling": {"block_px": 24}}
    report = run([path, good], bundle, tmp_path / "out", **given)
    assert [done["scene_id"] for done in report.done] == ["good"]
    assert report.exit_code == 3
    (failed,) = report.failed
    assert failed["error"].startswith(f"{path} has no valid pixel: {words}")
    assert digests(tmp_path / "out").keys().isdisjoint({"rasters/void/classes.tif"})
    early = [text for text in report.warnings if text.startswith(f"{path}: in a sample no pixel is valid: ")]
    assert bool(early) == ("NaN" not in words), "which has a warning of its own"


def test_one_band_that_makes_nearly_all_pixels_invalid_is_a_warning(tmp_path: Path) -> None:
    second = np.full(NOTHING.shape, -9999)
    second[5:9, 7:12] = 4  # 20 of 3,000 pixels
    bundle = unet_bundle(tmp_path / "bundle", bands=2)
    collar = np.stack([IDS[0] + 1] * 2).astype(np.int16)
    collar[:, second != 4] = -9999
    scenes = [
        two_bands(tmp_path / "lossy.tif", second, nodata=-9999),
        write_scene(tmp_path / "collar.tif", collar, nodata=-9999),
    ]
    report = run(scenes, bundle, tmp_path / "out", tiling={"block_px": 24})
    assert report.exit_code == 0
    warnings = [text for text in report.warnings if "pixels with data" in text and "sample" not in text]
    assert warnings == [
        (
            f"{scenes[0]}: of 3,000 pixels with data 2,980 are lost, since scene.nodata_rule=any voids a pixel as soon "
            "as one band is nodata: band 2 is nodata (-9999) in 2,980 of 3,000 pixels. Is that meant? If not, set "
            "scene.nodata_rule=all."
        )
    ]


def test_a_resumed_empty_scene_is_judged_by_all_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = two_bands(tmp_path / "void.tif", np.full(NOTHING.shape, -9999), nodata=-9999)
    bundle, given = unet_bundle(tmp_path / "bundle", bands=2), {"tiling": {"block_px": 24}}
    monkeypatch.setenv(FAULT_VARIABLE, "read:start:r0001c0001:*:enospc")
    assert run(path, bundle, tmp_path / "out", **given).exit_code == 3
    monkeypatch.delenv(FAULT_VARIABLE)
    report = run(path, bundle, tmp_path / "out", **given)
    assert report.resumed_blocks
    assert "band 2 is nodata (-9999) in all 3,000 pixels" in report.failed[0]["error"]


AS_NOBODY = """
import json, os, sys
from geoseg.config import Settings
from geoseg.model.bundle.bundle import read_bundle
from geoseg.plan.survey import survey
bundle, settings = read_bundle(sys.argv[1]), Settings(scenes=sys.argv[2:], model=sys.argv[1], output="out")
survey(settings, bundle)  # packages and their data may be closed to others, too
os.setgid(65534)
os.setuid(65534)
print(json.dumps(survey(settings, bundle).failed))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_files_without_read_permission_fail_only_their_scenes(tmp_path: Path) -> None:
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


def folder_of_empty_files(path: Path) -> Path:
    path.mkdir()
    for name in ("a.tif", "notes.txt"):
        (path / name).touch()
    return path


def not_utf8(path: Path) -> Path:
    return write_scene(path, IDS).rename(os.fsdecode(bytes(path.parent) + b"/\xff.tif"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (circle, "{0} cannot be reached: Too many levels of symbolic links. Check the path, its links"),
        (circle_beside, "{0}.aux.xml, which {0} needs, cannot be read: Too many levels of symbolic links."),
        (folder_of_empty_files, "{0}/a.tif is empty (0 bytes). Fetch it again."),
        (lambda path: path.mkdir() or path, "{0} is a directory without a raster (.img, .jp2,"),
        (lambda path: path.with_name("no*.tif"), "no*.tif is a pattern that matches no file here. Correct it."),
        (lambda path: path.with_name("a" * 300), "cannot be reached: File name too long."),
        (not_utf8, "\\udcff.tif has a name that is not UTF-8. Rename it."),
    ],
)
def test_an_unreadable_source_fails_only_its_scene_and_is_named(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    good = write_scene(tmp_path / "good.tif", IDS)
    bad = make(tmp_path / "bad scene")
    report = run([bad, good], identity_bundle(tmp_path / "bundle"), tmp_path / "out")
    assert [scene["scene_id"] for scene in report.done] == ["good"]
    assert words.format(bad) in report.failed[0]["error"]
    saved = json.loads((tmp_path / f"out/runs/{report.run_id}/report.json").read_text())
    assert saved["exit_code"] == 3
