"""`geoseg polygonize` where something is in the way: a message, an exit code, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from geoseg.polygonizer.file import polygonize_raster
from geoseg.polygonizer.scratch import OWNER
from geoseg.store.lock_holder import Holder
from tests.support.cli import CommandLine
from tests.support.scenes import write_scene
from tests.support.web import serve

AS_ROOT = os.geteuid() == 0
NOBODY = 65534


@pytest.fixture
def run(monkeypatch, capsys):
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def raster(tmp_path):
    pixels = np.kron(np.arange(12).reshape(3, 4), np.ones((20, 20))).astype(np.uint8)
    return write_scene(tmp_path / "map.tif", pixels[None])


@pytest.fixture
def noise(tmp_path):
    """About 99,000 polygons, 15 MB of them."""
    return write_scene(tmp_path / "noise.tif", np.random.default_rng(0).integers(0, 6, (1, 384, 384)).astype(np.uint8))


@pytest.fixture
def disk(tmp_path):
    """A disk of 12 MiB."""
    if not AS_ROOT:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def as_nobody(tmp_path):
    """Permissions count, which they do not for root."""
    if not AS_ROOT:
        yield
        return
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.stat().st_uid == 0 and folder != Path("/tmp"):  # noqa: S108
            folder.chmod(folder.stat().st_mode | 0o055)
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg", ".fgb"])
def test_a_full_disk(run, noise, disk, suffix):
    printed = run("polygonize", noise, "--output", disk / "new" / f"a{suffix}")
    assert printed.code == 3
    assert f"{noise}: its polygons cannot be written to {disk}/new/a{suffix}: No space left on device" in printed.err
    assert "Free some space, then run the same command again" in printed.err
    assert names(disk) == []


def test_a_folder_that_may_not_be_written(run, raster, tmp_path, as_nobody):
    printed = run("polygonize", raster, "--output", tmp_path / "new" / "a.parquet")
    assert printed.code == 2
    assert f"{tmp_path}/new/a.parquet cannot be written: {tmp_path}/new: Permission denied" in printed.err
    assert names(tmp_path) == ["map.tif"]


def test_a_raster_that_may_not_be_read(run, raster, tmp_path, request):
    raster.chmod(0o600 if AS_ROOT else 0)
    tmp_path.chmod(0o777)
    request.getfixturevalue("as_nobody")
    printed = run("polygonize", raster, "--output", tmp_path / "a.parquet")
    assert printed.code == 3
    assert f"{raster} cannot be" in printed.err
    assert "Permission denied" in printed.err
    assert names(tmp_path) == ["map.tif"]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("map.tif/a.parquet", "map.tif/a.parquet cannot be written"),
        ("map.tif/b/a.parquet", "Not a directory"),
        ("folder.gpkg", "folder.gpkg is a folder. Name a file in it, such as"),
        (f"{'x' * 260}.parquet", "File name too long"),
    ],
)
def test_an_invalid_output_is_refused(run, raster, tmp_path, output, words):
    (tmp_path / "folder.gpkg").mkdir()
    printed = run("polygonize", raster, "--output", tmp_path / output, "--overwrite")
    assert printed.code == 2
    assert words in printed.err
    assert names(tmp_path) == ["folder.gpkg", "map.tif"]


def test_a_parent_folder_made_by_a_failed_run_is_removed(run, tmp_path):
    raster = write_scene(tmp_path / "map.tif", np.ones((1, 4, 4), np.uint8))
    content = bytearray(raster.read_bytes())
    raster.write_bytes(content[:-8])
    printed = run("polygonize", raster, "--output", tmp_path / "a" / "b" / "c.parquet")
    assert printed.code == 3
    assert "truncated or damaged" in printed.err
    assert names(tmp_path) == ["map.tif"]


def test_a_folder_a_pattern_or_several_files_get_a_message_with_the_command_to_use(run, raster, tmp_path):
    for index in range(4):
        (tmp_path / f"more{index}.tif").write_bytes(raster.read_bytes())
    for source, words in (
        (
            tmp_path,
            f"{tmp_path} is a folder. A class map is one raster: give one of map.tif, more0.tif, more1.tif and",
        ),
        (tmp_path / "*.tif", f"is a pattern. A class map is one raster: give one of {tmp_path}/map.tif"),
    ):
        printed = run("polygonize", source, "--output", tmp_path / "a.parquet")
        assert printed.code == 3
        assert words in printed.err
        assert f'for f in {tmp_path}/*.tif; do geoseg polygonize "$f" --output "${{f%.*}}.parquet"; done' in printed.err
    printed = run("polygonize", tmp_path / "?.jp2", "--output", tmp_path / "a.parquet")
    assert "?.jp2 is a pattern that no file here fits. A class map is one raster: give the path" in printed.err
    printed = run("polygonize", *sorted(tmp_path.glob("*.tif")), "--output", tmp_path / "a.parquet")
    assert printed.code == 2
    assert "polygonize takes one raster and got 5:" in printed.err


def test_a_file_whose_name_is_a_pattern_is_a_file(run, raster, tmp_path):
    odd = raster.rename(tmp_path / "map[1].tif")
    assert run("polygonize", odd, "--output", tmp_path / "a.parquet").code == 0


def test_ground_control_points_are_rectified_by_a_warp(run, tmp_path):
    raster = write_scene(tmp_path / "map.tif", np.ones((1, 4, 4), np.uint8), crs=None)
    points = [GroundControlPoint(row, col, 8 + col, 50 - row) for row, col in ((0, 0), (0, 4), (4, 0), (4, 4))]
    with rasterio.open(raster, "r+") as dataset:
        dataset.gcps = (points, CRS.from_epsg(4326))
    printed = run("polygonize", raster, "--output", tmp_path / "a.parquet")
    assert printed.code == 3
    assert "located by 4 ground control points alone" in printed.err
    assert "gdalwarp -tps -r near -t_srs EPSG:nnnn IN OUT" in printed.err
    assert "gdal_edit" not in printed.err


def test_values_that_do_not_occur_are_a_warning(run, raster, tmp_path):
    printed = run("polygonize", raster, "--output", tmp_path / "a.parquet", "--values", "70,80")
    assert printed.code == 0
    assert f"warning: none of the values 70, 80 occurs in {raster}: no polygon. It holds 0, 1, 2, 3," in printed.err
    assert run("polygonize", raster, "--output", tmp_path / "b.parquet", "--values", "7,80").err == ""
    nothing = write_scene(tmp_path / "nothing.tif", np.zeros((1, 5, 5), np.uint8), nodata=0)
    printed = run("polygonize", nothing, "--output", tmp_path / "c.parquet")
    assert "nothing.tif has no valid pixel" in printed.err
    assert "0 polygons in" in printed.out


def test_a_url_is_read_where_it_is_allowed(run, raster, tmp_path):
    output = tmp_path / "a.parquet"
    with serve(tmp_path, tmp_path / "requests.log") as web:
        url = f"{web.url}/map.tif"
        assert "Give --remote" in run("polygonize", url, "--output", output).err
        printed = run("polygonize", url, "--output", output, "--remote")
        assert printed.code == 3
        assert "polygonize: --allow-private-hosts" in printed.err
        assert web.asked == []
        assert run("polygonize", url, "--output", output, "--remote", "--allow-private-hosts").code == 0
        missing = run("polygonize", f"{url}x", "--output", tmp_path / "b.parquet", "--remote", "--allow-private-hosts")
        assert missing.code == 3
        assert "cannot be opened over the network" in missing.err
    polygonize_raster(raster, tmp_path / "local.parquet")
    assert output.read_bytes() == (tmp_path / "local.parquet").read_bytes()
    assert names(tmp_path) == ["a.parquet", "local.parquet", "map.tif", "requests.log"]


def test_other_layers_of_a_geopackage_stay(run, raster, tmp_path):
    output = tmp_path / "a.gpkg"
    assert run("polygonize", raster, "--output", output, "--values", "1,2").code == 0
    roads = geopandas.GeoDataFrame({"name": ["A1"]}, geometry=geopandas.points_from_xy([8], [50]), crs="EPSG:4326")
    roads.to_file(output, layer="roads")
    printed = run("polygonize", raster, "--output", output, "--overwrite")
    assert printed.code == 0
    assert f"{output} keeps what else it holds: roads. Only the layer a was replaced." in printed.err
    assert sorted(pyogrio.list_layers(output)[:, 0]) == ["a", "roads"]
    assert geopandas.read_file(output, layer="roads")["name"].tolist() == ["A1"]
    assert sorted(geopandas.read_file(output, layer="a")["value"]) == list(range(12))
    before = output.read_bytes()
    (tmp_path / "a.gpkg-wal").write_bytes(b"x")
    printed = run("polygonize", raster, "--output", output, "--overwrite")
    assert printed.code == 2
    assert "a.gpkg-wal holds changes that are not in it yet" in printed.err
    assert output.read_bytes() == before


def test_a_file_that_is_no_geopackage_is_replaced_as_a_whole(run, raster, tmp_path):
    output = tmp_path / "a.gpkg"
    output.write_bytes(b"something else")
    printed = run("polygonize", raster, "--output", output, "--overwrite")
    assert (printed.code, printed.err) == (0, "")
    assert pyogrio.list_layers(output)[:, 0].tolist() == ["a"]


def killed(raster, output, signum):
    """Run the command and send a signal once its temporary folder is there; its exit code and what it said."""
    command = [sys.executable, "-m", "geoseg.cli", "polygonize", raster, "--output", output, "--simplify-px", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not any(output.parent.glob(f".{output.name}.*/*")):
            os.sched_yield()
        process.send_signal(signum)
        _, text = process.communicate()
    return process.returncode, text


@pytest.mark.slow
def test_a_stopped_run_leaves_nothing_and_the_files_of_a_killed_one_are_removed_later(run, noise, tmp_path):
    output = tmp_path / "out" / "a.parquet"
    code, text = killed(noise, output, signal.SIGTERM)
    assert code == 143, text
    assert f"stopped: SIGTERM. {output} was not written." in text
    assert names(tmp_path) == ["noise.tif"]
    assert killed(noise, output, signal.SIGKILL)[0] == -signal.SIGKILL
    (left,) = output.parent.iterdir()
    assert left.name.startswith(".a.parquet.")
    printed = run("polygonize", noise, "--output", output)
    assert (printed.code, printed.err) == (0, "")
    assert names(output.parent) == ["a.parquet"]


def test_folders_of_living_runs_and_of_other_machines_stay(run, raster, tmp_path):
    living, foreign, unknown = (tmp_path / f".a.parquet.{word}" for word in ("living00", "foreign0", "unknown0"))
    me = json.loads(Holder.this_process("polygonize", 0).to_json())
    for folder, owner in ((living, me), (foreign, me | {"machine": "another", "host": "node7", "pid": 12})):
        folder.mkdir()
        (folder / OWNER).write_text(json.dumps(owner))
    unknown.mkdir()
    others = [tmp_path / ".b.parquet.unknown0", tmp_path / ".a.parquet.unknown", tmp_path / ".a.parquet.file0000"]
    others[0].mkdir()
    others[1].mkdir()
    others[2].write_text("a file")
    printed = run("polygonize", raster, "--output", tmp_path / "a.parquet")
    assert printed.code == 0
    assert f"{foreign} belongs to process 12 on node7. Delete it if that run is over" in printed.err
    assert f"{unknown} belongs to a run that does not say who it is" in printed.err
    assert str(living) not in printed.err
    assert printed.err.count("warning:") == 2
    assert all(path.exists() for path in (living, foreign, unknown, *others))


def test_a_folder_that_may_not_be_listed(run, tmp_path, as_nobody):
    os.seteuid(0 if AS_ROOT else os.geteuid())
    (tmp_path / "closed").mkdir(mode=0)
    os.seteuid(NOBODY if AS_ROOT else os.geteuid())
    printed = run("polygonize", tmp_path / "closed", "--output", tmp_path / "a.parquet")
    assert printed.code == 3
    assert f"{tmp_path}/closed cannot be read: Permission denied" in printed.err
