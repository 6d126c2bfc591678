"""Scenes on servers that fail for a while, or have replaced the file."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from geoseg.store.storages.opening import open_storage
from tests.support.scenes import digests, run, textured, write_scene
from tests.support.web import Web, serve

REMOTE = {"remote": True, "allow_private_hosts": True}
TILING = {"block_px": 48}


@pytest.fixture
def web(inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0")
    (tmp_path / "www").mkdir()
    shutil.copy(inputs[0], tmp_path / "www/scene.tif")
    with serve(tmp_path / "www", tmp_path / "requests") as running:
        yield running


def test_a_server_that_fails_for_a_while_is_no_other_version(
    web: Web, inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    url, busy, out = f"{web.url}/scene.tif", tmp_path / "www/scene.tif.busy", tmp_path / "out"

    def fail(times: int) -> Any:
        def began(blocks: Any) -> Any:
            busy.write_text(str(times))
            return blocks

        return began

    def again(**more: Any) -> Any:
        return run([url], inputs[1], out, scene=REMOTE, tiling=TILING, **more)  # type: ignore[list-item]

    failed = again(order=fail(1000))
    assert failed.exit_code == 3
    assert "scene.tif cannot be reached: 503" in failed.failed[0]["error"]
    assert "Finished work is kept: run the same command again" in failed.failed[0]["error"]
    assert failed.failed[0]["error"].count("overwrite") == 0
    assert digests(out) == {}

    still = again()
    assert still.exit_code == 3
    assert "scene.tif cannot be reached: 503" in still.failed[0]["error"], "and no --overwrite is asked for"

    busy.write_text("0")
    resumed = again(order=fail(5))  # two attempts at the last unit are lost, with a second try each
    assert (resumed.exit_code, resumed.patches, resumed.resumed_blocks, resumed.retries) == (0, 0, 30, 2)
    assert digests(out) == reference

    busy.write_text("1000")
    assert "cannot be reached: 503" in again().failed[0]["error"], "a published scene neither"
    busy.write_text("0")
    assert [scene["status"] for scene in again().scenes] == ["up to date"]


def test_a_server_that_tells_no_version_is_named(web: Web, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "www/scene.tif.untagged").touch()
    (warnings,) = run([f"{web.url}/scene.tif"], inputs[1], tmp_path / "out", scene=REMOTE).warnings  # type: ignore[list-item]
    assert "scene.tif: its server tells neither which version it is nor when it was changed" in warnings


def test_an_object_that_was_replaced_in_its_bucket_is_noticed(
    s3_server: str, s3_url: str, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"AWS_S3_ENDPOINT": s3_server.removeprefix("http://"), "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = s3_url.removeprefix("s3://").partition("/")[0]

    def put(seed: int) -> None:
        file = write_scene(tmp_path / "far.tif", textured(60, 60, seed=seed), nodata=0)
        open_storage(f"s3://{bucket}/in").put("far.tif", file.read_bytes())

    def again() -> Any:
        return run([f"s3://{bucket}/in/far.tif"], inputs[1], tmp_path / "out", scene={"remote": True})  # type: ignore[list-item]

    put(seed=0)
    first = again()
    assert (first.exit_code, first.warnings) == (0, [])
    put(seed=0)
    assert [scene["status"] for scene in again().scenes] == ["up to date"], "the same content, put again"
    put(seed=1)
    refused = again()
    assert refused.exit_code == 3
    said = r"far\.tif has changed since \(size same, (modified .*|time same, other content)\)\. Give --overwrite"
    assert re.search(said, refused.failed[0]["error"]), refused.failed[0]["error"]
