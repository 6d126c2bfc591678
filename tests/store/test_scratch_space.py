"""Free space for the files that are built before their upload to a bucket."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from geoseg.config import Settings
from geoseg.errors import SettingsError
from geoseg.plan.forecast import forecast
from geoseg.store import scratch_space as room
from geoseg.store.scratch_space import Room, check_room, find_room
from geoseg.store.storages.opening import open_storage
from tests.support.scenes import run

SCENE_PX = (60, 60)


def test_every_node_needs_room_for_the_largest_scene(tmp_path: Path) -> None:
    scenes = [("a.tif", 2000), ("b.tif", 4000), ("c.tif", 10)]
    enough, full, none = (Room("/scratch", free) for free in (6000, 5999, None))
    check_room("s3://bucket/out", scenes, {"node one": enough, "node two": enough})
    check_room(str(tmp_path), scenes, {"node one": full}), "a folder has its own room"
    with pytest.raises(SettingsError) as caught:
        check_room("s3://bucket/out", scenes, {"node one": enough, "node two": full})
    assert str(caught.value) == (
        "node two: files for s3://bucket/out are built in /scratch, where 5,999 bytes are free; b.tif needs 6,000. "
        "Free some space, or set run.scratch_dir to a folder with more, on every node (or TMPDIR, where the node "
        "starts)."
    )
    with pytest.raises(SettingsError, match=r"in /scratch, which does not exist or cannot be written\. Make it"):
        check_room("s3://bucket/out", scenes, {"node one": none})


def test_the_folder_is_the_setting_or_the_systems(tmp_path: Path) -> None:
    assert find_room(None).folder == tempfile.gettempdir()
    assert find_room(str(tmp_path)).free_bytes
    assert find_room(str(tmp_path / "absent")) == Room(str(tmp_path / "absent"), None)


def test_a_run_into_a_bucket_uses_it_and_is_refused_before_the_work(
    inputs: tuple[Path, Path], s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: dict[str, Any] = {"address": "inline", "scratch_dir": str(tmp_path / "scratch")}
    with pytest.raises(SettingsError, match=r"scratch, which does not exist or cannot be written"):
        run(*inputs, s3_url, run=where)  # type: ignore[arg-type]
    (tmp_path / "scratch").mkdir()
    with monkeypatch.context() as greedy:
        greedy.setattr(room, "BYTES_PER_VALUE", 10**15)
        for start in (lambda: run(*inputs, s3_url, run=where), lambda: forecast(asked(inputs, s3_url, where))):  # type: ignore[arg-type]
            with pytest.raises(SettingsError, match=r"bytes are free; .*scene\.tif needs 7,200,000,000,000,000,000\."):
                start()
    assert open_storage(s3_url).keys(".work") == [], "nothing was begun"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    assert run(*inputs, s3_url, run=where).exit_code == 0  # type: ignore[arg-type]
    assert list((tmp_path / "scratch").iterdir()) == []


def asked(inputs: tuple[Path, Path], url: str, where: dict[str, Any]) -> Settings:
    scene, model = map(str, inputs)
    return Settings.model_validate({"scenes": [scene], "model": model, "output": url, "run": where})
