import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from geoseg.errors import SettingsError
from geoseg.grid.blend import ClassMap
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.run.store import SceneStore, check_writable
from tests.support.bundles import identity_bundle
from tests.support.scenes import digests, run, write_scene

BLOCK = Tiling(Lattice.of((40, 40), 16, 4), 24).block(1, 1)


def class_map(value: int) -> ClassMap:
    return ClassMap(BLOCK.core, np.full((16, 16), value, np.uint8), np.full((16, 16), 9, np.uint8))


def test_a_block_comes_back_as_it_was_put(tmp_path: Path) -> None:
    store = SceneStore(tmp_path, "scene", "run")
    assert store.put_block(BLOCK, class_map(3)) > 2 * 16 * 16
    found = store.get_block(BLOCK)
    assert found.window == BLOCK.core
    assert (found.classes == 3).all()
    assert (found.confidence == 9).all()


def test_a_block_put_twice_is_replaced_whole(tmp_path: Path) -> None:
    store = SceneStore(tmp_path, "scene", "run")
    store.put_block(BLOCK, class_map(3))
    store.put_block(BLOCK, class_map(4))
    assert (store.get_block(BLOCK).classes == 4).all()
    assert [path.name for path in (store.work / "blocks").iterdir()] == ["r0001c0001.npy"]


def test_commit_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    for content in ("old", "new"):
        store = SceneStore(tmp_path, "scene", content)
        for part in ("rasters", "polygons"):
            (store.work / part).mkdir(parents=True)
            (store.work / part / f"{content}.txt").write_text(content)
        store.commit(store.work / "rasters", store.work / "polygons")
        store.prune()
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["polygons/scene=scene/new.txt", "rasters/scene/new.txt"]
    assert not (tmp_path / ".work").exists()


def test_discarding_one_run_leaves_anothers_work(tmp_path: Path) -> None:
    mine, other = SceneStore(tmp_path, "scene", "mine"), SceneStore(tmp_path, "scene", "other")
    mine.put_block(BLOCK, class_map(1))
    other.put_block(BLOCK, class_map(2))
    mine.discard()
    mine.prune()
    assert (other.get_block(BLOCK).classes == 2).all()
    other.discard()
    other.prune()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_under_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file/out cannot be written: Not a directory\. Give --output"):
        check_writable(tmp_path / "file/out")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of six megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this machine does not let root mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_fails_the_scene_with_the_remedy_and_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 6, (1, 2000, 2000)).astype(np.uint8)
    large, small = write_scene(tmp_path / "large.tif", noise), write_scene(tmp_path / "small.tif", noise[:, :200, :200])
    report = run([large, small], identity_bundle(tmp_path / "bundle", patch_px=256, overlap_px=64), small_disk / "out")
    assert report.exit_code == 3
    assert [scene["status"] for scene in report.scenes] == ["failed", "done"]
    assert "large.tif" in report.failed[0]["error"]
    assert "No space left on device" in report.failed[0]["error"]
    assert {Path(name).parts[1] for name in digests(small_disk / "out")} == {"small", "scene=small"}
    assert not (small_disk / "out/.work").exists()
