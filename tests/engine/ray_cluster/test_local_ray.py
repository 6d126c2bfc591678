"""A Ray that geoseg starts itself: addresses it listens on, usage reports, state of the process afterwards."""

import json
import os
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[3]
SCRIPT = """
import json, os, sys
import psutil, ray
from ray._common.usage import usage_lib
from ray._private import ray_constants
from geoseg.config import RunSettings
from geoseg.engine.ray_cluster.ray_executor import RayExecutor

before = {**os.environ, "clusters": ray_constants.ENABLE_RAY_CLUSTER}
executor = RayExecutor(RunSettings(address="local", workers=1), [], sys.argv[1])
family = [psutil.Process(), *psutil.Process().children(recursive=True)]
listening = [
    (process.name(), connection.laddr.ip)
    for process in family
    for connection in process.net_connections(kind="inet")
    if connection.status == psutil.CONN_LISTEN
]
reports = ray.get(ray.remote(usage_lib.usage_stats_enabled).remote())
servers = [process for process in family if process.name() in {"gcs_server", "raylet"}]
heard = {process.environ().get("RAY_USAGE_STATS_ENABLED") for process in servers}
executor.close()
after = {**os.environ, "clusters": ray_constants.ENABLE_RAY_CLUSTER}
changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
print(json.dumps([listening, [reports, *heard], changed]))
"""


class Found(NamedTuple):
    """The output of `SCRIPT`."""

    listening: list[tuple[str, str]]
    reports: list[object]
    changed: list[str]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Observations of a process without any setting for Ray, before, during and after a local cluster."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    folder = tmp_path_factory.mktemp("output")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder],
        env={**kept, "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return Found(*json.loads(done.stdout.splitlines()[-1]))


def test_no_usage_is_reported(local: Found) -> None:
    assert local.reports == [False, "0"]


def test_a_local_ray_listens_to_this_machine_alone(local: Found) -> None:
    assert local.listening
    found = {(name, ip) for name, ip in local.listening if not ip_address(ip.removeprefix("::ffff:")).is_loopback}
    assert found == set()


def test_the_process_is_afterwards_as_it_was(local: Found) -> None:
    assert local.changed == []
