"""A full disk: the scene fails with the remedy, nothing is published in part, and with free space it is resumed."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from geoseg.store.storages.base import is_temporary
from tests.support.bundles import identity_bundle
from tests.support.commands import Ended, halted, segment
from tests.support.scenes import digests, run, write_scene

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no disk can be mounted here: {error.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pixels that do not compress, so that a block of 192 px takes about 2 MiB with all its polygons."""
    folder = tmp_path_factory.mktemp("inputs")
    noise = np.random.default_rng(0).integers(0, 6, (1, 384, 384)).astype(np.uint8)
    return write_scene(folder / "scene.tif", noise), identity_bundle(folder / "bundle")


@pytest.fixture(scope="module")
def reference(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("reference")
    run(*inputs, output, tiling={"block_px": 48})
    return digests(output)


def fill(disk: Path, *, leave: int) -> Path:
    """Fill the disk but for a few bytes."""
    ballast = disk / "ballast"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast.write_bytes(b"x" * max(0, free - leave))
    return ballast


def grow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=60m", disk], check=True)


def check_failed(ended: Ended, scene: Path, output: Path) -> None:
    assert ended.code == 3, ended.text
    assert "Traceback" not in ended.text
    assert f"failed {scene}" in ended.text
    assert "No space left on device" in ended.text
    assert "Free some space, then run the same command again." in ended.text
    assert [path for path in output.rglob("*") if is_temporary(path.name)] == []


def check_completed(ended: Ended, output: Path, reference: dict[str, str]) -> None:
    assert ended.code == 0, ended.text
    assert digests(output) == reference
    assert not (output / ".work").exists()


def test_full_while_blocks_are_kept(inputs: tuple[Path, Path], reference: dict[str, str], disk: Path) -> None:
    """The blocks alone fill the disk; there is no room left for the report either."""
    output = disk / "out"
    check_failed(segment(*inputs, output).end(), inputs[0], output)
    assert digests(output) == {}
    done = len(list(output.glob(".work/scene/*/*/blocks/*.json")))
    assert 0 < done < 64
    grow(disk)
    again = segment(*inputs, output).end()
    assert f"{done} of 64 blocks done by an earlier run" in again.text
    check_completed(again, output, reference)


@pytest.mark.slow
def test_full_while_committing(
    inputs: tuple[Path, Path], reference: dict[str, str], disk: Path, tmp_path: Path
) -> None:
    """A sealed scene needs no more space."""
    output = disk / "out"
    grow(disk)
    with halted(tmp_path / "halt", "commit:start:*:*", *inputs, output) as (command, halt):
        fill(disk, leave=0)
        halt.release()
        check_completed(command.end(), output, reference)
    assert (output / "scenes/scene.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "leave", "resumed"),
    [
        ("publish:start:classes:*", 100_000, "64 of 64 blocks done by an earlier run"),
        ("seal:start:*:*", 0, "0 patches"),
    ],
)
def test_full_while_publishing_or_sealing(
    inputs: tuple[Path, Path], reference: dict[str, str], disk: Path, tmp_path: Path,
    point: str, leave: int, resumed: str,
) -> None:  # fmt: skip
    output = disk / "out"
    grow(disk)
    with halted(tmp_path / "halt", point, *inputs, output) as (command, halt):
        fill(disk, leave=leave)
        halt.release()
        check_failed(command.end(), inputs[0], output)
    assert digests(output) == {}
    (disk / "ballast").unlink()
    again = segment(*inputs, output).end()
    assert resumed in again.text
    check_completed(again, output, reference)


@pytest.mark.slow
def test_a_disk_that_is_full_from_the_start_is_an_error_of_the_settings(inputs: tuple[Path, Path], disk: Path) -> None:
    fill(disk, leave=0)
    ended = segment(*inputs, disk / "out").end()
    assert ended.code == 2
    assert f"The output {disk / 'out'} cannot be written: No space left on device" in ended.text
