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


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A local Ray with room for two workers, shared by all tests that only need one to be there."""
    ray.init("local", num_cpus=4, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    yield
    ray.shutdown()
