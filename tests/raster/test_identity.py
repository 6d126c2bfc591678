"""Which version of a file a fingerprint means."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from geoseg.raster.identity import identify
from tests.support.web import serve


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    (tmp_path / "www/a.tif").write_bytes(b"0123456789")
    with serve(tmp_path / "www", tmp_path / "requests") as web:
        yield web.url


def test_a_local_file_is_its_name_size_and_time(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    file = tmp_path / "a.tif"
    file.write_bytes(b"0123456789")
    before = identify(str(file))
    assert before[:2] == ["a.tif", 10]
    file.rename(tmp_path / "sub/a.tif")
    assert identify(str(tmp_path / "sub/a.tif")) == before, "moving it changes nothing"
    os.utime(tmp_path / "sub/a.tif", ns=(5, 5))
    assert identify(str(tmp_path / "sub/a.tif")) != before


def test_a_remote_file_is_what_its_server_says(site: str, tmp_path: Path) -> None:
    before = identify(f"/vsicurl/{site}/a.tif")
    assert before[:2] == ["a.tif", "10"]
    assert identify(f"/vsicurl/{site}/a.tif?X-Amz-Signature=secret") == before, "a signature is no part of it"
    (tmp_path / "www/a.tif").write_bytes(b"0123456789A")
    assert identify(f"/vsicurl/{site}/a.tif") != before


def test_of_what_cannot_be_asked_the_name_is_known(site: str) -> None:
    assert identify(f"/vsicurl/{site}/absent.tif") == ["absent.tif"]
    assert identify("/vsicurl/http://127.0.0.1:9/a.tif") == ["a.tif"]
    assert identify("/vsis3/bucket/folder/a.tif") == ["/vsis3/bucket/folder/a.tif"]
