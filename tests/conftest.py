"""Fixtures for all tests. The environment of Ray is set before anything imports it."""

import os
from collections.abc import Iterator
from pathlib import Path

# Read when a Ray process starts; tests must not depend on what the machine or its user has set.
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
for name in [name for name in os.environ if name.startswith("GEOSEG_") or name == "RAY_ADDRESS"]:
    del os.environ[name]

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import ray  # noqa: E402

from tests.support.bundles import unet_bundle  # noqa: E402
from tests.support.s3 import s3_environment, s3_server, s3_url, storage  # noqa: E402
from tests.support.scenes import digests, run, textured, write_scene  # noqa: E402

__all__ = ["s3_environment", "s3_server", "s3_url", "storage"]

# A busy machine is not a failed property.
hypothesis.settings.register_profile(
    "without a clock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("without a clock")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real imagery, or a skip."""
    if not DATA.is_dir():
        pytest.skip("needs the real imagery of ../shared/data, which is not part of the project")
    return DATA


@pytest.fixture
def local_ray() -> None:
    """A local Ray with room for two workers; kept for the next test that needs one."""
    if not ray.is_initialized():
        ray.init("local", num_cpus=4, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)


@pytest.fixture(scope="session", autouse=True)
def _no_ray_behind() -> Iterator[None]:
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def inputs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A scene, of 30 blocks of 48 pixels unless the module sets ``SCENE_PX``, its height and width; and a bundle."""
    height, width = getattr(request.module, "SCENE_PX", (203, 267))
    folder = tmp_path_factory.mktemp("inputs")
    return write_scene(folder / "scene.tif", textured(height, width), nodata=0), unet_bundle(folder / "bundle")


@pytest.fixture(scope="module")
def reference(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of their published files."""
    output = tmp_path_factory.mktemp("reference")
    run(*inputs, output, tiling={"block_px": 48})
    return digests(output)
