"""A Ray that geoseg starts for itself: who can reach it, and whom it calls."""

import json
import os
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
import psutil, ray
from ray._common.usage import usage_lib
from geoseg.config import RunSettings
from geoseg.run.cluster import RayExecutor

executor = RayExecutor(RunSettings(address="local", workers=1), [], sys.argv[1])
family = [psutil.Process(), *psutil.Process().children(recursive=True)]
listening = [
    (process.name(), connection.laddr.ip)
    for process in family
    for connection in process.net_connections(kind="inet")
    if connection.status == psutil.CONN_LISTEN
]
print(json.dumps([listening, usage_lib.usage_stats_enabled()]))
executor.close()
"""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[tuple[str, str]], bool]:
    """What listens, and whether usage is reported, in a process that sets nothing for Ray."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    folder = tmp_path_factory.mktemp("output")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder],
        env={**kept, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    listening, reports = json.loads(done.stdout.splitlines()[-1])
    return listening, reports


def test_no_usage_is_reported(local: tuple[list[tuple[str, str]], bool]) -> None:
    assert local[1] is False


def test_a_local_ray_listens_to_this_machine_alone(local: tuple[list[tuple[str, str]], bool]) -> None:
    assert local[0]
    found = {(name, ip) for name, ip in local[0] if not ip_address(ip.removeprefix("::ffff:")).is_loopback}
    assert found == set()
