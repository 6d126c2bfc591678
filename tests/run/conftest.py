"""What the tests of runs share: a small scene and what an undisturbed run makes of it, and storages."""

from pathlib import Path

import pytest

from tests.support.bundles import unet_bundle
from tests.support.s3 import s3_environment, s3_server, s3_url, storage
from tests.support.scenes import digests, run, textured, write_scene

__all__ = ["s3_environment", "s3_server", "s3_url", "storage"]


@pytest.fixture(scope="module")
def inputs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A scene, of 30 blocks of 48 pixels unless the module sets ``SCENE_PX``, its height and width; and a bundle."""
    height, width = getattr(request.module, "SCENE_PX", (203, 267))
    folder = tmp_path_factory.mktemp("inputs")
    return write_scene(folder / "scene.tif", textured(height, width), nodata=0), unet_bundle(folder / "bundle")


@pytest.fixture(scope="module")
def reference(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of what is published of them."""
    output = tmp_path_factory.mktemp("reference")
    run(*inputs, output, tiling={"block_px": 48})
    return digests(output)
