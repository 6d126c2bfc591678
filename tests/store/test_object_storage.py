"""Whole runs with output in S3 give the bytes of local runs, also after failures."""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from geoseg.config import FAULT_VARIABLE
from geoseg.store.storages.opening import open_storage
from tests.support.bundles import identity_bundle
from tests.support.cli import CommandLine
from tests.support.commands import halted, segment
from tests.support.proxy import Proxy, forward
from tests.support.scenes import digests, run, textured, write_scene

TILING = {"block_px": 48}
BLOCKS = 30
PUBLISHED = ("rasters/", "polygons/")


@pytest.fixture
def proxy(s3_url: str, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy between geoseg and the server."""
    with forward(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def published(url: str) -> dict[str, str]:
    """sha256 of everything published: rasters and polygons."""
    storage = open_storage(url)
    return {key: hashlib.sha256(storage.get(key)).hexdigest() for key in storage.keys("") if key.startswith(PUBLISHED)}


def unfinished(url: str) -> list[str]:
    return open_storage(url).keys(".work")


def reports(url: str) -> list[dict[str, object]]:
    storage = open_storage(url)
    return [json.loads(storage.get(key)) for key in storage.keys("runs") if key.endswith("/report.json")]


def test_a_run_gives_the_bytes_of_a_local_run_and_is_up_to_date(
    inputs: tuple[Path, Path], reference: dict[str, str], s3_url: str, proxy: Proxy
) -> None:
    report = run(*inputs, s3_url, tiling=TILING)
    assert report.exit_code == 0
    assert published(s3_url) == reference
    assert unfinished(s3_url) == []
    (saved,) = reports(s3_url)
    assert saved["run_id"] == report.run_id
    assert saved["scenes"][0]["rasters"] == f"{s3_url}/rasters/scene"
    manifest = json.loads(open_storage(s3_url).get("scenes/scene.json"))
    assert {key: facts["sha256"] for key, facts in manifest["files"].items()} == reference
    writes = [request for request in proxy.requests if request.writes]
    places = [request.key.removeprefix("out 1/ü/") for request in writes]
    journal = next(place for place, key in enumerate(places) if key.endswith("/commit.json"))
    assert not any(key.startswith(PUBLISHED) for key in places[:journal]), "nothing appears before the commit"
    assert all(request.copied for request in writes[journal:] if "/rasters/" in request.key)

    asked = len(proxy.requests)
    again = run(*inputs, s3_url)
    assert [scene["status"] for scene in again.scenes] == ["up to date"]
    assert again.patches == 0
    assert not any(key.startswith(PUBLISHED) for key in (r.key for r in proxy.requests[asked:] if r.writes))


@pytest.mark.slow
def test_requests_of_a_block_are_few(inputs: tuple[Path, Path], s3_url: str, proxy: Proxy) -> None:
    """A part is read each time it is needed, a record once in each process; no request asks whether an object exists.

    Reads of a block: classes, confidence and components; its border by eight neighbours; a strip by each of three;
    its open polygons; its polygons; two records; and once its own record, which does not exist yet.
    """
    run(*inputs, s3_url, tiling=TILING)
    kinds = proxy.count(lambda r: r.method if "/blocks/" in r.key or "/traced/" in r.key else "else")
    assert kinds["GET"] <= BLOCKS * (3 + 8 + 3 + 1 + 1 + 2 + 1)
    assert kinds["PUT"] <= BLOCKS * (3 + 1 + 3 + 1 + 1 + 2)
    assert kinds["HEAD"] == 0
    assert sum("list-type" in request.query for request in proxy.requests) < 20, "listings do not grow with the blocks"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_run_on_ray_gives_the_same(inputs: tuple[Path, Path], reference: dict[str, str], s3_url: str) -> None:
    done = segment(*inputs, s3_url, "--address", "local", "--set", "run.workers=2").end()
    assert done.code == 0, done.text
    assert published(s3_url) == reference
    assert unfinished(s3_url) == []


@pytest.mark.slow
def test_a_run_that_failed_is_resumed(
    inputs: tuple[Path, Path], reference: dict[str, str], s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT_VARIABLE, "predict:start:r0003c0002:*:enospc")
    failed = run(*inputs, s3_url, tiling=TILING)
    monkeypatch.delenv(FAULT_VARIABLE)
    assert failed.exit_code == 3
    assert published(s3_url) == {}
    again = run(*inputs, s3_url, tiling=TILING)
    assert (again.exit_code, again.resumed_blocks) == (0, 3 * 6 + 2)
    assert published(s3_url) == reference
    assert unfinished(s3_url) == []
    assert len(reports(s3_url)) == 2


@pytest.mark.slow
def test_other_settings_are_refused_and_overwrite_replaces(
    inputs: tuple[Path, Path], reference: dict[str, str], s3_url: str
) -> None:
    run(*inputs, s3_url, tiling=TILING, polygons={"simplify_px": 0})
    other = published(s3_url)
    refused = run(*inputs, s3_url, tiling=TILING)
    assert "polygons.simplify_px was 0.0, now 1.0" in refused.failed[0]["error"]
    assert published(s3_url) == other
    replaced = run(*inputs, s3_url, tiling=TILING, overwrite=True)
    assert replaced.exit_code == 0
    assert published(s3_url) == reference
    assert unfinished(s3_url) == []


@pytest.mark.slow
def test_a_scene_of_another_crs_is_refused(inputs: tuple[Path, Path], s3_url: str, tmp_path: Path) -> None:
    assert run(*inputs, s3_url, tiling=TILING).exit_code == 0
    other = write_scene(tmp_path / "other.tif", textured(60, 60), nodata=0, crs="EPSG:32633")
    refused = run(other, inputs[1], s3_url)
    assert refused.exit_code == 3
    assert "EPSG:32633), but the output holds scene scene in WGS 84 / UTM zone 32N" in refused.failed[0]["error"]
    assert len(published(s3_url)) == 3


CUTS = [
    "put:before-rename:*/blocks/r0002c0003.classes:*:kill",
    "put:before-rename:*/blocks/r0002c0003.json:*:kill",
    "upload:start:*/confidence.tif:*:kill",
    "upload:end:*/classes.tif:*:kill",
    "upload:end:*.parquet:*:kill",
    "put:before-rename:*/commit.json:*:kill",
    "commit:start:*:*:kill",
    "commit:middle:*/classes.tif:*:kill",
    "commit:end:*:*:kill",
]


@pytest.mark.parametrize("cut", [pytest.param(cut, marks=pytest.mark.slow) for cut in CUTS])
def test_a_run_killed_anywhere_is_resumed(
    inputs: tuple[Path, Path], reference: dict[str, str], s3_url: str, cut: str
) -> None:
    killed = segment(*inputs, s3_url, fault=cut).end()
    assert killed.code == -9, killed.text
    if not cut.startswith("commit:"):
        assert published(s3_url) == {}
    assert ("scenes/scene.json" in open_storage(s3_url).keys("scenes")) == ("commit:end" in cut)
    again = segment(*inputs, s3_url).end()
    assert again.code == 0, again.text
    assert "up to date" in again.text if "commit:end" in cut else "done scene" in again.text
    assert published(s3_url) == reference
    if "commit:end" not in cut:
        assert unfinished(s3_url) == []


@pytest.mark.slow
def test_a_run_killed_between_the_parts_of_an_upload_is_resumed(tmp_path: Path, s3_url: str, proxy: Proxy) -> None:
    """The classes of a block of 4480 pixels take 20 MB, which are sent in two parts."""
    fields = np.kron(np.random.default_rng(0).integers(0, 6, (1, 70, 70)), np.ones((1, 64, 64))).astype(np.uint8)
    scene = write_scene(tmp_path / "fields.tif", fields)
    bundle = identity_bundle(tmp_path / "bundle", patch_px=256, overlap_px=32)
    words = ("--set", "tiling.block_px=4480")
    run(scene, bundle, tmp_path / "local")

    proxy.hold = lambda request: "partNumber=2" in request.query
    with segment(scene, bundle, s3_url, *words) as command:
        assert proxy.held.wait(120)
        command.kill()
    proxy.hold = lambda _: False
    proxy.let_go.set()
    assert published(s3_url) == {}
    assert not any("/blocks/" in key for key in unfinished(s3_url)), "half an object is none"
    again = segment(scene, bundle, s3_url, *words).end()
    assert again.code == 0, again.text
    assert published(s3_url) == digests(tmp_path / "local")
    assert unfinished(s3_url) == []


@pytest.mark.slow
def test_clean_removes_what_a_killed_run_left(
    inputs: tuple[Path, Path],
    reference: dict[str, str],
    s3_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    command_line = CommandLine(monkeypatch, capsys)
    absent = command_line("clean", s3_url)
    assert absent.code == 2
    assert "holds nothing" in absent.err
    run(*inputs, s3_url, tiling=TILING)
    other = write_scene(tmp_path / "other.tif", textured(100, 100), nodata=0)
    assert segment(other, inputs[1], s3_url, fault="finish:end:r0001c0001:*:kill").end().code == -9
    assert unfinished(s3_url)
    cleaned = command_line("clean", s3_url)
    assert cleaned.code == 0
    assert "other: the next run does it from the start" in cleaned.out
    assert unfinished(s3_url) == []
    assert published(s3_url) == reference
    assert "0 files, 0.0 MiB removed" in command_line("clean", s3_url).out


@pytest.mark.slow
def test_a_server_that_dies_ends_the_run_in_time_and_it_can_be_resumed(
    inputs: tuple[Path, Path], reference: dict[str, str], s3_url: str, proxy: Proxy, tmp_path: Path
) -> None:
    with halted(tmp_path / "halt", "predict:start:r0002c0001:*", *inputs, s3_url) as (command, halt):
        proxy.gone = True
        started = time.monotonic()
        halt.release()
        ended = command.end(300)
        assert ended.code in {1, 3}, ended.text
        assert "Traceback" not in ended.text
        assert f"no answer from {proxy.url}" in ended.text
        assert "run the same command again" in ended.text
        assert time.monotonic() - started < 180
    proxy.gone = False
    again = segment(*inputs, s3_url).end()
    assert again.code == 0, again.text
    assert "blocks done by an earlier run" in again.text
    assert published(s3_url) == reference
    assert unfinished(s3_url) == []


@pytest.mark.slow
def test_of_two_runs_the_second_is_refused(
    inputs: tuple[Path, Path], reference: dict[str, str], s3_url: str, tmp_path: Path
) -> None:
    with halted(tmp_path / "halt", "predict:start:r0002c0001:*", *inputs, s3_url) as (first, halt):
        second = segment(*inputs, s3_url).end()
        assert second.code == 2
        assert f"(process {first.popen.pid})" in second.text
        halt.release()
        assert first.end().code == 0
    assert published(s3_url) == reference
    assert unfinished(s3_url) == []
