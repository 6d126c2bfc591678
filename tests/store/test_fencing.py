"""A run that was frozen in its commit and lost its lock must not change what another run has published."""

import os
import threading
from pathlib import Path

import pytest

from geoseg.config import FAULT_VARIABLE
from geoseg.errors import LockLostError
from geoseg.store.commit import commit
from geoseg.store.lock import Lock
from geoseg.store.scene_store import SceneStore
from geoseg.store.storages.base import Storage
from geoseg.store.storages.opening import open_storage
from tests.support.scenes import run

SCENE_PX = (60, 60)
STRAY = "polygons/scene=scene/part-00009.parquet"
POINTS = {
    "before its first question": "commit:start:scene",
    "before it removes the manifest": "commit:before-removal:scenes/scene.json",
    "before it removes a file that it does not replace": f"commit:before-removal:{STRAY}",
    "before it moves its first file": "put:before-rename:polygons/scene=scene/part-00000.parquet",
    "after its first file": "commit:middle:*/part-00000.parquet",
    "before it moves its last file": "put:before-rename:rasters/scene/confidence.tif",
    "before it moves its manifest": "put:before-rename:scenes/scene.json",
    "before it clears its work": "commit:end:scene",
}


def contents(storage: Storage) -> dict[str, bytes]:
    """All files of an output except reports."""
    return {key: storage.get(key) for key in storage.keys("") if not key.startswith("runs/")}


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_on_a_disk_what_another_run_has_published_stays_as_it_is(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """The other run has other settings and overwrites: its files stay, and none of the first run appears."""
    freeze_and_go_on(inputs, open_storage(str(tmp_path / "out")), tmp_path, monkeypatch, point)


@pytest.mark.parametrize(
    "name", ["before it removes the manifest", "after its first file", "before it moves its manifest"]
)
def test_in_a_bucket_what_another_run_has_published_stays_as_it_is(
    inputs: tuple[Path, Path], s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    freeze_and_go_on(inputs, open_storage(s3_url), tmp_path, monkeypatch, POINTS[name])


def freeze_and_go_on(
    inputs: tuple[Path, Path], storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    store = sealed(inputs, storage, monkeypatch)
    storage.put("scenes/scene.json", b"{}")
    storage.put(STRAY, b"of an earlier run")
    came, go, ended = tmp_path / "came", tmp_path / "go", []
    for fifo in (came, go):
        os.mkfifo(fifo)

    def late() -> None:
        with pytest.raises(LockLostError, match="Another run has taken over the output"):
            commit(store)
        ended.append("with a message")

    # Opening a pipe takes until somebody opens its other end.
    monkeypatch.setenv(FAULT_VARIABLE, f"{point}:*:note={came},{point}:*:note={go}")
    frozen = threading.Thread(target=late)
    frozen.start()
    assert came.read_text()
    monkeypatch.delenv(FAULT_VARIABLE)
    storage.delete(".lock/run.json")  # as another run does that finds it stale
    other = run(*inputs, storage.url, tiling={"block_px": 48}, polygons={"simplify_px": 0}, overwrite=True)
    assert other.exit_code == 0
    storage.put(STRAY, b"as if the other run had one more file")
    before = contents(storage)
    assert go.read_text()
    frozen.join()
    assert ended == ["with a message"]
    assert contents(storage) == before


def sealed(inputs: tuple[Path, Path], storage: Storage, monkeypatch: pytest.MonkeyPatch) -> SceneStore:
    """A scene that awaits its commit, by a run that holds the lock."""
    monkeypatch.setenv(FAULT_VARIABLE, "commit:start:*:*:enospc")
    assert run(*inputs, storage.url, tiling={"block_px": 48}).exit_code == 3
    monkeypatch.delenv(FAULT_VARIABLE)
    lock = Lock(storage, "first-run")
    assert storage.create(".lock/run.json", lock._me.to_json())
    (fingerprint,) = storage.folders(".work/scene")
    return SceneStore(storage.url, "scene", fingerprint, "any", lock.token)
