"""A web server that stops answering: its scene fails in time, the others continue; the same command completes it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import unet_bundle
from tests.support.commands import segment
from tests.support.scenes import digests, run, textured, write_scene
from tests.support.web import Web, serve

PATIENCE = {"GDAL_HTTP_TIMEOUT": "2", "GDAL_HTTP_MAX_RETRY": "1", "GDAL_HTTP_RETRY_DELAY": "1"}
WORDS = ("--remote", "--set", "scene.allow_private_hosts=true")
SIDE = 400


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    (tmp_path / "www").mkdir()
    with serve(tmp_path / "www", tmp_path / "requests") as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("where", ["at open", "in the middle"])
def test_a_silent_source_fails_alone_and_can_be_resumed(web: Web, tmp_path: Path, where: str) -> None:
    far = write_scene(
        tmp_path / "www/far.tif", textured(SIDE, SIDE), nodata=0, tiled=True, blockxsize=64, blockysize=64
    )
    near = write_scene(tmp_path / "near.tif", textured(100, 100, seed=1), nodata=0)
    bundle, output = unet_bundle(tmp_path / "bundle"), tmp_path / "out"
    run([far, near], bundle, tmp_path / "reference", tiling={"block_px": 48})
    reference = digests(tmp_path / "reference")

    silent = Path(f"{far}.silent")
    silent.write_text("0" if where == "at open" else str(far.stat().st_size * 2 // 3))
    command = ([f"{web.url}/far.tif", near], bundle, output, *WORDS)
    started = time.monotonic()
    ended = segment(*command, **PATIENCE).end()
    # A unit is tried four times, and GDAL asks a few times each, every time with twice the patience of two seconds.
    assert time.monotonic() - started < 120
    assert ended.code == 3, ended.text
    assert f"{web.url}/far.tif cannot be " in ended.text
    assert ("cannot be opened over the network" if where == "at open" else "The connection failed") in ended.text
    assert digests(output) == {key: value for key, value in reference.items() if "near" in key}

    silent.unlink()
    again = segment(*command, **PATIENCE).end()
    assert again.code == 0, again.text
    assert ("blocks done by an earlier run" in again.text) == (where == "in the middle")
    assert digests(output) == reference
    assert not (output / ".work").exists()
