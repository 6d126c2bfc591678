"""Overlapping attempts at one commit, for example after a slow worker was replaced."""

import json
import os
import threading
from pathlib import Path

import pytest

from geoseg.config import FAULT_VARIABLE
from geoseg.errors import StoreError
from geoseg.store.commit import commit
from geoseg.store.manifest import read_manifest
from geoseg.store.scene_store import SceneStore
from tests.support.bundles import unet_bundle
from tests.support.fault_matrix import half_published
from tests.support.scenes import digests, run, textured, write_scene


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SceneStore:
    """A scene that awaits its commit."""
    scene, output = write_scene(tmp_path / "scene.tif", textured(60, 60), nodata=0), tmp_path / "out"
    monkeypatch.setenv(FAULT_VARIABLE, "commit:start:*:*:enospc")
    assert run(scene, unet_bundle(tmp_path / "bundle"), output).exit_code == 3
    monkeypatch.delenv(FAULT_VARIABLE)
    (journal,) = output.glob(".work/scene/*/commit.json")
    return SceneStore(str(output), "scene", journal.parent.name, "any")


@pytest.mark.parametrize("point", ["start", "middle", "end"])
def test_an_attempt_that_goes_on_after_another_has_committed_changes_nothing(
    staged: SceneStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Opening a pipe takes until somebody opens its other end.
    key = "rasters/scene/classes.tif" if point == "middle" else "scene"
    monkeypatch.setenv(FAULT_VARIABLE, f"commit:{point}:{key}:*:note={pipe}")
    late = threading.Thread(target=commit, args=[staged])
    late.start()
    late.join(0.5)
    assert late.is_alive()
    monkeypatch.delenv(FAULT_VARIABLE)
    manifest = commit(staged)
    before = digests(tmp_path / "out")
    with pipe.open() as other_end:
        assert other_end.readline().startswith(f"commit:{point}:{key}")
    late.join()
    assert digests(tmp_path / "out") == before
    assert half_published(tmp_path / "out") == []
    assert read_manifest(staged.storage, "scene") == manifest
    assert not (tmp_path / "out/.work").exists()


def test_a_repeated_commit_changes_nothing(staged: SceneStore) -> None:
    assert commit(staged) == commit(staged)


def test_a_lost_journal_is_explained_and_the_next_run_publishes_again(staged: SceneStore, tmp_path: Path) -> None:
    staged.storage.delete(f"{staged.work}/commit.json")
    with pytest.raises(StoreError, match=r"commit\.json in .* is lost\. Check the disk, then run the same command"):
        commit(staged)
    report = run(tmp_path / "scene.tif", tmp_path / "bundle", tmp_path / "out")
    assert report.exit_code == 0
    assert report.patches == 0
    facts = json.loads((tmp_path / "out/scenes/scene.json").read_text())["files"]
    assert {key: file["sha256"] for key, file in facts.items()} == digests(tmp_path / "out")
