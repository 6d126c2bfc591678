"""Allowed names of a scene; others reach neither GDAL nor the network."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given
from hypothesis import strategies as st

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.raster.bands import select_bands
from geoseg.raster.read import read_window
from geoseg.raster.source.address import locate
from geoseg.raster.source.env import gdal_env
from geoseg.raster.source.scene import describe
from tests.support.web import Web, serve

Make = Callable[..., Path]
SIZE = 512
PIXELS = np.random.default_rng(0).integers(1, 60_000, (1, SIZE, SIZE)).astype(np.uint16)


@pytest.fixture
def web(make: Make, tmp_path: Path) -> Iterator[Web]:
    """A server with a COG."""
    (tmp_path / "www/bucket").mkdir(parents=True)
    with gdal_env():
        rasterio.shutil.copy(make(PIXELS), tmp_path / "www/bucket/cog.tif", driver="COG")
    with serve(tmp_path / "www", tmp_path / "requests") as running:
        yield running


@pytest.mark.parametrize(
    "name",
    [
        "/vsizip/bomb.zip/a.tif",
        "/vsitar/a.tar/a.tif",
        "/vsigzip//vsicurl/https://example.org/a.tif.gz",
        "/vsimem/a.tif",
        "/vsistdin/",
        "/vsistdin?buffer_limit=-1",
        "/vsisubfile/0_100,{file}",
        "/vsisparse/{file}",
        "/vsicurl/http://169.254.169.254/latest/meta-data",
        "/vsicurl?url=http://169.254.169.254/",
        "/vsis3/bucket/a.tif",
        "<VRTDataset rasterXSize='1' rasterYSize='1'/>",
        "vrt://{file}?bands=1",
        "GTI:{file}",
        "DERIVED_SUBDATASET:AMPLITUDE:{file}",
        "GTIFF_DIR:1:/vsizip/a.zip/a.tif",
        "GTIFF_DIR:1:GTIFF_DIR:1:{file}",
        "GTIFF_RAW:{file}",
        "zip://{file}!a.tif",
        "zip+https://example.org/a.zip!a.tif",
        "ftp://example.org/a.tif",
        "file://{file}",
        "WMS:https://example.org",
        "JPEG_SUBFILE:Q0,0,100:{file}",
        "MEM:::DATAPOINTER=1,PIXELS=1,LINES=1",
    ],
)
@pytest.mark.parametrize("remote", [False, True])
def test_other_names_of_gdal_are_refused(make: Make, name: str, remote: bool) -> None:
    asked = name.format(file=make(PIXELS))
    with pytest.raises(SceneError, match="neither a file that exists here nor a name that geoseg opens") as caught:
        describe(asked, SceneSettings(remote=remote, allow_private_hosts=True))
    assert asked in str(caught.value)
    assert "Give a local file" in str(caught.value)


def test_a_local_file_may_have_any_name(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("vrt:a.tif", "<a.tif", "GTIFF_DIR:1:x.tif", "s3:a.tif"):
        assert describe(make(PIXELS, name).name).path == str(tmp_path / name)


def test_a_raster_inside_a_local_file_keeps_its_place(make: Make) -> None:
    path = make(PIXELS)
    assert locate(f"GTIFF_DIR:1:{path}").file == str(path)
    assert describe(f"GTIFF_DIR:1:{path}").scene_id == "scene"


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(SceneError, match="no regular file but a device, a pipe"):
        describe(tmp_path / "pipe.tif")


@given(st.text(min_size=1, max_size=60))
def test_no_text_names_anything_but_a_local_file(text: str) -> None:
    try:
        address = locate(text)
    except SceneError:
        return
    assert address.file is not None
    assert Path(address.file).exists()


def test_network_access_needs_permission(web: Web) -> None:
    url = f"{web.url}/bucket/cog.tif"
    for name in (url, "https://example.org/a.tif", "s3://bucket/a.tif"):
        with pytest.raises(SceneError, match=r"scene\.remote=false\. Give --remote"):
            describe(name)
    with pytest.raises(SceneError, match=r"read unencrypted\. Use https://, or set scene\.allow_private_hosts"):
        describe(url, SceneSettings(remote=True))
    assert web.asked == []


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "[fd00:ec2::254]", "127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "10.1.2.3"),
        *("[::ffff:169.254.169.254]", "168.63.129.16", "100.100.100.200", "0.0.0.0", "metadata.google.internal"),  # noqa: S104
    ],
)
def test_hosts_that_are_not_public_need_a_second_permission(host: str) -> None:
    with pytest.raises(SceneError, match=r"Set scene\.allow_private_hosts=true"):
        locate(f"https://{host}/latest/meta-data", remote=True)
    assert locate(f"https://{host}/a.tif", remote=True, allow_private_hosts=True).remote


@pytest.mark.parametrize("url", ["https://user:pass@example.org/a.tif", "s3://key:secret@bucket/a.tif", "https:///a"])
def test_credentials_in_a_url_are_refused_and_not_printed(url: str) -> None:
    with pytest.raises(SceneError, match="Leave credentials out of the address") as caught:
        locate(url, remote=True, allow_private_hosts=True)
    assert "pass" not in str(caught.value).split("Leave")[0]
    assert "secret" not in str(caught.value).split("Leave")[0]


def test_a_public_cog_is_read_as_the_local_one(web: Web, tmp_path: Path) -> None:
    scene = describe(
        f"{web.url}/bucket/cog.tif?X-Amz-Signature=abc", SceneSettings(remote=True, allow_private_hosts=True)
    )
    assert scene.scene_id == "cog"
    assert scene.remote
    assert scene.grid == describe(tmp_path / "www/bucket/cog.tif").grid
    np.testing.assert_array_equal(read_window(scene, select_bands(scene, 1), scene.grid.window)[0], PIXELS)
    assert set(web.asked) == {"/bucket/cog.tif?X-Amz-Signature=abc"}


def test_s3_is_read_from_where_the_environment_says(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"AWS_S3_ENDPOINT": f"127.0.0.1:{web.port}", "AWS_HTTPS": "NO", "AWS_NO_SIGN_REQUEST": "YES"}
    for name, value in {**settings, "AWS_VIRTUAL_HOSTING": "FALSE"}.items():
        monkeypatch.setenv(name, value)
    scene = describe("s3://bucket/cog.tif", SceneSettings(remote=True))
    np.testing.assert_array_equal(read_window(scene, select_bands(scene, 1), scene.grid.window)[0], PIXELS)


def test_a_stalled_server_fails_the_scene_after_the_timeout(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "1")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    scene = describe(f"{web.url}/silent/bucket/cog.tif", SceneSettings(remote=True, allow_private_hosts=True))
    started = time.monotonic()
    with pytest.raises(SceneError, match=r"cog\.tif cannot be read at .* The connection failed"):
        read_window(scene, select_bands(scene, 1), scene.grid.window)
    assert time.monotonic() - started < 20


def test_an_absent_remote_file_is_named(web: Web) -> None:
    with pytest.raises(SceneError, match=r"absent\.tif cannot be opened over the network: .*Check the address"):
        describe(f"{web.url}/absent.tif", SceneSettings(remote=True, allow_private_hosts=True))


def test_tags_of_a_local_file_cause_no_request(web: Web, make: Make) -> None:
    path = make(PIXELS, "tagged.tif")
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"{web.url}/bucket/cog.tif")
    with pytest.raises(SceneError, match="names a file of overviews elsewhere"):
        describe(path)
    assert web.asked == []
