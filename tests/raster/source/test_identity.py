"""The version of a file in a fingerprint."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from geoseg.errors import UnreachableError
from geoseg.raster.source.identity import identify
from geoseg.raster.source.version import Version, describe_change
from tests.support.web import serve

SECOND = 10**9


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "2")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0")
    (tmp_path / "www").mkdir()
    (tmp_path / "www/a.tif").write_bytes(b"0123456789")
    with serve(tmp_path / "www", tmp_path / "requests") as web:
        yield web.url


def test_a_local_file_is_its_name_size_and_time(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    file = tmp_path / "a.tif"
    file.write_bytes(b"0123456789")
    os.utime(file, ns=(5, 5))
    before = identify(str(file))
    assert before == Version("a.tif", 10, None, 5)
    file.rename(tmp_path / "sub/a.tif")
    assert identify(str(tmp_path / "sub/a.tif")) == before, "moving it changes nothing"


def test_the_version_of_a_remote_file_comes_from_its_server(site: str, tmp_path: Path) -> None:
    before = identify(f"/vsicurl/{site}/a.tif")
    assert (before.name, before.size) == ("a.tif", 10)
    assert str(before.content).startswith('"')
    assert identify(f"/vsicurl/{site}/a.tif?X-Amz-Signature=secret") == before, "a signature is no part of it"
    (tmp_path / "www/a.tif").write_bytes(b"0123456780")
    os.utime(tmp_path / "www/a.tif", ns=(before.modified or 0, before.modified or 0))
    now = identify(f"/vsicurl/{site}/a.tif")
    assert (now.size, now.modified) == (before.size, before.modified)
    assert now.content != before.content
    assert describe_change(before, now) == "size same, time same, other content"


def test_without_a_tag_or_a_time_the_content_is_unknown(site: str, tmp_path: Path) -> None:
    (tmp_path / "www/a.tif.untagged").touch()
    assert identify(f"/vsicurl/{site}/a.tif") == Version("a.tif", 10, None, None)


def test_a_busy_server_is_retried_and_then_unreachable(site: str, tmp_path: Path) -> None:
    before = identify(f"/vsicurl/{site}/a.tif")
    (tmp_path / "www/a.tif.busy").write_text("2")
    assert identify(f"/vsicurl/{site}/a.tif") == before
    (tmp_path / "www/a.tif.busy").write_text("3")
    with pytest.raises(UnreachableError, match=r"a\.tif cannot be reached: 503 .* Finished work is kept: run the same"):
        identify(f"/vsicurl/{site}/a.tif")
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9/a\.tif cannot be reached: .*refused"):
        identify("/vsicurl/http://127.0.0.1:9/a.tif")


def test_of_an_absent_remote_file_only_the_name_is_known(site: str) -> None:
    assert identify(f"/vsicurl/{site}/absent.tif") == Version("absent.tif")


def test_credentials_are_those_of_gdal(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "www/a.tif.secret").write_text("Basic dXNlcjpwYXNz")
    assert not identify(f"/vsicurl/{site}/a.tif").is_known
    monkeypatch.setenv("GDAL_HTTP_USERPWD", "user:pass")
    assert identify(f"/vsicurl/{site}/a.tif").is_known


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (60, r"modified \d\d:31, was \d\d:30"),
        (5, r"modified \d\d:30:05, was \d\d:30:00"),
        (1e-3, r"\d\.001000, was .*0000"),
        (5e5, r"modified 2026-\d\d-\d\d \d\d:\d\d, was 2026-"),
    ],
)
def test_a_change_of_time_is_shown_in_the_shortest_format(seconds: float, expected: str) -> None:
    before = Version("a.tif", 10, "sha256:0", 1_782_048_600 * SECOND)  # 2026-06-21 13:30 UTC
    now = replace(before, content="sha256:1", modified=(before.modified or 0) + int(seconds * SECOND))
    words = describe_change(before, now)
    assert words.startswith("size same, modified ")
    assert re.search(expected, words), words
    assert describe_change(before, replace(now, size=11)).startswith("size 11, was 10, modified ")
