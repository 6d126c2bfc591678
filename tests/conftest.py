"""What all tests share. The environment of Ray is set before anything imports it."""

import os
from collections.abc import Iterator
from pathlib import Path

# Read when a Ray process starts; tests must not depend on what the machine or its user has set.
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
for name in [name for name in os.environ if name.startswith("GEOSEG_") or name == "RAY_ADDRESS"]:
    del os.environ[name]

import pytest  # noqa: E402
import ray  # noqa: E402

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real imagery, or a skip."""
    if not DATA.is_dir():
        pytest.skip("needs the real imagery of ../shared/data, which is not part of the project")
    return DATA


@pytest.fixture
def local_ray() -> None:
    """A local Ray with room for two workers; goes on for the next test that needs one."""
    if not ray.is_initialized():
        ray.init("local", num_cpus=4, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)


@pytest.fixture(scope="session", autouse=True)
def _no_ray_behind() -> Iterator[None]:
    yield
    ray.shutdown()
