"""The Ray executor: clusters that lack something, failures on nodes, and submitted jobs."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from geoseg.errors import SettingsError
from tests.support.bundles import identity_bundle, unet_bundle
from tests.support.commands import segment
from tests.support.disasters import fault
from tests.support.fault_matrix import most_at_a_time, note_rule
from tests.support.scenes import digests, run, textured, write_scene

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[3]
SCENE_PX = 150, 170


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "cuda"}, r"each worker needs a GPU, and only 0 fit on the cluster \(.*with 4 CPUs and 0 GPUs\)"),
        ({"workers": 9}, r"run\.workers=9 .* only 4 fit on the cluster"),
        ({"threads": 5}, r"each worker needs 5 CPUs on one node, and only 0 fit"),
    ],
)
def test_a_node_without_what_the_job_needs_is_named_not_waited_for(
    inputs: tuple[Path, Path], tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        run(*inputs, tmp_path, run=settings)
    assert digests(tmp_path) == {}


@pytest.mark.usefixtures("local_ray")
def test_a_bundle_that_fails_in_an_actor_fails_as_itself(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    broken = unet_bundle(tmp_path / "broken")
    (broken / "weights.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(SettingsError, match=r"weights\.safetensors cannot be loaded"):
        run(inputs[0], broken, tmp_path / "out", run={"workers": 1})


@pytest.mark.usefixtures("local_ray")
def test_a_scene_that_fails_on_a_node_fails_alone(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    scene, bundle = inputs
    broken = write_scene(tmp_path / "broken.tif", textured(400, 400), nodata=0)
    broken.write_bytes(broken.read_bytes()[:300_000])
    run(scene, bundle, tmp_path / "reference")
    report = run([broken, scene], bundle, tmp_path / "out", run={"workers": 2}, tiling={"block_px": 48})
    assert report.exit_code == 3
    assert f"{broken} cannot be read at rows" in report.failed[0]["error"]
    assert digests(tmp_path / "out") == digests(tmp_path / "reference")
    assert not (tmp_path / "out/.work").exists()


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("held", "message"),
    [
        (3.5, r"2 of 4 processes did not start within 15 s; a predictor needs \{'num_cpus': 0\.9.*with 4 CPUs"),
        pytest.param(
            4,
            r"node .* gave no answer within run\.start_timeout_s=15 s: out of reach, or other jobs hold its CPUs",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_cluster_that_another_job_holds_is_not_waited_for(
    inputs: tuple[Path, Path], tmp_path: Path, held: float, message: str
) -> None:
    class Other:
        def ready(self) -> bool:
            return True

    other = ray.remote(Other).options(num_cpus=held).remote()
    ray.get(other.ready.remote())
    try:
        with pytest.raises(SettingsError, match=message):
            run(*inputs, tmp_path, run={"workers": 2, "start_timeout_s": 15})
    finally:
        ray.kill(other)


@pytest.mark.slow
def test_blocks_in_work_take_no_more_than_their_share_of_the_object_store(tmp_path: Path) -> None:
    """A block takes about 29 MB and the share of the object store is 24 MB, so one block at a time is allowed."""
    fields = np.kron(np.arange(28 * 42).reshape(1, 28, 42) % 6, np.ones((1, 64, 64))).astype(np.uint8)
    scene = write_scene(tmp_path / "scene.tif", fields)
    bundle = identity_bundle(tmp_path / "bundle", patch_px=256, overlap_px=32)
    notes = tmp_path / "notes"
    ray.shutdown()
    ray.init("local", num_cpus=4, object_store_memory=80 << 20, include_dashboard=False, log_to_driver=False)
    with fault(note_rule(notes)):
        report = run(scene, bundle, tmp_path / "out", run={"workers": 2}, tiling={"block_px": 896})
    ray.shutdown()
    assert report.exit_code == 0
    assert most_at_a_time(notes) == 1


@pytest.fixture
def two_nodes(tmp_path: Path) -> Iterator[Cluster]:
    """A head, and a node with another version of rasterio than the driver."""
    (tmp_path / "old/rasterio-1.0.0.dist-info").mkdir(parents=True)
    (tmp_path / "old/rasterio-1.0.0.dist-info/METADATA").write_text("Name: rasterio\nVersion: 1.0.0\n")
    if ray.is_initialized():
        ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": str(tmp_path / "old")})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_node_with_other_software_is_named(inputs: tuple[Path, Path], tmp_path: Path, two_nodes: Cluster) -> None:
    with pytest.raises(SettingsError, match=r"node .* has rasterio 1\.0\.0, the driver has 1\.[4-9]") as caught:
        run(*inputs, tmp_path / "out", run={"address": two_nodes.address})
    assert "Every node needs the same software" in str(caught.value)


def test_an_address_where_nobody_answers_is_named(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    if ray.is_initialized():
        ray.shutdown()
    for address in ("127.0.0.1:6111", "ray://127.0.0.1:6111"):
        with pytest.raises(SettingsError, match=rf"No Ray cluster answers at {address}: .*refused"):
            run(*inputs, tmp_path, run={"address": address})


TOKEN = "geoseg-test-" + "0" * 40


@contextmanager
def head_node(folder: Path, mode: str) -> Iterator[dict[str, str]]:
    """`ray start --head`, as on a real cluster; the environment for its clients."""
    environment = {
        **os.environ,
        "HOME": str(folder),
        "RAY_AUTH_MODE": mode,
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    # By default the agent, which starts jobs, listens on 52365, as does that of any other Ray on this machine.
    ports = ["--port=26379", "--dashboard-port=28265", "--dashboard-agent-listen-port=0"]
    hosts = ["--dashboard-host=127.0.0.1", "--node-ip-address=127.0.0.1"]
    command = [f"{Path(sys.executable).parent}/ray", "start", "--head", "--block", "--num-cpus=2", *ports, *hosts]
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--disable-usage-stats"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield environment
        finally:
            family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
            for member in family:
                with suppress(psutil.NoSuchProcess):  # it ends with its parent
                    member.kill()
            psutil.wait_procs(family, timeout=30)
            process.wait(30)


def wait_for(port: int) -> None:
    """Wait until a process listens at the port."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        time.sleep(0.2)


@pytest.fixture
def head(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A head with token authentication."""
    with head_node(tmp_path, "token") as environment:
        yield environment


def submit(environment: dict[str, str], folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Submit a job as README prints it, from a folder; again while the dashboard is still starting."""
    printed = re.search(
        r"^\$ (ray job submit .* /opt/geoseg/jobs/segment\.py) ", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert printed
    start = printed[1].replace("/opt/geoseg", str(ROOT)).replace("http://HEAD:8265", "http://127.0.0.1:28265")
    command = [*start.split(), *map(str, words)]
    deadline = time.monotonic() + 60
    while True:
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        starting = any(words in done.stdout + done.stderr for words in ("Failed to connect", "No available agent"))
        if not starting or time.monotonic() > deadline:
            return done
        time.sleep(1)


def test_ray_job_submit_gives_the_bytes_of_inline(
    inputs: tuple[Path, Path], tmp_path: Path, head: dict[str, str]
) -> None:
    scene, bundle = inputs
    run(scene, bundle, tmp_path / "inline")
    done = submit(head, tmp_path, scene, "--model", bundle, "--output", tmp_path / "job", "--set", "tiling.block_px=48")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 scene: 1 published" in done.stdout
    assert digests(tmp_path / "job") == digests(tmp_path / "inline")

    failed = submit(head, ROOT, tmp_path / "absent.tif", "--model", bundle, "--output", tmp_path / "none")
    assert failed.returncode == 1
    assert "absent.tif does not exist" in failed.stdout
    assert "Traceback" not in failed.stdout

    stranger = {**head, "RAY_AUTH_TOKEN": "wrong" * 10}
    assert submit(stranger, tmp_path, scene, "--model", bundle, "--output", tmp_path / "x").returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (
            "disabled",
            "token",
            r"runs with RAY_AUTH_MODE=disabled, this process with token .* Set RAY_AUTH_MODE=disabled",
        ),
        (
            "token",
            "disabled",
            r"wants its token, and this process has RAY_AUTH_MODE=disabled\. Set RAY_AUTH_MODE=token",
        ),
    ],
)
def test_another_authentication_is_named(
    inputs: tuple[Path, Path], tmp_path: Path, theirs: str, ours: str, message: str
) -> None:
    with head_node(tmp_path, theirs) as environment:
        environment |= {"RAY_AUTH_MODE": ours, "RAY_ADDRESS": "127.0.0.1:26379"}
        wait_for(26379)
        ended = segment([inputs[0]], inputs[1], tmp_path / "out", "--address", "auto", **environment).end()
    assert ended.code == 2, ended.text
    assert re.search(message, " ".join(ended.text.split())), ended.text
