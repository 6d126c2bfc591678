"""`geoseg clean` removes what dead runs left, and neither published results nor work in progress."""

from pathlib import Path

import pytest

from geoseg.store.storages.base import temporary_name
from tests.support.bundles import unet_bundle
from tests.support.cli import CommandLine
from tests.support.commands import halted, segment
from tests.support.scenes import digests, run, textured, write_scene


@pytest.fixture
def geoseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return write_scene(folder / "scene.tif", textured(150, 150), nodata=0), unet_bundle(folder / "bundle")


def test_an_output_that_does_not_exist_is_an_error_and_not_made(geoseg: CommandLine, tmp_path: Path) -> None:
    done = geoseg("clean", tmp_path / "absent")
    assert done.code == 2
    assert f"{tmp_path / 'absent'} holds nothing" in done.err
    assert not (tmp_path / "absent").exists()


def test_an_output_without_leftovers_is_unchanged(
    geoseg: CommandLine, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    run(*inputs, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    done = geoseg("clean", tmp_path)
    assert (done.code, done.out) == (0, "0 files, 0.0 MiB removed\n")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_work_of_dead_runs_is_removed(geoseg: CommandLine, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "out"
    run(*inputs, output)
    before = digests(output)
    other = write_scene(tmp_path / "other.tif", textured(150, 150, seed=1), nodata=0)
    assert segment(other, inputs[1], output, fault="upload:start:*/classes.tif:*:kill").end().code == -9
    assert list(output.glob(".work/other/*/.*.tmp/*")), "the folder in which files are built"
    strays = [output / folder / temporary_name() for folder in (".", ".work", "rasters/scene", "runs", "scenes")]
    for stray in strays:
        stray.write_bytes(b"x" * 1000)
    look_alikes = [output / "rasters/scene/.notes.tmp", output / "rasters/scene/.12-34.tmp"]
    for file in look_alikes:
        file.write_text("someone's own")
    left = [path for path in output.rglob("*") if path.is_file() and (".work/other" in str(path) or path in strays)]

    done = geoseg("clean", output)
    assert done.code == 0
    assert done.out.startswith(f"{len(left)} files, ")
    assert done.out.endswith("other: the next run does it from the start, unless it is published\n")
    assert not (output / ".work").exists()
    assert not any(stray.exists() for stray in strays)
    assert all(file.exists() for file in look_alikes)
    for file in look_alikes:
        file.unlink()
    assert digests(output) == before
    assert run([inputs[0], other], inputs[1], output).exit_code == 0


@pytest.mark.slow
def test_an_output_in_use_is_refused(geoseg: CommandLine, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "out"
    with halted(tmp_path / "halt", "finish:start:r0001c0001:*", *inputs, output) as (command, halt):
        before = sorted(output.rglob("*"))
        refused = geoseg("clean", output)
        assert refused.code == 2
        assert "is in use by run " in refused.err
        assert f"(process {command.popen.pid})" in refused.err
        assert sorted(output.rglob("*")) == before
        halt.release()
        assert command.end().code == 0
    assert len(digests(output)) == 3
