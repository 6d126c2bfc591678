"""Promise 2: the same bytes for any block size, number of workers, executor and order of completion."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geoseg.grid.tiling import Block
from tests.support.bundles import identity_bundle, unet_bundle
from tests.support.scenes import digests, run, textured, write_scene
from tests.support.vrts import kernel, warp, write_vrt

HEIGHT, WIDTH = 203, 317
"""No multiple of patch, stride, overlap or tile."""
STRIDE = 24


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return write_scene(folder / "scene.tif", textured(HEIGHT, WIDTH), nodata=0), unet_bundle(folder / "bundle")


@pytest.fixture(scope="module")
def reference(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The whole scene as one block, inline."""
    output = tmp_path_factory.mktemp("reference")
    report = run(*inputs, output, tiling={"block_px": 14 * STRIDE})
    assert report.exit_code == 0
    found = digests(output)
    assert set(found) == {
        "rasters/scene/classes.tif",
        "rasters/scene/confidence.tif",
        "polygons/scene=scene/part-00000.parquet",
    }
    return found


def shuffled(seed: int) -> Any:
    def order(blocks: Iterable[Block]) -> list[Block]:
        blocks = list(blocks)
        random.Random(seed).shuffle(blocks)
        return blocks

    return order


POLYGONS = [
    {"simplify_px": 0},
    {"simplify_px": 2.5, "min_area_px": 9},
    {"min_area_m2": 2000, "not_dissolved": ["class1", "class3"], "classes": ["class1", "class2"], "crs": "EPSG:4326"},
]


@pytest.mark.parametrize("polygons", POLYGONS, ids=["plain", "minimum area", "not dissolved"])
def test_polygon_settings(inputs: tuple[Path, Path], tmp_path: Path, polygons: dict[str, Any]) -> None:
    found = []
    for strides in (1, 2, 5, 14):
        output = tmp_path / str(strides)
        run(*inputs, output, tiling={"block_px": strides * STRIDE}, polygons=polygons, order=shuffled(strides))
        found.append(digests(output))
    assert found[0] == found[1] == found[2] == found[3]


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_minimum_area_on_ray(inputs: tuple[Path, Path], tmp_path: Path, workers: int) -> None:
    run(*inputs, tmp_path / "inline", polygons=POLYGONS[1], tiling={"block_px": 14 * STRIDE})
    run(*inputs, tmp_path / "ray", polygons=POLYGONS[1], tiling={"block_px": 3 * STRIDE}, run={"workers": workers})
    assert digests(tmp_path / "ray") == digests(tmp_path / "inline")


@pytest.mark.parametrize("strides", [1, 2, 5])
def test_block_sizes(inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path, strides: int) -> None:
    run(*inputs, tmp_path, tiling={"block_px": strides * STRIDE})
    assert digests(tmp_path) == reference


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_blocks(inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path, seed: int) -> None:
    run(*inputs, tmp_path, tiling={"block_px": (1 + seed) * STRIDE}, order=shuffled(seed))
    assert digests(tmp_path) == reference


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("strides", "workers"),
    [
        pytest.param(2, 1, marks=pytest.mark.slow),
        pytest.param(1, 2, marks=pytest.mark.slow),
        pytest.param(5, 2, marks=pytest.mark.slow),
        (14, 2),
    ],
)
def test_ray_workers(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path, strides: int, workers: int
) -> None:
    address = {"address": "auto", "workers": workers}
    report = run(*inputs, tmp_path, tiling={"block_px": strides * STRIDE}, run=address)
    assert report.workers == workers
    assert digests(tmp_path) == reference


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_ray_with_shuffled_blocks(inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path) -> None:
    run(*inputs, tmp_path, tiling={"block_px": STRIDE}, run={"workers": 2}, order=shuffled(9))
    assert digests(tmp_path) == reference


@pytest.fixture(scope="module")
def ids(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Fields of class ids with holes, and the identity model."""
    folder = tmp_path_factory.mktemp("ids")
    pixels = textured(300, 600, bands=1)
    classes = np.where(pixels == 0, 255, pixels % 6).astype(np.uint8)
    return (
        write_scene(folder / "ids.tif", classes, nodata=255, tiled=True),
        identity_bundle(folder / "bundle", patch_px=64, overlap_px=16),
    )


COMPUTED: dict[str, Callable[[Path, Path], Path]] = {
    "nearest": lambda path, source: warp(path, source, "nearest"),
    "bilinear": lambda path, source: warp(path, source, "bilinear"),
    "cubic": lambda path, source: warp(path, source, "cubic"),
    "nested": lambda path, source: write_vrt(path, warp(path.with_name("inner.vrt"), source, "bilinear")),
    "kernel": lambda path, source: write_vrt(
        path, source, kind="KernelFilteredSource", resampling="bilinear", size=(251, 487), more=kernel(3)
    ),
}
"""VRTs whose pixels depend on the window that GDAL is asked for."""


@pytest.mark.parametrize("make", COMPUTED.values(), ids=COMPUTED)
def test_scenes_that_gdal_computes(make: Callable[[Path, Path], Path], ids: tuple[Path, Path], tmp_path: Path) -> None:
    scene, found = make(tmp_path / "scene.vrt", ids[0]), []
    for block_px in (144, 240, 768):
        run(scene, ids[1], tmp_path / str(block_px), tiling={"block_px": block_px})
        found.append(digests(tmp_path / str(block_px)))
    assert len(found[0]) == 3
    assert found[0] == found[1] == found[2]
